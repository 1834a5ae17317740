"""What every network is: what is asked of it, what its file must give, and what it costs.

Axes have one order everywhere: models M, rows B (batch, or batch × samples), dimensions D, latent Z, raw R. A *stack*
is M networks of one shape that are computed at once; an encoder and a decoder are a stack each.

No file of this folder touches an attribute of ``torch`` while it is imported, so that names can be read by a process
that never executes torch.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vae_core.networks._places import Places
    from vae_core.numerics.precision import Product

FLOAT_BYTES = 4
NORMALISATIONS = ("usual", "none", "group", "layer")


@dataclass(frozen=True)
class Architecture:
    """What is asked of a VAE's networks, and which network of this folder, or whose file, reads it: `Network.reads`
    says which of the fields one looks at.

    hidden: widths of the encoder's dense hidden layers, which the decoder mirrors; behind its convolutions, where it
        has such.
    activation: between layers.
    latent: Z.
    network: a name of this folder, or a path to a .py with a user's own.
    widths: the channels of the feature maps of each stage; a stage halves the sides of an image.
    depth: layers, or residual blocks, a stage.
    kernel: side of a convolution's kernel.
    normalisation: "usual" is what the network has where nothing is said, "none", "group" (Wu & He 2018), "layer" (all
        features of an image together). None of them looks at other images.
    dropout: share of the units, or of whole feature maps, that are left out at random, in training alone.

    Raises ValueError for an unknown network, and for what that network cannot be built from.
    """

    hidden: tuple[int, ...]
    activation: str
    latent: int
    network: str = "mlp"
    widths: tuple[int, ...] = (32, 64)
    depth: int = 1
    kernel: int = 3
    normalisation: str = "usual"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be 0 (none) or more and below 1, such as 0.1, given {self.dropout}")
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(f"unknown normalisation {self.normalisation!r} (allowed: {', '.join(NORMALISATIONS)})")
        get(self.network).require(self)

    @property
    def facts(self) -> dict[str, Any]:
        """What a file of weights says of it, as plain values: fields that are as they always were before they could be
        chosen are left out."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name == "network"
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Self:
        """From what `facts` gave."""
        values: dict[str, Any] = {k: tuple(fact) if isinstance(fact, list) else fact for k, fact in facts.items()}
        return cls(**values)


@dataclass(frozen=True)
class Cost:
    """What one row costs one network, from its shape alone."""

    operations: int  #: of its matrix products: one of [1, in] and [in, out] counts 2·in·out
    first_operations: int  #: those of them that the network's input enters
    numbers: int  #: that its layers give, one after the other
    parameters: int  #: weights and biases, which all rows share


class Stack(ABC):
    """M networks of one shape: x [M, B, in] -> [M, B, out]."""

    #: numbers in [0, 1) a row that it wants as `noise` while it is trained; 0 where nothing in it is random
    noise: int = 0

    @abstractmethod
    def __call__(self, x: Tensor, product: Product | None = None) -> Tensor:
        """Its matrix products are made by `product` (vae_core.numerics.precision.PRODUCTS), by default in float32."""

    def train(self, x: Tensor, product: Product | None = None, noise: Tensor | None = None) -> Tensor:
        """The same while it is trained. `noise`: uniforms [M, B, self.noise] for what is random then; models of one
        seed are given the same. None where it wants none."""
        return self(x, product)

    @abstractmethod
    def parameters(self) -> list[Tensor]:
        """Everything learned, each with the models axis first: the very tensors that it computes with."""

    def held(self) -> dict[str, Tensor]:
        """What else it computes with that is not the same for all seeds, by name, each with the models axis first: not
        learned, but kept in files."""
        return {}

    def names(self) -> list[str]:
        """What a file of weights calls each of `parameters()`, in their order: a number, unless it says better."""
        return [str(index) for index in range(len(self.parameters()))]

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """The same networks on a device."""

    @abstractmethod
    def select(self, index: int) -> Self:
        """One model of the stack as a stack of one; shares no memory with it."""

    @abstractmethod
    def cost(self) -> Cost:
        """Of one row through one of the networks."""


class Network(ABC):
    """One way to build encoders and decoders. One public module of this folder holds one: the module's name is the
    network's name."""

    #: the fields of an Architecture that it looks at; a grid leaves the others out of its cells' names
    reads: ClassVar[tuple[str, ...]] = ("hidden", "activation", "latent")
    #: as people write it, such as "MLP"; "" for its name and "network". Said of the class itself, not of those below it
    spoken: ClassVar[str] = ""
    #: whether it is dense layers alone, so that D, `hidden` and Z say its shape; of the class itself too
    dense: ClassVar[bool] = False
    #: whether `create` is given besides where in the image each model's outputs belong, `places`
    placed: ClassVar[bool] = False

    @staticmethod
    def fit(architecture: Architecture, shape: Sequence[int]) -> None:
        """Raises ValueError for images of a shape that it cannot be built for; by default none is."""
        return

    @staticmethod
    @abstractmethod
    def require(architecture: Architecture) -> None:
        """Raises ValueError for an architecture that it cannot be built from."""

    @staticmethod
    @abstractmethod
    def create(
        architecture: Architecture, shape: Sequence[int], outputs: int, seeds: Sequence[int]
    ) -> tuple[Stack, Stack]:
        """Encoders [M, B, D] -> mean and ln variance [M, B, 2 Z], and decoders [M, B, Z] -> raw [M, B, R], R = outputs;
        model m from seeds[m] alone. `shape` is that of an image, (H, W) or (H, W, C), and D its product, the channel
        fastest.

        What the R outputs are is the likelihood's to say, in an order of its own: mostly blocks of D (all locations,
        then all scales), but D blocks of K for the categorical, and one number more for a scale of the whole image. So
        a decoder's last layer gives each of the R numbers from all that it knows."""


@dataclass(frozen=True)
class ModelCost:
    """What a VAE does at the least, in float32, from what a row costs its two networks."""

    encoder: Cost
    decoder: Cost
    dims: int  #: D
    latent: int  #: Z

    @property
    def parameters(self) -> int:
        """Of one model's encoder and decoder; what a likelihood learns besides is left out."""
        return self.encoder.parameters + self.decoder.parameters

    def update_operations(self, samples: int) -> int:
        """Of the matrix products that take one image through one update with L samples: three times those of the
        forward pass, but twice for the encoder's first: no gradient flows into the images."""
        forward = self.encoder.operations + samples * self.decoder.operations
        return 3 * forward - self.encoder.first_operations

    @property
    def decode_operations(self) -> int:
        """Of the matrix products of one decode."""
        return self.decoder.operations

    def update_bytes(self, samples: int, batch: int) -> int:
        """Bytes that one update of one model moves at the least, on `batch` images with L samples.

        For each parameter 8 numbers: itself and Adam's two moments, each read and written, its gradient written and
        read. For each number that a layer gives, and for each of z, 4: written and read, and its gradient likewise. For
        each value of an image 2: made and read. Not counted is what may stay in a cache: the parameters read again by
        each pass, what the likelihood and the activation compute within a layer's output. So where all of a step stays
        in a cache, the share of the copy rate may exceed 100 %.
        """
        image = 2 * self.dims + 4 * (self.encoder.numbers + samples * (self.latent + self.decoder.numbers))
        return FLOAT_BYTES * (8 * self.parameters + batch * image)

    @property
    def decode_bytes(self) -> int:
        """Bytes that one decode moves at the least: z and each number that a layer gives, written and read. The
        parameters are shared by all decodes of a pass and not counted; in a cache less is moved."""
        return FLOAT_BYTES * 2 * (self.latent + self.decoder.numbers)


# -- the registry ------------------------------------------------------------------------------------------------------


@functools.cache
def _networks() -> dict[str, type[Network]]:
    """Every public module of this folder, imported; each must define exactly one concrete network."""
    package = importlib.import_module(__name__.rpartition(".")[0])
    public = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    return {name: _the_network_of(importlib.import_module(f"{package.__name__}.{name}")) for name in public}


def _the_network_of(module: ModuleType) -> type[Network]:
    """Raises ImportError where a module defines no concrete network, or more than one."""
    concrete = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Network) and item.__module__ == module.__name__
        if not inspect.isabstract(item)
    ]
    if len(concrete) != 1:
        listed = f" ({', '.join(item.__name__ for item in concrete)})" if concrete else ""
        raise ImportError(f"{module.__name__} defines {len(concrete)} concrete networks{listed}: one file, one network")
    return concrete[0]


def names() -> list[str]:
    """Every network's name, in alphabetical order."""
    return sorted(_networks())


def is_own(name: str) -> bool:
    """Whether a network's name is a path to a user's own."""
    return str(name).endswith(".py")


def get(name: str) -> type[Network]:
    """A network by its name, a user's own by the path of its file, which is not executed before one is created. Raises
    ValueError for an unknown one."""
    if is_own(name):
        own = importlib.import_module(f"{__name__.rpartition('.')[0]}._own")  # which is made of what this module has
        network: type[Network] = own.network_of(name)
        return network
    if name not in _networks():
        near = difflib.get_close_matches(str(name), names(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown network {name!r} ({hint}allowed: {', '.join(names())})")
    return _networks()[name]


def create_pair(
    architecture: Architecture,
    shape: Sequence[int],
    outputs: int,
    seeds: Sequence[int],
    places: Callable[[], Sequence[Places]] | None = None,
) -> tuple[Stack, Stack]:
    """Encoders and decoders for M models as the architecture asks for them: see `Network.create`. `places`: gives, for
    each model, where in the image its outputs belong; asked of networks alone that want to know.

    Raises ValueError for images that the network cannot be built for.
    """
    network = get(architecture.network)
    network.fit(architecture, shape)
    if network.placed and places is not None:
        return network.create(architecture, shape, outputs, seeds, places())  # type: ignore[call-arg]
    return network.create(architecture, shape, outputs, seeds)


def model_cost(architecture: Architecture, shape: Sequence[int], outputs: int) -> ModelCost:
    """What a VAE of this architecture costs, for images of this shape and R = outputs: one is built and asked."""
    encoder, decoder = create_pair(architecture, shape, outputs, [0])
    return ModelCost(encoder.cost(), decoder.cost(), math.prod(shape), architecture.latent)
