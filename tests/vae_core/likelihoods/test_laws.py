"""The laws that a plug-in is held to: no shipped family breaks one, and each wrong likelihood of mutants/ breaks
the one it was made to break."""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import TRIANGULAR
from vae_core import VIEW_NAMES, laws, likelihoods, plugins
from vae_core.data import VIEWS
from vae_core.likelihoods import Card, Density, Likelihood

pytestmark = pytest.mark.usefixtures("same_catalogue_afterwards")

MUTANTS = Path(__file__).parent / "mutants"
BROKEN = {
    "summed": "masses are given for each dimension",
    "shared_out": "masses are given for each dimension",
    "closed_ends": "masses sum to one",
    "top_bin": "masses sum to one",
    "nan_gradient": "values and gradients are finite",
    "naive_difference": "single precision agrees with double",
    "density_off": "masses are integrals of the density",
    "swapped_ends": "masses are at least the dequantised bound",
    "other_sampler": "samples follow the masses",
    "first_scale": "a stack scores as its members",
    "beside": "an image is scored alone",
    "remembers": "scoring changes nothing",
    "held": "what is learned is held in parts",
    "beyond": "samples follow the masses",
}
#: by which remedies, a part of their words
REMEDIES = {
    "closed_ends": "Open the ends: let the mass of level 0 reach down to",
    "summed": "Give the dimensions' own, not their sum",
    "beyond": "sample gives level 5, beyond 0…4. Let sample stay within 0…K−1 = 4",
    "held": "Held.inner is a likelihood (gaussian), whose own state is neither stacked, moved nor kept. Keep what",
    "beside": "Take nothing from other rows",
    "remembers": "scoring changes Remembers.images. Let scoring read and not write",
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def flat(page: str) -> str:
    return " ".join(page.split())


# -- the laws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", likelihoods.names())
def test_every_family_obeys_the_laws(family):
    laws.check(likelihoods.get(family))


@pytest.mark.parametrize("mutant", BROKEN)
def test_a_wrong_likelihood_is_refused_by_the_law_it_breaks(mutant):
    before = likelihoods.names()
    with pytest.raises(laws.LawBroken) as caught:
        plugins.register(MUTANTS / f"{mutant}.py")
    said = str(caught.value)
    assert re.match(rf"{mutant} breaks \d+ of {len(laws.LAWS)} laws:\n- '", said)
    assert f"'{BROKEN[mutant]}'" in flat(said)
    assert REMEDIES.get(mutant, "") in flat(said)
    assert likelihoods.names() == before


def test_every_law_has_its_mutant():
    assert {law.__name__.replace("_", " ") for law in laws.LAWS} == set(BROKEN.values())
    assert {path.stem for path in MUTANTS.glob("*.py")} == set(BROKEN)


def masses_at(family: str, sigma: float, loc: float) -> torch.Tensor:
    lik = likelihoods.make(family, sigma=sigma)
    return laws.masses(lik, torch.tensor([[loc]], dtype=torch.float64), 256).exp()[0]


def test_closed_end_bins_lose_half_the_mass_of_a_black_pixel():
    plugins.register(MUTANTS / "closed_ends.py", check=False)
    assert masses_at("closed_ends", 0.012, 0.5 / 256).sum() == pytest.approx(0.54, abs=0.005)
    assert masses_at("logistic", 0.012, 0.5 / 256).sum() == pytest.approx(1, abs=1e-9)


def test_a_top_bin_that_is_missed_loses_half_the_mass_of_a_white_pixel():
    plugins.register(MUTANTS / "top_bin.py", check=False)
    assert masses_at("top_bin", 0.012, 255.5 / 256).sum() == pytest.approx(0.54, abs=0.005)
    assert masses_at("top_bin", 0.012, 0.5 / 256).sum() == pytest.approx(1, abs=1e-9)


SHORT_TABLE = """import torch
from vae_core.likelihoods.binomial import Binomial
class Short(Binomial):
    def _log_masses(self, k, raw):
        table = torch.zeros(self.levels - 1)
        return super()._log_masses(k, raw) + table[k.long()]
    def sample(self, raw, generator=None):
        return super().sample(raw, generator) + 1
"""


def test_what_a_likelihood_raises_is_said_once_with_its_own_line_and_the_laws_that_met_it(tmp_path):
    with pytest.raises(laws.LawBroken) as caught:
        plugins.register(written(tmp_path, "short.py", SHORT_TABLE))
    said = flat(str(caught.value))
    assert said.startswith("short breaks 9 of 11 laws: - 'masses are given for each dimension', 'masses sum to one', ")
    assert said.count("Line 6 of short.py: `return super()._log_masses(k, raw) + table[k.long()]`.") == 1
    assert "IndexError: index 1 is out of bounds" in said
    assert "sample gives level 5, beyond 0…4" in said, "a law of its own is an item of its own"
    assert said.count(" - '") == 2


def test_an_error_of_every_law_is_said_as_such():
    class Stumbling(likelihoods.get("gaussian")):  # type: ignore[misc]
        def outputs(self, dims):
            raise ZeroDivisionError("by\n zero")

    with pytest.raises(laws.LawBroken) as caught:
        laws.check(Stumbling)
    item = (
        r"- every law \(sigma=0.02 and 10 more of 11 settings\): ZeroDivisionError: by zero. Line \d+ "
        r"of test_laws.py: `"
    )
    assert re.search(item, flat(str(caught.value)))


EXPECTED = {
    "closed_ends": [
        "masses sum to one",
        "samples follow the masses",
        "masses are integrals of the density",  # where ends = renormalised, whose density is the truncated one
        "masses are at least the dequantised bound",
    ],
    "beside": ["an image is scored alone"],
    "shared_out": ["masses are given for each dimension", "masses sum to one"],
}


@pytest.mark.parametrize("mutant", EXPECTED)
def test_all_that_is_broken_is_listed_in_80_columns(mutant):
    with pytest.raises(laws.LawBroken) as caught:
        plugins.register(MUTANTS / f"{mutant}.py")
    head, *lines = str(caught.value).splitlines()
    items = [line for line in lines if line.startswith("- ")]
    count = int(re.search(r"breaks (\d+) of", head)[1])  # type: ignore[index]
    assert len(items) == len(EXPECTED[mutant])
    assert count == len({law for item in EXPECTED[mutant] for law in item.split(", ")})
    for item in EXPECTED[mutant]:
        assert f"- '{item}' (" in flat(str(caught.value))
    assert max(map(len, lines)) < 80
    assert len("vae-bench: " + head) < 80


def test_settings_that_break_a_law_are_counted():
    with pytest.raises(laws.LawBroken) as caught:
        plugins.register(MUTANTS / "closed_ends.py")
    assert "'masses sum to one' (sigma=0.02 and 8 more of 9 settings): over 2 levels" in flat(str(caught.value))


@pytest.mark.parametrize(
    ("attributes", "missing"),
    [
        ({}, "has no card"),
        ({"card": Card("t", "s", "f", "s", "p", " ", "u")}, "has a card without source"),
        ({"card": Card("t", "s", "", "s", "p", " ", "u")}, "has a card without formula, source"),
        ({"card": 1, "view": "pixels"}, r"has no card: .*; it has view = 'pixels', allowed: binary"),
        ({"view": "pixels"}, "has view = 'pixels', allowed: binary, levels, unit, real, grey"),
        ({"measure": "pdf"}, "has measure = 'pdf', allowed: density, pmf, unnormalised"),
    ],
)
def test_a_family_says_what_it_is(attributes, missing):
    card = {"card": Card(*"abcdefg")} if attributes and "card" not in attributes else {}
    family = type("Silent", (Density,), {"view": "unit", **card, **attributes})
    with pytest.raises(laws.LawBroken, match=missing):
        laws.check(family)


def test_the_views_that_a_plug_in_may_name_are_those_there_are():
    assert tuple(VIEWS) == VIEW_NAMES


# -- taking a file in --------------------------------------------------------------------------------------------------


def test_a_registered_family_is_one_of_the_catalogue(tmp_path):
    text = TRIANGULAR.read_text()
    path = written(tmp_path, "tent.py", text)
    assert plugins.register(path) == "tent"
    assert "tent" in likelihoods.names()
    assert likelihoods.make("tent").name == "tent"
    plugin = likelihoods.plugins()["tent"]
    assert plugin.file == path
    assert plugin.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert [file.name for file in tmp_path.iterdir()] == ["tent.py"], "nothing is written beside it"


def test_the_same_file_again_is_the_same_family(tmp_path):
    family = likelihoods.get("triangular")
    assert plugins.register(TRIANGULAR, check=False) == "triangular"
    assert likelihoods.get("triangular") is family
    other = written(tmp_path, "triangular.py", TRIANGULAR.read_text() + "\n# changed\n")
    with pytest.raises(ValueError, match="there is a family 'triangular' already; rename the file"):
        plugins.register(other)


ONE = "from vae_core.likelihoods.gaussian import Gaussian\nclass One(Gaussian):\n    pass\n"
WRONG = {
    "none.py": ("x = 1\n", r"none\.py defines no concrete likelihood \(make it a class on .*\): one file, one family"),
    "imported.py": ("from vae_core.likelihoods.gaussian import Gaussian\n", "defines no concrete likelihood"),
    "half.py": (
        "from vae_core.likelihoods import Density\nclass Half(Density):\n    view = 'unit'\n",
        r"no concrete likelihood \(Half lacks log_masses, log_prob, mean, outputs, sample\)",
    ),
    "summing.py": (
        "from vae_core.likelihoods import Density\nclass Summing(Density):\n    def log_mass(self, k, raw, levels):\n"
        "        return raw.sum(-1)\n",
        r"summing\.py defines Summing\.log_mass, which is final: define log_masses\(k, raw, levels\) in its place, ",
    ),
    "overriding.py": (
        ONE.replace("pass", "log_mass = None"),
        r"defines One\.log_mass, which is final: define log_masses",
    ),
    "two.py": (ONE + "class Two(Gaussian):\n    pass\n", r"two\.py defines 2 concrete likelihoods \(One, Two\)"),
    "typo.py": ("def f(:\n", r"typo\.py cannot be imported: SyntaxError: .*line 1"),
    "raises.py": ("x = 1\nx / 0\n", r"cannot be imported: ZeroDivisionError: division by zero \(line 2: x / 0\)"),
    "exits.py": ("import sys\nsys.exit('enough')\n", "cannot be imported: SystemExit: enough"),
    "cardless.py": (
        "from vae_core.likelihoods import Likelihood\nfrom vae_core.likelihoods.gaussian import Gaussian\n"
        "class Cardless(Gaussian):\n    card = 'a gaussian'\n",
        "cardless.py has no card",
    ),
    "gaussian.py": (ONE, "there is a family 'gaussian' already; rename the file"),
    "discretised_logistic.py": (ONE, "there is a family 'discretised_logistic' already"),
    "my-family.py": (ONE, "must be named as a family"),
    "_hidden.py": (ONE, "must be named as a family"),
    "family.txt": (ONE, "no Python file: give a .py"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_no_plug_in_is_refused_in_one_sentence(tmp_path, name):
    text, sentence = WRONG[name]
    path = written(tmp_path, name, text)
    before = likelihoods.names()
    for check in (True, False):
        with pytest.raises(ValueError, match=sentence) as caught:
            plugins.register(path, check=check)
        assert "\n" not in str(caught.value)
    assert likelihoods.names() == before
    assert f"{plugins.PREFIX}.{path.stem}" not in sys.modules
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_file_that_is_not_there():
    with pytest.raises(ValueError, match=r"the plug-in nowhere\.py cannot be read: No such file"):
        plugins.register("nowhere.py")


# -- installed packages ------------------------------------------------------------------------------------------------


def test_an_installed_package_brings_its_family_when_it_is_named(install):
    install("tent", TRIANGULAR.read_text())
    assert "tent" in likelihoods.names()
    (offer,) = likelihoods.offers()["tent"]
    assert (offer.module, offer.package, offer.version) == ("my_package.tent", "my-package", "1.0")
    assert "tent" not in likelihoods.known()
    assert "tent" not in likelihoods.plugins()
    assert "my_package.tent" not in sys.modules
    assert likelihoods.make("tent").name == "tent"
    assert likelihoods.plugins()["tent"].installed
    assert "tent" in likelihoods.known()
    laws.check(likelihoods.get("tent"))


def test_a_pickle_finds_what_is_installed(install):
    install("tent", TRIANGULAR.read_text())
    held = pickle.dumps(likelihoods.make("tent"))
    del likelihoods._FAMILIES["tent"], likelihoods._PLUGINS["tent"]
    assert pickle.loads(held).name == "tent"  # noqa: S301  our own


def test_a_broken_installed_package_is_named_and_spoils_no_other_family(install):
    install("tent", "x = 1 / 0\n")
    assert isinstance(likelihoods.make("gaussian"), Likelihood)
    assert "tent" in likelihoods.names()
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"installed plug-in my_package\.tent of my-package cannot be imported: Zero.*uninstall it"
        ):
            likelihoods.get("tent")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("class Odd(BaseException): pass\nraise Odd('x')", "Odd: x"),
        (
            "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd()",
            r"Odd: <exception str\(\) failed>",
        ),
        ("raise ValueError('long ' * 10**6)", "ValueError: long long .*…"),
        ("raise ValueError('a\\x1b[2J\\nb')", r"ValueError: a\\x1b\[2J b"),
    ],
)
def test_whatever_an_installed_package_raises_is_one_line(install, raised, said):
    install("tent", f"{raised}\n")
    with pytest.raises(ValueError, match=f"cannot be imported: {said}") as caught:
        likelihoods.get("tent")
    assert len(str(caught.value)) < 280
    assert str(caught.value).isprintable()


def test_ctrl_c_is_not_taken_for_a_fault_of_the_plug_in(install):
    install("tent", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        likelihoods.get("tent")


def test_an_installed_package_cannot_take_a_name(install):
    install("laplace", TRIANGULAR.read_text())
    assert likelihoods.get("laplace").card.title == "Laplace"
    assert likelihoods.names().count("laplace") == 1
    assert "my_package.laplace" not in sys.modules
