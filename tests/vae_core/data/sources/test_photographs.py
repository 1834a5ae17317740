"""Patches of two photographs: no pixel in two splits, a gap, regions whole, and what is said of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vae_core import data
from vae_core.data.sources import photographs, scikit_learn

CHECKSUM = "20d25463"  # the beginning of that of the default patches, which must never change
SHAPE = (427, 640)


def placed() -> list[np.ndarray]:
    """Two photographs whose values say where a pixel is: which one, row, column."""
    rows, columns = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return [np.stack([np.full(SHAPE, which), rows, columns], -1) for which in range(2)]


def places(images: np.ndarray) -> set[tuple[int, int, int]]:
    return set(map(tuple, images.reshape(-1, 3).tolist()))


@pytest.mark.parametrize("size", [16, 20, 64])
def test_no_pixel_is_in_two_splits_nor_within_the_gap_of_another(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scikit_learn, "photographs", placed)
    parts = photographs.patches(size)
    masks = []
    for images in parts[:3]:
        mask = np.zeros((2, *SHAPE), bool)
        which, rows, columns = np.array(sorted(places(images))).T
        mask[which, rows, columns] = True
        masks.append(mask)
    for one, other in itertools.combinations(masks, 2):
        assert not (one & other).any()
        near = one.copy()
        for axis in (1, 2):  # everything within the gap, in rows and columns
            grown = near.copy()
            for shift in range(1, photographs.GAP + 1):
                ahead = [slice(None)] * 3
                behind = [slice(None)] * 3
                ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
                grown[tuple(ahead)] |= near[tuple(behind)]
                grown[tuple(behind)] |= near[tuple(ahead)]
            near = grown
        assert not (near & other).any()
    assert all(mask[0].any() and mask[1].any() for mask in masks), "both photographs are in every split"


def test_test_patches_lie_side_by_side_and_a_block_is_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scikit_learn, "photographs", placed)
    parts = photographs.patches(16)
    assert len(places(parts.test)) == parts.test.size // 3, "no pixel is tested twice"
    starts = np.cumsum([0, *parts.test_blocks])
    assert starts[-1] == len(parts.test)
    for begin, end in itertools.pairwise(starts):
        _, rows, columns = np.array(sorted(places(parts.test[begin:end]))).T
        assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (48, 48)
    of_blocks = [int(parts.test[begin, 0, 0, 0]) for begin in starts[:-1]]
    assert (of_blocks.count(0), of_blocks.count(1)) == (13, 13), "as many regions of either photograph"


def test_they_are_the_same_for_ever() -> None:
    patches = data.load("patches")
    assert patches.checksum.startswith(CHECKSUM)
    assert data.load("patches", patch_size=16).checksum == patches.checksum
    assert (patches.shape, patches.levels) == ((16, 16, 3), 256)
    assert [len(split) for split in (patches.train, patches.valid, patches.test)] == [2550, 234, 234]
    assert patches.test_blocks == (9,) * 26
    assert "2,550/234/234 in 102/26/26 regions" in patches.about


def test_a_patch_is_a_piece_of_a_photograph() -> None:
    from sklearn.datasets import load_sample_images

    patches = data.load("patches", patch_size=12)
    first = patches.test[0].numpy().reshape(12, 12, 3)
    views = [np.lib.stride_tricks.sliding_window_view(image, (12, 12, 3)) for image in load_sample_images().images]
    assert any((view[..., 0, 0, 0, :] == first[0, 0]).all(-1).any() for view in views)
    assert any((view == first).all((-3, -2, -1)).any() for view in views)


@pytest.mark.parametrize("size", [1, 3, 8, 32, 209])
def test_their_size_is_a_setting(size: int) -> None:
    patches = data.load("patches", patch_size=size)
    assert patches.shape == (size, size, 3)
    assert sum(patches.test_blocks) == len(patches.test)
    assert f"{size}×{size}×3" in patches.about
    assert "2,550" not in patches.about


@pytest.mark.parametrize("size", [0, 210, 640, 10**6])
def test_a_size_that_leaves_a_split_without_a_region_is_refused(size: int) -> None:
    with pytest.raises(data.DataError, match=rf"patch_size = {size} cannot be cut .*: give 1…209\."):
        data.load("patches", patch_size=size)


def test_it_is_said_loudly_that_they_are_two_photographs() -> None:
    remarks = data.questions.remarks(data.load("patches"))
    (scope,) = [remark for remark in remarks if remark.topic == "scope"]
    assert scope.loud
    assert "two photographs" in scope.text
    assert "over the 26 regions of the test split" in scope.text
    made = data.load("patches", grey=True, resize=8, quantise=16, train_images=200)
    assert scope in made.remarks
    assert made.test_blocks == (9,) * 26
