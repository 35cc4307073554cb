"""Muon: what PyTorch's own computes, in batches, and a share of it on each rank."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from vrcodec.training import muon
from vrcodec.training.distributed import ProcessGroup
from vrcodec.training.muon import Muon, orthogonalise

SHAPES = ((8, 8), (8, 8), (16, 8), (8, 16), (4, 30))


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def set_gradients(matrices: Sequence[nn.Parameter], step: int) -> None:
    torch.manual_seed(1 + step)
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)


def test_steps_are_those_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch iterates in bfloat16: so do both here."""
    monkeypatch.setattr(muon, "float_dtype", lambda *_: torch.bfloat16)
    ours, theirs = parameters(), parameters()
    optimizer = Muon(ours, 0.1, ProcessGroup())
    reference = torch.optim.Muon(theirs, 0.1, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        for matrices in (ours, theirs):
            set_gradients(matrices, step)
        optimizer.step()
        reference.step()
    for ours_one, theirs_one, start in zip(ours, theirs, parameters(), strict=True):
        moved = float((theirs_one - start).detach().norm())
        assert float((ours_one - theirs_one).detach().norm()) < 0.02 * moved


def test_a_matrix_without_a_gradient_stays() -> None:
    matrices = parameters()
    optimizer = Muon(matrices, 0.1, ProcessGroup())
    set_gradients(matrices, 0)
    matrices[1].grad = None
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(matrices, parameters(), strict=True)]
    assert moved == [True, False, True, True, True]


def test_singular_values_become_about_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 20, 30) * 1e-4))
    assert 0.6 < float(values.min()) < float(values.max()) < 1.3
    assert torch.equal(orthogonalise(torch.zeros(1, 2, 3)), torch.zeros(1, 2, 3))


def test_each_rank_orthogonalises_its_share() -> None:
    """Two ranks, one after the other in one process: what each leaves to the other is not computed."""
    alone = parameters()
    set_gradients(alone, 0)
    Muon(alone, 0.1, ProcessGroup()).step()
    computed = {0: 0, 1: 0}
    sent: dict[int, list[Tensor]] = {}
    for rank in (1, 0):
        matrices = parameters()
        set_gradients(matrices, 0)
        group = ProcessGroup(rank, 2)

        def counted(matrices: Tensor, rank: int = rank) -> Tensor:
            computed[rank] += len(matrices)
            return orthogonalise(matrices)

        def exchange(tensors: Sequence[Sequence[Tensor]], rank: int = rank) -> None:
            sent[rank] = [t.clone() for t in tensors[rank]]
            for other, values in sent.items():
                for tensor, value in zip(tensors[other], values, strict=True):
                    tensor.copy_(value)

        with (
            mock.patch.object(group, "exchange", exchange),
            mock.patch.object(muon, "orthogonalise", counted),
        ):
            Muon(matrices, 0.1, group).step()
    assert computed[0] + computed[1] == len(SHAPES)
    assert min(computed.values()) >= 2
    for matrix, expected in zip(matrices, alone, strict=True):
        assert torch.allclose(matrix, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_computes_as_networks_do(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 only where the processor multiplies it: emulated, it takes longer than the rest of a step."""
    monkeypatch.setattr(muon, "float_dtype", lambda *_: dtype)
    seen: set[torch.dtype] = set()

    def watched(matrices: Tensor) -> Tensor:
        seen.add(matrices.dtype)
        return orthogonalise(matrices)

    monkeypatch.setattr(muon, "orthogonalise", watched)
    matrices = parameters()
    set_gradients(matrices, 0)
    Muon(matrices, 0.1, ProcessGroup()).step()
    assert seen == {dtype}
    assert all(p.dtype == torch.float32 for p in matrices)
