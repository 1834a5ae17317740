"""Levels that are said to be there and are not: refused with what mends it, which is followed to the letter."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vae_core.data.remedies import follow, formula, groups, refused, whole
from vae_core import data
from vae_core.data.lattice import Levels, mend

RNG = np.random.default_rng(11)
J = RNG.integers(0, 16, size=(60, 6, 6))  # sixteen levels
TERNARY = J % 3

#: the images, what is stated of them, the levels that they truly have, and what the refusal asks for
COARSE: dict[str, tuple[np.ndarray, int | None, np.ndarray | None, int, str]] = {
    "0 and 1 as bytes": (J % 2, None, J % 2, 2, "only 2 occur (0 and 1): state levels = 2."),
    "0 and 1, 256 stated": (J % 2, 256, J % 2, 2, "state levels = 2."),
    "0 and 255": (J % 2 * 255, None, J % 2, 2, "(0 and 255): state quantise = 2, by which k becomes k·2 // 256: none"),
    "0, 128 and 255": (
        np.array([0, 128, 255])[TERNARY],
        None,
        TERNARY,
        3,
        "save numpy.unique(x, return_inverse=True)[1].reshape(x.shape) in place of x and state levels = 3.",
    ),
    "sixteen, multiples of 17": (J * 17, None, J, 16, "only 16 occur (0, 17, 34, … 255): state quantise = 16"),
    "sixteen, multiples of 16": (J * 16, None, J, 16, "state quantise = 16"),
    "sixteen, as they are": (J, None, J, 16, "state levels = 16, or as many as there can be, up to 127"),
    "eight, rounded": (np.rint(J // 2 * 255 / 7), None, J // 2, 8, "state quantise = 8"),
    "sixty-four, rounded": (np.rint((J * 4 + J.T.reshape(J.shape) % 4) * 255 / 63), None, None, 64, "quantise = 64"),
    "every fifth": (J * 5 + 3, None, J, 16, "save (x - 3) // 5 in place of x and state levels = 16."),
    "beginning at 100": (J % 4 + 100, None, J % 4, 4, "save x - 100 in place of x and state levels = 4."),
    "counts of at most 20": (np.minimum(J, 20), 2**15, J, 16, "state levels = 16"),
    "two of seventeen": (J % 2 * 16, 17, J % 2, 2, "save x // 16 in place of x and state levels = 2."),
}


def saved(folder: Path, x: np.ndarray, name: str = "x.npy") -> Path:
    kind = np.uint8 if x.max() < 256 else np.int64
    np.save(folder / name, x.astype(kind))
    return folder / name


@pytest.mark.parametrize("case", COARSE)
def test_a_coarser_lattice_is_refused_with_a_remedy_that_works_and_joins_nothing(case: str, tmp_path: Path) -> None:
    x, stated, right, levels, said = COARSE[case]
    sentence = refused(saved(tmp_path, x), levels=stated)
    assert f"is said to have {stated or 256} levels, but only {levels} occur" in sentence
    assert said in sentence
    held = follow(sentence, np.load(tmp_path / "x.npy"), tmp_path, levels=stated)
    assert held.levels == levels
    if right is not None:
        assert np.array_equal(whole(held), right)
    assert len(np.unique(whole(held))) == levels
    assert not [remark for remark in data.questions.remarks(held) if remark.topic == "levels"]


def test_sixty_four_levels_of_256_are_the_six_bits_they_were(tmp_path: Path) -> None:
    six_bits = np.arange(64 * 36).reshape(64, 6, 6) % 64
    spread = six_bits << 2 | six_bits >> 4  # as pictures of fewer bits are spread over a byte
    held = follow(refused(saved(tmp_path, spread)), spread.astype(np.uint8), tmp_path)
    assert held.levels == 64
    assert np.array_equal(whole(held), six_bits)


def test_ten_bits_in_sixteen_are_the_ten_bits_they_were(tmp_path: Path) -> None:
    ten_bits = RNG.integers(0, 1024, size=(60, 20, 20))
    path = saved(tmp_path, np.rint(ten_bits * 65535 / 1023))
    sentence = refused(path, levels=65536)
    assert "state quantise = 1024" in sentence
    held = data.load(str(path), levels=65536, quantise=1024)
    assert np.array_equal(whole(held), ten_bits)


def test_a_number_of_levels_that_the_file_states_is_mended_in_the_file(tmp_path: Path) -> None:
    for x, levels, right in ((J % 2, 256, J % 2), (J * 5 + 3, 256, J)):
        np.savez(tmp_path / "x.npz", images=x.astype(np.uint8), levels=levels)
        sentence = refused(tmp_path / "x.npz")
        assert np.array_equal(whole(follow(sentence, x, tmp_path)), right)
    assert "with levels=16" in sentence


def test_levels_are_taken_as_stated_up_to_the_number_that_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, J)
    assert data.load(str(path), levels=127).levels == 127
    assert "up to 127" in refused(path, levels=128)


def test_quantise_that_mends_is_let_pass_and_one_that_destroys_is_not(tmp_path: Path) -> None:
    path = saved(tmp_path, J * 17)
    assert np.array_equal(whole(data.load(str(path), quantise=16)), J)
    assert np.array_equal(whole(data.load(str(path), quantise=4)), J // 4)  # fewer, as asked
    binary = saved(tmp_path, J % 2, "binary.npy")
    assert "all of which quantise = 16 joins to one level: leave quantise out, and state levels = 2." in refused(
        binary, quantise=16
    )
    assert data.load(str(binary), levels=2).levels == 2
    assert "cannot be joined evenly" in refused(saved(tmp_path, RNG.integers(0, 256, (60, 6, 6))), quantise=15)


@pytest.mark.parametrize(
    ("x", "levels", "said"),
    [
        (np.where(J == 5, 4, J), 17, "2 of 17 levels never occur: values are 0…15, 1 of them between others"),
        (RNG.integers(0, 250, (60, 20, 20)), 256, "6 of 256 levels never occur: values are 0…249"),
        (RNG.integers(100, 140, (60, 20, 20)), 256, "216 of 256 levels never occur: values are 100…139"),
        (np.where(J == 8, 7, J), 16, "1 of 16 level never occurs: values are 0…15, 1 of them between others"),
    ],
)
def test_levels_that_merely_never_occur_are_a_remark(x: np.ndarray, levels: int, said: str, tmp_path: Path) -> None:
    held = data.load(str(saved(tmp_path, x)), levels=levels)
    assert [r.text for r in data.questions.remarks(held) if r.topic == "levels"] == [said]


@pytest.mark.parametrize("levels", [1024, 65536])
def test_few_images_have_few_levels_by_chance(levels: int, tmp_path: Path) -> None:
    few = RNG.integers(0, levels, size=(12, 2, 2))
    held = data.load(str(saved(tmp_path, few)), levels=levels)
    assert not [remark for remark in data.questions.remarks(held) if remark.topic == "levels"]
    copied = np.tile(RNG.integers(0, 256, (20, 2, 3)), (9, 1, 1))  # levels that come often, of images that come often
    assert data.load(str(saved(tmp_path, copied, "d.npy"))).levels == 256
    constant = np.repeat(RNG.permutation(256)[:12], 100).reshape(
        12, 10, 10
    )  # many values, of twelve images all the same
    assert data.load(str(saved(tmp_path, constant, "c.npy"))).levels == 256


def few_that_differ(count: int, values: tuple[int, ...], seed: int) -> np.ndarray:
    """600 images [8, 8], of which so many differ, of random values."""
    images = np.array(values)[np.random.default_rng(seed).integers(0, len(values), (count, 8, 8))]
    return images[np.arange(600) % count]


@pytest.mark.parametrize("values", [(0, 1), (0, 255)])
@pytest.mark.parametrize("count", [2, 3, 5, 7, 8])
def test_few_images_that_differ_are_evidence_where_all_have_the_same_values(
    count: int, values: tuple[int, ...], tmp_path: Path
) -> None:
    x = few_that_differ(count, values, count)
    held = follow(refused(saved(tmp_path, x)), x.astype(np.uint8), tmp_path)
    assert held.levels == 2
    assert np.array_equal(whole(held), x // values[1])


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.repeat([10, 20, 30, 40, 50, 60], 64).reshape(6, 8, 8), "only 6 of 256 levels occur (10, 20, 30, … 60)"),
        (np.arange(64).reshape(1, 8, 8) % 2, "only 2 of 256 levels occur (0 and 1), and only 1 image is there"),
    ],
)
def test_few_images_that_differ_and_have_values_of_their_own_are_taken_with_a_loud_remark(
    images: np.ndarray, said: str, tmp_path: Path
) -> None:
    x = images[np.arange(600) % len(images)]
    held = data.load(str(saved(tmp_path, x)))
    (remark,) = (remark for remark in data.questions.remarks(held) if remark.topic == "levels")
    assert remark.loud
    assert remark.text.startswith(said)


@pytest.mark.parametrize(
    ("levels", "dims", "number"), [(2, 1, 2000), (2, 2, 2000), (4, 2, 5000), (16, 1, 5000), (3, 3, 400)]
)
def test_images_so_small_that_they_must_return_are_no_copies(
    levels: int, dims: int, number: int, tmp_path: Path
) -> None:
    k = RNG.integers(0, levels, size=(number, 1, dims))
    sentence = refused(saved(tmp_path, k))
    assert f"is said to have 256 levels, but only {levels} occur" in sentence
    assert f"state levels = {levels}" in sentence
    assert np.array_equal(whole(follow(sentence, k.astype(np.uint8), tmp_path)), k)


def test_small_images_of_all_their_levels_are_taken(tmp_path: Path) -> None:
    for levels, dims in ((256, 1), (256, 2), (2, 1)):
        k = RNG.integers(0, levels, size=(5000, 1, dims))
        assert data.load(str(saved(tmp_path, k)), levels=levels).levels == levels


def test_images_of_one_value_only_are_refused(tmp_path: Path) -> None:
    for value in (0, 7):
        path = saved(tmp_path, np.full((20, 4, 4), value))
        assert f"every value of every image of {path} is {value}: give images that differ." == refused(path)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.5, -1.0, 7.0, 3.25, 1e4])
def test_real_numbers_of_one_value_only_are_refused_alike(value: float, kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((20, 4, 4), value, kind))
    assert refused(tmp_path / "x.npy").endswith(f"x.npy is {value:g}: give images that differ.")


@pytest.mark.parametrize(
    ("x", "levels", "said"),
    [
        (J + 1, 16, "has values 1…16, but 16 levels allow 0…15: state levels = 17"),
        (J - 8, 16, 'has values -8…7, but 16 levels allow 0…15: save x.astype("int64") + 8 in place of x'),
        (J % 2 * 2 - 1, 2, 'save (x.astype("int64") + 1) // 2 in place of x and state levels = 2'),
        (J * 17, 16, "has values 0…255, but 16 levels allow 0…15: save x // 17 in place of x and state levels = 16."),
        (J + 100_000, 256, "save x - 100000 in place of x and state levels = 16"),
        (J * 100_000, 256, "save x // 100000 in place of x and state levels = 16"),
    ],
)
def test_values_outside_the_levels_get_a_remedy_that_keeps_them_apart(
    x: np.ndarray, levels: int, said: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", x)
    sentence = refused(tmp_path / "x.npy", levels=levels)
    assert said in sentence
    held = whole(follow(sentence, x, tmp_path, levels=levels))
    assert len(np.unique(held)) == len(np.unique(x))
    assert np.array_equal(np.argsort(held, None, "stable"), np.argsort(x, None, "stable")), "the order is another"


def test_what_has_more_levels_than_can_be_scored_is_told_so(tmp_path: Path) -> None:
    x = np.arange(70_000).reshape(70, 1000) * 3 % 200_003
    np.save(tmp_path / "x.npy", x)
    assert "at most 65,536, and cannot be scored" in refused(tmp_path / "x.npy", levels=65536)


@given(
    used=st.lists(st.integers(0, 255), min_size=2, max_size=200, unique=True),
    levels=st.sampled_from([256, 300, 1024, 65536]),
)
def test_whatever_occurs_every_remedy_is_accepted_and_joins_nothing(used: list[int], levels: int) -> None:
    values = np.sort(np.array(used))
    found = Levels(values, np.full(len(values), 20), 20)
    if found.fits(levels):
        return
    sentence = mend(found, levels, "array")
    if "quantise = " in sentence:
        count = int(groups(r"quantise = (\d+)", sentence)[0])
        made = values * count // levels
    else:
        count = int(groups(r"levels = (\d+)", sentence)[0])
        made = formula(f"{sentence}.", values)
    assert (np.diff(made) > 0).all()
    assert found.mapped(made).fits(count)


def test_the_estimate_of_unseen_levels_is_chao2() -> None:
    """Chao (1987): S + (m−1)/m · Q1(Q1−1) / (2(Q2+1)), worked by hand for three images."""
    images = np.array([[0, 1, 2, 3], [0, 1, 4, 5], [0, 6, 6, 6]])  # once: 2, 3, 4, 5, 6; twice: 1
    found = Levels.of(images)
    assert found.values.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert found.seen.tolist() == [3, 2, 1, 1, 1, 1, 1]
    assert math.isclose(found.expected, 7 + 2 / 3 * 5 * 4 / (2 * 2))


@given(st.integers(2, 200), st.integers(1, 40))
def test_which_values_occur_is_the_same_for_any_type(count: int, groups: int) -> None:
    x = np.random.default_rng(count).integers(-100, 100, size=(groups + 9, count))
    narrow, wide = Levels.of(x.astype(np.int8)), Levels.of(x)
    assert np.array_equal(narrow.values, wide.values)
    assert np.array_equal(narrow.seen, wide.seen)


def test_named_data_sets_have_the_levels_that_are_said(mnist_root: Path, frey_root: Path) -> None:
    for name, absent in (("digits", 0), ("mnist", 0), ("fashion_mnist", 0), ("frey", 26)):
        held = data.load(name, root=mnist_root)
        found = Levels.of(np.concatenate([held.train.numpy(), held.valid.numpy(), held.test.numpy()]))
        assert held.levels - len(found.values) == absent
        assert not found.coarse(held.levels)
