"""Memory that ran out: who says so, and that what has pieces is done again in smaller ones, to the same numbers."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.evaluate import Scoring, assess, log_likelihood
from vae_core.evaluate.annealing.ais import image_blocks
from vae_core.evaluate.calibration import calibration
from vae_core.likelihoods.gaussian import Gaussian
from vae_core.numerics import memory
from vae_core.objectives import Posterior


@pytest.fixture(autouse=True)
def as_if_nothing_had_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_quartered", 0)


def handled(first: BaseException, then: BaseException) -> BaseException:
    """`then` as it comes up while `first` is handled."""
    try:
        try:
            raise first
        except BaseException:
            raise then  # noqa: B904  so that the first is its context
    except BaseException as error:
        return error


OOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (OOM, True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (OSError("Cannot allocate memory"), True),
        (handled(OOM, RuntimeError("CUDA error: operation failed due to a previous error during capture")), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
        (ValueError("memory"), False),
        (ValueError("out of memory"), False),  # a sentence for people, by whoever wrote it
        (handled(MemoryError(), ValueError("a file that is too large; cut it")), False),
        (KeyError("x"), False),
    ],
)
def test_who_says_that_memory_ran_out(error, is_one):
    assert memory.ran_out(error) is is_one


class Unspeakable(RuntimeError):
    def __str__(self) -> str:
        raise TypeError("no words")


def test_an_error_without_words_is_none():
    assert not memory.ran_out(Unspeakable())


def test_work_is_begun_anew_in_smaller_pieces_until_it_fits_and_what_fitted_is_remembered():
    sizes: list[int] = []

    @memory.in_smaller_pieces
    def work(least: int) -> int:
        sizes.append(memory.pieces(1 << 12))
        if sizes[-1] > least:
            raise OOM
        return sizes[-1]

    assert work(100) == 64
    assert sizes == [4096, 1024, 256, 64]
    assert memory.tried() == ", in pieces of 1/64 either"
    assert work(100) == 64
    assert sizes[4:] == [64], "what did not fit once is not tried again"


def test_what_does_not_help_is_raised_as_it_is():
    calls = []

    @memory.in_smaller_pieces
    def never() -> None:
        calls.append(memory.pieces(10))
        raise OOM

    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        never()
    assert calls == [10, 2, 1, 1, 1, 1]

    @memory.in_smaller_pieces
    def other() -> None:
        calls.append(0)
        raise KeyError("of another kind")

    with pytest.raises(KeyError):
        other()
    assert calls.count(0) == 1


def test_work_within_work_is_begun_anew_with_it():
    begun = []

    @memory.in_smaller_pieces
    def inner() -> None:
        if memory.pieces(1024) > 256:
            raise OOM

    @memory.in_smaller_pieces
    def outer() -> None:
        begun.append(memory.pieces(1024))
        inner()

    outer()
    assert begun == [1024, 256]


def test_what_the_failed_try_held_is_free_before_the_next():
    held: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    @memory.in_smaller_pieces
    def work() -> None:
        gc.collect()
        alive.append(sum(ref() is not None for ref in held))
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        if len(held) < 3:
            raise OOM

    work()
    assert alive == [0, 0, 0]


# -- evaluation --------------------------------------------------------------------------------------------------------


def model(dims: int = 12, latent: int = 3):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(dims, latent, generator=generator)
    out = 0.5 * torch.randn(latent, dims, generator=generator)

    def encode(k: Tensor) -> tuple[Tensor, Tensor]:
        z = (k.float() / 16) @ weight
        return z, torch.full_like(z, -2.0)

    return encode, lambda z: z @ out


K = torch.randint(17, (40, 12), generator=torch.Generator().manual_seed(1))


def holds_no_more_than(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """A device on which no more than so many raw outputs fit at a time; gives how many were asked for, each time."""
    asked: list[int] = []
    masses = Gaussian.log_mass

    def log_mass(self, k, raw, levels=256):
        asked.append(raw.numel())
        if raw.numel() > most:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {4 * raw.numel()} bytes.")
        return masses(self, k, raw, levels)

    monkeypatch.setattr(Gaussian, "log_mass", log_mass)
    return asked


def test_a_score_is_the_same_where_less_fits_into_memory(monkeypatch):
    encode, decode = model()
    likelihood = likelihoods.make("gaussian", sigma=0.2)

    def scored():
        (found,) = assess(
            K, encode, decode, [Scoring(likelihood, "always")], levels=17, samples=(1, 100, 300), tolerance=0.001
        )
        return found

    expected = scored()
    asked = holds_no_more_than(monkeypatch, 5000)
    found = scored()
    assert max(asked) > 5000, "it did not fit at first"
    assert memory.pieces(1 << 20) < 1 << 20
    assert torch.allclose(found.log_likelihood, expected.log_likelihood, atol=1e-4)
    assert torch.allclose(found.encoder.elbo, expected.encoder.elbo, atol=1e-4)
    assert found.samples == expected.samples
    assert found.checked.masses_summed == expected.checked.masses_summed
    assert torch.allclose(found.calibration.histogram, expected.calibration.histogram, atol=1e-6)
    assert found.gaps is not None
    assert expected.gaps is not None
    assert torch.allclose(found.gaps.amortisation, expected.gaps.amortisation, atol=1e-3)


@pytest.mark.parametrize("refine", ["never", "always"])
def test_anybodys_model_is_scored_so_too(monkeypatch, refine):
    encode, decode = model()
    arguments = (K, encode, decode, likelihoods.make("gaussian", sigma=0.2), (100,), 17)
    expected = log_likelihood(*arguments, refine=refine)
    asked = holds_no_more_than(monkeypatch, 3000)
    found = log_likelihood(*arguments, refine=refine)
    assert max(asked) > 3000
    assert torch.allclose(found.bound[100], expected.bound[100], atol=1e-4)


def test_what_fits_in_no_piece_is_raised(monkeypatch):
    encode, decode = model()
    holds_no_more_than(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        log_likelihood(K, encode, decode, likelihoods.make("gaussian", sigma=0.2), (10,), 17)


def test_every_size_of_pieces_that_memory_depends_on_is_quartered(monkeypatch):
    start = Posterior(torch.zeros(64, 3), torch.zeros(64, 3))
    before = len(list(image_blocks(start, 32, None)))
    raw = torch.zeros(40, 12)
    likelihood = likelihoods.make("gaussian", sigma=0.2)
    sizes: list[int] = []
    table = Gaussian.log_masses

    def log_masses(self, *args, **kwargs):
        found = table(self, *args, **kwargs)
        sizes.append(found.numel())
        return found

    monkeypatch.setattr(Gaussian, "log_masses", log_masses)
    whole = calibration(K, raw, likelihood, 17, floats=4096)
    most, sizes[:] = max(sizes), []
    monkeypatch.setattr(memory, "_quartered", 1)
    pieced = calibration(K, raw, likelihood, 17, floats=4096)
    assert max(sizes) <= most / 3
    assert torch.allclose(whole.histogram, pieced.histogram)
    assert len(list(image_blocks(start, 32, None))) >= 3 * before
