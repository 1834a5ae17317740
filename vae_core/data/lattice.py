"""Which levels occur: whether a data set has the K levels that are stated for it, or lies on a coarser lattice.

Images of 0 and 1 kept as bytes are no images of 256 levels: a view that divides by K−1 sees two values that are nearly
one, and every number of them is wrong. Levels that merely never occur are no such fault. So a claim needs evidence:

* fewer levels than an eighth of K occur (two, where that is less), or no two neighbouring ones do; and
* hardly any others would come with more images: how many there are in all, unseen ones included, is estimated at the
  least from those that occur in one or two groups of images only (Chao 1987, Biometrics 43: "Chao2"), so that levels
  which are few because images are few are not taken for a lattice. Copies of an image are no evidence, but where there
  are more images than there can be different ones they are no copies. Of very few different images, each level must
  occur in half of them; where it does not, that is a loud remark (`questions`).

Images of one single value are refused whatever they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vae_core.data.dataset import MOST_LEVELS, DataError

FEW = 8  # of K levels, fewer than one in so many
MORE = 1.25  # times the levels that occur, at most, are expected of more images where these are all
FEWEST_GROUPS = 8  # of images, below which the estimate is no evidence
BY_CHANCE = 4  # images for each that can be, from which on they must return
GROUPS = 64  # of images, at most: more cost time and change no estimate
SHOWN = 4  # values in a sentence, at most


@dataclass(frozen=True)
class Levels:
    """Which values occur in some integers: `values` [m] ascending, and in how many groups of images each does, of
    `groups`."""

    values: np.ndarray
    seen: np.ndarray
    groups: int

    @classmethod
    def of(cls, images: np.ndarray) -> Levels:
        """Of integers [N, …], any sign; images of one group lie spread over all of them. An image that comes several
        times counts once, for copies are no evidence; not so where images must return, of one or two values say."""
        possible = images[0].size * math.log(len(_occurring(images)))  # ln of how many images those values can make
        if possible > math.log(len(images) / BY_CHANCE):
            images = images[sorted({image.tobytes(): place for place, image in enumerate(images)}.values())]
        groups = min(len(images), GROUPS)
        found = [_occurring(images[start::groups]) for start in range(groups)]
        values, seen = np.unique(np.concatenate(found).astype(np.int64), return_counts=True)
        return cls(values, seen, groups)

    def mapped(self, new: np.ndarray) -> Levels:
        """The same where value i is new[i]; of values that become one, it is counted where the commonest occurs."""
        values, place = np.unique(new, return_inverse=True)
        seen = np.zeros(len(values), np.int64)
        np.maximum.at(seen, place, self.seen)
        return Levels(values, seen, self.groups)

    @property
    def expected(self) -> float:
        """How many levels there are at the least, those included that were not seen (Chao 1987, eq. 12, bias-corrected
        so that it is finite without levels that were seen twice)."""
        once, twice = (int((self.seen == count).sum()) for count in (1, 2))
        return len(self.values) + (1 - 1 / self.groups) * once * (once - 1) / (2 * (twice + 1))

    @property
    def settled(self) -> bool:
        """Whether more images would bring few other levels, as far as so many tell."""
        if self.groups < FEWEST_GROUPS:
            return int(self.seen.min()) >= max(2, self.groups / 2)
        return self.expected <= MORE * len(self.values)

    def coarse(self, levels: int) -> bool:
        """Whether these values, 0…K−1, lie on a lattice coarser than that of K levels."""
        if len(self.values) in (1, levels):
            return len(self.values) < levels
        return self.settled and self._sparse(levels)

    def doubtful(self, levels: int) -> bool:
        """Whether they seem to, and images that differ are too few to tell."""
        few = self.groups < FEWEST_GROUPS and not self.settled
        return few and 1 < len(self.values) < levels and self._sparse(levels)

    def _sparse(self, levels: int) -> bool:
        apart = int(np.diff(self.values).min()) >= 2
        return apart or len(self.values) <= max(2, levels // FEW)

    def fits(self, levels: int) -> bool:
        """Whether they are levels of K, and no coarser lattice."""
        return bool(self.values[0] >= 0 and self.values[-1] < levels <= MOST_LEVELS and not self.coarse(levels))

    def joined(self, levels: int, quantise: int) -> Levels:
        """What k·quantise // K makes of them."""
        return self.mapped(self.values * quantise // levels)

    @property
    def said(self) -> str:
        """`0 and 1`, `0, 17, 34, … 255`."""
        shown = [f"{value:,}" for value in self.values[:SHOWN]]
        if len(self.values) > SHOWN:
            return f"{', '.join(shown[:-1])}, … {self.values[-1]:,}"
        return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _occurring(images: np.ndarray) -> np.ndarray:
    """The values that occur, ascending; of few possible ones without sorting."""
    if images.dtype.itemsize > 2:
        return np.unique(images)
    low = int(images.min())
    return np.flatnonzero(np.bincount(images.reshape(-1).astype(np.int64) - low)) + low


def require_levels(name: str, found: Levels, levels: int, *, held: str, quantise: int | None = None) -> None:
    """Raises DataError, with what mends it and destroys nothing, where the values that were found are not 0…K−1, or lie
    on a coarser lattice and `quantise` does not mend that. `held`: "array", "stated" (an .npz that states its levels)
    or "folder"."""
    only = found.values[0]
    if len(found.values) == 1:
        raise DataError(f"every value of every image of {name} is {only}: give images that differ.")
    low, high = int(only), int(found.values[-1])
    if low < 0 or high >= levels:
        raise DataError(
            f"{name} has values {low}…{high}, but {levels} levels allow 0…{levels - 1}: {mend(found, levels, held)}."
        )
    if quantise is not None and 2 <= quantise < levels and levels % quantise == 0:
        joined = found.joined(levels, quantise)
        if len(joined.values) == 1:
            raise DataError(
                f"{name} has values {low}…{high}, all of which quantise = {quantise} joins to one level: leave "
                f"quantise out{_else_mended(found, levels, held)}."
            )
        if not joined.coarse(quantise):
            return
    if found.coarse(levels):
        raise DataError(
            f"{name} is said to have {levels} levels, but only {len(found.values)} occur ({found.said}): "
            f"{mend(found, levels, held)}."
        )


def _else_mended(found: Levels, levels: int, held: str) -> str:
    return f", and {mend(found, levels, held)}" if found.coarse(levels) else ""


def mend(found: Levels, levels: int, held: str, x: str = "x") -> str:
    """What to do, after which the same images are taken; every way of it keeps apart what is apart. `x`: what the
    integers that were found are called in a formula."""
    top = int(found.values[-1]) + 1
    if found.fits(top):
        return _stated(top, held) + (f", or as many as there can be, up to {_most(found, top)}" if top > 2 else "")
    if joins := _quantise(found, levels):
        return f"state quantise = {joins}, by which k becomes k·{joins} // {levels}: none that occur are joined"
    formula, count = _formula(found, x)
    if formula is None:
        return f"they are no levels of at most {MOST_LEVELS:,}, and cannot be scored"
    if held == "folder":
        return f"save {formula} as images of an .npz with levels={count}, where x = vae_core.data.read_folder(PATH)"
    stated = f"with levels={count} beside it" if held == "stated" else f"and state levels = {count}"
    return f"save {formula} in place of x {stated}"


def _stated(levels: int, held: str) -> str:
    return f"save levels={levels} beside the images" if held == "stated" else f"state levels = {levels}"


def _most(found: Levels, top: int) -> int:
    """The largest K of which these are no coarser lattice."""
    low, high = top, MOST_LEVELS
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if found.fits(middle) else (low, middle - 1)
    return low


def _quantise(found: Levels, levels: int) -> int | None:
    """The number of levels to which neighbouring ones are joined so that the same values are apart, at the same places
    within one level of K; none where there is none, or a value is no level of K."""
    values = found.values
    if values[0] < 0 or values[-1] >= levels:
        return None
    for count in range(len(values), levels):
        if levels % count == 0:
            joined = values * count // levels
            if len(np.unique(joined)) < len(values):
                continue
            step = (values[-1] - values[0]) / (joined[-1] - joined[0])
            off = np.abs(values - values[0] - step * (joined - joined[0])).max()
            if off <= 1 and found.mapped(joined).fits(count):
                return count
    return None


def _formula(found: Levels, x: str) -> tuple[str | None, int]:
    """What makes levels 0…m of an array x without joining any, and how many; None where they are too many."""
    values = found.values
    low, step = int(values[0]), math.gcd(*map(int, values - values[0]))
    shift = "" if not low else f" - {low}" if low > 0 else f" + {-low}"
    wide = x if low >= 0 or "astype" in x else f'{x}.astype("int64")'
    count = (int(values[-1]) - low) // step + 1
    if found.mapped((values - low) // step).fits(count):
        moved = f"{wide}{shift}"
        return (f"({moved}) // {step}" if shift else f"{moved} // {step}") if step > 1 else moved, count
    if len(values) > MOST_LEVELS:
        return None, 0
    return f"numpy.unique({x}, return_inverse=True)[1].reshape(x.shape)", len(values)
