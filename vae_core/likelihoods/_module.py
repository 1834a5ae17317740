"""A likelihood as a torch.nn.Module: its learned scales are the parameters, its fitted ones the buffers, of whatever
model it is an attribute of.

A family's class says what it is and computes; no line of it executes torch while it is read. What is called with
(`Gaussian("pixel")`, `likelihoods.make`) is of a class made here when it is first needed, from the family's and
torch.nn.Module: it holds the tensors, and it receives what comes from outside (see _entrance). A family's `__init__`
runs before there is a Module, so that one that calls no parent's works too.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from vae_core.likelihoods._base import Likelihood, Part, _Making, _of_modules, stack
from vae_core.likelihoods._entrance import FULL, Entrance
from vae_core.numerics.elementwise import awake

if TYPE_CHECKING:
    from torch import Tensor


class Shell:
    """What Modules made here have in common: copies that share tensors but no registry, and names for pickle."""

    made = True

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Part):
            value = held(value)
            self.__dict__.get("_modules", {}).pop(name, None)
        super().__setattr__(name, value)

    def __copy__(self) -> Any:
        """Shares all tensors; what is then set anew on one is not on the other."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name, value in self.__dict__.items():
            if name in _of_modules() and isinstance(value, dict | set):
                other.__dict__[name] = copy.copy(value)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other

    def _apply(self: Any, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """As of any Module, but that what is fitted stays float32 or better: a running mean in half precision stands
        still where a step is less than its last digit, and an "optimal" σ was 11 % off in bfloat16."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[misc]
        for name, after in self._buffers.items():
            if after.dtype.itemsize < FULL <= before[name].dtype.itemsize:
                self._buffers[name] = before[name].to(after.device)
        return self

    def __reduce__(self) -> Any:
        return _bare, (_described_class(type(self)),), self.__dict__


class LikelihoodShell(Shell, Entrance):
    """The Module of a family. Calling it is `train_log_prob` in training mode, `log_prob` after `.eval()`."""

    def forward(self: Any, x: Tensor, raw: Tensor) -> Tensor:
        """ln p(x|z) as `log_prob`: x [..., D], raw [..., R] -> [...], nats."""
        score: Tensor = (self.train_log_prob if self.training else self.log_prob)(x, raw)
        return score

    def __reduce__(self: Any) -> Any:
        """The family's name, its options and its tensors: no code, no attribute of this version.

        The tensors are the parameters themselves: an optimiser in the same pickle goes on training them, those that two
        modules share stay shared, and those that are held fixed stay so.
        """
        family: Any = _described_class(type(self))
        known = _catalogue().get(self.name) is family
        state = _all_tensors(self)
        facts = {
            "options": self.made_of,
            "stacked": self.models is not None,
            "open_ends": self.open_ends,
            "told": {name: getattr(self, name) for name in _TOLD},
            "notes": {name: {note: getattr(part, note) for note in part.notes} for name, part in self._parts().items()},
        }
        return _restored, (self.name if known else family, facts), state

    def __setstate__(self: Any, state: Mapping[str, Tensor]) -> None:
        own = _all_tensors(self)
        if set(own) != set(state):
            raise ValueError(f"this pickle of {self.name} holds {sorted(state)}, but {sorted(own)} are needed")
        for path, tensor in state.items():
            place, _, name = path.rpartition(".")
            holder = vars(self.get_submodule(place))
            holder["_parameters" if name in holder["_parameters"] else "_buffers"][name] = tensor


#: what a likelihood is told besides its options, all of them plain
_TOLD = ("shape", "pictures", "channels_last", "validate_args", "training")

#: gives the families by name; the catalogue sets it, which imports this file
_catalogue: Callable[[], Mapping[str, type[Likelihood]]] = dict


def know(families: Callable[[], Mapping[str, type[Likelihood]]]) -> None:
    """Where pickles find a family by its name."""
    global _catalogue
    _catalogue = families


def made(described: Any, shape: tuple[int, ...] | None, validate_args: bool) -> Any:
    """The Module of what a family's class described, with the tensors that its parts start from."""
    awake()  # whoever computes with likelihoods makes one
    module = _as_module(described)
    module.shape, module.pictures, module.validate_args = shape, shape is not None, validate_args
    return module


def held(part: Part) -> Part:
    """A part with its tensors: a Module where it has any, else itself."""
    if isinstance(part, torch.nn.Module):
        return part
    tensors = {**part.learned(), **part.fitted()}
    if not tensors:
        return part
    module: Any = _as_module(part)
    for name, tensor in part.learned().items():
        module.register_parameter(name, torch.nn.Parameter(tensor))
    for name, tensor in part.fitted().items():
        module.register_buffer(name, tensor)
    made_part: Part = module
    return made_part


def _as_module(described: Any) -> Any:
    family: Any = type(described)
    if issubclass(family, Shell):
        return described
    cls = _class_of(family)
    if isinstance(described, torch.nn.Module):  # a family that is one by itself
        if "_modules" not in vars(described):  # whose own `__init__` did not call torch's
            torch.nn.Module.__init__(described)
        described.__class__ = cls
        for name, value in list(vars(described).items()):
            if isinstance(value, Part):  # with its tensors now
                setattr(described, name, value)
        return described
    module = cls.__new__(cls)
    torch.nn.Module.__init__(module)
    for name, value in vars(described).items():
        setattr(module, name, value)
    return module


@functools.cache
def _class_of(family: Any) -> Any:
    """The class of a family's or a part's Modules; of somebody's subclass of such a class itself."""
    if issubclass(family, Shell):
        return family
    shell = LikelihoodShell if issubclass(family, Likelihood) else Shell
    bases = (shell, family) if issubclass(family, torch.nn.Module) else (shell, family, torch.nn.Module)
    names = {name: getattr(family, name) for name in ("__module__", "__qualname__", "__doc__")} | {"_made_from": family}
    return type(family)(family.__name__, bases, names)


def _described_class(cls: type) -> type:
    """The class that a Module was made from, which pickle finds by its name."""
    described: type = vars(cls).get("_made_from", cls)
    return described


def _all_tensors(module: Any) -> dict[str, Tensor]:
    """Parameters and buffers by name, those that two names share under both."""
    return dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))


def _bare(described: type) -> Any:
    cls = _class_of(described)
    return cls.__new__(cls)


def _restored(family: str | type[Likelihood], facts: Mapping[str, Any]) -> Likelihood:
    """A likelihood from its name and options, its tensors still to be set."""
    families = _catalogue()
    if isinstance(family, str) and family not in families:
        raise ValueError(
            f"there is no family {family!r}: register the plug-in that it came from (vae_core.plugins.register), then "
            "read it again"
        )
    cls = families[family] if isinstance(family, str) else family
    options: Sequence[Mapping[str, Any]] = facts["options"]
    restored = [cls(**each) for each in options]
    one = stack(restored) if facts["stacked"] else restored[0]
    if one.open_ends and not facts["open_ends"]:
        closed = one.renormalised()
        assert closed is not None
        one = closed
    vars(one).update(facts["told"])
    for name, notes in facts["notes"].items():
        vars(one._parts()[name]).update(notes)
    return one.train(one.training)


_Making.maker = staticmethod(made)
