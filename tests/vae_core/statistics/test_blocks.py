"""Intervals over blocks: they hold the mean where images of a block are alike, which those over images do not."""

from __future__ import annotations

import numpy as np
import pytest

from vae_core.evaluate.conditional import spaced
from vae_core.statistics import intervals
from vae_core.statistics.blocks import by_block, of_some


def test_equal_blocks_are_their_means_and_the_mean_stays() -> None:
    values = np.random.default_rng(0).normal(size=(3, 24))
    assert np.allclose(by_block(values, (4,) * 6), values.reshape(3, 6, 4).mean(-1))
    uneven = by_block(values, (1, 7, 4, 12))
    assert uneven.shape == (3, 4)
    assert np.allclose(uneven.mean(-1), values.mean(-1))


def test_it_is_linear_so_that_differences_stay_paired() -> None:
    one, other = np.random.default_rng(1).normal(size=(2, 5, 20))
    sizes = (3, 9, 8)
    assert np.allclose(by_block(one - other, sizes), by_block(one, sizes) - by_block(other, sizes))


def test_a_far_mean_makes_uneven_blocks_no_noisier() -> None:
    """Sums of uneven blocks would vary with their sizes alone."""
    values = np.random.default_rng(2).normal(size=40)
    sizes = (1, 15, 4, 20)
    near, far = by_block(values, sizes), by_block(values - 1e6, sizes)
    assert np.allclose(far + 1e6, near, atol=1e-6)


def test_without_blocks_nothing_changes_and_wrong_ones_are_refused() -> None:
    values = np.arange(6.0)
    assert by_block(values, ()) is values
    for sizes in ((3, 2), (3, 4), (6, 0)):
        with pytest.raises(ValueError, match="blocks of"):
            by_block(values, sizes)


@pytest.mark.parametrize("images", [1, 7, 26, 100, 233, 234])
def test_blocks_of_some_images_are_those_of_the_images_that_are_scored(images: int) -> None:
    sizes = (9,) * 20 + (27, 1, 26)
    block = np.repeat(np.arange(len(sizes)), sizes)[spaced(sum(sizes), images).numpy()]
    assert of_some(sizes, images) == tuple(np.unique(block, return_counts=True)[1].tolist())
    assert sum(of_some(sizes, images)) == images


def test_more_images_than_blocks_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="10 images of blocks with 9"):
        of_some((4, 5), 10)
    assert of_some((), 10) == ()


@pytest.mark.parametrize("sizes", [(9,) * 26, (2, 16) * 13])
def test_intervals_over_blocks_hold_the_mean_where_those_over_images_do_not(sizes: tuple[int, ...]) -> None:
    """26 blocks, half of the variance between them: nominal 95 %."""
    rng = np.random.default_rng(3)
    held: list[bool] = []
    held_over_images: list[bool] = []
    for _ in range(200):
        common = np.repeat(rng.normal(size=len(sizes)), sizes)
        sample = (common + rng.normal(size=sum(sizes)))[None]
        over_blocks = intervals.mean_interval(by_block(sample, sizes), rng, replicates=400)
        over_images = intervals.mean_interval(sample, rng, replicates=400)
        held.append(bool(over_blocks.image_low <= 0 <= over_blocks.image_high))
        held_over_images.append(bool(over_images.image_low <= 0 <= over_images.image_high))
    assert np.mean(held) > 0.89
    assert np.mean(held_over_images) < 0.75
