"""What a program is of: as many as there are kinds, whatever the cells; and its graph is the plain path, anywhere."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.vae_core.evaluate.programs.made import kind_of, scored
from vae_core import likelihoods
from vae_core.evaluate.programs.kept import Disagrees, Kept, require_alike
from vae_core.evaluate.programs.kinds import SLOPE, code_of, state_of
from vae_core.evaluate.programs.making import make, traced


def ways() -> Iterator[tuple[str, str, object]]:
    """Of each family every reading, a number as σ and one a dimension; of the Gaussian every mode of it."""
    for family in likelihoods.names():
        cls = likelihoods.get(family)
        if cls.takes_sigma:
            modes = cls.sigma_modes if family == "gaussian" else [mode for mode in cls.sigma_modes if mode == "pixel"]
            yield from ((family, "itself", sigma) for sigma in (0.1, *modes))
        else:
            yield from ((family, scoring, None) for scoring in cls.scorings)


def levels_of(family: str) -> int:
    return 2 if likelihoods.get(family).view == "binary" else 17


def quick() -> list[object]:
    """Ways that have a program of their own (readings of different recipes share some); one of each family, the others
    are slow together."""
    own: dict[str, tuple[str, str, object]] = {}
    for family, scoring, sigma in ways():
        levels = levels_of(family)
        own.setdefault(kind_of(scored(family, scoring, sigma, levels), levels).name("all"), (family, scoring, sigma))
    firsts = {next(group) for _, group in itertools.groupby(own.values(), key=lambda way: way[0])}
    return [pytest.param(*way, marks=() if way in firsts else pytest.mark.slow) for way in own.values()]


@pytest.mark.parametrize(("family", "scoring", "sigma"), quick())
def test_the_graph_is_the_plain_path_for_any_images_samples_and_scales(
    family: str, scoring: str, sigma: object
) -> None:
    levels = levels_of(family)
    kind = kind_of(scored(family, scoring, sigma, levels), levels)
    other = kind_of(scored(family, scoring, 0.3 if isinstance(sigma, float) else sigma, levels), levels)
    for tensor in state_of(other.likelihood, torch.empty(0)).values():
        tensor.mul_(1.1)  # it shares memory with what the likelihood holds
    for which in kind.programs:
        inputs = kind.example(which)
        graph, plain = traced(kind, which, inputs), other.flat(which)
        state = list(state_of(other.likelihood, inputs[-1]).values())
        for images, samples in ((2, 4), (1, 1), (5, 3)):
            *data, raw = (tensor[:images] for tensor in inputs[len(state) :])
            raw = raw[:, :1].repeat(1, samples, 1) + 0.01 * torch.randn(images, samples, 1)
            with torch.no_grad():
                found, expected = graph(*state, *data, raw), plain(*state, *data, raw)
            assert found[0].shape == (images, samples)
            require_alike(found, expected, which)


def test_a_number_sigma_is_an_input_and_its_mode_a_kind() -> None:
    def name(sigma: object, family: str = "gaussian", levels: int = 17, dims: int = 12) -> str:
        return kind_of(scored(family, sigma=sigma, levels=levels), levels, dims).name("all")

    assert name(0.02) == name(0.1)
    others = [name("shared"), name("pixel"), name(0.1, "laplace"), name(0.1, levels=16), name(0.1, dims=13)]
    assert len({name(0.1), *others}) == 6


def test_closed_ends_and_what_images_are_held_as_are_kinds_of_their_own() -> None:
    gaussian = scored("gaussian", sigma=0.1)
    closed = gaussian.renormalised()
    assert closed is not None
    assert kind_of(gaussian).name("mass") != kind_of(closed).name("mass")
    assert kind_of(gaussian).name("mass") != kind_of(gaussian, integers=torch.int64).name("mass")


def test_readings_that_compute_one_thing_share_a_program() -> None:
    """However σ was fitted, and whatever the recipe's loss was; an implied σ is the recipe's own."""

    def name(family: str, scoring: str) -> str:
        return kind_of(scored(family, scoring)).name("all")

    assert name("mse_sum", "gaussian_fitted") == name("mse_mean", "gaussian_binned")
    assert name("bce_sum", "continuous_bernoulli") == name("bce_mean", "continuous_bernoulli")
    apart = [
        name("mse_sum", "gaussian_fitted"),
        name("bce_sum", "gaussian_fitted"),
        name("mse_sum", "laplace_fitted"),
        name("mse_sum", "gaussian_implied"),
        name("mse_mean", "gaussian_implied"),
        name("mse_sum", "binomial"),
        name("mse_sum", "continuous_bernoulli"),
    ]
    assert len(set(apart)) == len(apart)


def test_who_looks_at_numbers_to_be_exact_has_no_program() -> None:
    coupled = likelihoods.make("gaussian", sigma="pixel", channels="coupled")
    assert not kind_of(coupled.unchecked()).lawful
    with pytest.raises(ValueError, match="looks at its numbers"):
        make(kind_of(coupled.unchecked()), "all", Kept(Path("nowhere")))
    mixture = likelihoods.make("logistic_mixture", channels="coupled", levels=17)
    assert kind_of(mixture.unchecked()).lawful  # it couples channels, and looks at nothing
    assert kind_of(scored("gaussian", sigma=0.1)).lawful


PLUGIN = """
from vae_core.likelihoods import Card, Density
import torch


class Wide(Density):
    view = "real"
    card = Card(title="wide", summary="s", formula="f", support="x", parameters="p", source="s", users="u")

    def __init__(self, sigma: float = 1.0) -> None:
        super().__init__()
        self.width = sigma

    def outputs(self, dims):
        return dims

    def log_prob(self, x, raw):
        return torch.distributions.Laplace(raw, self.width).log_prob(x).sum(-1)

    def log_masses(self, k, raw, levels):
        law = torch.distributions.Laplace(raw, self.width)
        return torch.log(law.cdf((k + 1.0) / levels) - law.cdf(k / (levels + 0.0)))

    def mean(self, raw):
        return raw

    def sample(self, raw, generator=None):
        return raw
"""


def test_a_sigma_that_nobody_gives_a_program_and_the_code_of_a_plug_in_are_in_its_name(tmp_path: Path) -> None:
    def named(text: str) -> None:
        path = tmp_path / "wide.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("vae_core.likelihoods.plugin.wide", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
            code_of.cache_clear()
            names.extend(kind_of(module.Wide(sigma=sigma).unchecked()).name("mass") for sigma in (0.5, 3.0))
        finally:
            del sys.modules[spec.name]
            code_of.cache_clear()

    names: list[str] = []
    named(PLUGIN)
    named(PLUGIN.replace("(k + 1.0)", "(k + 1.5)"))
    assert len(set(names)) == 4


def test_what_is_no_number_on_both_ways_is_alike() -> None:
    odd = torch.tensor([[float("nan"), 1.0]])
    require_alike([odd], [odd], "mass")
    slope = torch.tensor([[[float("nan"), 2.0]]])
    require_alike([odd, slope], [odd, slope], SLOPE)
    with pytest.raises(Disagrees):
        require_alike([odd, slope], [odd, slope + 1], SLOPE)
    with pytest.raises(Disagrees):
        require_alike([odd], [torch.tensor([[0.0, 1.0]])], "mass")
