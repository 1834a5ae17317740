"""What is summed where a model is scored: how much of it, at which outputs, and that it changes no score."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vae_core import laws, likelihoods
from vae_core.evaluate import Scoring, assess
from vae_core.laws import Watch, where_used
from vae_core.laws.alone import ROUNDING
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods.binomial import Binomial

DIMS, LATENT, LEVELS = 12, 2, 5


def linear(outputs: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(LATENT, outputs, generator=torch.Generator().manual_seed(1))


def encode(k: Tensor) -> tuple[Tensor, Tensor]:
    mean = (k.float() / LEVELS - 0.4)[:, : 2 * LATENT]
    return mean.chunk(2, -1)  # type: ignore[return-value]


def images(count: int) -> Tensor:
    return torch.randint(LEVELS, (count, DIMS), generator=torch.Generator().manual_seed(0))


def watched(lik: Likelihood, k: Tensor, samples: int, *, calls: int = 1, scale: float = 1.0) -> Watch:
    """A watch over a pass of so many z an image, in some calls."""
    decoder = linear(lik.outputs(DIMS), scale)
    watch = Watch(k, encode, lambda z: z @ decoder, lik, LEVELS, samples, seed=0)
    scorer = watch.over(lambda raw, rows: lik.log_mass(k[rows].unsqueeze(1), raw, LEVELS))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _ in range(calls):
            z = torch.randn(len(k), samples // calls, LATENT, generator=generator)
            scorer(z @ decoder, slice(0, len(k)))
    return watch


def test_few_masses_are_all_summed() -> None:
    """Every pair once, and each image's best again."""
    checked = watched(Binomial(LEVELS), images(7), 20).checked()
    assert checked.masses_summed == (7 * 20 + 7) * DIMS * LEVELS
    assert 0 < checked.mass_deviation < 1e-6
    assert checked.alone_deviation < ROUNDING


@pytest.mark.parametrize("calls", [1, 10])
def test_of_many_masses_a_share_is_summed_however_they_come(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    monkeypatch.setattr(where_used, "LEAST", 1)
    monkeypatch.setattr(where_used, "EACH", 0)
    checked = watched(Binomial(LEVELS), images(100), 1000, calls=calls).checked()
    scored = 100 * 1000 * DIMS
    assert checked.masses_summed <= where_used.SHARE * scored
    assert checked.masses_summed > (0.5 * where_used.SHARE) * scored


def test_of_what_is_scored_beyond_the_expected_the_usual_share_is_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few images have each two z summed, a bound that goes further would else sum as many again."""
    monkeypatch.setattr(where_used, "LEAST", 1)
    k, lik = images(50), Binomial(LEVELS)
    decoder = linear(lik.outputs(DIMS), 1.0)
    watch = Watch(k, encode, lambda z: z @ decoder, lik, LEVELS, 40, seed=0)
    scorer = watch.over(lambda raw, rows: lik.log_mass(k[rows].unsqueeze(1), raw, LEVELS))
    summed = []
    with torch.no_grad():
        for _ in range(20):  # 40 z are expected, 2000 come
            scorer(torch.randn(len(k), 100, LATENT) @ decoder, slice(0, len(k)))
            summed.append(watch._summed + sum(len(images) for _, images, _ in watch._waiting) * DIMS * LEVELS)
    both = where_used.EACH * len(k) * DIMS * LEVELS
    scored = len(k) * DIMS * 2000
    assert 0.4 * both < summed[0] < 0.7 * both
    assert summed[-1] == pytest.approx(0.5 * both + 0.5 * where_used.SHARE * scored, rel=0.05)


def test_no_more_than_the_most_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where_used, "MOST", 6000)
    checked = watched(Binomial(LEVELS), images(100), 100, calls=5).checked()
    assert 3000 < checked.masses_summed <= 6000


@pytest.mark.parametrize("levels_at_once", [1, 2, 5])
def test_sums_and_own_masses_do_not_depend_on_how_levels_are_cut(levels_at_once: int) -> None:
    lik = likelihoods.make("gaussian", sigma=0.1)
    raw = torch.randn(6, DIMS, generator=torch.Generator().manual_seed(3))
    k = images(6)
    total, own = where_used.sums(lik, raw, k, LEVELS, levels_at_once)
    torch.testing.assert_close(total, torch.ones(6, DIMS, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(own.float(), lik.log_mass(k, raw, LEVELS), rtol=1e-5, atol=1e-5)


class Shifted(Binomial):
    """Off by a part in so many, at every output."""

    off = 0.0

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + math.log1p(self.off)


@pytest.mark.parametrize(("off", "refused"), [(5e-5, False), (2e-4, True), (-2e-4, True), (1e9, True)])
def test_the_limit_is_a_part_in_ten_thousand(monkeypatch: pytest.MonkeyPatch, off: float, refused: bool) -> None:
    monkeypatch.setattr(Shifted, "off", off)
    watch = watched(Shifted(LEVELS), images(5), 10)
    if refused:
        with pytest.raises(laws.NotAScore, match="too many" if off > 0 else "loses mass") as caught:
            watch.checked()
        assert caught.value.found.mass_deviation == pytest.approx(abs(off), rel=0.01)
    else:
        assert watch.checked().mass_deviation == pytest.approx(off, rel=0.05)


class NotFinite(Binomial):
    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + torch.where(raw > 2.5, math.nan, 0.0)


class Single(Binomial):
    """Right in float64 alone."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + (1e-3 if raw.dtype == torch.float32 else 0.0)


@pytest.mark.parametrize(("family", "why"), [(NotFinite, "is not finite there"), (Single, "in float64 they do make 1")])
def test_the_likely_cause_is_said(family: type[Binomial], why: str) -> None:
    with pytest.raises(laws.NotAScore, match=rf"test image \d+, dimension \d+ \(counted from 0\).*{why}"):
        watched(family(LEVELS), images(20), 20).checked()


class Rare(Binomial):
    """e³ times too large in each dimension where the first output lies in a band that one z of 10,000 meets."""

    met = 0

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        first = raw[..., :1]
        return super()._log_masses(k, raw) + 3.0 * ((first > 0.2) & (first < 0.2002)).to(raw.dtype)


def test_a_fault_at_rare_z_shows_where_images_score_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pairs at random do not meet: with none but them it goes by unseen."""
    k, samples = images(100), 1000
    raw = torch.randn(100 * samples, LATENT, generator=torch.Generator().manual_seed(2)) @ linear(DIMS)
    affected = int(((raw[:, 0] > 0.2) & (raw[:, 0] < 0.2002)).sum())
    assert 1 <= affected < 20, "of 100,000 pairs"
    with pytest.raises(laws.NotAScore, match=r"sum to 20.08"):
        watched(Rare(LEVELS), k, samples).checked()
    monkeypatch.setattr(Watch, "_keep_best", lambda *_: None)
    assert watched(Rare(LEVELS), k, samples).checked().mass_deviation < 1e-6


class Common(Binomial):
    """1.5 times too large at one output of a thousand."""

    def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
        return super()._log_masses(k, raw) + math.log(1.5) * ((raw > 1.0) & (raw < 1.006)).to(raw.dtype)


@pytest.mark.parametrize("seed", range(5))
def test_a_fault_at_an_output_of_a_thousand_is_found_whatever_the_seed(seed: int) -> None:
    lik, k = Common(LEVELS), images(100)
    decoder = linear(DIMS)
    raw = torch.randn(100, 1000, LATENT, generator=torch.Generator().manual_seed(2)) @ decoder
    assert 5e-4 < float(((raw > 1.0) & (raw < 1.006)).double().mean()) < 2e-3
    watch = Watch(k, encode, lambda z: z @ decoder, lik, LEVELS, 1000, seed)
    with torch.no_grad():
        watch.over(lambda raw, rows: lik.log_mass(k[rows].unsqueeze(1), raw, LEVELS))(raw, slice(0, 100))
    with pytest.raises(laws.NotAScore, match=r"sum to 1.5"):
        watch.checked()


@pytest.mark.parametrize("refine", ["never", "always"])
def test_a_score_is_the_same_to_the_bit_where_nobody_watches(monkeypatch: pytest.MonkeyPatch, refine: str) -> None:
    lik, k = likelihoods.make("gaussian", sigma=0.3), images(30)
    decoder = linear(DIMS, 0.3)

    def scored() -> Tensor:
        (assessment,) = assess(
            k, encode, lambda z: z @ decoder, [Scoring(lik, refine)], levels=LEVELS, samples=(1, 10, 50), seed=4
        )
        return assessment.log_likelihood

    with_watch = scored()
    monkeypatch.setattr(Watch, "over", lambda _, scorer: scorer)
    assert torch.equal(scored(), with_watch)


def test_refined_passes_are_watched_too() -> None:
    """At outputs that the encoder's q does not give: a decoder that its fitted z carries beyond 6."""

    class Far(Binomial):
        def _log_masses(self, k: Tensor, raw: Tensor) -> Tensor:
            return super()._log_masses(k, raw) + 0.5 * (raw[..., :1] > 6).to(raw.dtype)

    k = torch.full((20, DIMS), LEVELS - 1)
    decoder = torch.full((LATENT, DIMS), 3.0)

    def at_zero(k: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(k), LATENT), torch.full((len(k), LATENT), -6.0)

    def checked(refine: str) -> laws.Checked:
        scorings = [Scoring(Far(LEVELS), refine)]
        (assessment,) = assess(k, at_zero, lambda z: z @ decoder, scorings, levels=LEVELS, samples=(1, 50))
        return assessment.checked

    assert checked("never").mass_deviation < 1e-6
    with pytest.raises(laws.NotAScore, match=r"sum to 1.6487"):
        checked("always")


def test_one_image_is_scored_alone_as_beside_itself() -> None:
    assert watched(Binomial(LEVELS), images(1), 10).checked().alone_deviation < ROUNDING
