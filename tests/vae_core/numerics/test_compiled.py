"""Compiled scoring against the plain path, by the CPU's compiler where there is one, and on CUDA."""

from __future__ import annotations

import shutil
import warnings

import pytest
import torch
from torch import Tensor

from vae_core import laws, likelihoods
from vae_core.likelihoods import Likelihood
from vae_core.numerics import compiled as fused

CPU = torch.device("cpu")


def case(family: str, levels: int) -> tuple[Likelihood, Tensor, Tensor]:
    lik = next(laws.settings(likelihoods.get(family)))(levels)
    k = torch.randint(levels, (6, 1, 12), generator=torch.Generator().manual_seed(0))
    raw = laws.raw_outputs(lik, 12, 6, "random").unsqueeze(1).repeat(1, 5, 1)
    return lik, k, raw + 0.01 * torch.randn(raw.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("family", ["categorical", "gaussian"])
def test_compiled_scores_are_the_plain_ones(family: str) -> None:
    """For several numbers of images and samples, without gradients and with them."""
    levels = 17
    lik, k, raw = case(family, levels)
    fast = fused.compiled(lik.log_mass)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for images, samples in ((6, 5), (4, 5), (6, 2)):
            some, shown = raw[:images, :samples], k[:images]
            with torch.no_grad():
                torch.testing.assert_close(
                    fast(shown, some, levels), lik.log_mass(shown, some, levels), rtol=1e-5, atol=1e-4
                )
        left, right = raw.clone().requires_grad_(), raw.clone().requires_grad_()
        fast(k, left, levels).sum().backward()
        lik.log_mass(k, right, levels).sum().backward()
        assert left.grad is not None
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-4, atol=1e-4)


def test_a_compiler_that_fails_is_said_and_the_plain_path_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> Tensor:
        raise torch._dynamo.exc.Unsupported("no such operation\nand a long trace")

    monkeypatch.setattr(torch, "compile", lambda score, **options: broken)
    score = fused.compiled(lambda x: 2 * x)
    with pytest.warns(RuntimeWarning, match="^scoring goes on uncompiled: no such operation$"):
        assert score(torch.ones(1)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(torch.ones(1)) == 2


def test_an_error_of_the_scorer_itself_is_raised() -> None:
    def wrong(x: Tensor) -> Tensor:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fused.fused(wrong, CPU, 1 << 40)(torch.ones(1))


@pytest.mark.parametrize(("kind", "outputs"), [("cpu", 1 << 40), ("cuda", fused.WORTH_COMPILING - 1)])
def test_nothing_is_compiled_where_it_is_not_worth_it(kind: str, outputs: int) -> None:
    def score(x: Tensor) -> Tensor:
        return x

    assert fused.fused(score, torch.device(kind), outputs) is score


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", likelihoods.names())
def test_compiled_scores_on_cuda_are_the_cpu_s(family: str) -> None:
    levels = 2 if likelihoods.get(family).view == "binary" else 17
    lik, k, raw = case(family, levels)
    expected = lik.log_mass(k, raw, levels).detach()
    fast = fused.fused(lik.to("cuda").log_mass, torch.device("cuda"), fused.WORTH_COMPILING)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = fast(k.cuda(), raw.detach().cuda(), levels).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
