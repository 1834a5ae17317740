"""Every reference: found from its file, sums to one, looks at no test image, and gives what an oracle gives."""

from __future__ import annotations

import io
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.vae_core.references.made import bits, clusters, images
from vae_core import data, references
from vae_core.references import Distribution, Images, LeftOut, Tables
from vae_core.references._base import strip_of
from vae_core.references._tables import OneHot, counted

SETTINGS = [{"sigma": "shared"}]
DISTRIBUTIONS = ["uniform", "histogram", "product_mixture", "no_latent:gaussian", "no_latent:categorical"]


def made(name: str) -> references.Reference:
    settings = SETTINGS if name.endswith("gaussian") else [{}] if ":" in name else ()
    return references.make(name, settings)


def digits() -> tuple[Images, np.ndarray]:
    loaded = data.load("digits")
    given = Images(loaded.train.numpy(), loaded.valid.numpy(), loaded.levels, tuple(loaded.shape))
    return given, loaded.test.numpy()


def test_every_file_of_the_folder_is_a_reference_with_a_card():
    assert references.names() == ["histogram", "no_latent", "png", "product_mixture", "uniform", "webp", "xz"]
    for name in references.names():
        card = references.get(name).card
        assert card.title
        assert card.summary.endswith(".")
        assert card.source


def test_a_wrong_name_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"unknown reference 'histogramm' \(there are: histogram, no_latent"):
        references.make("histogramm")
    with pytest.raises(ValueError, match="say of which, such as no_latent:gaussian"):
        references.make("no_latent", SETTINGS)
    with pytest.raises(ValueError, match="needs one setting"):
        references.make("no_latent:gaussian")
    with pytest.raises(ValueError, match="leave out 'gaussian'"):
        references.make("histogram:gaussian")


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_it_sums_to_one_over_all_images(name):
    """Of two values with five levels: all 25 images."""
    given, _ = images(clusters(dims=2), 5)
    reference = made(name)
    assert isinstance(reference, Distribution)
    tables = reference.fit(given).tables
    every = np.stack(np.meshgrid(range(5), range(5)), axis=-1).reshape(-1, 2)
    assert np.exp(tables.score(every)).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_an_image_scores_the_same_alone_in_another_order_and_beside_others(name):
    given, test = images(clusters(), 5)
    whole = made(name).outcome(given, test).per_image
    assert whole is not None
    alone = np.concatenate([made(name).outcome(given, test[[index]]).per_image for index in range(5)])
    assert alone == pytest.approx(whole[:5], rel=1e-12)
    assert made(name).outcome(given, test[::-1]).per_image == pytest.approx(whole[::-1], rel=1e-12)


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(2, 6))
def test_tables_score_as_the_plain_sum_over_components_does(seed, components, levels):
    rng = np.random.default_rng(seed)
    weights, masses = rng.dirichlet(np.ones(components)), rng.dirichlet(np.ones(levels), size=(components, 3))
    k = rng.integers(levels, size=(7, 3))
    expected = np.log(sum(w * np.prod(m[np.arange(3), k], axis=1) for w, m in zip(weights, masses, strict=True)))
    assert Tables(np.log(weights), np.log(masses)).score(k) == pytest.approx(expected, rel=1e-9)
    one_hot = OneHot(k, levels, rng.integers(levels, size=3))
    shares = rng.random((7, components))
    by_hand = np.zeros((components, 3, levels))
    for image, share in zip(k, shares, strict=True):
        by_hand[:, np.arange(3), image] += share[:, None]
    assert one_hot.counts(shares) == pytest.approx(by_hand, abs=1e-9)


def test_a_level_without_probability_is_refused():
    with pytest.raises(ValueError, match="smooth the table"):
        Tables(np.zeros(1), np.array([[[0.0, -np.inf]]]))


@pytest.mark.parametrize(("levels", "dims"), [(17, 64), (2, 784), (65536, 3)])
def test_the_uniform_guess_is_d_ln_k(levels, dims):
    k = np.zeros((12, dims), np.int64)
    given, test = images(k, levels)
    assert made("uniform").outcome(given, test).per_image == pytest.approx(-dims * np.log(levels))


# -- codecs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "expected"), [("png", 4.0546), ("xz", 2.8867)])
def test_codecs_of_digits_as_one_strip(name, expected):
    """Where zlib or LZMA of another version packs a little otherwise, within a hundredth."""
    given, test = digits()
    outcome = made(name).outcome(given, test)
    assert bits(outcome.nats, 64) == pytest.approx(expected, abs=0.01)
    assert outcome.per_image is None
    assert outcome.details["strip"] == [2400, 8]


def test_one_by_one_a_png_is_mostly_its_head():
    given, test = digits()
    each = [made("png").outcome(given, test[[index]]).nats for index in range(0, 300, 10)]
    assert bits(float(np.mean(each)), 64) == pytest.approx(14.2, abs=0.2)


def decoded(name: str, files: list[bytes], levels: int) -> np.ndarray:
    if name == "xz":
        content = lzma.decompress(files[0])
        return np.frombuffer(content, "u1" if levels <= 256 else "<u2")
    planes = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    if name == "webp" and planes[0].ndim == 3:
        planes = [plane if np.ptp(plane, axis=2).any() else plane[..., 0] for plane in planes]
    return np.concatenate(planes)


@pytest.mark.parametrize("name", ["png", "webp", "xz"])
@pytest.mark.parametrize(
    ("levels", "shape"),
    [(2, (5, 4)), (17, (5, 4)), (256, (5, 4)), (256, (5, 4, 3)), (17, (5, 4, 3)), (256, (5, 4, 2)), (1000, (5, 4))],
)
def test_codecs_lose_nothing(name, levels, shape):
    rng = np.random.default_rng(0)
    k = rng.integers(levels, size=(6, int(np.prod(shape))))
    codec = made(name)
    assert isinstance(codec, references.Codec)
    strip = strip_of(k, shape)
    if name == "webp" and levels > 256:
        with pytest.raises(LeftOut, match="WebP has 8 bits a value, and 1000 levels need more"):
            codec.encoded(strip, levels)
        return
    back = decoded(name, list(codec.encoded(strip, levels)), levels)
    if name == "xz" and levels == 2:
        back = np.unpackbits(back)[: strip.size]
    planes = strip if strip.ndim == 2 or shape[2] == 3 else np.concatenate([strip[..., 0], strip[..., 1]])
    expected = strip.ravel() if name == "xz" else planes.ravel()
    assert np.array_equal(back.ravel() // (255 if name == "webp" and levels == 2 else 1), expected)


def test_zeros_and_ones_take_one_bit_a_value_at_most():
    k = np.random.default_rng(0).integers(2, size=(600, 64))
    given, test = images(k, 2, (1, 64))
    for name in ("png", "xz"):
        assert bits(made(name).outcome(given, test).nats, 64) < 1.3


def test_a_strip_longer_than_webp_allows_is_cut():
    k = np.random.default_rng(0).integers(17, size=(2100, 64))
    given = Images(k, k, 17, (8, 8))
    outcome = made("webp").outcome(given, k)
    assert outcome.details["files"] == 2
    assert 4 < bits(outcome.nats, 64) < 5.5


@pytest.mark.parametrize(("levels", "channels", "files"), [(2, 3, 2), (17, 2, 1), (17, 3, 1), (17, 4, 2)])
def test_planes_below_one_another_are_no_taller_than_webp_allows(levels, channels, files):
    rng = np.random.default_rng(0)
    k = rng.integers(levels, size=(5500 * 4 * channels)).reshape(1100, -1)
    shape = (5, 4, channels)
    codec = made("webp")
    assert isinstance(codec, references.Codec)
    written = list(codec.encoded(strip_of(k, shape), levels))
    assert len(written) == files
    pixels = sum(Image.open(io.BytesIO(file)).size[0] * Image.open(io.BytesIO(file)).size[1] for file in written)
    assert pixels == k.size // (3 if (levels, channels) == (17, 3) else 1)


def test_counts_of_levels_are_those_of_numpy():
    k = np.random.default_rng(0).integers(7, size=(50, 4)).astype(np.uint8)
    table = counted(k, 7)
    for dim in range(4):
        assert table[dim].tolist() == np.bincount(k[:, dim], minlength=7).tolist()
