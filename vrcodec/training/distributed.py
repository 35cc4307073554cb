"""The processes that train one model together."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from vrcodec.errors import DeviceError

_GREETING_SECONDS = 300.0

Value = TypeVar("Value")


@dataclass
class Ranks:
    """This process among those that torchrun started; alone when it did not."""

    rank: int = 0
    count: int = 1
    local: int = 0

    @staticmethod
    @contextlib.contextmanager
    def join(device: str) -> Iterator[Ranks]:
        """Join the process group that the environment describes, and leave it at the end."""
        if "RANK" not in os.environ:
            yield Ranks()
            return
        store, rank, count = next(rendezvous("env://"))
        backend = "nccl" if device.startswith("cuda") else "gloo"
        own = unused_part(store, rank, count)
        dist.init_process_group(backend, store=own, rank=rank, world_size=count)
        try:
            yield Ranks(rank, count, int(os.environ["LOCAL_RANK"]))
        finally:
            dist.destroy_process_group()

    def agreed(self, value: Value) -> Value:
        """What rank 0 has for ``value``, which may be anything that can be pickled."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0)
        return box[0]

    @torch.no_grad()
    def share(self, model: nn.Module) -> None:
        """Give every rank the parameters that ``model`` has on rank 0."""
        if self.count > 1:
            for parameter in model.parameters():
                dist.broadcast(parameter, 0)

    @torch.no_grad()
    def average_gradients(self, model: nn.Module) -> None:
        """Set gradients to their means over the ranks.

        A parameter that took no part on some ranks, as those of a width that was not drawn there, counts as
        zero: `DistributedDataParallel` would want the same ones everywhere, in one forward pass.
        """
        if self.count == 1:
            return
        parameters = [p for p in model.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(together)
        parts = torch.split(together / self.count, [g.numel() for g in gradients])
        for gradient, mean in zip(gradients, parts, strict=True):
            gradient.copy_(mean.view_as(gradient))


def unused_part(store: Store, rank: int, count: int) -> Store:
    """A part of ``store`` that no earlier start of these processes has written to, the same one on all.

    torchrun keeps one store when it starts processes anew, where addresses of the dead are still found
    (https://github.com/pytorch/pytorch/issues/135712); it does not tell all machines the same number of
    restarts. So rank 0 names the part, and tells each process that has greeted it with a name of its own.
    """
    own = uuid.uuid4().hex
    if rank == 0:
        _answer(store, own, count)
        return PrefixStore(own, store)
    store.set(f"vrcodec/greeting/{rank}", own)
    part = store.get(f"vrcodec/answer/{own}").decode()
    store.set(f"vrcodec/heard/{part}/{rank}", "")
    return PrefixStore(part, store)


def _answer(store: Store, part: str, count: int) -> None:
    """Tell ``part`` to each of the others, until all have heard it: what greets first may be a dead one."""
    waiting = set(range(1, count))
    deadline = time.monotonic() + _GREETING_SECONDS
    while waiting:
        for rank in sorted(waiting):
            if store.check([f"vrcodec/greeting/{rank}"]):
                greeting = store.get(f"vrcodec/greeting/{rank}").decode()
                store.set(f"vrcodec/answer/{greeting}", part)
        waiting = {rank for rank in waiting if not store.check([f"vrcodec/heard/{part}/{rank}"])}
        if time.monotonic() > deadline:
            raise DeviceError(f"process {min(waiting)} of {count} did not start")
        time.sleep(0.02)
