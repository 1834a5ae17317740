"""Trained models in files: what is written of one, and how it is built again. Nothing of `bench` is needed.

A file is a safetensors file (vae_core.numerics.tensor_file). Its tensors: `encoder.NAME` and `decoder.NAME`, by the
names that a network gives (`Stack.names`; of an MLP `0.weight` [in, out], `0.bias` [1, out], and so on), the
likelihood's own as `likelihood.PART.NAME`, and as `scored.SCORING.PART.NAME` what was fitted to score it so. Its facts:
`network`, `likelihood`, `shape`, `view`, `levels` and `scorings`, and whatever else was said about the model.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_core import likelihoods
from vae_core.data import VIEWS
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods._scale import Scale
from vae_core.networks import Architecture, Stack, create_pair, is_own, places_of_each, read_own
from vae_core.numerics import tensor_file
from vae_core.training.model import TrainedModel

#: what a model is built from; all else in a file is about it
FACTS = ("network", "own_network", "likelihood", "shape", "view", "levels", "scorings", "format")


@dataclass(frozen=True)
class Blueprint:
    """What a model is built from, but for its numbers: the networks, the shape of an image, (H, W) or (H, W, C), and
    the likelihood by the name and options that `likelihoods.make` took."""

    architecture: Architecture
    shape: tuple[int, ...]
    family: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dims(self) -> int:
        """D."""
        return math.prod(self.shape)

    def likelihood(self) -> Likelihood:
        return likelihoods.make(self.family, **self.options)


@dataclass
class LoadedModel(TrainedModel):
    """A trained model from a file. `likelihood` is the distribution that it is scored as, its fitted scale set, and
    `levels` the number of levels K of the integers that it takes and scores: 2 in the binary view."""

    blueprint: Blueprint
    scoring: str  #: the one of `likelihood.scorings` that it is
    about: dict[str, Any]  #: what else the file says; of a cell of a run: cells, data, packages, git


def save_model(
    path: str | Path,
    model: TrainedModel,
    blueprint: Blueprint,
    scored: Mapping[str, Likelihood] | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Writes a trained model to a file that `load_model` builds it from again, to the bit; whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        model: as `train` returned it.
        blueprint: what it was built from.
        scored: the distributions that it is scored as, by scoring, their scales fitted; the one that needs no fit by
            default.
        about: what else the file is to say, as plain values by name.

    Raises:
        ValueError: the blueprint is of another model, or `about` names a fact of the file's own. OSError.
    """
    if scored is None:
        first = model.likelihood.scorings[0]
        scored = {first: model.likelihood.scored(first)}
    facts = {
        "network": blueprint.architecture.facts,
        "likelihood": {
            "family": blueprint.family,
            "options": dict(blueprint.options),
            "plugin": _plugin(model.likelihood.name),
        },
        "shape": list(blueprint.shape),
        "view": model.view.name,
        "levels": model.levels,
        "scorings": list(scored),
    }
    if is_own(blueprint.architecture.network):
        facts["own_network"] = _file_of(blueprint.architecture.network)
    if taken := sorted(set(about or {}) & set(FACTS)):
        raise ValueError(f"about={taken[0]!r} is a fact of the file's own: give it another name")
    tensors = _tensors(model, scored)
    for scoring, likelihood in scored.items():
        again = _built(tensors, json.loads(json.dumps(facts)), scoring)
        if not _alike(again, model, likelihood, blueprint.dims):
            raise ValueError(f"the model is not what the blueprint says ({blueprint}): it would be read as another")
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    tensor_file.write(Path(path), arrays, {**facts, **(about or {})})


def load_model(path: str | Path, scoring: str | None = None, device: str = "cpu") -> LoadedModel:
    """Builds a trained model from a file that `vae-bench model` or `save_model` wrote.

    >>> import tempfile
    >>> from vae_core.networks import Architecture
    >>> from vae_core.training import Blueprint, Member, Schedule, save_model, train
    >>> from vae_core import data, likelihoods
    >>> digits, networks = data.load("digits"), Architecture((8,), "tanh", 2)
    >>> member = Member(likelihoods.make("laplace", sigma="shared"))
    >>> trained = train(digits, [member], networks, Schedule(1, 100, 1e-3)).models[0]
    >>> file = tempfile.mkdtemp() + "/laplace.safetensors"
    >>> save_model(file, trained, Blueprint(networks, digits.shape, "laplace", {"sigma": "shared"}))

    >>> model = load_model(file)
    >>> k = digits.test[:5]
    >>> mean, log_variance = model.encode(k)  # of q(z|x)
    >>> raw = model.decode(mean)
    >>> model.likelihood.log_mass(k, raw, model.levels).shape  # ln P(k|z), nats
    torch.Size([5])
    >>> draws = model.likelihood.sample(model.decode(torch.randn(3, model.blueprint.architecture.latent)))
    >>> model.likelihood.level_of(draws, model.levels).reshape(3, *model.blueprint.shape).shape  # integers again
    torch.Size([3, 8, 8])

    Args:
        path: the file.
        scoring: the distribution to read its decoder as, one of the file's; the first of them by default.
        device: where it is to compute.

    Raises:
        ValueError: one sentence: no such file, a damaged one, of another version, no such scoring, or a plug-in that is
            not registered.
    """
    arrays, facts = tensor_file.read(Path(path))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    try:
        model = _built(tensors, facts, scoring)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks what a model is built from ({error}): take another copy of it") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    model.encoder, model.decoder = model.encoder.to(device), model.decoder.to(device)
    model.likelihood.to(device)
    return model


def _tensors(model: TrainedModel, scored: Mapping[str, Likelihood]) -> dict[str, Tensor]:
    """Every number of a model by its name, without the models axis; shares no memory with it."""
    tensors: dict[str, Tensor] = {}
    for part, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        tensors |= {f"{part}.{name}": tensor[0] for name, tensor in _numbers(stack)}
    tensors |= {f"likelihood.{name}": tensor for name, tensor in _own_state(model.likelihood).items()}
    for scoring, likelihood in scored.items():
        if likelihood.needs_fit:
            tensors |= {f"scored.{scoring}.{name}": tensor for name, tensor in likelihood.named_state().items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _numbers(stack: Stack) -> Iterator[tuple[str, Tensor]]:
    """All that a network computes with, by name."""
    yield from zip(stack.names(), stack.parameters(), strict=True)
    yield from stack.held().items()


def _own_state(likelihood: Likelihood) -> dict[str, Tensor]:
    """What training gave a likelihood; what was fitted afterwards is kept with the scoring that it was fitted for."""
    return {} if likelihood.needs_fit else likelihood.named_state()


def _built(tensors: Mapping[str, Tensor], facts: Mapping[str, Any], scoring: str | None) -> LoadedModel:
    network = Architecture.of_facts(facts["network"])
    if (before := facts.get("own_network")) and (present := _file_of(network.network)) != before:
        warnings.warn(
            f"the network {present['file']} is not the code that this model was trained with (checksum "
            f"{before['sha256'][:8]}): its numbers may differ",
            stacklevel=4,
        )
    said = facts["likelihood"]
    blueprint = Blueprint(network, tuple(facts["shape"]), said["family"], said["options"])
    _require_family(said)
    likelihood = likelihoods.told(blueprint.likelihood(), blueprint.shape)
    if facts.get("format") == 1:
        _read_as_before(likelihood)
    outputs = likelihood.outputs(blueprint.dims)
    encoder, decoder = create_pair(
        network,
        blueprint.shape,
        outputs,
        [0],
        lambda: places_of_each([blueprint.likelihood()], blueprint.shape, facts["levels"]),
    )
    places: dict[str, Tensor] = {}
    for part, stack in (("encoder", encoder), ("decoder", decoder)):
        places |= {f"{part}.{name}": tensor[0] for name, tensor in _numbers(stack)}
    places |= {f"likelihood.{name}": tensor for name, tensor in _own_state(likelihood).items()}
    wanted = facts["scorings"][0] if scoring is None else scoring
    if wanted not in facts["scorings"]:
        raise ValueError(f"it was not scored as {wanted!r} (there is: {', '.join(facts['scorings'])})")
    scored = likelihood.scored(wanted)
    if scored.needs_fit:
        places |= {f"scored.{wanted}.{name}": tensor for name, tensor in scored.named_state().items()}
    _fill(places, tensors)
    view = VIEWS[facts["view"]]
    return LoadedModel(
        encoder=encoder,
        decoder=decoder,
        likelihood=scored,
        view=view,
        levels=2 if view.binary else facts["levels"],
        blueprint=blueprint,
        scoring=wanted,
        about={name: fact for name, fact in facts.items() if name not in FACTS},
    )


def _read_as_before(likelihood: Likelihood) -> None:
    """In files of format 1 a learned σ is e^raw + 0.001, whatever K."""
    for part in likelihood._parts().values():
        if isinstance(part, Scale):
            part.floor, part.sharpness = math.log(1e-3), 1.0


@torch.no_grad()
def _fill(places: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copies each tensor to its place. Raises ValueError where one lacks the other, or they differ in shape or type."""
    of_networks = {name for name in tensors if name.startswith(("encoder.", "decoder."))}
    if strange := sorted(set(places) - set(tensors)) or sorted(of_networks - set(places)):
        raise ValueError(f"its tensors are not those of the network and the likelihood that it names ({strange[0]})")
    for name, place in places.items():
        given = tensors[name]
        if (given.shape, given.dtype) != (place.shape, place.dtype):
            raise ValueError(
                f"its {name} is {given.dtype} {list(given.shape)}, where {place.dtype} {list(place.shape)} is needed"
            )
        place.copy_(given)


def _file_of(network: str) -> dict[str, str]:
    """Where a network of a user's own came from."""
    source = read_own(network)
    return {"file": source.name, "sha256": source.sha256}


def _plugin(family: str) -> dict[str, str] | None:
    """Where a family from outside came from."""
    plugin = likelihoods.plugins().get(family)
    return None if plugin is None else {"file": plugin.file.name, "sha256": plugin.sha256}


def _require_family(said: Mapping[str, Any]) -> None:
    """Raises ValueError where there is no such family; warns where its plug-in is another than at the time."""
    family, plugin = said["family"], said["plugin"]
    if plugin is None:
        return  # `likelihoods.make` says what is wrong
    if family not in likelihoods.names():
        raise ValueError(
            f"its family {family!r} is a plug-in: vae_core.plugins.register({plugin['file']!r}) first, then load it"
        )
    if (present := _plugin(family)) is None or present["sha256"] != plugin["sha256"]:
        warnings.warn(
            f"the family {family!r} is not the code that this model was trained with ({plugin['file']}, checksum "
            f"{plugin['sha256'][:8]}): its numbers may differ",
            stacklevel=4,
        )


@torch.no_grad()
def _alike(again: LoadedModel, model: TrainedModel, likelihood: Likelihood, dims: int) -> bool:
    """Whether what was built again scores as the model does: the same masses, also of a σ that is in no tensor."""
    raw = torch.linspace(-1, 1, likelihood.outputs(dims)).unsqueeze(0)
    k = torch.zeros(1, dims, dtype=torch.long)
    device = next(iter(model.decoder.parameters())).device
    ours = again.likelihood.log_mass(k, raw, again.levels)
    theirs = likelihood.log_mass(k.to(device), raw.to(device), again.levels).cpu()
    return again.view is model.view and torch.allclose(ours, theirs, rtol=1e-3, equal_nan=True)
