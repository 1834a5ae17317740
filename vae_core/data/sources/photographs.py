"""`patches`: small pictures in colour, cut from the two sample photographs of scikit-learn, which need no download.

A photograph's neighbouring pixels are alike, so that patches drawn at random would have the test split beside, or over,
the training split. Here each photograph is cut into square regions of at most `REGION` pixels a side, at least `GAP`
apart, and a whole region goes to one split: no pixel is in two splits, and none of a test patch has a training pixel as
its neighbour. Which regions go where is fixed (`splits.order`): a sixth of each photograph's to the test, a sixth to
the validation split. Validation and test patches lie side by side; training patches overlap by half.

What a number of these claims: the regions of the test split are drawn from all regions of two photographs, and patches
of one region are alike. So an interval is one over regions (`Parts.test_blocks`), and it speaks of other regions of
these two photographs: two are no sample of photographs.

The gap keeps neighbours apart, and no more can be had from it: of 234 test patches some 110 are within a twentieth of
the usual distance of a training patch, for skies and blurred leaves are smooth, and 81 still are where training patches
nearer than 128 pixels are left out (`questions` remarks it).

Pillow decodes the two files; a library for JPEG that rounds otherwise gives other numbers, which the checksum shows.
"""

from __future__ import annotations

import numpy as np

from vae_core.data.dataset import DataError, Parts, Remark
from vae_core.data.sources import scikit_learn
from vae_core.data.splits import FEWEST_BLOCKS, SHARE, order

LEVELS = 256
SIZE = 16  # pixels a side of a patch, where nothing else is asked for
REGION = 48  # pixels a side of a region at most, unless one patch is larger
GAP = 8  # pixels between two regions at least


def patches(size: int = SIZE) -> Parts:
    """uint8 [N, size, size, 3] a split, and how many test patches each region of the test split has.

    Raises DataError where patches of that size leave less than one region to validation or test, two to each of both
    photographs.
    """
    photographs = scikit_learn.photographs()
    side = region_side(size)
    height, width = photographs[0].shape[:2]
    if size < 1 or 2 * len(corners(height, width, side)) < FEWEST_BLOCKS:
        most = max(one for one in range(1, height + 1) if 2 * len(corners(height, width, one)) >= FEWEST_BLOCKS)
        raise DataError(
            f"patches of patch_size = {size} cannot be cut from two photographs of {height}×{width} so that each split "
            f"has regions of its own: give 1…{most}."
        )
    cut = _regions(photographs, side)
    train = _patches(cut[0], size, max(1, size // 2))
    valid, test = (_patches(regions, size, size) for regions in cut[1:])
    each = (side // size) ** 2
    blocks = (each,) * (len(test) // each)
    return Parts(train, valid, test, blocks, (_two_photographs(len(blocks)),))


def about(size: int = SIZE) -> str:
    """One line on them."""
    return (
        f"patches in colour of scikit-learn's two sample photographs (a temple, a flower), {size}×{size}×3 (patch_size "
        f"has other sizes), {LEVELS} levels; whole regions of each photograph in one split, at least {GAP} pixels apart"
        + ("; 2,550/234/234 in 102/26/26 regions" if size == SIZE else "")
        + "; needs no download"
    )


def region_side(size: int) -> int:
    """Pixels a side of a region: as many whole patches as fit into `REGION`, one at the least."""
    return size * max(1, REGION // max(size, 1))


def corners(height: int, width: int, side: int) -> list[tuple[int, int]]:
    """Top left corners of the regions of a photograph, spread evenly over it, row by row; none where it is small."""
    return [(top, left) for top in _starts(height, side) for left in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    count = (length + GAP) // (side + GAP)
    if count < 2:
        return [(length - side) // 2] * count
    return [place * (length - side) // (count - 1) for place in range(count)]


def _regions(photographs: list[np.ndarray], side: int) -> list[list[np.ndarray]]:
    """The regions of training, validation and test; in each a sixth of those of either photograph, in turn."""
    places = [corners(len(photograph), photograph.shape[1], side) for photograph in photographs]
    each = len(places[0])
    ranked = [[int(index) % each for index in order(2 * each) if index // each == which] for which in range(2)]
    share = -(-each // SHARE)
    parts = (slice(2 * share, None), slice(share, 2 * share), slice(0, share))
    return [
        [
            photographs[which][top : top + side, left : left + side]
            for pair in zip(*(ranks[part] for ranks in ranked), strict=True)
            for which, place in enumerate(pair)
            for top, left in (places[which][place],)
        ]
        for part in parts
    ]


def _patches(regions: list[np.ndarray], size: int, stride: int) -> np.ndarray:
    """[N, size, size, 3], region by region."""
    cut = np.lib.stride_tricks.sliding_window_view(np.stack(regions), (size, size), (1, 2))[:, ::stride, ::stride]
    return np.ascontiguousarray(cut.transpose(0, 1, 2, 4, 5, 3)).reshape(-1, size, size, 3)


def _two_photographs(blocks: int) -> Remark:
    return Remark(
        "scope",
        f"these are patches of two photographs: intervals are over the {blocks} regions of the test split, not over "
        "patches, and say what other regions of the same two photographs would give; of other photographs no interval "
        "here says anything",
        loud=True,
    )
