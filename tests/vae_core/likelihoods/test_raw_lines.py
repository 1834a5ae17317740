"""What a family says of its raw outputs is true: its lines, carried out, give the parameters that `raw` makes the same
raw outputs of, under every name. (That `raw` makes the right ones is held against scipy elsewhere.)"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.likelihoods import Layout
from vae_core.likelihoods._raw import location

D, K = 6, 17

#: a parameter by the other names that it has, from the one that the lines assign
INSTEAD = {
    "log_sigma": lambda sigma: torch.log(sigma),
    "variance": lambda sigma: sigma**2,
    "log_variance": lambda sigma: 2 * torch.log(sigma),
    "log_scale": lambda scale: torch.log(scale),
    "a": lambda log_a: torch.exp(log_a),
    "b": lambda log_b: torch.exp(log_b),
}


def instead(family: type[likelihoods.Likelihood], name: str, value: Tensor) -> Tensor:
    """Of logits the probabilities, along the axis over which they sum to 1."""
    if name == "weights":
        return value.softmax(-2)
    if name == "probs":
        return value.softmax(-1) if family.name == "categorical" else torch.sigmoid(value)
    return INSTEAD[name](value)


def every() -> list[Any]:
    """Each family at each way that it is tested with, and each way that σ is given."""
    cases = []
    for name in likelihoods.names():
        family = likelihoods.get(name)
        scales = [{"sigma": one} for one in (0.1, *family.sigma_modes)] if family.takes_sigma else [{}]
        for options in family.examples:
            for scale in scales:
                if scale.get("sigma") == "optimal" and {"ends", "channels"} & set(options):
                    continue
                levels = [{"levels": K}, {}] if family.option_defaults().get("levels", 0) is None else [{"levels": K}]
                for told in levels if family.takes_levels else [{}]:
                    given = {**options, **scale, **told}
                    cases.append(pytest.param(name, given, id=f"{name} {given}"))
    return cases


SAYING = [case for case in every() if likelihoods.describe(*case.values[:1], **case.values[1]).layout()]


def carried_out(layout: Layout, raw: Tensor) -> dict[str, Tensor]:
    names: dict[str, Any] = {"raw": raw, "D": D, "torch": torch}
    exec("\n".join(layout.lines), names)
    return {ways[0]: names[ways[0]] for ways in layout.names}


def test_all_shipped_families_say_how_they_read_raw_outputs():
    silent = {name for name in likelihoods.names() if likelihoods.describe(name, **_needed(name)).layout() is None}
    assert silent == set(likelihoods.plugins())


def _needed(name: str) -> dict[str, Any]:
    return {"levels": K} if likelihoods.get(name).takes_levels else {}


@pytest.mark.parametrize(("name", "options"), SAYING)
def test_the_lines_are_the_inverse_of_raw_under_every_name(name, options):
    lik = likelihoods.make(name, **options)
    layout = lik.layout()
    assert layout is not None
    raw = 2 * torch.randn(5, lik.outputs(D), generator=torch.manual_seed(0), dtype=torch.float64)
    parameters = carried_out(layout, raw)
    torch.testing.assert_close(lik.raw(**parameters), raw, rtol=1e-9, atol=1e-9)
    for first, *others in layout.names:
        for other in others:
            value = instead(type(lik), other, parameters[first])
            made = lik.raw(**{key: kept for key, kept in parameters.items() if key != first}, **{other: value})
            if first == "logits" and other in ("probs", "weights"):  # free up to a constant where they sum to 1
                again = instead(type(lik), other, carried_out(layout, made)["logits"])
                torch.testing.assert_close(again, value, rtol=1e-9, atol=1e-9)
            else:
                torch.testing.assert_close(made, raw, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "options"), SAYING)
def test_the_names_are_all_that_raw_takes(name, options):
    """One more than it is said to take is refused; one less, too."""
    lik = likelihoods.make(name, **options)
    layout = lik.layout()
    assert layout is not None
    parameters = carried_out(layout, torch.zeros(2, lik.outputs(D), dtype=torch.float64))
    said = {way for ways in layout.names for way in ways}
    with pytest.raises(ValueError, match="no parameter 'nonsense'") as refused:
        lik.raw(**parameters, nonsense=1.0)
    allowed = {word.strip(" )") for word in str(refused.value).partition("allowed: ")[2].split(",")}
    needs_no_sigma = {"sigma", "log_sigma", "variance", "log_variance"} if "sigma" not in said else set()
    assert allowed - needs_no_sigma - {"covariance"} == said  # which stands for two of them
    for key in parameters:
        with pytest.raises(ValueError):
            lik.raw(**{other: value for other, value in parameters.items() if other != key})


@pytest.mark.parametrize("name", ["bernoulli", "binomial", "continuous_bernoulli", "categorical", "bce_sum"])
def test_probabilities_are_read_too(name):
    """Under their own name, and `raw` makes raw outputs of the same probabilities of them."""
    lik = likelihoods.make(name, **_needed(name))
    layout = lik.layout()
    assert layout is not None
    raw = torch.randn(5, lik.outputs(D), generator=torch.manual_seed(0), dtype=torch.float64)
    names: dict[str, Any] = {"raw": raw, "D": D, "torch": torch}
    exec("\n".join(layout.lines), names)
    torch.testing.assert_close(names["probs"], instead(type(lik), "probs", names["logits"]))
    k = torch.zeros(5, D, dtype=torch.long)
    again = lik.raw(probs=names["probs"])
    levels = 2 if name == "bernoulli" else K
    torch.testing.assert_close(lik.log_mass(k, again, levels), lik.log_mass(k, raw, levels))


@pytest.mark.parametrize("mode", ["image", "pixel"])
@pytest.mark.parametrize("name", [name for name in likelihoods.names() if likelihoods.get(name).takes_sigma])
def test_the_line_of_sigma_is_the_sigma_in_use_also_at_its_floor(name, mode):
    lik = likelihoods.make(name, sigma=mode, levels=K)
    layout, width = lik.layout(), lik.outputs(D)
    assert layout is not None
    for at in (-30.0, -7.0, -4.0, 0.0):
        raw = torch.zeros(3, width, dtype=torch.float64)
        raw[:, D:] = at
        sigma = carried_out(layout, raw)["sigma"]
        assert sigma.shape == (3, width - D)
        torch.testing.assert_close(sigma.mean(), lik.sigma_in_use(raw), rtol=1e-12, atol=0.0)
        assert bool((sigma >= (1 - 1e-12) / (64 * K)).all())


@pytest.mark.parametrize(("mode", "said"), [(0.1, "a number"), ("shared", "set_sigma"), ("optimal", "fit_scale")])
def test_a_sigma_that_is_no_raw_output_is_said_to_be_none(mode, said):
    layout = likelihoods.describe("gaussian", sigma=mode).layout()
    assert layout is not None
    assert layout.names == (("mean",),)
    assert said in layout.beside[0]


def test_two_layouts_side_by_side_are_one():
    both = location("μ") + Layout(("sigma = 1",), (("sigma",),), ("fixed",))
    assert both == Layout(("mean = raw[..., :D]  # μ", "sigma = 1"), (("mean",), ("sigma",)), ("fixed",))
