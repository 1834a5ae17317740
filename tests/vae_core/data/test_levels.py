"""The views of integer images, against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_core.data import binarise, dequantise, grey, threshold

levels_in_use = st.one_of(st.integers(2, 300), st.sampled_from([2, 17, 256, 1024, 4096, 32768, 65536]))


def all_levels(levels: int) -> torch.Tensor:
    return torch.arange(levels).to(torch.uint8 if levels <= 2**8 else torch.int16 if levels <= 2**15 else torch.int32)


@given(levels=levels_in_use)
def test_binarisation_is_one_with_probability_grey(levels: int) -> None:
    """On uniforms in the middle of K−1 equal parts of [0, 1), level k must be 1 exactly k times."""
    k = all_levels(min(levels, 300))  # the first levels, and below the last
    uniform = (torch.arange(levels - 1, dtype=torch.float64) + 0.5) / (levels - 1)
    assert torch.equal(binarise(k[:, None], levels, uniform).sum(-1), k.double())
    assert binarise(torch.tensor([levels - 1]), levels, uniform).sum() == levels - 1


@pytest.mark.parametrize("levels", [2, 17, 256, 32768, 65536])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_black_and_white_survive_any_draw(levels: int, dtype: torch.dtype) -> None:
    uniform = torch.tensor([0.0, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)
    ends = torch.tensor([[0], [levels - 1]], dtype=torch.int32)
    drawn = binarise(ends, levels, uniform)
    assert drawn.tolist() == [[0, 0], [1, 1]]
    assert drawn.dtype == dtype


@given(levels=levels_in_use)
def test_threshold_is_above_one_half(levels: int) -> None:
    k = all_levels(levels)
    assert threshold(k, levels).tolist() == [float(Fraction(int(v), levels - 1) > Fraction(1, 2)) for v in k]


@given(levels=levels_in_use, uniform=st.floats(0, 1, exclude_max=True, width=32))
def test_dequantised_values_lie_in_their_bins_and_below_one(levels: int, uniform: float) -> None:
    k = all_levels(levels)
    for u in (uniform, float(np.nextafter(np.float32(1), np.float32(0)))):
        x = dequantise(k, levels, torch.tensor(u, dtype=torch.float32))
        assert x.dtype == torch.float32
        assert x.min() >= 0
        assert x.max() < 1
        exact = (k.double() + u) / levels
        assert (x.double() - exact).abs().max() <= 2**-23  # float32's rounding, twice


def test_the_largest_dequantised_value_is_the_largest_below_one() -> None:
    for dtype in (torch.float32, torch.float64):
        below_one = torch.tensor(1 - torch.finfo(dtype).eps / 2, dtype=dtype)
        assert dequantise(torch.tensor([255]), 256, below_one).item() == below_one.item() < 1


@given(levels=levels_in_use)
def test_grey_reaches_both_ends(levels: int) -> None:
    k = all_levels(levels)
    shown = grey(k, levels, torch.float64)
    assert shown[0] == 0
    assert shown[-1] == 1
    assert torch.equal(shown, k.double() / (levels - 1))
    assert grey(k, levels).dtype == torch.float32


def test_views_broadcast_over_models_and_samples() -> None:
    k = torch.randint(0, 17, (5, 1, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    uniform = torch.rand(3, 5, 2, 8, generator=torch.Generator().manual_seed(1))
    for view in (binarise, dequantise):
        whole = view(k, 17, uniform)
        assert whole.shape == (3, 5, 2, 8)
        assert torch.equal(whole[1, :, 1], view(k[:, 0], 17, uniform[1, :, 1]))


VIEWS: list[Callable[[torch.Tensor, int], torch.Tensor]] = [
    lambda k, levels: binarise(k, levels, torch.zeros(1)),
    lambda k, levels: dequantise(k, levels, torch.zeros(1)),
    threshold,
    grey,
]


@pytest.mark.parametrize("view", VIEWS, ids=["binarise", "dequantise", "threshold", "grey"])
@pytest.mark.parametrize(
    ("k", "levels", "message"),
    [
        (torch.tensor([3, 17]), 17, "values 3…17, but 17 levels allow 0…16"),
        (torch.tensor([-1, 3]), 17, "values -1…3"),
        (torch.tensor([0.5]), 17, "takes integers"),
        (torch.tensor([True]), 2, "takes integers"),
        (torch.tensor([0]), 1, "at least 2 levels"),
    ],
)
def test_what_is_no_image_is_refused(
    view: Callable[[torch.Tensor, int], torch.Tensor], k: torch.Tensor, levels: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        view(k, levels)
