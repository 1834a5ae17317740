"""A user's own networks: two classes of torch.nn.Module in a file, `Encoder` and `Decoder`, trained in bundles as well.

    class Encoder(nn.Module):
        def __init__(self, shape, latent): ...      # shape: (C, H, W), or (D,) where images have no sides
        def forward(self, x): ...                   # [B, C, H, W], or [B, D] -> [B, 2 Z], mean and ln variance

    class Decoder(nn.Module):
        def __init__(self, shape, latent, outputs): ...
        def forward(self, z): ...                   # [B, Z] -> [B, R], R = outputs, in the likelihood's own order;
                                                    # or maps, [B, R / (H W), H, W], each of a pixel's numbers

A class is given what its __init__ names: these, and of the grid's keys `hidden`, `activation`, `widths`, `depth`,
`kernel`, `normalisation` and `dropout`. An encoder may give mean and ln variance as two tensors.

The models of a bundle are called one after the other, by torch.func.functional_call on their part of the stacked
parameters: through torch.func.vmap a step took 0.98 to 1.43 times as long (one core, in turn, batch of 128; perceptrons
64-200-20 and 784-200-20 and two convolutions on 8×8, bundles of 4 and 16; on 28×28, 4). Seeds seed torch's random
numbers while the modules are made; what torch.nn.Dropout leaves out in training comes from the seed's own noise.
Buffers are kept, and not learned.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar

from vae_core.networks._base import Architecture, Network
from vae_core.networks._own_file import SETTINGS, Source, executed, meant
from vae_core.networks._own_stack import Ends, OwnStack
from vae_core.networks._places import Places, in_blocks


def network_of(path: str) -> type[Network]:
    """The network of a file, which is read and, until one is created, not executed. Raises ValueError."""
    return _network(meant(path))


@functools.lru_cache(maxsize=16)
def _network(source: Source) -> type[Network]:
    class Own(Network):
        reads: ClassVar[tuple[str, ...]] = ("latent", *source.reads)
        placed: ClassVar[bool] = True

        @staticmethod
        def require(architecture: Architecture) -> None:
            if architecture.latent < 1:
                raise ValueError(f"widths must be 1 or more, given latent={architecture.latent}")

        @staticmethod
        def create(
            architecture: Architecture,
            shape: Sequence[int],
            outputs: int,
            seeds: Sequence[int],
            places: Sequence[Places] | None = None,
        ) -> tuple[OwnStack, OwnStack]:
            module, latent = executed(source), architecture.latent
            seen = _as_seen(shape)
            if len(shape) > 1:
                places = places or [in_blocks(shape, outputs)] * len(seeds)
            given = {key: getattr(architecture, key) for key in SETTINGS}
            given |= {"shape": seen, "latent": latent, "outputs": outputs}
            encoder = OwnStack.create(source, module, "Encoder", given, seeds, Ends(seen, 2 * latent))
            decoder = OwnStack.create(source, module, "Decoder", given, seeds, Ends((latent,), outputs, places))
            return encoder, decoder

    return Own


def _as_seen(shape: Sequence[int]) -> tuple[int, ...]:
    """(H, W) or (H, W, C) as (C, H, W); any other as it is."""
    if len(shape) == 3:
        return (shape[2], shape[0], shape[1])
    return (1, *shape) if len(shape) == 2 else tuple(shape)
