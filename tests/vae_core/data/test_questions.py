"""What is noticed of data before anything is trained on them."""

from __future__ import annotations

import doctest
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.calls import calls_of
from tests.vae_core.data.remedies import groups, refused, whole
from vae_core import data
from vae_core.data import questions
from vae_core.data.splits import three_ways

RNG = np.random.default_rng(17)
RANDOM = RNG.integers(0, 256, (180, 8, 8), dtype=np.uint8)


def noticed(path: Path, images: np.ndarray, topic: str, **asked: Any) -> list[data.Remark]:
    """The remarks on one topic about images saved at a path."""
    np.save(path, images)
    return [remark for remark in questions.remarks(data.load(str(path), **asked)) if remark.topic == topic]


def dataset(train: np.ndarray, test: np.ndarray, levels: int = 256, valid: np.ndarray | None = None) -> data.Dataset:
    return data.Dataset.from_arrays("some", levels, train, test if valid is None else valid, test)


def found(held: data.Dataset, topic: str) -> list[data.Remark]:
    return [remark for remark in questions.remarks(held) if remark.topic == topic]


def film(frames: int, length: int = 40) -> np.ndarray:
    """A blob that wanders, scene after scene, with the noise of a camera: uint8 [frames, 12, 12]."""
    y, x = np.mgrid[:12, :12]
    images = np.empty((frames, 12, 12), np.uint8)
    for frame in range(frames):
        if frame % length == 0:
            place, speed, light = RNG.uniform(1, 11, 2), RNG.uniform(-0.3, 0.3, 2), RNG.uniform(100, 220)
        place = np.clip(place + speed, 0, 11)
        blob = light * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 8)
        images[frame] = np.clip(blob + RNG.normal(15, 2, (12, 12)), 0, 255)
    return images


# ---------------------------------------------------------------- copies


def test_twenty_images_nine_times_over_are_told_loudly_and_mended_by_what_is_said(tmp_path: Path) -> None:
    copied = np.tile(RANDOM[:20], (9, 1, 1))
    (remark,) = noticed(tmp_path / "x.npy", copied, "copies")
    assert remark.loud
    assert remark.text.startswith(
        "30 of 30 test images and 30 of 30 validation images occur in training, value for value"
    )
    held = data.load(str(tmp_path / "x.npy"))
    test, train = map(int, groups(r"test\[(\d+)\] is train\[(\d+)\]", remark.text))
    assert torch.equal(held.test[test], held.train[train])
    formula = groups(r"keep one of each, of an array x by (.+)$", remark.text)[0]
    once = eval(formula, {"x": copied, "numpy": np})
    assert np.array_equal(once, RANDOM[:20])
    assert not noticed(tmp_path / "y.npy", once, "copies")


@pytest.mark.parametrize(("copies", "loud"), [(2, False), (3, True)])
def test_more_than_a_twentieth_of_copies_is_loud(copies: int, loud: bool) -> None:
    test = RANDOM[:50].copy()
    test[10 : 10 + copies] = RANDOM[100 : 100 + copies]
    (remark,) = found(dataset(RANDOM[50:], test, valid=RANDOM[:40]), "copies")
    assert remark.loud == loud
    assert remark.text.startswith(
        f"{copies} of 50 test images occur in training, value for value: test[10] is train[50]"
    )


def test_blank_images_that_return_are_counted_apart() -> None:
    train, test = RANDOM[50:].copy(), RANDOM[:50].copy()
    train[3], test[:20] = 0, 0
    (remark,) = found(dataset(train, test, valid=RANDOM[20:50]), "copies")
    assert remark.text == "20 of 50 test images occur in training, value for value (20 of one value only)"
    assert not remark.loud


def test_few_possible_images_may_return_by_chance() -> None:
    train, test = RNG.integers(0, 2, (2, 300, 3, 3)).astype(np.uint8)
    (remark,) = found(dataset(train, test, 2), "copies")
    assert "with 2 levels and 9 values an image they may do so by chance" in remark.text
    assert not remark.loud


@pytest.mark.parametrize("noise", [1, 2])
def test_copies_with_a_little_noise_are_found(noise: int) -> None:
    originals = RNG.integers(5, 250, (200, 8, 8))
    train, test = originals[:150].copy(), RNG.integers(5, 250, (50, 8, 8))
    test[5:25] = train[30:50] + RNG.integers(-noise, noise + 1, (20, 8, 8))
    (remark,) = found(dataset(train, test, valid=originals[150:]), "copies")
    assert remark.text.startswith(
        "20 of 50 test images are all but equal to a training image, within a 20th of the usual"
    )
    assert remark.loud
    at, of, by = groups(r"test\[(\d+)\] differs from train\[(\d+)\] by ([\d.]+) levels a value$", remark.text)
    assert int(of) == int(at) + 25
    assert float(by) == pytest.approx(np.abs(test[int(at)] - train[int(of)]).mean(), abs=0.05)


def test_images_of_many_values_are_compared_with_fewer_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work has a limit: beyond it fewer test images are looked at, then fewer training images, which is said."""
    train, test = RANDOM[:150], RANDOM[150:].repeat(8, 0)
    close = np.where(np.arange(240)[:, None, None] % 8 == 0, test ^ 1, 255 - test)
    close[1::8] = train[:30] ^ 1
    whole_look = found(dataset(train, close, valid=RANDOM[150:]), "copies")[0].text
    assert whole_look.startswith("30 of 240 test images are all but")
    monkeypatch.setattr(questions, "PRODUCTS", 64 * 64 * 150)
    assert re.match(r"\d+ of 64 test images looked at are all but", found(dataset(train, close), "copies")[0].text)


def test_mnist_and_the_frey_faces_have_no_copies_and_take_seconds(mnist_root: Path) -> None:
    for name, constant in (("mnist", 67), ("fashion_mnist", 0), ("frey", 0), ("digits", 3)):
        if name == "frey" and not (mnist_root / "frey_faces.npz").exists():
            continue
        held = data.load(name, root=mnist_root)
        made, remarks = calls_of(partial(questions.remarks, held))
        assert made < 500_000  # two an image; two seconds, where nothing else runs
        assert not [remark for remark in remarks if remark.loud or remark.topic == "copies"]
        said = [remark.text for remark in remarks if remark.topic == "constant"]
        assert [int(text.split()[0]) for text in said] == ([constant] if constant else [])


# ---------------------------------------------------------------- runs of like images


def test_frames_of_a_film_are_offered_a_block_that_works(tmp_path: Path, frey_root: Path) -> None:
    for frames in (film(1200), np.load(frey_root / "frey_faces.npz")["images"]):
        (remark,) = noticed(tmp_path / "x.npy", frames, "neighbours")
        assert remark.loud
        block = int(groups(r"block = (\d+) keeps them in one split", remark.text)[0])
        assert 10 <= block <= 60
        assert not noticed(tmp_path / "x.npy", frames, "neighbours", block=block)
        held = data.load(str(tmp_path / "x.npy"), block=block)
        assert np.array_equal(whole(held, block), frames)
        split_of = np.empty(len(frames), int)
        for number, part in enumerate(three_ways(len(frames), block)):
            split_of[part] = number
        assert (np.diff(split_of) != 0).sum() < len(frames) / block
        assert f"whole blocks of {block} consecutive images in each" in held.about
        assert held.checksum != data.load(str(tmp_path / "x.npy")).checksum
        (short,) = noticed(tmp_path / "x.npy", frames, "neighbours", block=2)
        assert short.text.startswith("blocks of 2 are shorter than the runs of like images, about ")
        assert not short.loud


@pytest.mark.parametrize("copies", [2, 9])
def test_copies_that_follow_their_originals_are_kept_together_by_the_block_that_is_offered(
    copies: int, tmp_path: Path
) -> None:
    originals = RNG.integers(5, 250, (900 // copies, 8, 8))
    augmented = np.repeat(originals, copies, 0) + RNG.integers(-3, 4, (900 // copies * copies, 8, 8))
    (remark,) = noticed(tmp_path / "x.npy", augmented.astype(np.uint8), "neighbours")
    assert f"block = {copies} keeps" in remark.text
    (copied,) = noticed(tmp_path / "x.npy", augmented.astype(np.uint8), "copies")
    assert copied.loud
    assert not noticed(tmp_path / "x.npy", augmented.astype(np.uint8), "copies", block=copies)


def test_images_in_any_order_or_sorted_by_class_are_no_film(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = digits.images.astype(np.uint8)
    assert not noticed(tmp_path / "x.npy", pixels, "neighbours", levels=17)
    assert not noticed(tmp_path / "x.npy", RANDOM, "neighbours")
    shuffled = RNG.permutation(film(1200))
    assert not noticed(tmp_path / "x.npy", shuffled, "neighbours")
    classes = RNG.integers(30, 220, (10, 8, 8)).repeat(100, 0) + RNG.normal(0, 8, (1000, 8, 8))
    assert not noticed(tmp_path / "x.npy", classes.astype(np.uint8), "neighbours")


def test_mnist_sorted_by_class_is_no_film(tmp_path: Path, mnist_root: Path) -> None:
    raw = (mnist_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    labels = np.frombuffer((mnist_root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
    images = np.frombuffer(raw, np.uint8).reshape(-1, 28, 28)[np.argsort(labels, kind="stable")]
    assert not noticed(tmp_path / "x.npy", images, "neighbours")


def test_one_picture_in_rows_is_suspected(tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :200]
    picture = np.clip(120 + 80 * np.sin(x / 20) * np.cos(y / 30) + RNG.normal(0, 4, y.shape), 0, 255).astype(np.uint8)
    (remark,) = noticed(tmp_path / "x.npy", picture, "neighbours")
    assert "is this one picture, whose rows were taken for images?" in remark.text


def test_blocks_leave_room_for_three_splits_and_are_for_paths(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RANDOM)
    held = data.load(str(tmp_path / "x.npy"), block=30)
    assert [len(split) for split in (held.train, held.valid, held.test)] == [120, 30, 30]
    assert data.load(str(tmp_path / "x.npy"), block=1).checksum == data.load(str(tmp_path / "x.npy")).checksum
    for block in (31, 0):
        assert "has 180 images, too few for blocks" in (sentence := refused(tmp_path / "x.npy", block=block))
        assert "give block = 1…30, so that there are 6, or leave it out." in sentence
    with pytest.raises(
        data.DataError, match=r"digits has splits of its own .* block can be stated for paths only: leave it"
    ):
        data.load("digits", block=10)


# ---------------------------------------------------------------- constant values, sizes


@pytest.mark.parametrize(("mean", "levels"), [(40, 256), (120, 512)])
def test_counts_whose_tail_is_thin_are_told_how_few_levels_occur(mean: int, levels: int, tmp_path: Path) -> None:
    """More images would bring some more levels, and never those far beyond."""
    counts = np.random.default_rng(0).poisson(mean, (400, 30)).astype(np.uint16)
    (remark,) = noticed(tmp_path / "counts.npy", counts, "levels", levels=levels)
    absent = levels - len(np.unique(counts))
    assert remark.text.startswith(f"{absent} of {levels} levels never occur: values are {counts.min()}…{counts.max()}")


def test_values_that_never_change_are_counted_and_the_border_named() -> None:
    train, test = RANDOM[:150].copy(), RANDOM[150:].copy()
    for images in (train, test):
        images[:, :2], images[:, :, -1:], images[:, 4, 4] = 0, 7, 9
    test[0, 0, 0] = test[1, 4, 4] = 1
    (remark,) = found(dataset(train, test), "constant")
    assert remark.text == (
        "23 of 64 values of an image never change in training (rows and columns at the border: 2 above, 1 right), and "
        "2 of them do in test images: bits/dim counts them, and they cost next to nothing"
    )
    coloured = RNG.integers(0, 256, (200, 5, 4, 3), dtype=np.uint8)
    coloured[:, -1] = 3
    (remark,) = found(dataset(coloured[:150], coloured[150:]), "constant")
    assert (
        "12 of 60 values of an image never change in training (rows and columns at the border: 1 below)" in remark.text
    )
    assert "nor in test images" in remark.text
    assert not found(dataset(RANDOM[:150], RANDOM[150:]), "constant")


@pytest.mark.parametrize(("images", "test"), [(12, 2), (114, 19), (115, 20)])
def test_too_few_images_for_an_interval_are_told(images: int, test: int, tmp_path: Path) -> None:
    remarks = noticed(tmp_path / "x.npy", RANDOM[:images], "size")
    loud = [remark.text for remark in remarks if remark.loud]
    if test < 20:
        assert loud == [
            f"{test} test images are too few for an interval over images, which takes 20: no verdict can rest on them"
        ]
        assert f"is decided by {test} validation images" in remarks[1].text
    else:
        assert not loud
    assert f"{images - 2 * test} training images are few" in remarks[-1].text


def test_training_images_that_are_left_out_are_counted_as_absent() -> None:
    texts = [remark.text for remark in questions.remarks(data.load("digits", train_images=60))]
    assert "60 training images are few: what is best on them may not be on more" in texts
    assert any("16 validation images" in text for text in texts)


def test_loud_ones_come_first_and_each_is_one_sentence_without_its_stop(tmp_path: Path) -> None:
    copied = np.tile(np.pad(RANDOM[:20], ((0, 0), (1, 1), (1, 1))), (3, 1, 1))
    np.save(tmp_path / "x.npy", copied)
    remarks = questions.remarks(data.load(str(tmp_path / "x.npy")))
    assert [remark.loud for remark in remarks] == sorted((remark.loud for remark in remarks), reverse=True)
    assert {remark.topic for remark in remarks} == {"copies", "size", "constant", "levels"} - (
        set() if len(np.unique(copied)) < 240 else {"levels"}
    )
    for remark in remarks:
        assert not remark.text.endswith(".")
        assert not re.search(r"[.!?] [A-Z]|\n", remark.text)


def test_remarks_of_reading_stay_with_what_is_made_of_the_data(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", film(240))
    held = data.load(str(tmp_path / "x.npy"))
    assert held.remarks
    assert data.load(str(tmp_path / "x.npy"), quantise=16, train_images=50).remarks == held.remarks
    assert held.to("meta").remarks == held.remarks


def test_the_example_is_so() -> None:
    assert doctest.testmod(questions).failed == 0
