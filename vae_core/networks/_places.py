"""Where in the image each of a decoder's R outputs belongs.

A likelihood says what its raw outputs are in an order of its own: blocks of D, or D blocks of K, and perhaps a number
or two for the whole image. A convolutional decoder makes maps, n numbers for each pixel. So that every output comes
from its own pixel's surroundings, whatever the family, a plug-in among them, the order is not declared but found: which
masses change with which output is what their gradients say.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vae_core.data import VIEWS
from vae_core.likelihoods import Likelihood, told

if TYPE_CHECKING:
    from torch import Tensor

#: of the outputs in each of the draws that are looked at: one that changes nothing in one draw changes something in
#: another
SPREADS = (1.0, 0.3, 1.0, 0.3, 3.0, 0.1)
WHOLE, NOTHING = -1, -2


@dataclass(frozen=True)
class Places:
    """Of R outputs: `each` numbers for every pixel, in row-major order, and `whole` for the image. `order` [R]: where
    each output lies among (pixel, number of the pixel), the numbers of the whole image behind them; None where it is
    just there. `blocks` of D in one after the other is the common order, which needs no gather."""

    sides: tuple[int, int]
    each: int
    whole: int = 0
    blocks: int = 0
    order: Tensor | None = None

    @property
    def pixels(self) -> int:
        return math.prod(self.sides)

    def to(self, device: torch.device | str) -> Places:
        return self if self.order is None else dataclasses.replace(self, order=self.order.to(device))

    def laid_flat(self, maps: Tensor) -> Tensor:
        """[B, each + whole, H, W] -> raw [B, R]; a number of the whole image is the mean of its map."""
        of_pixels = maps[:, : self.each].permute(0, 2, 3, 1)
        rows = len(maps)
        if self.blocks:
            flat = of_pixels.reshape(rows, self.pixels, self.blocks, -1).transpose(1, 2).reshape(rows, -1)
        else:
            flat = of_pixels.reshape(rows, -1)
        if self.whole:
            flat = torch.cat([flat, maps[:, self.each :].mean((-2, -1))], 1)
        return flat if self.order is None else flat.index_select(1, self.order)


def sides_and_channels(shape: Sequence[int]) -> tuple[int, int, int]:
    """(H, W, C) of (H, W) or (H, W, C). Raises ValueError for another shape."""
    if len(shape) not in (2, 3):
        raise ValueError(
            f"convolutions need images of height and width, and these are of shape {tuple(shape)}: take network = 'mlp'"
        )
    height, width, *channels = shape
    return height, width, channels[0] if channels else 1


def in_blocks(shape: Sequence[int], outputs: int) -> Places:
    """Blocks of D, one after the other, and what is left for the whole image: where nothing is known."""
    height, width, channels = sides_and_channels(shape)
    blocks, whole = divmod(outputs, height * width * channels)
    return Places((height, width), blocks * channels, whole, blocks)


def places_of(likelihood: Likelihood, shape: Sequence[int], levels: int) -> Places:
    """Of the raw outputs of a single likelihood, whose own copy, on a CPU, it looks at.

    ln P of pixel p has the weight p, and p², in two sums over pixels: of an output that belongs to p alone the
    gradients of these sums are p and p² times that of the plain sum. Where the pixels have not all one number of
    outputs, all are taken as of the whole image.
    """
    height, width, channels = sides_and_channels(shape)
    pixels = height * width
    pixel = _pixel_of(told(copy.deepcopy(likelihood).to("cpu"), tuple(shape)), pixels, channels, levels)
    outputs = len(pixel)
    common = in_blocks(shape, outputs)
    if _agrees(pixel, torch.arange(common.blocks * pixels * channels) % (pixels * channels) // channels):
        return common
    if outputs % pixels == 0 and _agrees(pixel, torch.arange(outputs) // (outputs // pixels)):
        return Places((height, width), outputs // pixels)
    whole = pixel < 0
    counts = torch.bincount(pixel[~whole], minlength=pixels)
    each = int(counts[0])
    if not bool((counts == each).all()):
        return Places((height, width), 0, outputs)
    # an output's place: its pixel's, and how many of the pixel's outputs come before it
    by_pixel = torch.argsort(torch.where(whole, pixels, pixel), stable=True)
    order = torch.empty_like(by_pixel)
    order[by_pixel] = torch.arange(outputs)
    return Places((height, width), each, int(whole.sum()), order=order)


def places_of_each(likelihoods: Sequence[Likelihood], shape: Sequence[int], levels: int) -> list[Places]:
    """Of each of a bundle's likelihoods, which may not be told the shape of their data yet."""
    found: dict[str, Places] = {}
    listed = []
    for likelihood in likelihoods:
        kind = f"{likelihood.name} {likelihood.stack_key()!r}"
        if kind not in found:
            found[kind] = places_of(likelihood, shape, levels)
        listed.append(found[kind])
    return listed


def _agrees(found: Tensor, wanted: Tensor) -> bool:
    """Whether all outputs of which something was found are where they are wanted, those beyond being of the whole
    image."""
    inner, beyond = found[: len(wanted)], found[len(wanted) :]
    return bool(((inner == wanted) | (inner == NOTHING)).all() and (beyond < 0).all())


def _pixel_of(likelihood: Likelihood, pixels: int, channels: int, levels: int) -> Tensor:
    """Of each output its pixel, WHOLE where it is of several, NOTHING where nothing changes with it: [R]."""
    dims = pixels * channels
    draw = torch.Generator().manual_seed(0)
    levels = 2 if likelihood.view == "binary" else levels
    k, raw = torch.randint(levels, (1, dims), generator=draw), torch.rand(1, likelihood.outputs(dims), generator=draw)
    with torch.no_grad():  # a σ that training finds has been found then
        likelihood.train_log_prob(VIEWS[likelihood.view].see(k, levels, torch.rand(1, dims, generator=draw)), raw)
    scored = likelihood.scored(likelihood.scorings[0])
    outputs = likelihood.outputs(dims)
    sums = torch.zeros(3, outputs, dtype=torch.float64)
    number = torch.arange(pixels, dtype=torch.float64).repeat_interleave(channels)
    with torch.enable_grad():
        for spread in SPREADS:
            raw = (spread * torch.randn(1, outputs, generator=draw)).double().requires_grad_()
            k = torch.randint(levels, (1, dims), generator=draw)
            each = scored.log_masses(k, raw, levels)[0].double()
            gradients = [
                torch.autograd.grad((each * weight).sum(), raw, retain_graph=True)[0][0]
                for weight in (torch.ones_like(number), number, number.square())
            ]
            larger = gradients[0].abs() > sums[0].abs()
            sums = torch.where(larger, torch.stack(gradients), sums)
    plain, first, second = sums
    mean = first / plain
    near = mean.round()
    of_one = (plain != 0) & ((mean - near).abs() < 1e-4) & (near >= 0) & (near < pixels)
    of_one &= ((second / plain) - near.square()).abs() <= 1e-6 * (1 + near.square())
    found = torch.where(of_one, near.nan_to_num().long(), WHOLE)
    return torch.where(plain == 0, NOTHING, found)
