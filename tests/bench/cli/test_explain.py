"""`vae-bench explain`: what it says of every family is true, and its lines on raw outputs run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from bench.cli.text import listing
from bench.cli.text.explanation import LOSS, explain
from bench.grid import families as wording
from bench.grid.families import make, registry, trainable_on, widths
from bench.grid.families.code import DIMS, LEVELS
from vae_core import likelihoods
from vae_core.data import VIEWS
from vae_core.likelihoods import Card

NAMES = [*registry().names(), *registry().ALIASES]
EVERY = pytest.mark.parametrize("name", NAMES)


def said(name: str) -> str:
    """All words of the text, one space apart."""
    return " ".join(explain(name, 80).split())


@EVERY
def test_it_fits_a_terminal(name):
    assert max(map(len, explain(name, 80).splitlines())) <= 80


@EVERY
def test_the_whole_card_is_in_it(name):
    family = likelihoods.get(name)
    text = said(name)
    for field in ("summary", "formula", "support", "parameters", "source", "users"):
        assert " ".join(getattr(family.card, field).split()) in text, field
    assert name in text.split()[0]
    assert f"view {family.view}" in text
    assert family.measure in text


@EVERY
def test_the_last_layer_has_the_width_that_the_decoder_needs(name):
    family = likelihoods.get(name)
    scales: list[dict[str, Any]] = (
        [{"sigma": 0.1}, *({"sigma": mode} for mode in family.sigma_modes)] if family.takes_sigma else [{}]
    )
    text = said(name)
    for options in scales:
        width = make(name, options, 256).outputs(784)
        mode = "a number" if options.get("sigma") == 0.1 else options.get("sigma", "")
        line = rf"outputs \({width} for D = 784(, K = 256)?\)" + (rf": sigma [^:]*\b{mode}\b" if mode else "")
        assert re.search(line, text), line


@pytest.mark.parametrize("name", registry().names())
@pytest.mark.parametrize(("dims", "levels"), [(1, 2), (64, 17), (784, 256)])
def test_the_width_is_a_formula_that_holds_at_every_size(name, dims, levels):
    sigmas = {"": {}, "a number": {"sigma": 0.1}}
    for modes, formula in widths(name).items():
        expression = re.sub(r"(\d) (?=[KD])", r"\1 * ", formula).replace("K D", "K * D")
        for mode in modes.split(", "):
            lik = make(name, sigmas.get(mode, {"sigma": mode}), levels)
            assert eval(expression, {"D": dims, "K": levels}) == lik.outputs(dims), (mode, formula)


@EVERY
def test_options_are_there_with_their_defaults(name):
    text = said(name)
    for option in likelihoods.get(name).option_names():
        assert re.search(rf"\b{option}( = \S+ by default|, needed)", text), option
    if not likelihoods.get(name).option_names():
        assert "options none" in text


def test_options_say_what_they_take():
    text = said("gaussian")
    assert """sigma = 'shared' by default: the scale: a number > 0, or "shared", "image", "pixel", "optimal".""" in text
    assert "link = 'identity' by default: how the location" in text
    assert "Raises" not in said("categorical")
    assert "levels, needed: K ≥ 2" in said("categorical")


@pytest.mark.parametrize("name", registry().names())
def test_how_far_end_bins_reach_is_said_of_every_family_of_the_line(name):
    """Its own option for it too, where it has one; of no other."""
    text, recipe = said(name), registry().get(name).recipe
    opened = recipe or name in {"gaussian", "laplace", "logistic", "student_t", "logistic_mixture"}
    of_all = "end bins the first and the last have the whole tails, to −∞ and +∞"
    of_some = of_all.replace("bins ", "bins except when read as continuous_bernoulli or binomial, ")
    assert ((of_some if recipe else of_all) in text) == opened
    assert ("whole tails" in text) == opened
    has_option = "ends" in registry().get(name).option_names()
    assert ('(ends = "open"); with ends = "renormalised" they end where the data do' in text) == has_option
    assert ("ends = 'open' by default: how far the first and the last bin reach" in text) == has_option


@pytest.mark.parametrize("name", registry().names())
def test_objectives_are_those_that_training_takes(name):
    able = {objective for objective, why in trainable_on(make(name, {})).items() if not why}
    (listed,) = re.findall(r"^trained on  (.*)$", explain(name, 80), re.MULTILINE)
    assert set(listed.split(", ")) == able
    assert ("not binned: " in said(name)) == ("binned" not in able)


def test_the_alias_is_explained_as_what_it_is():
    text = explain("discretised_logistic", 80)
    assert text.startswith("discretised_logistic: logistic trained on its bins (objective = 'binned')\n")
    assert re.search("^trained on  binned$", text, re.MULTILINE)


# -- raw outputs -------------------------------------------------------------------------------------------------------


def raw_said(name: str) -> str:
    return explain(name, 80).partition("Raw outputs, what the decoder's last layer gives:\n\n")[2].partition(LOSS)[0]


@pytest.mark.parametrize("name", registry().names())
def test_the_lines_that_read_raw_outputs_and_make_them_again_run_as_they_are_printed(name):
    """Every block, for every way that σ is given that is in its heading."""
    blocks = re.split(r"^(?=(?:sigma .*: )?raw \[\.\.\., R\], R = )", raw_said(name), flags=re.MULTILINE)[1:]
    modes = wording.scales(name)
    seen: list[str] = []
    for block in blocks:
        headed = re.match(r"(?:sigma (.*): )?raw", block)
        assert headed
        of_block = (headed[1] or "").split(", ")
        seen += of_block
        lines = re.findall(r"^    (.*)$", block, re.MULTILINE)
        for mode in of_block:
            levels = {"levels": LEVELS} if likelihoods.get(name).takes_levels else {}
            lik = likelihoods.make(name, **{**modes[mode], **levels})
            if not lines:
                assert lik.layout() is None
                assert lik.card.parameters in " ".join(block.split())
                continue
            raw = torch.randn(3, lik.outputs(DIMS), generator=torch.manual_seed(0), dtype=torch.float64)
            names = {"raw": raw, "lik": lik, "D": DIMS, "torch": torch}
            exec("\n".join(lines), names)
            assert [line.partition(" = ")[0] for line in lines if "lik.raw(" in line] == ["raw"]
            torch.testing.assert_close(names["raw"], raw, rtol=1e-8, atol=1e-8)
    assert sorted(seen) == sorted(modes)


COUPLED = [(name, word) for name in registry().names() for word in wording.couplings(name)]


@pytest.mark.parametrize(("name", "channels"), COUPLED)
def test_so_do_those_of_coupled_channels(name, channels):
    text = explain(name, 80, {"channels": channels})
    printed = text.partition("Raw outputs, what the decoder's last layer gives:\n\n")[2].partition(LOSS)[0]
    blocks = re.split(r"^(?=(?:sigma .*: )?raw \[\.\.\., R\], R = )", printed, flags=re.MULTILINE)[1:]
    modes, seen = wording.scales(name, {"channels": channels}), []
    for block in blocks:
        headed = re.match(r"(?:sigma (.*): )?raw", block)
        assert headed
        for mode in (headed[1] or "").split(", "):
            seen.append(mode)
            lik = likelihoods.make(name, **modes[mode], levels=LEVELS, shape=(3, 2, 2))
            raw = torch.randn(3, lik.outputs(12), generator=torch.manual_seed(0), dtype=torch.float64)
            names = {"raw": raw, "lik": lik, "D": 12, "torch": torch}
            exec("\n".join(re.findall(r"^    (.*)$", block, re.MULTILINE)), names)
            torch.testing.assert_close(names["raw"], raw, rtol=1e-8, atol=1e-8)
            width = lik.outputs(3072)
            line = rf"outputs \({width} for D = 3072\)" + (rf": sigma [^:]*\b{mode}\b" if mode else "")
            assert re.search(line, " ".join(text.split())), line
    assert sorted(seen) == sorted(modes)
    assert "optimal" not in seen


@pytest.mark.parametrize("name", registry().names())
def test_planes_are_laid_out_as_is_said(name):
    """Plane p C + c is output p of channel c: the parameters that the printed lines read from one pixel of the picture
    are those of that pixel, channel and place alone."""
    text = " ".join(raw_said(name).split())
    channels, rows, columns = 3, 2, 5
    dims = channels * rows * columns
    for mode, options in wording.scales(name).items():
        levels = {"levels": 17} if likelihoods.get(name).takes_levels else {}
        lik = likelihoods.make(name, **options, **levels, shape=(channels, rows, columns))
        planes = lik.outputs(1)
        if lik.outputs(dims) != planes * dims:
            assert mode == "image"
            assert "of what an image has once, the last, the mean over its plane is taken" in text
            raw = torch.randn(2, lik.outputs(channels), rows, columns, generator=torch.manual_seed(0))
            torch.testing.assert_close(lik.flat_raw(raw)[:, -1], raw[:, -1].mean((-2, -1)))
            torch.testing.assert_close(lik.flat_raw(raw)[:, :-1], raw[:, :-1].flatten(1))
            continue
        per_pixel = str(likelihoods.get(name).described(**options, **(levels and {"levels": LEVELS})).outputs(1))
        assert f"raw [..., {per_pixel + ' ' if per_pixel != '1' else ''}C, H, W]" in text
        if planes > 1:
            assert "plane p C + c is output p of channel c" in text
        if mode in ("shared", "optimal"):
            lik.set_sigma(0.2)
        raw = torch.randn(2, planes * channels, rows, columns, generator=torch.manual_seed(0))
        mean = lik.mean(raw)
        alone = likelihoods.make(name, **options, **levels)
        if mode in ("shared", "optimal"):
            alone.set_sigma(0.2)
        for c, h, w in ((0, 0, 0), (1, 1, 3), (2, 0, 4)):
            outputs = torch.stack([raw[:, p * channels + c, h, w] for p in range(planes)], -1)
            torch.testing.assert_close(mean[:, c, h, w], alone.mean(outputs)[:, 0])


def test_a_family_that_is_silent_of_its_raw_outputs_is_described_by_its_card_and_its_docstring(monkeypatch):
    class Silent(likelihoods.Mass):
        view = "levels"
        card = Card("silent", "summary", "formula", "support", "two numbers, first and second", "source", "users")

        outputs = log_prob = log_masses = mean = sample = lambda *_: 7  # type: ignore[assignment]

    class Speaking(Silent):
        def raw(self, **parameters):
            """Raw outputs of `first` and
            `second`.

            Raises ValueError."""

    for family, words in (
        (Silent, "silent offers none."),
        (Speaking, "makes them: Raw outputs of `first` and `second`."),
    ):
        family.name = "silent"
        monkeypatch.setattr(likelihoods, "_FAMILIES", {**likelihoods._FAMILIES, "silent": family})
        text = said("silent")
        assert "raw [..., R], R = 7 two numbers, first and second. " in text
        assert words in text
        assert "Raises ValueError" not in text


# -- what is not in the shipped catalogue ------------------------------------------------------------------------------


def test_every_view_and_measure_has_its_words():
    assert all(view.said and view.code and view.code_said for view in VIEWS.values())
    assert set(wording.MEASURES) == set(likelihoods._plugins.MEASURES)


def test_a_family_that_needs_an_option_is_explained(monkeypatch):
    class Needy(likelihoods.Density):
        """A family with a width of its own.

        Args:
            components: how many, 2 or
                more. Raises ValueError else.
            colour: red.
        """

        view = "unit"
        card = Card("needy", "summary", "formula", "support", "parameters", "source", "users")
        examples = ({"components": 3},)

        def __init__(self, components, colour="red", plain=None):
            self.components = components

        def outputs(self, dims):
            return 2 * self.components * dims + 5

        log_prob = log_masses = mean = sample = lambda *_: None  # type: ignore[assignment]

    Needy.name = "needy"  # as its file would be called
    monkeypatch.setattr(likelihoods, "_FAMILIES", {**likelihoods._FAMILIES, "needy": Needy})
    text = said("needy")
    assert "options components, needed: how many, 2 or more. colour = 'red' by default: red. plain = None" in text
    assert "6 D + 5 outputs (4709 for D = 784)" in text
    assert 'likelihoods.make("needy", components=3)' in text
    with pytest.raises(ValueError, match="needy needs the option components"):
        likelihoods.make("needy")


@pytest.mark.parametrize(
    ("name", "together"), [("bce_sum", "bce_mean and bce_sum"), ("mse_sum", "mse_mean and mse_sum")]
)
def test_every_reading_of_a_recipe_is_explained_and_listed(name, together):
    text, family = said(name), registry().get(name)
    for reading in family.scorings:
        assert f"{reading}: {family.scoring_said(reading)}" in text
    assert "ranked as the one that is best on validation images" in text
    assert ("moved into [0.001, 0.999]" in text) == (name == "mse_sum")
    *others, last = family.scorings
    listed = " ".join(listing.likelihoods(80).split())
    assert f"{together}: read as {', '.join(others)} and {last}." in listed
