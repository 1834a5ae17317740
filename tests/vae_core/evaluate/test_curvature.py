"""What a refinement takes besides decoding: decompositions, counted; curvature made positive without eigenvalues."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vae_core.evaluate.refine import STEPS, positive_part, refine, scalings
from vae_core.objectives import Posterior

LATENT, IMAGES = 3, 4
MODULE = "vae_core.evaluate.refine"


class Operators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_one_decomposition_of_each_kind_a_move_and_none_after_the_last() -> None:
    calls: list[bool] = []

    def conditional(z: Tensor, rows: slice) -> Tensor:
        calls.append(z.requires_grad)
        return -0.5 * (z - 1).square().sum(-1) * 4

    encoder = Posterior(torch.zeros(IMAGES, LATENT), torch.zeros(IMAGES, LATENT))
    with Operators() as operators:
        fitted = refine(conditional, encoder)
    steps = STEPS["full"]
    wanted = {"_linalg_eigh": steps, "linalg_cholesky_ex": steps, "linalg_solve_triangular": steps}
    assert {name: operators.seen[name] for name in wanted} == wanted
    assert calls == [True] * steps + [False]
    torch.testing.assert_close(fitted.mean, torch.full((IMAGES, LATENT), 0.8, dtype=torch.float64), atol=1e-4, rtol=0)


def symmetric(kind: str, size: float) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    square = torch.randn(50, 20, 20, generator=generator, dtype=torch.float64)
    if kind == "any":
        return size * (square + square.mT)
    if kind == "of low rank":
        return size * square[..., :6] @ square[..., :6].mT
    vectors = torch.linalg.qr(square).Q
    values = torch.logspace(-15, 0, 20, dtype=torch.float64) * torch.tensor([1.0, -1.0]).repeat(10)
    return size * (vectors * values) @ vectors.mT


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e12])
@pytest.mark.parametrize("kind", ["any", "of low rank", "of every size"])
def test_an_accelerator_s_positive_part_is_that_of_eigenvalues(
    kind: str, size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = symmetric(kind, size)
    matrix = 0.5 * (matrix + matrix.mT)
    expected = positive_part(matrix)
    refining = sys.modules[MODULE]
    monkeypatch.setattr(refining, "accelerated", lambda device: True)
    with Operators() as operators:
        found = positive_part(matrix.reshape(5, 10, 20, 20)).reshape(50, 20, 20)
    assert not operators.seen["_linalg_eigh"]
    assert operators.seen["baddbmm"] == len(scalings()) + 1
    off = torch.linalg.matrix_norm(found - expected) / torch.linalg.matrix_norm(matrix)
    assert off.max() < 1e-11


def test_one_matrix_that_is_too_large_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = symmetric("any", 1.0)[:2]
    expected = positive_part(matrix)
    monkeypatch.setattr(sys.modules[MODULE], "accelerated", lambda device: True)
    matrix[0] = torch.finfo(torch.float64).max
    torch.testing.assert_close(positive_part(matrix)[1], expected[1], rtol=1e-9, atol=1e-9)
    assert not positive_part(torch.zeros(1, 4, 4, dtype=torch.float64)).any()
