"""The processes that train one model together."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from vrcodec.errors import DeviceError, UsageError
from vrcodec.models.networks.module import Module

_GREETING_SECONDS = 300.0

Value = TypeVar("Value")


@dataclass
class ProcessGroup:
    """This process among those that torchrun started, or a single one."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @staticmethod
    @contextlib.contextmanager
    def join(device: str) -> Iterator[ProcessGroup]:
        """Join the process group that the environment describes, and leave it at the end. Raises UsageError."""
        if "RANK" not in os.environ:
            yield ProcessGroup()
            return
        try:
            store, rank, world_size = next(rendezvous("env://"))
            local_rank = int(os.environ["LOCAL_RANK"])
        except (ValueError, KeyError) as error:
            raise UsageError(
                f"RANK is set, as torchrun does, and not all that goes with it: {error}"
            ) from error
        # What the ranks tell each other of their state is on the CPU, so that nobody waits for a GPU.
        backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
        fresh = fresh_store(store, rank, world_size)
        dist.init_process_group(backend, store=fresh, rank=rank, world_size=world_size)
        try:
            yield ProcessGroup(rank, world_size, local_rank)
        finally:
            dist.destroy_process_group()

    def broadcast(self, value: Value) -> Value:
        """The ``value`` of rank 0, on every rank; anything that can be pickled."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, 0)
        return box[0]

    @torch.no_grad()
    def broadcast_parameters(self, model: Module) -> None:
        """Set the parameters of ``model`` to those of rank 0."""
        if self.world_size > 1:
            for parameter in model.parameters():
                dist.broadcast(parameter, 0)

    @torch.no_grad()
    def exchange(self, tensors: Sequence[Sequence[Tensor]]) -> None:
        """Set ``tensors[rank]`` to what they are on that rank, for every rank; all know sizes and types."""
        if self.world_size == 1:
            return
        for rank, theirs in enumerate(tensors):
            if theirs:
                flat = torch.cat([tensor.flatten() for tensor in theirs])
                dist.broadcast(flat, rank)
                _copy_parts(flat, theirs)

    @torch.no_grad()
    def average_gradients(self, model: Module) -> None:
        """Set gradients to their means over the ranks.

        A parameter without a gradient on some ranks, as those of a width that was not drawn there, counts as
        zero: `DistributedDataParallel` needs gradients of the same parameters on all, in one forward pass.
        """
        if self.world_size == 1:
            return
        parameters = [p for p in model.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        _copy_parts(flat / self.world_size, gradients)


def _copy_parts(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy the parts of ``flat`` into ``tensors``, one after the other."""
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def fresh_store(store: Store, rank: int, world_size: int) -> Store:
    """``store`` under a prefix that no earlier start of these processes has used, the same on all ranks.

    torchrun keeps one store when it restarts processes, with the addresses of the dead still in it
    (https://github.com/pytorch/pytorch/issues/135712); the number of restarts may differ between machines.
    So rank 0 chooses the prefix, and sends it to each process that has written a greeting with its own id.
    """
    unique = uuid.uuid4().hex
    if rank == 0:
        _send_prefix(store, unique, world_size)
        return PrefixStore(unique, store)
    store.set(f"vrcodec/greeting/{rank}", unique)
    prefix = store.get(f"vrcodec/answer/{unique}").decode()
    store.set(f"vrcodec/heard/{prefix}/{rank}", "")
    return PrefixStore(prefix, store)


def _send_prefix(store: Store, prefix: str, world_size: int) -> None:
    """Send ``prefix`` until all ranks have confirmed it: the first greeting may be of a process that died."""
    waiting = set(range(1, world_size))
    deadline = time.monotonic() + _GREETING_SECONDS
    while waiting:
        for rank in sorted(waiting):
            if store.check([f"vrcodec/greeting/{rank}"]):
                greeting = store.get(f"vrcodec/greeting/{rank}").decode()
                store.set(f"vrcodec/answer/{greeting}", prefix)
        waiting = {rank for rank in waiting if not store.check([f"vrcodec/heard/{prefix}/{rank}"])}
        if time.monotonic() > deadline:
            raise DeviceError(f"process {min(waiting)} of {world_size} did not start")
        time.sleep(0.02)
