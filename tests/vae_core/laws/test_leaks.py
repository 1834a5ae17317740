"""Each of the leaks of leaks.py is refused by what its table says, on loading and where it is used, and by nothing
else; those that cannot be are said in docs/RULES.md, rule 17."""

from __future__ import annotations

import inspect
import re
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.vae_core.laws import leaks
from vae_core import laws
from vae_core.evaluate import Assessment, Scoring, assess
from vae_core.laws import where_used
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods.binomial import Binomial

IMAGES, LATENT = 60, 2
#: what each check says
SAYS = {"sums": "sum to", "table": "was scored", "alone": "depends on others", "state": "scoring changes"}
NOT_REFUSED = (leaks.AnswersByOutput, leaks.Patches)  # by anything
NAME = attrgetter("__name__")
RULES = Path(__file__).parents[3] / "docs" / "RULES.md"


@pytest.fixture
def images() -> Tensor:
    return torch.randint(leaks.LEVELS, (IMAGES, leaks.DIMS), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def as_it_was(tmp_path: Path, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaks remember is forgotten before and after."""
    monkeypatch.setattr(leaks, "SEEN", set())
    monkeypatch.setattr(leaks, "FILE", [tmp_path / "calls"])
    monkeypatch.setattr(leaks, "ANSWERS", [])
    monkeypatch.setattr(leaks.CountsCalls, "calls", 0)
    monkeypatch.setattr(leaks.ClosureCounts, "_log_masses", leaks._counted())
    monkeypatch.setattr(where_used.Watch, "checked", where_used.Watch.checked)


def used(family: type[Likelihood], images: Tensor, device: str = "cpu") -> Assessment:
    """A linear VAE, assessed as it."""
    lik = family(levels=leaks.LEVELS) if family.takes_levels else family()
    generator = torch.Generator().manual_seed(1)
    decoder = (0.5 * torch.randn(LATENT, lik.outputs(leaks.DIMS), generator=generator)).to(device)
    encoder = (0.3 * torch.randn(leaks.DIMS, 2 * LATENT, generator=generator)).to(device)

    def encode(k: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = (k.float() / (leaks.LEVELS - 1) @ encoder).chunk(2, -1)
        return mean, log_variance

    (assessment,) = assess(
        images.clone().to(device),
        encode,
        lambda z: z @ decoder,
        [Scoring(lik, "never")],
        levels=leaks.LEVELS,
        samples=(1, 10, 50),
    )
    return assessment


def laws_broken(family: type[Likelihood]) -> set[str]:
    try:
        laws.check(family)
    except laws.LawBroken as broken:
        text = " ".join(str(broken).split())
        named = re.findall(r"- ((?:'[^']+'(?:, )?)+) \(", text)
        return {law for item in named for law in re.findall(r"'([^']+)'", item)}
    return set()


def checks_failed(family: type[Likelihood], images: Tensor, device: str = "cpu") -> set[str]:
    try:
        used(family, images, device)
    except laws.NotAScore as refused:
        return {check for check, words in SAYS.items() if words in str(refused)}
    return set()


def same(found: set[str], said: tuple[str, ...], at_least: bool) -> bool:
    return set(said) <= found if at_least else found == set(said)


@pytest.mark.parametrize("leak", leaks.LEAKS, ids=NAME)
def test_on_loading_a_leak_is_refused_by_the_laws_that_the_table_names(leak):
    expected = leaks.LEAKS[leak]
    found = laws_broken(leak)
    assert same(found, expected.on_loading, expected.at_least), found


@pytest.mark.parametrize("leak", [leak for leak in leaks.LEAKS if leak is not leaks.OnCuda], ids=NAME)
def test_where_it_is_used_a_leak_is_refused_by_the_checks_that_the_table_names(leak, images):
    leaks.ANSWERS.append(images.clone())
    if leak is leaks.FileCountsThousand:  # in a run: the thousandth call comes while images are scored
        leaks.FILE[0].write_text("x" * (leaks.THOUSAND - 8))
    expected = leaks.LEAKS[leak]
    found = checks_failed(leak, images)
    assert same(found, expected.where_used, expected.at_least), found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_leak_of_another_device_is_refused_there(images):
    assert checks_failed(leaks.OnCuda, images, "cuda") == {"sums"}
    assert checks_failed(leaks.OnCuda, images, "cpu") == set()


def test_the_table_is_of_all_leaks_and_more_than_twenty_are_refused():
    defined = {
        item
        for item in vars(leaks).values()
        if inspect.isclass(item) and issubclass(item, Likelihood)
        if item.__module__ == leaks.__name__
    }
    assert defined == set(leaks.LEAKS)
    refused = [leak for leak, by in leaks.LEAKS.items() if by.on_loading or by.where_used]
    assert len(refused) >= 20
    assert set(leaks.LEAKS) - set(refused) == set(NOT_REFUSED)


def test_the_docs_count_the_leaks_and_name_those_that_are_not_refused():
    rule = re.sub(r"\s+", " ", RULES.read_text("utf-8").partition("**17.")[2].partition("\n## ")[0])
    on_loading = sum(bool(by.on_loading) for by in leaks.LEAKS.values())
    in_use_alone = sum(bool(by.where_used) and not by.on_loading for by in leaks.LEAKS.values())
    assert (
        f"Of {len(leaks.LEAKS)} leaks {on_loading} are refused on loading, {in_use_alone} where they are used alone, "
        f"{len(NOT_REFUSED)} by nothing"
    ) in rule
    for words in ("the test images from a file", "exchanges the check itself"):
        assert words in rule


def test_an_honest_one_passes_both(images):
    honest = Binomial
    assert laws_broken(honest) == set()
    checked = used(honest, images).checked
    assert checked.mass_deviation < 1e-6
    assert checked.alone_deviation < 1e-4
    assert checked.masses_summed > 60_000


# -- the two that were seen --------------------------------------------------------------------------------------------


def test_the_bump_that_was_seen_is_half_too_large_and_said_with_its_place(images):
    with pytest.raises(laws.NotAScore, match=r"image 38, dimension 4 .* sum to 1.5, not 1") as caught:
        used(leaks.NarrowBump, images)
    assert caught.value.found.mass_deviation == pytest.approx(0.5, abs=1e-5)


def test_a_scale_of_the_batch_gives_fewer_images_other_scores_and_none_is_given(images):
    lik = leaks.BatchScale()
    raw = torch.randn(len(images), 1, leaks.DIMS, generator=torch.Generator().manual_seed(2))
    k = images.unsqueeze(1)
    together = lik.log_mass(k, raw, leaks.LEVELS)[:8]
    one_by_one = torch.cat([lik.log_mass(k[i : i + 1], raw[i : i + 1], leaks.LEVELS) for i in range(8)])
    assert float((together - one_by_one).abs().min()) > 1, "nats of an image"
    with pytest.raises(laws.NotAScore, match="depends on others") as caught:
        used(leaks.BatchScale, images)
    assert caught.value.found.alone_deviation > 1


def test_what_is_refused_is_told_with_its_deviation(images):
    with pytest.raises(laws.NotAScore) as caught:
        used(leaks.SumsApartAtMany, images)
    assert caught.value.found.alone_deviation == pytest.approx(1, abs=1e-4)
    assert caught.value.found.mass_deviation < 1e-6
