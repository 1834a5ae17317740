"""The code that `vae-bench explain` prints: for every family it runs as it stands, and does what it says."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from bench.cli import carry_out
from bench.cli.explain import Code
from bench.cli.text.explanation import LOSS, explain
from bench.grid.families import couplings, registry, scales
from bench.grid.families.code import CODES, code, notes
from tests.conftest import TRIANGULAR
from tests.vae_core.likelihoods.coupled import Coupled
from vae_core import likelihoods
from vae_core.data import VIEWS

NAMES = [*registry().names(), *registry().ALIASES]


def modes() -> list[tuple[str, Any]]:
    """Every family and alias by itself, and with every σ."""
    cases: list[tuple[str, Any]] = []
    for name in NAMES:
        family = likelihoods.get(name)
        sigmas = (None, 0.1, *family.sigma_modes) if family.takes_sigma else (None,)
        cases += [(name, sigma) for sigma in sigmas if not (name in registry().ALIASES and sigma == "optimal")]
    return cases


EVERY = pytest.mark.parametrize("name", NAMES)
EVERY_MODE = pytest.mark.parametrize(("name", "sigma"), modes())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written beside the code; the plug-in of the tests lies there."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(TRIANGULAR, tmp_path)


def carried_out(text: str) -> dict[str, Any]:
    """The names that the code leaves, with sizes in which it takes no time."""
    small = re.sub(r"B, D, Z, K = 100, 784, 20, \d+", "B, D, Z, K = 6, 11, 3, 2", text)
    assert small != text
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "somebodys_own"}
    exec(compile(small, "printed", "exec"), names)
    return names


def told(sigma: Any = None, channels: str | None = None) -> dict[str, Any]:
    """What `--sigma` and `--channels` tell, where they are given."""
    return {name: value for name, value in (("sigma", sigma), ("channels", channels)) if value is not None}


def learned(lik: likelihoods.Likelihood) -> dict[str, torch.Tensor]:
    return {f"lik.{name}": tensor for name, tensor in lik.named_state().items()}


def require_trained(names: dict[str, Any], name: str, sigma: Any) -> None:
    """Everything learned has moved from where a new model starts, and is in what was written."""
    model, lik = names["model"], names["model"].lik
    with torch.random.fork_rng():
        start = {key: tensor.clone() for key, tensor in type(model)().state_dict().items()}
    state = model.state_dict()
    assert set(learned(lik)) <= set(state)
    family = likelihoods.get(name)
    used = family.option_defaults().get("sigma") if sigma is None else sigma
    assert bool(learned(lik)) == (used in ("shared", "optimal"))
    for key in learned(lik):
        assert torch.isfinite(state[key]).all(), key
        assert not torch.equal(state[key], start[key]), key


# -- what is printed ---------------------------------------------------------------------------------------------------


@EVERY_MODE
def test_code_fits_a_terminal_and_is_python(name, sigma):
    for kind in CODES:
        text = code(kind, name, told(sigma))
        assert max(map(len, text.splitlines())) <= 80, kind
        if kind != "change":
            compile(text, name, "exec")


@EVERY
def test_the_explanation_shows_the_loss_and_names_the_rest(name):
    text = explain(name, 80)
    shown, _, rest = text.partition(f"{LOSS}\n\n")[2].partition("\nMore to copy:\n\n")
    assert shown == code("loss", name)
    end = " --plugin triangular.py" if name == "triangular" else ""
    named = re.findall(rf"vae-bench explain {name} --code (\w+){end}\n", rest)
    assert named == [kind for kind in CODES if kind != "loss"]
    family = likelihoods.get(name)
    others = {mode for known, mode in modes() if known == name} - {None, 0.1, family.option_defaults().get("sigma")}
    listed = re.findall(r"--sigma (.*)\n", rest)
    assert (set(listed[0].split(", ")) == {*others, "0.1"}) if family.takes_sigma else not listed


@EVERY_MODE
def test_what_is_offered_with_another_sigma_can_be_printed(name, sigma):
    text = explain(name, 80, told(sigma))
    for other in re.findall(r"  --sigma (.*)\n", text):
        for one in other.split(", "):
            code("loss", name, told(float(one) if one == "0.1" else one))
    if sigma is not None:
        assert f"vae-bench explain {name} --sigma {sigma} --code torch" in text


def test_the_options_are_those_that_the_code_is_made_with():
    assert 'likelihoods.make("gaussian", levels=K)\n' in code("loss", "gaussian")
    assert 'likelihoods.make("gaussian", sigma="pixel", levels=K)\n' in code("torch", "gaussian", {"sigma": "pixel"})
    assert 'likelihoods.make("laplace", sigma=0.1, levels=K)\n' in code("lightning", "laplace", {"sigma": 0.1})
    assert 'likelihoods.make("bernoulli")\n' in code("change", "bernoulli")
    assert 'plugins.register("triangular.py")\n' in code("loss", "triangular")


def test_the_verb_prints_code_alone_and_notes_of_a_diff_beside_it(capsys):
    assert carry_out(["explain", "gaussian", "--code", "torch", "--sigma", "pixel"]) == 0
    assert capsys.readouterr() == (code("torch", "gaussian", {"sigma": "pixel"}), "")
    assert carry_out(["explain", "laplace", "--sigma", "0.25"]) == 0
    assert 'likelihoods.make("laplace", sigma=0.25, levels=K)\n' in capsys.readouterr().out
    assert carry_out(["explain", "gaussian", "--code", "change"]) == 0
    out, err = capsys.readouterr()
    assert out == code("change", "gaussian")
    assert err.split() == notes("gaussian", 80).split()


def test_the_verb_offers_all_that_there_is_to_print():
    assert [kind.value for kind in Code] == list(CODES)


def test_a_wrong_sigma_is_refused_in_one_sentence(capsys):
    assert carry_out(["explain", "bernoulli", "--sigma", "shared"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "vae-bench: bernoulli takes no option 'sigma' (it takes none)\n"


@pytest.mark.parametrize(
    ("name", "sigma", "sentence"),
    [
        ("bernoulli", "shared", "bernoulli takes no option 'sigma'"),
        ("gaussian", "pixels", "sigma='pixels' is no scale"),
        ("gaussian", -1.0, "is not a finite number > 0"),
        ("discretised_logistic", "optimal", "closed form of the density's"),
    ],
)
def test_a_sigma_that_cannot_be_is_refused(name, sigma, sentence):
    for kind in CODES:
        with pytest.raises(ValueError, match=sentence):
            code(kind, name, told(sigma))
    with pytest.raises(ValueError, match=sentence):
        explain(name, 80, told(sigma))


# -- the loss ----------------------------------------------------------------------------------------------------------


@EVERY_MODE
def test_the_loss_runs_as_it_is_printed(name, sigma):
    """A step is made, everything has a gradient, the bound is ln p(x|z) − KL, and the score the exact masses'."""
    names = carried_out(code("loss", name, told(sigma)))
    model, k, levels = names["model"], names["k"], names["K"]
    assert torch.isfinite(names["loss"])
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    require_trained(names, name, sigma)

    torch.manual_seed(1)
    raw, kl = model(k)
    mean, log_variance = model.encoder(k / (levels - 1)).chunk(2, dim=-1)
    posterior = Normal(mean, torch.exp(0.5 * log_variance))
    torch.testing.assert_close(kl, kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1))
    torch.manual_seed(1)
    bits = model.bits_per_dim(k)
    torch.testing.assert_close(bits * names["D"] * math.log(2), (kl - model.lik.log_mass(k, raw, levels)).mean())


@EVERY
def test_x_is_what_the_family_sees(name, monkeypatch):
    names = carried_out(code("loss", name))
    model, k, levels = names["model"], names["k"], names["K"]
    given: list[torch.Tensor] = []
    own = type(model.lik).forward

    def watched(lik, x, raw):
        given.append(x)
        return own(lik, x, raw)

    monkeypatch.setattr(type(model.lik), "forward", watched)
    model.elbo(k)
    if name in registry().ALIASES:
        assert given == []
        return
    (x,) = given
    view = likelihoods.get(name).view
    uniform = (x * levels - k).clamp(0, 1)
    expected = k.float() if view == "binary" else VIEWS[view].see(k, levels, uniform)
    torch.testing.assert_close(x, expected.float())
    if VIEWS[view].random and view != "binary":
        model.elbo(k)
        assert not torch.equal(given[1], x), "drawn afresh"


def test_the_loss_of_a_family_that_couples_channels_tells_it_a_shape(monkeypatch):
    monkeypatch.setattr(likelihoods, "_FAMILIES", {**likelihoods._FAMILIES, "coupled": Coupled})
    text = explain("coupled", 80)
    assert re.search("^channels +coupled: each channel of a pixel is scored given the earlier ones", text, re.MULTILINE)
    assert "coupled: each" not in explain("gaussian", 80)
    for kind in ("loss", "torch"):
        names = carried_out(code(kind, "coupled"))
        assert names["model"].lik.shape == (1, 1, 11)
        assert torch.isfinite(names["loss"])


def coupled_modes() -> list[tuple[str, str, Any]]:
    """Every family with every way to couple the channels of a pixel, by itself and with every σ that goes with it."""
    return [
        (name, channels, None if mode == "a number" else mode or None)
        for name in registry().names()
        for channels in couplings(name)
        for mode in scales(name, told(channels=channels))
    ]


def colourful(text: str) -> str:
    """The code with pictures so small that it takes no time."""
    small = text.replace("= 100, 3072, 20, 256", "= 6, 12, 3, 4").replace("(3, 32, 32)", "(3, 2, 2)")
    assert small.count("(3, 2, 2)") == 1
    return small


@pytest.mark.parametrize(("name", "channels", "sigma"), coupled_modes())
def test_code_of_coupled_channels_runs_as_it_is_printed(name, channels, sigma):
    for kind in ("loss", "torch", "lightning", "change"):
        text = code(kind, name, told(sigma, channels))
        assert f'channels="{channels}"' in text
        assert max(map(len, text.splitlines())) <= 80, kind
        if kind == "lightning":  # which is run of every family without
            compile(text, name, "exec")
            continue
        names: dict[str, Any] = {"__name__": "somebodys_own"}
        torch.manual_seed(0)
        exec(compile(colourful(sides(text)[1] if kind == "change" else text), kind, "exec"), names)
        lik = names["model"].lik
        assert lik.couples_channels
        assert torch.isfinite(names["loss"])
        if kind != "change":
            shaped = names["model"].decoder.out_features
            assert shaped == lik.outputs(12)


@pytest.mark.parametrize(("name", "channels", "sigma"), coupled_modes())
def test_what_is_explained_is_that_of_the_channels_that_were_asked_for(name, channels, sigma):
    text = explain(name, 80, told(sigma, channels))
    said = " ".join(text.split())
    assert code("loss", name, told(sigma, channels)) in text
    assert f"last layer, raw outputs and loss here are of channels = '{channels}'" in said
    assert "coupled: each channel of a pixel is scored given the earlier ones" in said
    assert "coefficients" in text.partition("Raw outputs, what")[2].partition(LOSS)[0]
    assert f"--channels {channels} --code torch\n" in text
    assert max(map(len, text.splitlines())) <= 80
    plain = " ".join(explain(name, 80).split())
    assert "loss here are of channels = 'independent'; or --channels coupled" in plain
    assert "last layer, raw outputs" not in explain("laplace", 80)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["laplace", "--channels", "coupled"], "laplace takes no option 'channels'"),
        (["gaussian", "--channels", "joint"], "channels='joint' is unknown (allowed: independent, coupled)"),
        (["gaussian", "--channels", "coupled", "--sigma", "optimal"], "take sigma='shared'"),
    ],
)
def test_channels_that_cannot_be_are_refused_in_one_sentence(asked, sentence, capsys):
    for more in ([], ["--code", "loss"]):
        assert carry_out(["explain", *asked, *more]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert sentence in err


def test_the_loss_trains():
    """A few hundred steps of the printed step on one batch improve its bound."""
    text = code("loss", "gaussian").replace("100, 784, 20, 256", "20, 10, 2, 256")
    setup, _, step = text.partition("loss = -model.elbo")
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(setup + "k = torch.full((B, D), 200)\nfirst = float(model.bits_per_dim(k).detach())\n", names)
    compiled = compile(f"loss = -model.elbo{step}", "step", "exec")
    for _ in range(300):
        exec(compiled, names)
    assert float(names["model"].bits_per_dim(names["k"]).detach()) < names["first"] - 0.5


# -- training loops ----------------------------------------------------------------------------------------------------


def require_alike(names: dict[str, Any]) -> None:
    """What was read again scores as what was trained, and pictures lie in [0, 1]."""
    model, again, valid = names["model"], names["again"], names["valid"]
    assert set(model.state_dict()) == set(again.state_dict())
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], tensor, rtol=0, atol=0)
    scores = []
    for one in (model.eval(), again.eval()):
        torch.manual_seed(1)
        scores.append(one.bits_per_dim(valid))
    assert torch.isfinite(scores[0])
    torch.testing.assert_close(*scores)
    grey = names["grey"]
    assert grey.shape == (6, 11)
    assert bool(((grey >= 0) & (grey <= 1)).all())


@EVERY_MODE
def test_the_loop_in_plain_torch_runs_as_it_is_printed(name, sigma, capsys):
    names = carried_out(code("torch", name, told(sigma)))
    assert torch.isfinite(names["loss"])
    shown = re.findall(r"^epoch (\d): (-?[\d.]+) bits/dim$", capsys.readouterr().out, re.MULTILINE)
    assert [int(epoch) for epoch, _ in shown] == [0, 1, 2]
    require_trained(names, name, sigma)
    require_alike(names)


@pytest.mark.slow
@EVERY_MODE
@pytest.mark.filterwarnings("ignore")  # Lightning's own: processors to be used, loggers to be had
def test_the_loop_in_lightning_runs_as_it_is_printed(name, sigma):
    names = carried_out(code("lightning", name, told(sigma)))
    trainer = names["trainer"]
    assert trainer.global_step == 3 * 9
    assert torch.isfinite(trainer.callback_metrics["loss"])
    assert torch.isfinite(trainer.callback_metrics["bits_per_dim"])
    require_trained(names, name, sigma)
    require_alike(names)
    safe = torch.load("vae.ckpt", weights_only=True)
    assert set(learned(names["model"].lik)) <= set(safe["state_dict"])


# -- from MSE + KL -----------------------------------------------------------------------------------------------------


def sides(diff: str) -> tuple[str, str]:
    """What a diff goes from, and what it goes to."""
    lines = diff.splitlines()
    assert {line[:1] for line in lines} <= {" ", "+", "-", ""}
    before, after = ("\n".join(line[1:] for line in lines if line[:1] != other) + "\n" for other in "+-")
    return before, after


def stepped(names: dict[str, Any]) -> float:
    names["optimiser"].zero_grad()
    names["loss"].backward()
    names["optimiser"].step()
    return float(names["loss"].detach())


@EVERY_MODE
def test_both_sides_of_the_change_run(name, sigma):
    before, after = map(carried_out, sides(code("change", name, told(sigma))))
    for names in (before, after):
        assert math.isfinite(stepped(names))
    require_trained(after, name, sigma)
    picture = after["model"].picture(torch.randn(2, 3))
    assert picture.shape == before["model"].picture(torch.randn(2, 3)).shape == (2, 11)
    assert bool(((picture >= 0) & (picture <= 1)).all())
    grey = before["k"] / (before["K"] - 1)
    torch.testing.assert_close(after["model"].encoder(grey).shape, before["model"].encoder(grey).shape)


def test_the_change_to_the_recipe_that_it_was_changes_no_number():
    """MSE summed + KL is `mse_sum`: from the same start both losses are one, after ten steps too."""
    before, after = map(carried_out, sides(code("change", "mse_sum")))
    for _ in range(10):
        losses = []
        for names in (before, after):
            torch.manual_seed(2)
            names["loss"] = names["model"].loss(names["k"])
            losses.append(stepped(names))
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_change_to_a_gaussian_of_that_sigma_adds_its_constant_alone():
    """With σ = √½ = 0.7071 and no noise in x it would be MSE + KL + D/2 ln 2πσ² an image."""
    before, after = map(carried_out, sides(code("change", "gaussian", {"sigma": math.sqrt(0.5)})))
    after["torch"] = type("NoNoise", (), {"__getattr__": lambda _, name: getattr(torch, name)})()
    after["torch"].rand_like = lambda k, dtype: k / (after["K"] - 1) * after["K"] - k  # x is then the grey value
    losses = []
    for names in (before, after):
        torch.manual_seed(2)
        losses.append(float(names["model"].loss(names["k"]).detach()))
    constant = 6 * 11 * 0.5 * math.log(2 * math.pi * 0.5)
    assert losses[1] - losses[0] == pytest.approx(constant, rel=1e-5)


@EVERY
def test_the_change_is_short_and_has_its_notes(name):
    diff = code("change", name)
    assert sum(line[:1] in "+-" for line in diff.splitlines() if line) <= 20
    assert '-        mse = F.mse_loss(self.decoder(z), grey, reduction="sum")\n' in diff
    about = notes(name, 80)
    assert max(map(len, about.splitlines())) <= 80
    said = " ".join(about.split())
    assert (VIEWS[likelihoods.get(name).view].said in said) == (name not in registry().ALIASES)
    assert ("no likelihood" in said) == likelihoods.get(name).recipe
