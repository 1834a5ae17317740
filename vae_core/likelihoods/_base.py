"""What every likelihood is: the abstract base, its three kinds, and its card.

Axes have one order everywhere: models M, batch B, samples L, dimensions D. A likelihood works on any leading axes
``[...]``; a stacked one (see `stack`) demands that the first of them is M.

No file of this folder touches an attribute of ``torch`` while it is imported, so that names, cards, options and output
widths can be read by a process that never executes torch. It is one file: what somebody's own family must give, and
what it is given.
"""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from abc import ABC, ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, final

import torch

from vae_core.likelihoods._channels import at_levels, by_channel
from vae_core.likelihoods._layout import checked_shape

if TYPE_CHECKING:
    from torch import Tensor

#: of some training images: integers k [n, D], the same in the likelihood's own view [n, D], raw output [n, R] at one
#: z ~ q(z|x) each
Seen: TypeAlias = "tuple[Tensor, Tensor, Tensor]"

#: the objectives of what has no density of its data: the log-probability that it is, a recipe's number
OWN = ("own",)


@dataclass(frozen=True)
class Card:
    """What a person wants to know of a family before using it; shown by `vae-bench list likelihoods` and the report."""

    title: str  #: the name the field uses
    summary: str  #: one sentence: what it assumes
    formula: str  #: ln p(x|z) of one dimension
    support: str  #: where x lives
    parameters: str  #: what the decoder's last layer gives
    source: str  #: author, year, equation
    users: str  #: who uses it, and for what


@dataclass(frozen=True)
class Layout:
    """How a family reads raw outputs, in lines of Python: `vae-bench explain` prints them, and tests carry them out.
    Two of them side by side are `one + another`.

    Attributes:
        lines: assignments that may name `raw`, `D`, `torch` and what stands in a line before; each parameter is
            assigned under its first name below, and may be under others.
        names: keywords of `raw`, one tuple a parameter: its name, then others that can be given in its place.
        beside: sentences on what is learned or told, and is no raw output.
    """

    lines: tuple[str, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    beside: tuple[str, ...] = ()

    def __add__(self, other: Layout) -> Layout:
        return Layout(self.lines + other.lines, self.names + other.names, self.beside + other.beside)


class Part(ABC):
    """A scalar quantity of a likelihood, a number or learned, for one model or a stack of M: σ, say.

    A likelihood keeps it as an attribute; what follows from it (what to optimise, to copy, to stack) is done here. Its
    tensors are attributes by the names that `learned` and `fitted` give them: of a part that has any a Module is made.
    """

    mode: ClassVar[str]  #: parts of one mode can be stacked
    notes: ClassVar[tuple[str, ...]] = (
        "_moved",
    )  #: plain attributes that its options do not tell, which a pickle has, too
    option: ClassVar[str] = ""  #: the option, a number, that is among its `numbers`
    _moved: bool = False  #: whether what is learned is known to stand elsewhere than where it starts

    def learned(self) -> dict[str, Tensor]:
        """Start values, [], of what is to be a parameter, by name."""
        return {}

    def fitted(self) -> dict[str, Tensor]:
        """Start values, [], of what is to be a buffer, changed in training but by no gradient, by name."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that training changes, each [] or [M], by name."""
        return {**vars(self).get("_parameters", {}), **vars(self).get("_buffers", {})}

    def numbers(self, like: Tensor) -> dict[str, Tensor]:
        """Numbers of its options that it keeps as tensors, by the attributes that hold them, in the type and on the
        device of `like`: a program is made for any of their values."""
        return {}

    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Sets tensors by name, whatever their shape, type and device."""
        self._moved = True
        for name, tensor in tensors.items():
            held = vars(self)["_parameters"].get(name)
            if held is not None:
                vars(self)["_parameters"][name] = torch.nn.Parameter(tensor.detach(), held.requires_grad)
            else:
                vars(self)["_buffers"][name] = tensor.detach()

    def initialise(self, spread: float) -> None:  # noqa: B027  nothing to do where no scalar is learned
        """Start value of a learned scale."""

    def untouched(self) -> str:
        """What of it was neither trained nor fitted nor set, in words; "" where nothing is."""
        return ""

    def stack(self, parts: Sequence[Any]) -> Self:
        """One part for M models, from M parts of this class; shares no memory with them."""
        stacked = copy.copy(self)
        stacked.put({name: torch.stack([part.tensors()[name] for part in parts]) for name in self.tensors()})
        stacked._moved = not any(part.untouched() for part in parts)
        return stacked

    def select(self, index: int) -> Self:
        """The part of one model of a stack; shares no memory with it."""
        selected = copy.copy(self)
        selected.put({name: tensor[index].detach().clone() for name, tensor in self.tensors().items()})
        selected._moved = self._moved
        return selected


class _Making(ABCMeta):
    """Calling a family gives a torch.nn.Module; `maker` makes it, and is set by _module, which knows what both are."""

    maker: Callable[..., Any]

    if not TYPE_CHECKING:

        def __call__(cls, *args: Any, shape: Any = None, validate_args: bool = True, **options: Any) -> Any:
            if not isinstance(validate_args, bool):
                raise ValueError(f"validate_args={validate_args!r} is neither True nor False")
            return cls.maker(cls.described(*args, **options), checked_shape(shape), validate_args)


if TYPE_CHECKING:
    _Module = torch.nn.Module
else:
    _Module = object


class Likelihood(_Module, metaclass=_Making):
    """ln p(x|z) as a function of the decoder's raw output.

    One public module of this folder holds one family: the module's name is the family's name.
    Use one of the three kinds below as base: `Density`, `Mass` or `Recipe`.
    """

    name: ClassVar[str]
    card: ClassVar[Card]
    view: ClassVar[str]  #: how it sees the data: one of vae_core.VIEW_NAMES
    measure: ClassVar[str]  #: what `log_prob` is a logarithm of: "density", "pmf" or "unnormalised"
    takes_sigma: ClassVar[bool] = False  #: whether σ is an axis of the grid for it
    takes_levels: ClassVar[bool]  #: whether `make` takes levels=K, the data's number of levels (by its options)
    recipe: ClassVar[bool] = False  #: a folk recipe: trained on an objective that is no distribution
    objectives: ClassVar[tuple[str, ...]] = OWN  #: what it can be trained on, of vae_core.objectives.OBJECTIVES
    scorings: ClassVar[tuple[str, ...]] = ("itself",)  #: the true distributions its decoder is scored as
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)  #: options besides σ at which the laws are tested
    sigma_modes: ClassVar[tuple[str, ...]] = ()  #: the learned scales that it offers, where it takes σ
    #: whether a dimension's masses depend on the levels of the earlier channels of its pixel (see _channels)
    looks_at_numbers: bool = False  #: whether it chooses by them how exact it must be, which a program cannot
    couples_channels: bool = False
    coupled_channels: int | None = None  #: how many channels it couples; None: however many there are
    channels_last: bool = False  #: whether flat data have the channel fastest, (H, W, C), and not slowest, (C, H, W)
    models: int | None = None  #: M for a stacked likelihood, None for a single one
    made_of: tuple[dict[str, Any], ...] = ()  #: the options, one set a model
    shape: tuple[int, ...] | None = None  #: (C, H, W), where the data's shape was told
    pictures: bool = False  #: whether what is given may be of that shape, and not flat
    validate_args: bool = False  #: whether what is given is checked (that of what is made: True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__module__.rpartition(".")[2]
        cls.takes_levels = "levels" in cls.option_names()
        if "log_masses" in vars(cls) and "_sum_log_masses" not in vars(cls):
            # terms of its own: not the sum that its base has for its own
            cls._sum_log_masses = Likelihood._sum_log_masses  # type: ignore[method-assign]

    @classmethod
    def described(cls, *args: Any, **options: Any) -> Self:
        """What a call of the class makes a Module of: options alone, that tell widths and refusals, and functions of
        tensors where nothing is learned. Does not execute torch; raises as the class does."""
        if hasattr(cls, "made"):  # a subclass of the class of a Module
            one: Self = cls.__new__(cls)
            torch.nn.Module.__init__(one)
            one.__init__(*args, **options)  # type: ignore[misc]
        else:
            one = type.__call__(cls, *args, **options)
        one.made_of = (dict(cls._signature().bind(*args, **options).arguments),)
        return one

    @classmethod
    def _signature(cls) -> inspect.Signature:
        """Of the `__init__` of its own or of a likelihood above it, without self; empty where there is none."""
        own = [base for base in cls.__mro__ if "__init__" in vars(base) and issubclass(base, Likelihood)]
        parameters = list(inspect.signature(own[0].__init__).parameters.values())[1:] if own else []
        return inspect.Signature(parameters)

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of the options that `make` takes for this family; `shape` and `validate_args`, which all take, are
        not among them."""
        return tuple(cls.option_defaults())

    @classmethod
    def option_defaults(cls) -> dict[str, Any]:
        """The options with their defaults, inspect.Parameter.empty where there is none."""
        return {name: parameter.default for name, parameter in cls._signature().parameters.items()}

    @abstractmethod
    def outputs(self, dims: int) -> int:
        """Width R of the raw decoder output for D = dims data dimensions."""

    @abstractmethod
    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """ln p(x|z), summed over dimensions: x [..., D] in the family's own view, raw [..., R] -> [...], nats."""

    @abstractmethod
    def log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """Exact ln P(k_d|z) of each dimension: integers k [..., D] in 0…levels−1, raw [..., R] -> [..., D], nats; of a
        family that couples channels ln P(k_d | z, the earlier channels of the pixel)."""

    def log_masses_of(self, channel: int, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """`log_masses` of one channel's dimensions, [..., P], of a family that couples channels; overridden where that
        costs less than all of them."""
        return by_channel(self, self.log_masses(k, raw, levels))[..., channel, :]

    def masses_of(self, channel: int, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """P of one channel's dimensions, [..., P], for sums over levels: what is below 1e-20 may be 0."""
        return self.log_masses_of(channel, k, raw, levels).exp()

    @final
    def log_level_masses(self, some: Tensor, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """ln P of some levels [S] in every dimension: k [..., D], raw [..., R] -> [..., S, D], nats. Of a family that
        couples channels the others of the pixel are held at k, which no other family looks at."""
        if self.couples_channels:
            return at_levels(self, self.log_masses_of, some, k, raw, levels)
        return self._at_levels(some, k, raw, levels)

    @final
    def level_masses(self, some: Tensor, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """P, as `log_level_masses`, for sums over levels: what is below 1e-20 may be 0."""
        if self.couples_channels:
            return at_levels(self, self.masses_of, some, k, raw, levels)
        return self._at_levels(some, k, raw, levels).exp()

    def _at_levels(self, some: Tensor, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        column = some.reshape(*(1,) * (raw.ndim - 1), -1, 1).expand(*(-1,) * raw.ndim, k.shape[-1])
        return self.log_masses(column, raw.unsqueeze(-2), levels)

    @final
    def log_mass(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """Exact ln P(k|z) of integer levels k [..., D] in 0…levels−1, raw [..., R] -> [...], nats: dimensions are
        independent given z, but for channels that a family couples."""
        return self._sum_log_masses(k, raw, levels)

    def _sum_log_masses(self, k: Tensor, raw: Tensor, levels: int) -> Tensor:
        """Σ_d of `log_masses`; a family overrides it where the sum costs less than its terms."""
        return self.log_masses(k, raw, levels).sum(-1)

    @abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """E[x|z] in the family's own view: raw [..., R] -> [..., D]."""

    @abstractmethod
    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x|z in the family's own view: raw [..., R] -> [..., D]."""

    def level_of(self, value: Tensor, levels: int) -> Tensor:
        """The level 0…levels−1 whose bin holds a value that `sample` gave, [..., D]; beyond the ends the end levels.

        Levels of draws are distributed as `log_mass` says.
        """
        return torch.floor(value * levels).clamp(0, levels - 1).long()

    # -- learned state, kept in parts: attributes that are a `Part` ----------------------------------------------------

    def _attributes(self) -> dict[str, Any]:
        """What makes this likelihood, by name: options as they were understood, and parts."""
        own, apart = vars(self), _APART
        if "_modules" in own:
            own, apart = {**own, **own["_modules"]}, _APART | _of_modules()
        return {name: value for name, value in own.items() if name not in apart}

    def _parts(self) -> dict[str, Part]:
        return {name: value for name, value in self._attributes().items() if isinstance(value, Part)}

    def train_log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """`log_prob` as training uses it; only sigma="optimal" differs (σ from the batch, remembered)."""
        return self.log_prob(x, raw)

    def learned(self) -> list[Tensor]:
        """Learnable tensors of the likelihood itself (sigma="shared"), [] or [M]: its `parameters()` as a list."""
        return [tensor for tensor in self.state() if isinstance(tensor, torch.nn.Parameter)]

    def state(self) -> list[Tensor]:
        """All tensors that change in training, each of shape [M] or []; a snapshot copies them."""
        return list(self.named_state().values())

    def named_state(self) -> dict[str, Tensor]:
        """The tensors of `state()` by names such as "scale.theta", those of `state_dict()`."""
        return {
            f"{name}.{called}": tensor
            for name, part in self._parts().items()
            for called, tensor in part.tensors().items()
        }

    def initialise(self, spread: float) -> None:
        """Start learned scales at `spread`, the training data's standard deviation about its per-dimension mean."""
        for part in self._parts().values():
            part.initialise(spread)

    def untouched(self) -> str:
        """What of its learned state was neither trained, fitted nor set, in words; "" where nothing is."""
        return ", ".join(filter(None, (part.untouched() for part in self._parts().values())))

    def warn_if_untouched(self, stacklevel: int = 2) -> None:
        """Warns where something learned was neither trained, fitted nor set: a score tells nothing then but where it
        starts."""
        if said := self.untouched():
            warnings.warn(
                f"{self.name} is scored with what was neither trained, fitted nor set: {said}. Give its parameters() "
                "to the optimiser, fit it by vae_core.training.fit_scale, or set it by set_sigma.",
                UserWarning,
                stacklevel=stacklevel,
            )

    # -- raw outputs and their layout ----------------------------------------------------------------------------------

    def raw(self, **parameters: Any) -> Tensor:
        """Raw outputs [..., R] that stand for a distribution's parameters, each a number or [..., D]; how they are
        called, and in which units, says the family's own. Tensors decide the type, torch's default or a wider one.

        Raises:
            ValueError: no such parameter, one too few or two for one, shapes that do not broadcast, NaN and infinite
                numbers, or a value that no raw output stands for.
            NotImplementedError: a family that offers no inverse.
        """
        raise NotImplementedError(f"{self.name} offers no raw(): its raw outputs are {self.card.parameters}")

    def layout(self) -> Layout | None:
        """How raw outputs are read, and by which names `raw` makes them; None where the family does not say. Does not
        execute torch."""
        return None

    def set_sigma(self, sigma: float | Tensor) -> None:
        """Sets a σ that is one number for all data (sigma="shared" or "optimal"): [], of a stack [M]; as from another
        program's file. Raises ValueError where σ is no such number, not finite, not > 0, or not above its floor."""
        raise ValueError(f"{self.name} has no σ that is one number")

    def from_planes(self, planes: Tensor, channels: int) -> Tensor:
        """[..., outputs(C), H, W] of a convolutional decoder as raw [..., R], R = outputs(C H W): parameter × channel,
        the parameter slowest; what the family has once an image, whatever D, is last, and the mean over a plane. A
        family whose raw outputs are in another order, or which wants no mean, overrides it."""
        once = 2 * self.outputs(1) - self.outputs(2)  # outputs(D) = P D + once
        if once <= 0:
            return planes.flatten(-3)
        each, whole = planes[..., :-once, :, :], planes[..., -once:, :, :]
        return torch.cat([each.flatten(-3), whole.mean((-2, -1))], -1)

    def sigma_in_use(self, raw: Tensor) -> Tensor | None:
        """The scale σ at test time, averaged over raw [..., R] where the decoder gives it; None where there is none."""
        return None

    def refusal(self, objective: str) -> str:
        """Why this likelihood cannot be trained on `objective`, "" where it can."""
        if objective in self.objectives:
            return ""
        if self.objectives != OWN:
            why = "it is a density of its data"
        else:
            why = "a folk recipe is trained as people write it" if self.recipe else "it is a mass already"
        return f"{self.name} cannot be trained on {objective!r} ({why})"

    @final
    def require_objective(self, objective: str) -> None:
        """Raises ValueError where this likelihood cannot be trained on `objective`, one of
        vae_core.objectives.OBJECTIVES."""
        if why := self.refusal(objective):
            able = [repr(other) for other in self.objectives if not self.refusal(other)]
            raise ValueError(f"{why}: take {' or '.join(able)}")

    # -- scoring -----------------------------------------------------------------------------------------------------

    has_density: bool = False  #: whether `log_density` exists
    open_ends: bool = False  #: whether the end bins of its masses reach to ±∞ (families on the real line)
    closes_ends: bool = False  #: whether it gives renormalised masses where `open_ends` is set to False

    def renormalised(self) -> Self | None:
        """The same, sharing what it has learned, with closed end bins and each mass divided by the sum over the levels;
        None where that is not to be had: ends that are not open, or a plug-in's that knows no other."""
        if not (self.open_ends and self.closes_ends):
            return None
        closed = copy.copy(self)
        closed.open_ends = False
        return closed

    def log_density(self, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        """ln density of dequantised data y = (k+u)/K [..., D] under what is scored, raw [..., R] -> [...], nats."""
        raise NotImplementedError(f"{self.name} has no density: it is a distribution of the levels themselves")

    def computes(self) -> dict[str, Any]:
        """What decides which functions of its tensors, of numbers and of raw outputs its scores are: equal for two of
        which one program does. Its name, and its options but for numbers that a part of it gives to a program
        (`Part.numbers`)."""
        (options,) = self.made_of
        return {"family": self.name, **options} | {option: "a number" for option in self._given() if option in options}

    def _given(self) -> list[str]:
        """The options, numbers, that parts of it give to a program."""
        return [part.option for part in self._parts().values() if part.option]

    def scored(self, scoring: str) -> Self:
        """The same decoder scored as `scoring`, one of `scorings`. Raises ValueError for any other name."""
        if scoring not in self.scorings:
            raise ValueError(f"{self.name} is not scored as {scoring!r} (allowed: {', '.join(self.scorings)})")
        return self

    @classmethod
    def opened(cls) -> tuple[str, ...]:
        """Those of `scorings` whose end bins reach to ±∞."""
        return cls.scorings if cls.open_ends else ()

    @classmethod
    def scoring_said(cls, scoring: str) -> str:
        """One of `scorings` in words."""
        return scoring.replace("_", " ")

    needs_fit: bool = False  #: whether `fit` must see training data before scoring
    fit_images: int | None = None  #: how many training images at most it looks at; None: all

    def fit(self, training: Iterable[Seen], levels: int) -> None:
        """Freezes the scale that training data give, here by their residuals; levels: K."""
        self.fit_to_residuals(training)

    @final
    def fit_to_residuals(self, training: Iterable[Seen]) -> None:
        """Averages `residual_statistic` over the images, and sets the scale that follows."""
        averages = [(self.residual_statistic(x, raw).double(), len(k)) for k, x, raw in training]
        total = torch.stack([average * count for average, count in averages]).sum(0)
        self.set_residual_statistic((total / sum(count for _, count in averages)).float())

    def residual_statistic(self, x: Tensor, raw: Tensor) -> Tensor:
        """What `set_residual_statistic` wants the training average of: x [..., D], raw [..., R] -> [] or [M]."""
        raise NotImplementedError(f"{self.name} fits nothing to residuals")

    def set_residual_statistic(self, average: Tensor) -> None:
        """Takes the training average of `residual_statistic` and freezes the scale that follows from it."""
        raise NotImplementedError(f"{self.name} fits nothing to residuals")

    if TYPE_CHECKING:

        def check(self, data: Tensor, raw: Tensor, levels: int | None = None) -> None: ...

        def flat_raw(self, planes: Tensor) -> Tensor: ...

    def unchecked(self) -> Self:
        """The same, sharing what it has learned, that takes what it is given as it is: flat, of the right shape, and
        nothing that it would refuse. For who has seen to that once and calls it often."""
        other = copy.copy(self)
        other.validate_args = other.pictures = False
        return other

    # -- bundles -----------------------------------------------------------------------------------------------------

    def stack_key(self) -> tuple[object, ...]:
        """Likelihoods with equal keys can be stacked: same family, same options but for σ's value."""
        own = self._attributes().items()
        return (self.name, *((name, _comparable(value)) for name, value in sorted(own)))

    def select(self, index: int) -> Self:
        """The likelihood of one model of a stack, its learned state detached and copied."""
        if self.models is None or not 0 <= index < self.models:
            raise ValueError(f"no model {index} in a stack of {self.models}")
        selected = copy.copy(self)
        selected.models, selected.made_of = None, (self.made_of[index],)
        for name, part in self._parts().items():
            setattr(selected, name, part.select(index))
        return selected


#: attributes that are no part of what a likelihood is
_APART = frozenset(("models", "made_of", "shape", "pictures", "validate_args", "channels_last"))


def _comparable(value: Any) -> Any:
    """An attribute as what decides whether likelihoods can be stacked."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), tuple(value.detach().reshape(-1).tolist()))
    return value.mode if isinstance(value, Part) else value


@functools.cache
def _of_modules() -> frozenset[str]:
    """The attributes that torch.nn.Module has of its own."""
    return frozenset(vars(torch.nn.Module()))


class Density(Likelihood):
    """A probability density per unit length of dequantised data (views `unit` and `real`)."""

    measure = "density"
    objectives = ("dequantised", "binned")
    has_density = True

    def log_density(self, y: Tensor, raw: Tensor, levels: int) -> Tensor:
        return self.log_prob(y, raw)


class Mass(Likelihood):
    """A probability of the integers themselves (views `levels` and `binary`)."""

    measure = "pmf"

    def level_of(self, value: Tensor, levels: int) -> Tensor:
        return value.round().long()


class Recipe(Likelihood):
    """What folk write as a loss: trained on a number that is no log-probability, scored as a distribution built from
    its decoder. `log_prob` gives the folk number (unnormalised, never ranked), `log_mass` the scored distribution's."""

    view = "grey"
    measure = "unnormalised"
    recipe = True
    has_density = True

    @classmethod
    def twin(cls, scoring: str) -> tuple[str, str] | None:
        """The family, and its σ or "", that reads raw outputs just as this does when it is scored so, and whose
        −ln p + KL this recipe's loss is but for the normalising constant: the two differ in that constant alone.

        None where there is none, as of every loss that weighs the KL otherwise (a mean over pixels: by D; β: by β; a
        binomial's n = K−1 throws, of which a cross-entropy counts one: by 1/n, and its constant has no parameter).
        """
        return None


def stack(likelihoods: Sequence[Likelihood]) -> Likelihood:
    """One likelihood for M models: acts on x [M, ..., D] and raw [M, ..., R] at once. Shares nothing with them, and
    checks nothing that it is given (set `validate_args` where it should).

    Raises ValueError unless all have one `stack_key` (same family and options; σ's value may differ), and for
    parameters that are in no `Part`: what M models have of them, nobody has said.
    """
    first = likelihoods[0]
    if loose := sorted({name for name, _ in first.named_parameters()} - set(first.named_state())):
        raise ValueError(
            f"{first.name} keeps {', '.join(loose)} outside of a Part, so that models cannot be trained side by side "
            "with it (a Part's learned() gives start values, [], from which a stack has [M])"
        )
    if any(likelihood.stack_key() != first.stack_key() for likelihood in likelihoods):
        raise ValueError(f"cannot stack likelihoods of different kinds: {[o.stack_key() for o in likelihoods]}")
    stacked = copy.copy(first)
    stacked.models, stacked.validate_args = len(likelihoods), False
    stacked.made_of = tuple(each for likelihood in likelihoods for each in likelihood.made_of)
    for name, part in first._parts().items():
        setattr(stacked, name, part.stack([likelihood._parts()[name] for likelihood in likelihoods]))
    return stacked
