"""Threads for NumPy, which computes its products of matrices with several, and everything else with one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from vrcodec.errors import LimitError

Piece = TypeVar("Piece")

# What OpenBLAS takes for each thread that multiplies, and keeps.
_BUFFER_BYTES = 32 << 20


def _available_threads() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Runs pieces of work side by side, each on one thread.

    ``count``: threads; by default as many as this process may use cores.
    """

    def __init__(self) -> None:
        self.count = _available_threads()
        self._pool: ThreadPoolExecutor | None = None
        self._local = threading.local()

    def set_count(self, count: int) -> None:
        """Use ``count`` threads from now on."""
        if count != self.count:
            self.forget_pool()
        self.count = count

    def forget_pool(self) -> None:
        """Leave the threads there are; in a forked child there are none."""
        self._pool = None

    def run(self, work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
        """Call ``work`` with each of ``pieces``; those may not depend on each other."""
        # A piece of a piece is run where that is.
        if self.count == 1 or len(pieces) == 1 or getattr(self._local, "inside", False):
            for piece in pieces:
                work(piece)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, "vrcodec", self._mark_inside)
        list(self._pool.map(work, pieces))

    def _mark_inside(self) -> None:
        self._local.inside = True
        np.seterr(all="ignore")


WORKERS = Workers()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WORKERS.forget_pool)


@cache
def _blas_libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@cache
def _check_buffers() -> None:
    """Raise MemoryError where OpenBLAS would get no memory for its buffers: it asks for them for ever.

    LimitError, where that is for want of modesty.
    """
    try:
        np.empty((WORKERS.count + 1, _BUFFER_BYTES), np.uint8)
    except MemoryError:
        if WORKERS.count <= _available_threads():
            raise
        raise LimitError(f"not enough memory for {WORKERS.count} threads; take fewer") from None


class _SingleThreadedProducts:
    """Products of matrices take one thread inside; behind the last thread that is, as many as before the first.

    A limit of threadpoolctl restores what its own thread found: behind overlapping ones, that may be one.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nobody is inside."""
        self._lock = threading.Lock()
        self._inside = 0
        # Threads of each library.
        self._before: dict[str, int] = {}

    @contextmanager
    def limit(self) -> Iterator[None]:
        """For the body."""
        with self._lock:
            if not self._inside:
                self._before = self._counts()
            self._inside += 1
        try:
            with _blas_libraries().limit(limits=1, user_api="blas"):
                yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._restore()

    def _counts(self) -> dict[str, int]:
        libraries = _blas_libraries().info()
        return {library["filepath"]: library["num_threads"] for library in libraries}

    def _restore(self) -> None:
        if self._counts() == self._before:
            return
        _blas_libraries().limit(limits=self._before)
        # One that changes nothing: at its end, this thread no longer is the only one that may set limits.
        with _blas_libraries().limit():
            pass

    def leave_in_child(self) -> None:
        """In a forked child: those who were inside are threads of its parent."""
        if self._inside:
            self._restore()
        self.forget()


_SINGLE_THREADED_PRODUCTS = _SingleThreadedProducts()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SINGLE_THREADED_PRODUCTS.leave_in_child)


@contextmanager
def computing() -> Iterator[None]:
    """Inside, a product of matrices takes one thread: the workers are as many as there should be.

    Numbers that leave all bounds are no news here: whoever takes them to a file checks them. Raises
    MemoryError, or LimitError.
    """
    _check_buffers()
    with _SINGLE_THREADED_PRODUCTS.limit(), np.errstate(all="ignore"):
        yield
