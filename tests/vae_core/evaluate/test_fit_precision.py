"""Proposals that are fitted with products in TF32, which rounds factors to 10 bits of mantissa: what that costs, on an
emulation of it, and that nothing but fits is done so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.evaluate import gaps, log_likelihood, refine
from vae_core.evaluate.conditional import conditional
from vae_core.evaluate.proposals import Gaussian
from vae_core.evaluate.refine import elbo
from vae_core.numerics import precision
from vae_core.objectives import Posterior

LATENT, HIDDEN, DIMS, LEVELS, IMAGES = 10, 100, 196, 256, 24


def rounded(x: Tensor) -> Tensor:
    """To 10 bits of mantissa, ties away from 0."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class Abridged(torch.autograd.Function):
    """A product whose factors are rounded, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return rounded(x) @ rounded(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return rounded(grad) @ rounded(weight).mT, None


class Vae:
    """A decoder of two layers, images from it, and an encoder that is off; products are abridged where a GPU's would
    be, which is counted."""

    def __init__(self, sigma: float, images: int = IMAGES) -> None:
        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        self.abridged = self.full = 0
        generator = torch.Generator().manual_seed(0)
        self.first, self.last = drawn(LATENT, HIDDEN) / LATENT**0.5, drawn(HIDDEN, DIMS) * 0.4 / HIDDEN**0.5
        self.likelihood = likelihoods.make("gaussian", sigma=sigma, levels=LEVELS)
        z = drawn(images, LATENT)
        noisy = self.decode(z) + sigma * drawn(images, DIMS)
        self.k = (noisy.clamp(0, 1 - 1e-6) * LEVELS).floor().to(torch.uint8)
        self.near, self.spread = z + 0.1 * drawn(images, LATENT), 0.3 * sigma**0.5

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        if torch.backends.cuda.matmul.fp32_precision == "tf32":
            self.abridged += 1
            found: Tensor = Abridged.apply(x, weight)
            return found
        self.full += 1
        return x @ weight

    def decode(self, z: Tensor) -> Tensor:
        return 0.5 + self.product(torch.tanh(self.product(z, self.first)), self.last)

    def encode(self, k: Tensor) -> tuple[Tensor, Tensor]:
        return self.near[: len(k)], torch.full((len(k), LATENT), 2 * torch.tensor(self.spread).log().item())

    @property
    def conditional(self) -> Any:
        def score(raw: Tensor, rows: slice) -> Tensor:
            return self.likelihood.log_mass(self.k[rows].unsqueeze(1), raw, LEVELS)

        return conditional(self.decode, score)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def set_(there: bool) -> None:
        monkeypatch.setattr(precision, "_has_tf32", lambda device: there)

    return set_


@pytest.mark.parametrize("sigma", [0.01, 0.02, 0.1, 0.5])
def test_a_proposal_that_is_fitted_so_is_as_good(sigma: float, as_on_a_gpu: Callable[[bool], None]) -> None:
    """Its ELBO, judged in full, and the bound of it: within a hundredth of a nat of an image's, of hundreds to
    thousands of nats."""
    vae = Vae(sigma)
    fitted: list[Gaussian] = []
    bounds, tails = [], []
    for there in (False, True):
        as_on_a_gpu(there)
        vae.abridged = 0
        fitted.append(refine(vae.conditional, Posterior(*vae.encode(vae.k))))
        assert (vae.abridged > 0) == there
        found = log_likelihood(vae.k, vae.encode, vae.decode, vae.likelihood, (100,), LEVELS, refine="always")
        bounds.append(found.bound[100])
        tails.append(found.khat)
    plain, abridged = (elbo(vae.conditional, q, torch.float32) for q in fitted)
    before = elbo(vae.conditional, Gaussian.diagonal(*vae.encode(vae.k)), torch.float32)
    assert float((plain - before).mean()) > 1  # there was something to fit
    assert float((plain - abridged).mean()) < 0.02
    assert float((plain - abridged).max()) < 0.1
    assert float((bounds[0] - bounds[1]).abs().mean()) < 0.01
    assert abs(float((bounds[0] - bounds[1]).mean())) < 0.005  # what docs/RULES.md says of means over images
    assert float((tails[0] > 0.7).double().mean()) >= float((tails[1] > 0.7).double().mean()) - 0.05


def test_nothing_but_the_fit_is_abridged(as_on_a_gpu: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a refined score the passes, and of a gap the ELBOs that are judged, are done in full; afterwards all is as it
    was, also after an error."""
    as_on_a_gpu(True)
    before = torch.backends.cuda.matmul.fp32_precision
    vae = Vae(0.1, images=4)
    vae.abridged = vae.full = 0
    gaps(vae.conditional, Posterior(*vae.encode(vae.k)))
    assert vae.abridged == 2 * 31  # two products a look
    assert vae.full == 2 * 2  # two judgements
    assert torch.backends.cuda.matmul.fp32_precision == before

    def fails(z: Tensor, rows: slice) -> Tensor:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        refine(fails, Posterior(*vae.encode(vae.k)))
    assert torch.backends.cuda.matmul.fp32_precision == before
    as_on_a_gpu(False)
    vae.abridged = 0
    refine(vae.conditional, Posterior(*vae.encode(vae.k)))
    assert vae.abridged == 0


def test_a_gpu_without_it_fits_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda")
    for capability, there in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, of=capability: of)
        with precision.for_fits(device):
            assert (torch.backends.cuda.matmul.fp32_precision == "tf32") == there
    with precision.for_fits(torch.device("cpu")):
        assert torch.backends.cuda.matmul.fp32_precision != "tf32"
