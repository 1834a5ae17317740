"""A likelihood is a torch.nn.Module of whatever model it is put into: trained, saved, moved, copied and told of there.

It is one file: all that a Module is, of one small model.
"""

from __future__ import annotations

import copy
import gc
import io
import math
import os
import pickle
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_core.likelihoods.cases import Case, cases, raw_for
from vae_core import laws, likelihoods, plugins
from vae_core.evaluate import log_likelihood
from vae_core.likelihoods import Likelihood, make, stack
from vae_core.likelihoods._base import Part
from vae_core.likelihoods._scale import make_scale
from vae_core.likelihoods.gaussian import Gaussian

ROOT = Path(__file__).parents[3]
DIMS, ROWS = 5, 8
ALL = cases()
EVERY = pytest.mark.parametrize("case", ALL, ids=str)
#: what has tensors of its own
STATEFUL = [case for case in ALL if case.make(2).state()]
WITH_STATE = pytest.mark.parametrize("case", STATEFUL, ids=str)
LEARNED = [case for case in STATEFUL if case.make(2).learned()]
WITH_PARAMETERS = pytest.mark.parametrize("case", LEARNED, ids=str)


class Vae(torch.nn.Module):
    """Somebody's own."""

    def __init__(self, lik: Likelihood) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(DIMS, 4)
        self.decoder = torch.nn.Linear(2, lik.outputs(DIMS))
        self.lik = lik

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        mean, log_std = self.encoder(x).chunk(2, -1)
        z = mean + log_std.exp() * torch.randn_like(mean)
        score: Tensor = self.lik(seen, self.decoder(z))
        return score - (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(-1)


def data_for(lik: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Integers k [ROWS, DIMS], the same as `log_prob` takes them, and raw outputs."""
    k = torch.randint(levels_of(lik), (ROWS, DIMS), generator=torch.Generator().manual_seed(1))
    return k, laws.setting.seen(lik, k, levels_of(lik)), raw_for(lik, DIMS, "random", rows=ROWS)


def levels_of(lik: Likelihood) -> int:
    return 2 if lik.view == "binary" else 17


def fresh(case: Case) -> Any:
    """As somebody makes it, with nothing set."""
    options = dict(case.options) | ({"levels": 17} if likelihoods.get(case.family).takes_levels else {})
    return make(case.family, **options)


def moved(case: Case) -> Likelihood:
    """With learned state unlike where it starts, each number another."""
    lik = case.make()
    with torch.no_grad():
        for index, tensor in enumerate(lik.state()):
            tensor.fill_(-0.13 + 0.3 * index)
    return lik


def scores(lik: Likelihood) -> Tensor:
    k, _, raw = data_for(lik)
    with torch.no_grad():
        return lik.log_mass(k, raw, levels_of(lik))


def memory_of(lik: torch.nn.Module) -> set[int]:
    """Where tensors lie that `lik` holds anywhere."""
    held: set[int] = set()
    for module in lik.modules():
        plain = [value for value in vars(module).values() if isinstance(value, torch.Tensor)]
        held |= {t.data_ptr() for t in (*plain, *module.parameters(False), *module.buffers(False))}
    return held


def state_of(lik: Likelihood) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in lik.named_state().items()}


def assert_same_state(one: Likelihood, other: Likelihood) -> None:
    assert list(one.named_state()) == list(other.named_state())
    for name, tensor in one.named_state().items():
        torch.testing.assert_close(other.named_state()[name], tensor, rtol=0, atol=0, equal_nan=True)


def again(lik: Any) -> Any:
    """Pickled and read again."""
    return read(pickle.dumps(lik))


def read(text: bytes) -> Any:
    return pickle.loads(text)  # noqa: S301  what this test has written


# -- in somebody's own model -------------------------------------------------------------------------------------------


@EVERY
def test_a_likelihood_is_a_module_and_of_its_family(case: Case) -> None:
    lik = fresh(case)
    assert isinstance(lik, torch.nn.Module)
    assert isinstance(lik, likelihoods.get(case.family))
    assert isinstance(type(lik)(**dict(lik.made_of[0])), torch.nn.Module)  # called directly, too


@WITH_STATE
def test_what_is_learned_is_of_the_model_it_is_put_into(case: Case) -> None:
    model = Vae(fresh(case))
    names = {f"lik.{name}" for name in model.lik.named_state()}
    assert names == {name for name in model.state_dict() if name.startswith("lik.")}
    parameters = {name for name, _ in model.named_parameters() if name.startswith("lik.")}
    buffers = {name for name, _ in model.named_buffers()}
    assert parameters | buffers == names
    assert not parameters & buffers
    assert {id(p) for p in model.lik.learned()} == {id(p) for p in model.lik.parameters()}
    for name, tensor in model.lik.named_state().items():
        assert tensor.data_ptr() == model.state_dict()[f"lik.{name}"].data_ptr()


def test_the_learned_scales_are_parameters_and_the_fitted_ones_buffers() -> None:
    assert [name for name, _ in make("student_t", df="shared").named_parameters()] == ["scale.theta", "df.theta"]
    optimal = make("gaussian", sigma="optimal")
    assert not list(optimal.parameters())
    assert [name for name, _ in optimal.named_buffers()] == ["scale.log", "scale.mean", "scale.weight"]
    assert {name for name, _ in make("bce_sum", score="laplace_fitted").named_buffers()} == {
        "fitted.log",
        "fitted.mean",
        "fitted.weight",
    }


@WITH_STATE
def test_an_optimiser_over_the_models_parameters_moves_what_is_learned(case: Case) -> None:
    torch.manual_seed(0)
    model = Vae(fresh(case))
    _, seen, _ = data_for(model.lik)
    before = state_of(model.lik)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        optimiser.zero_grad()
        (-model(torch.rand(ROWS, DIMS), seen).mean()).backward()
        optimiser.step()
    learned = dict(model.lik.named_parameters())
    for name, tensor in model.lik.named_state().items():
        if name in learned or not model.lik.recipe:  # a recipe's σ is fitted after its training
            assert tensor != before[name], name
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_shared_sigma_is_trained_to_the_residuals_own() -> None:
    """Its maximum likelihood is their root mean square."""
    generator = torch.Generator().manual_seed(0)
    x = 0.03 * torch.randn(4000, 3, generator=generator)
    lik = make("gaussian", sigma="shared")
    optimiser = torch.optim.Adam(lik.parameters(), lr=1e-2)
    for _ in range(300):
        optimiser.zero_grad()
        (-lik(x, torch.zeros_like(x)).mean()).backward()
        optimiser.step()
    sigma = lik.sigma_in_use(torch.zeros_like(x))
    assert sigma is not None
    assert float(sigma.detach()) == pytest.approx(float(x.square().mean().sqrt()), rel=1e-3)


def test_training_mode_decides_what_a_call_is() -> None:
    lik = make("gaussian", sigma="optimal")
    _, x, raw = data_for(lik)
    in_training = torch.nn.Sequential(lik)[0](x, raw)
    optimum = (x - raw).square().mean()
    expected = -0.5 * ((x - raw).square() / optimum + torch.log(2 * math.pi * optimum)).sum(-1)
    torch.testing.assert_close(in_training, expected)
    lik.eval()
    lik.set_sigma(0.7)
    torch.testing.assert_close(lik(x, raw), lik.log_prob(x, raw), rtol=0, atol=0)
    assert not torch.allclose(lik(x, raw), expected)


@WITH_STATE
def test_a_state_dict_makes_a_fresh_model_score_alike(case: Case) -> None:
    model, other = Vae(moved(case)), Vae(fresh(case))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_same_state(model.lik, other.lik)
    torch.testing.assert_close(scores(other.lik), scores(model.lik), rtol=0, atol=0)
    assert not memory_of(model) & memory_of(other)


@WITH_STATE
def test_a_state_dict_of_another_kind_of_scale_is_refused(case: Case) -> None:
    other = make("gaussian", sigma=0.1)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        other.load_state_dict(fresh(case).state_dict())


@WITH_PARAMETERS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_parameters_follow_the_models_type(case: Case, dtype: torch.dtype) -> None:
    model = Vae(moved(case)).to(dtype)
    assert all(parameter.dtype == dtype for parameter in model.parameters())
    theta = [parameter.detach().float() for parameter in moved(case).learned()]
    expected = [start.to(dtype).float() for start in theta]
    assert [p.item() for p in model.lik.learned()] == [e.item() for e in expected]
    assert scores(model.lik).isfinite().all()


@WITH_STATE
def test_what_is_fitted_stays_float32_or_better(case: Case) -> None:
    lik = moved(case)
    before = state_of(lik)
    for half in (lik.half(), lik.bfloat16()):
        for name, buffer in half.named_buffers():
            assert buffer.dtype == torch.float32
            assert buffer == before[name]
    assert all(buffer.dtype == torch.float64 for buffer in lik.double().buffers())


def test_an_optimal_sigma_is_not_lost_to_the_rounding_of_a_running_mean() -> None:
    lik, half = make("gaussian", sigma="optimal"), make("gaussian", sigma="optimal").bfloat16()
    generator = torch.Generator().manual_seed(0)
    raw = torch.zeros(50, 20)
    for _ in range(300):
        x = 0.1 * torch.randn(50, 20, generator=generator)
        lik.train_log_prob(x, raw)
        half.train_log_prob(x, raw)
    assert_same_state(lik, half)


@EVERY
def test_a_model_goes_to_where_there_are_no_numbers_and_back(case: Case) -> None:
    model = Vae(moved(case)).to("meta")
    assert all(tensor.is_meta for tensor in model.lik.state())
    with torch.no_grad():
        k, seen, raw = (tensor.to("meta") for tensor in data_for(model.lik))
        assert model.lik.log_prob(seen, raw).shape == (ROWS,)
        assert model.lik.log_mass(k, raw, levels_of(model.lik)).is_meta
    back = model.to_empty(device="cpu")
    back.load_state_dict(Vae(moved(case)).state_dict())
    torch.testing.assert_close(scores(back.lik), scores(moved(case)), rtol=0, atol=0)


@WITH_PARAMETERS
def test_what_is_held_fixed_stays_so(case: Case) -> None:
    lik = moved(case).requires_grad_(False)
    for other in (
        lik.double(),
        copy.copy(lik),
        copy.deepcopy(lik),
        again(lik),
        stack([lik, moved(case).requires_grad_(False)]),
        stack([lik, lik]).select(0),
    ):
        assert not any(parameter.requires_grad for parameter in other.parameters())
    _, x, raw = data_for(lik)
    assert not lik.log_prob(x, raw).requires_grad


@WITH_PARAMETERS
def test_initialisers_reach_what_is_learned(case: Case) -> None:
    def halve(module: torch.nn.Module) -> None:
        if isinstance(module, Part):
            for parameter in module.parameters(recurse=False):
                parameter.data.mul_(0.5)

    model = Vae(moved(case))
    model.apply(halve)
    for name, tensor in moved(case).named_state().items():
        assert model.lik.named_state()[name] == 0.5 * tensor


# -- copies ------------------------------------------------------------------------------------------------------------


@WITH_STATE
def test_a_deep_copy_shares_no_memory_and_a_shallow_one_all(case: Case) -> None:
    lik = moved(case)
    scores(lik)  # whatever is kept from one call to the next
    deep, shallow = copy.deepcopy(lik), copy.copy(lik)
    assert_same_state(lik, deep)
    assert not memory_of(lik) & memory_of(deep)
    assert memory_of(lik) == memory_of(shallow)
    assert_trained_apart(deep, lik)
    setattr(shallow, "scale", make_scale(0.1))  # noqa: B010  a part is put in
    shallow.register_forward_hook(lambda *_: None)
    shallow.add = torch.nn.Linear(1, 1)
    assert_same_state(lik, moved(case))
    assert not lik._forward_hooks
    assert "add" not in dict(lik.named_children())


def assert_trained_apart(one: Likelihood, other: Likelihood) -> None:
    before = state_of(other)
    with torch.no_grad():
        for tensor in one.state():
            tensor.add_(0.5)
    for name, tensor in other.named_state().items():
        assert torch.equal(tensor, before[name])


@WITH_STATE
def test_stacks_share_nothing_with_their_members(case: Case) -> None:
    members = [moved(case), case.make(), case.make()]
    bundle = stack(members)
    assert [name for name, _ in bundle.named_parameters()] == [name for name, _ in members[0].named_parameters()]
    assert all(tensor.shape == (3,) for tensor in bundle.state())
    one = bundle.select(0)
    assert_same_state(members[0], one)
    for other in (*members, one):
        assert not memory_of(bundle) & memory_of(other)
    assert_trained_apart(bundle, one)
    assert_trained_apart(one, bundle)
    assert_same_state(members[0], moved(case))


def test_what_was_dropped_is_kept_alive_by_nothing() -> None:
    lik = make("student_t", df="shared")
    scores(lik)
    stack([lik, copy.copy(lik)]).select(1)
    held = [weakref.ref(each) for each in (lik, *lik.modules(), *lik.parameters())]
    del lik
    gc.collect()
    assert not [each for each in held if each() is not None]


def test_two_modules_may_share_one_sigma() -> None:
    one: Any = make("gaussian")
    two: Any = make("laplace")
    two.scale.theta = one.scale.theta
    pair: Any = torch.nn.ModuleList([one, two])
    for other in (pair, copy.deepcopy(pair), again(pair)):
        assert len(list(other.parameters())) == 1
        other[0].set_sigma(0.3)
        torch.testing.assert_close(other[1].sigma_in_use(torch.zeros(1)), torch.tensor(0.3))


def test_an_optimiser_in_the_same_pickle_goes_on_training() -> None:
    model = Vae(make("gaussian"))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimiser = again((model, optimiser))
    _, seen, _ = data_for(model.lik)
    before = state_of(model.lik)
    (-model(torch.rand(ROWS, DIMS), seen).mean()).backward()
    optimiser.step()
    assert model.lik.scale.theta != before["scale.theta"]


# -- pickle ------------------------------------------------------------------------------------------------------------


@EVERY
def test_a_pickle_is_the_name_the_options_and_the_state(case: Case) -> None:
    for lik in (moved(case), fresh(case).eval(), stack([moved(case), case.make()])):
        lik.validate_args = not lik.validate_args
        other = again(lik)
        assert type(other) is type(lik)
        assert other.stack_key() == lik.stack_key()
        for name in ("made_of", "models", "validate_args", "training", "shape", "pictures", "open_ends"):
            assert getattr(other, name) == getattr(lik, name)
        assert_same_state(lik, other)
        assert not memory_of(lik) & memory_of(other)


@EVERY
def test_a_pickle_of_a_likelihood_scores_alike(case: Case) -> None:
    lik = moved(case)
    closed = lik.renormalised()
    rescored = [lik.scored(scoring) for scoring in lik.scorings if lik.recipe]
    for each in (lik, *([closed] if closed is not None else []), *rescored):
        if each.needs_fit:
            each.set_sigma(0.2)
        torch.testing.assert_close(scores(again(each)), scores(each), rtol=0, atol=0)


@EVERY
def test_a_pickle_holds_no_code_of_this_version(case: Case) -> None:
    """Of vae_core it names one function; what a family, a part or an option is called inside may change."""
    lik = moved(case)
    scores(lik)
    told = [lik, stack([lik, case.make()])]
    for each in (*told, *filter(None, (one.renormalised() for one in told))):
        assert globals_in(pickle.dumps(each)) <= {
            "vae_core.likelihoods._module _restored",
            "torch._utils _rebuild_tensor_v2",
            "torch._utils _rebuild_parameter",
            "torch.storage _load_from_bytes",
            "collections OrderedDict",
        }


def globals_in(text: bytes) -> set[str]:
    """What a pickle names to be imported, "module name"."""
    found = set()

    class Watched(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found.add(f"{module} {name}")
            return super().find_class(module, name)

    Watched(io.BytesIO(text)).load()
    return found


def test_a_pictures_shape_is_in_the_pickle() -> None:
    lik = again(make("gaussian", sigma="pixel", shape=(1, 2, 3)))
    assert lik.log_prob(torch.zeros(4, 1, 2, 3), torch.zeros(4, 2, 2, 3)).shape == (4,)


def test_what_was_told_beside_the_options_is_in_the_pickle() -> None:
    """A floor as in a file of before, and the order of channels in a data set's."""
    lik: Any = make("gaussian", sigma="pixel")
    lik.scale.floor, lik.scale.sharpness, lik.shape, lik.channels_last = -2.0, 1.0, (3, 1, 2), True
    for other in (again(lik), copy.deepcopy(lik)):
        assert (other.scale.floor, other.scale.sharpness) == (-2.0, 1.0)
        assert (other.shape, other.pictures, other.channels_last) == ((3, 1, 2), False, True)


def test_a_pickle_of_another_kind_is_refused() -> None:
    lik: Any = make("gaussian")
    function, told, state = lik.__reduce__()
    with pytest.raises(ValueError, match=r"holds \['scale.other'\], but \['scale.theta'\] are needed"):
        function(*told).__setstate__({"scale.other": state["scale.theta"]})


PLUGIN = """
import torch
from vae_core.likelihoods import Card, Density


class Shifted(Density):
    view = "unit"
    card = Card(*["told"] * 7)

    def __init__(self, by: float = 0.0) -> None:
        self.by = by

    def outputs(self, dims):
        return dims

    def log_prob(self, x, raw):
        return -(x - raw - self.by).square().sum(-1)

    def log_masses(self, k, raw, levels):
        return torch.log_softmax(torch.stack([raw * level for level in range(levels)]), 0)[0] + 0 * k

    def mean(self, raw):
        return raw

    def sample(self, raw, generator=None):
        return raw
"""


def test_a_plug_in_is_pickled_by_its_name(tmp_path: Path, same_catalogue_afterwards: None) -> None:
    file = tmp_path / "shifted.py"
    file.write_text(PLUGIN)
    plugins.register(file, check=False)
    text = pickle.dumps(make("shifted", by=0.5))
    assert "vae_core.likelihoods._module _restored" in globals_in(text)
    assert "Shifted" not in str(text)
    assert read(text).by == 0.5
    del likelihoods._FAMILIES["shifted"]
    with pytest.raises(ValueError, match=r"no family 'shifted': register the plug-in"):
        read(text)


# -- classes of one's own ----------------------------------------------------------------------------------------------


class Own(likelihoods.Density):
    """A family that is registered nowhere, and whose `__init__` calls no other's."""

    view = "unit"
    card = Gaussian.card

    def __init__(self, power: float = 2.0) -> None:
        self.power = power

    def outputs(self, dims: int) -> int:
        return dims

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        return -(x - raw).abs().pow(self.power).sum(-1)

    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        return -(k / levels - raw).abs().pow(self.power)

    def mean(self, raw: Tensor) -> Tensor:
        return raw

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return raw


class OwnModule(Own, torch.nn.Module):
    """The same, that is a Module by itself too, and does not start it."""

    def __init__(self, power: float = 2.0) -> None:
        self.power = power


class OwnScaled(Own, torch.nn.Module):
    """One that starts it, and learns something in a part and beside."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.power = 2.0
        self.scale = make_scale("shared")
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        loc, log_scale = self.scale.split(raw)
        return self.weight * super().log_prob(x, loc) * torch.exp(-log_scale)


class OwnPlain(Own):
    """One that is no Module by itself, and has parameters that are in no part."""

    def __init__(self) -> None:
        self.power = 2.0
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.net = torch.nn.Linear(1, 1)
        self.nodes = torch.linspace(0, 1, 3)


@pytest.mark.parametrize("family", [Own, OwnModule, OwnScaled, OwnPlain])
def test_a_family_of_ones_own_is_a_module(family: Any) -> None:
    lik = family()
    model = Vae(lik)
    assert {f"lik.{name}" for name in lik.state_dict()} == {n for n in model.state_dict() if n.startswith("lik.")}
    with torch.no_grad():
        for index, parameter in enumerate(lik.parameters()):
            parameter.fill_(0.25 + index)
    x, raw = torch.rand(2, DIMS), torch.rand(2, DIMS)
    for other in (again(lik), copy.deepcopy(lik), copy.copy(lik)):
        assert type(other) is type(lik)
        assert other.power == 2.0
        for name, tensor in lik.state_dict().items():
            assert torch.equal(other.state_dict()[name], tensor)
        torch.testing.assert_close(other.log_prob(x, raw), lik.log_prob(x, raw), rtol=0, atol=0)
    with pytest.raises(ValueError, match="NaN"):
        lik.log_prob(x, raw * math.nan)


def test_parts_of_a_module_family_have_their_tensors() -> None:
    assert sorted(OwnScaled().state_dict()) == ["scale.theta", "weight"]
    assert list(OwnScaled().named_state()) == ["scale.theta"]


@pytest.mark.parametrize("family", [OwnScaled, OwnPlain])
def test_parameters_in_no_part_are_not_shared_by_stacks(family: Any) -> None:
    with pytest.raises(ValueError, match=r"test_module keeps .*weight outside of a Part, so that models cannot"):
        stack([family(), family()])


def test_what_a_plug_in_keeps_as_a_plain_tensor_decides_whether_it_stacks() -> None:
    class Fixed(Own):
        def __init__(self, last: float = 1.0) -> None:
            self.power, self.nodes = 2.0, torch.linspace(0, last, 3)

    assert stack([Fixed(), Fixed()]).models == 2
    with pytest.raises(ValueError, match="different kinds"):
        stack([Fixed(), Fixed(2.0)])


class Wider(type(make("gaussian"))):  # type: ignore[misc]
    """A subclass of what `make` gives."""

    def __init__(self, sigma: float | str = "shared", factor: float = 2.0) -> None:
        super().__init__(sigma)
        self.factor = factor

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        score: Tensor = super().log_prob(x, raw) * self.factor
        return score


def test_a_subclass_of_a_module_is_one_too() -> None:
    lik = Wider(factor=3.0)
    lik.set_sigma(0.3)
    plain = Gaussian("shared")
    plain.set_sigma(0.3)
    _, x, raw = data_for(lik)
    for other in (lik, again(lik), copy.deepcopy(lik), stack([lik]).select(0), Vae(lik).lik, lik.renormalised()):
        assert type(other) is Wider
        assert other.factor == 3.0
        assert list(other.state_dict()) == ["scale.theta"]
    torch.testing.assert_close(again(lik).log_prob(x, raw), 3 * plain.log_prob(x, raw))
    with pytest.raises(ValueError, match="NaN"):
        lik.log_prob(x, raw * math.nan)


# -- what was never trained says so ------------------------------------------------------------------------------------

UNTOUCHED = "neither trained, fitted nor set"


def said(lik: Likelihood) -> list[Any]:
    """What a score without gradients warns of, that of one of a bundle too."""
    k, x, raw = data_for(lik)
    lik.validate_args = True  # which that of a stack has not
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        lik.log_mass(k, raw, levels_of(lik))
        lik.log_prob(x, raw)
    return [warning for warning in caught if UNTOUCHED in str(warning.message)]


@WITH_PARAMETERS
def test_a_sigma_that_was_never_trained_says_so_when_it_scores(case: Case) -> None:
    lik = fresh(case)
    warned = said(lik)
    assert len(warned) == 2  # log_mass and log_prob
    assert all(warning.filename == __file__ for warning in warned)
    assert "='shared'" in str(warned[0].message)
    assert len(said(copy.deepcopy(lik))) == len(said(again(lik))) == len(said(stack([lik, lik]).select(1))) == 2


@WITH_PARAMETERS
def test_a_sigma_that_was_trained_set_or_loaded_says_nothing(case: Case) -> None:
    trained = fresh(case)
    _, x, raw = data_for(trained)
    optimiser = torch.optim.SGD(trained.parameters(), lr=1e-4)
    trained.log_prob(x, raw).sum().backward()
    optimiser.step()
    loaded = fresh(case)
    loaded.load_state_dict(moved(case).state_dict())
    for lik in (trained, loaded, again(trained), copy.deepcopy(trained), stack([trained, loaded]).select(0)):
        assert not said(lik)


def test_training_itself_warns_of_nothing() -> None:
    lik = make("gaussian")
    _, x, raw = data_for(lik)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lik.log_prob(x, raw)
        lik.train_log_prob(x, raw)
        with torch.no_grad():
            lik.train_log_prob(x, raw)
            torch.compile(lik.log_prob, backend="eager", fullgraph=True)(x, raw)


def test_a_sigma_set_to_where_it_started_is_set() -> None:
    lik: Any = make("gaussian")
    lik.set_sigma(1.0)
    assert lik.scale.theta == 0  # where it starts
    for other in (lik, again(lik), copy.deepcopy(lik), stack([lik, lik]).select(1)):
        assert not said(other)


def test_initialise_gives_no_more_than_a_start() -> None:
    lik: Any = make("gaussian")
    lik.set_sigma(0.3)
    lik.initialise(0.2)
    for other in (lik, again(lik), copy.deepcopy(lik), stack([lik, lik]).select(1)):
        assert len(said(other)) == 2
        assert "σ = 0.2" in other.untouched()


def test_a_stack_says_what_any_of_its_models_has_to_say() -> None:
    trained, waiting = make("gaussian"), make("gaussian")
    trained.set_sigma(0.3)
    waiting.initialise(0.2)
    assert stack([trained, waiting]).untouched() == stack([waiting, trained]).untouched() != ""
    assert stack([trained, trained]).untouched() == ""
    df: Any = [make("student_t", sigma=0.1, df="shared") for _ in range(2)]
    df[0].set_df(3.0)
    assert "df='shared'" in stack(df).untouched()
    assert stack(df[:1]).untouched() == ""


def test_a_degree_of_freedom_that_was_never_trained_says_so_beside_sigma() -> None:
    lik: Any = make("student_t", df="shared")
    lik.set_sigma(0.3)
    assert "df='shared' (ν = 5" in str(said(lik)[0].message)
    assert "sigma=" not in str(said(lik)[0].message)
    lik.set_df(4.0)
    assert not said(lik)


def test_log_likelihood_warns_where_its_caller_stands() -> None:
    lik, x = make("gaussian"), torch.randint(17, (6, DIMS))

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(x), 2), torch.zeros(len(x), 2)

    def decode(z: Tensor) -> Tensor:
        return torch.zeros(*z.shape[:-1], DIMS)

    with pytest.warns(UserWarning, match=UNTOUCHED) as caught:
        log_likelihood(x, encode, decode, lik, samples=(4,), levels=17)
    assert [w.filename for w in caught if UNTOUCHED in str(w.message)] == [__file__]
    lik.set_sigma(0.3)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{UNTOUCHED}")
        log_likelihood(x, encode, decode, lik, samples=(4,), levels=17)


def test_an_optimal_sigma_that_saw_nothing_refuses_to_score() -> None:
    lik = make("gaussian", sigma="optimal")
    k, x, raw = data_for(lik)
    for score in (lambda: lik.log_prob(x, raw), lambda: lik.log_mass(k, raw, 17)):
        with pytest.raises(ValueError, match="has not seen training data: train with train_log_prob, or call"):
            score()
    lik.load_state_dict(moved(Case("gaussian", (("sigma", "optimal"),))).state_dict())
    assert lik.log_prob(x, raw).isfinite().all()


# -- what it costs, and who may call it --------------------------------------------------------------------------------

DESCRIBED = """
from bench.grid import lazy_torch
lazy_torch.install()
from bench.grid import families
from vae_core import likelihoods
for name in likelihoods.names():
    family = likelihoods.get(name)
    for options in family.examples:
        levels = {"levels": 17} if family.takes_levels else {}
        for mode in family.sigma_modes if options == {} else (None,):
            sigma = {} if mode is None else {"sigma": mode}
            described = likelihoods.describe(name, **{**levels, **options, **sigma})
            assert described.outputs(784) >= 784, name
assert not lazy_torch.executed(), "torch was executed"
likelihoods.make("gaussian")
assert lazy_torch.executed()
"""


def test_no_description_of_a_family_executes_torch() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", DESCRIBED], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_threads_of_two_types_do_not_meet_in_what_is_kept() -> None:
    """As replicas of one likelihood on two devices do; a fixed σ and ν are kept in the type that was asked for last."""
    lik: Any = make("student_t", sigma=0.3)
    raw = data_for(lik)[2]
    stop, wrong = threading.Event(), []

    def call(dtype: torch.dtype) -> None:
        while not stop.is_set():
            if (found := lik.scale.split(raw.to(dtype))[1].dtype) != dtype:
                wrong.append(found)

    threads = [threading.Thread(target=call, args=(dtype,)) for dtype in (torch.float32, torch.float64)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        stop.wait(0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not wrong
