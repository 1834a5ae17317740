"""Data sets by name: the right pixels, splits that never move, downloads that leave nothing half-done."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import itertools
import pickle
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.calls import calls_of
from vae_core import data
from vae_core.data.sources import torchvision_root
from vae_core.data.splits import order, three_ways

DIGITS = "408d35dd"  # the beginnings of the checksums of splits that must never change
MNIST = "73e98a88"
FREY = "00029f80"


def rows(*splits: torch.Tensor) -> Counter[bytes]:
    return Counter(row.numpy().tobytes() for split in splits for row in split)


def write_idx(path: Path, values: np.ndarray) -> None:
    """An IDX file as LeCun describes it: 0, 0, type (8: unsigned byte), rank, big-endian sizes, values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes())


def numbered(count: int, *shape: int) -> np.ndarray:
    """uint8 [count, *shape], image i holding i mod 251 everywhere but in its first row, which is 0, 1, 2, …"""
    images = np.broadcast_to((np.arange(count) % 251).reshape(-1, *[1] * len(shape)), (count, *shape)).astype(np.uint8)
    images[:, 0] = np.arange(shape[1]).reshape(-1, *[1] * (len(shape) - 2))
    return images


# ---------------------------------------------------------------- what every data set is


def test_digits_are_scikit_learns_in_three_disjoint_splits() -> None:
    from sklearn.datasets import load_digits

    digits = data.load("digits")
    assert (digits.levels, digits.shape, digits.dims) == (17, (8, 8), 64)
    assert [len(digits.train), len(digits.valid), len(digits.test)] == [1197, 300, 300]
    assert digits.train.dtype == torch.uint8
    original = torch.from_numpy(load_digits().images.reshape(-1, 64).astype(np.uint8))
    assert rows(digits.train, digits.valid, digits.test) == rows(original)
    assert digits.checksum.startswith(DIGITS)
    assert not rows(digits.test) & rows(digits.train)  # no digit occurs twice in this data


def test_mnist_is_the_original_files_byte_for_byte(mnist_root: Path) -> None:
    mnist = data.load("mnist", root=mnist_root)
    assert (mnist.levels, mnist.shape) == (256, (28, 28))
    assert [len(mnist.train), len(mnist.valid), len(mnist.test)] == [50_000, 10_000, 10_000]
    for file, splits, md5 in (
        ("train", (mnist.train, mnist.valid), "6bbc9ace898e44ae57da46a324031adb"),
        ("t10k", (mnist.test,), "2646ac647ad5339dbf082846283269ea"),
    ):
        raw = (mnist_root / "MNIST" / "raw" / f"{file}-images-idx3-ubyte").read_bytes()
        again = raw[:16] + b"".join(split.numpy().tobytes() for split in splits)
        assert again == raw
        assert hashlib.md5(again).hexdigest() == md5
    assert mnist.checksum.startswith(MNIST)


def test_mnist_loads_in_a_moment(mnist_root: Path) -> None:
    data.load("mnist", root=mnist_root)  # imports torchvision
    made, _ = calls_of(lambda: data.load("mnist", root=mnist_root))
    assert made < 20_000, "no image is read by itself"


def test_frey_splits_keep_neighbouring_frames_together(frey_root: Path) -> None:
    frey = data.load("frey", root=frey_root)
    assert (frey.levels, frey.shape) == (256, (28, 20))
    images = np.load(frey_root / "frey_faces.npz")["images"]
    assert rows(frey.train, frey.valid, frey.test) == rows(torch.from_numpy(images.reshape(-1, 560)))
    assert frey.checksum.startswith(FREY)
    split_of = {row.numpy().tobytes(): name for name in ("train", "valid", "test") for row in getattr(frey, name)}
    of_frame = [split_of[frame.tobytes()] for frame in images]
    changes = sum(a != b for a, b in itertools.pairwise(of_frame))
    assert changes < 40  # a split by single frames changes about 900 times


def test_the_checksum_names_the_numbers_and_their_order() -> None:
    images = np.arange(3 * 4 * 6, dtype=np.uint8).reshape(3, 4, 2, 3)  # three splits of four images
    known = data.Dataset.from_arrays("a", 100, *images).checksum
    assert data.Dataset.from_arrays("b", 100, *images.copy(), about="other words").checksum == known
    header = b"levels 100 shape (2, 3) splits 4 4 4:"
    assert known == hashlib.sha256(header + images.tobytes()).hexdigest()
    pixel = images.copy()
    pixel[2, 3, 1, 2] += 1
    others = [
        data.Dataset.from_arrays("a", 100, *pixel),
        data.Dataset.from_arrays("a", 100, *images[:, ::-1]),
        data.Dataset.from_arrays("a", 101, *images),
        data.Dataset.from_arrays("a", 100, *images.reshape(3, 4, 3, 2)),
        data.Dataset.from_arrays("a", 100, images[0], images[1, :3], np.concatenate([images[1, 3:], images[2]])),
    ]
    assert len({known, *(other.checksum for other in others)}) == 6


@pytest.mark.parametrize(("levels", "kind"), [(23_001, torch.int16), (32_769, torch.int32), (65_536, torch.int32)])
def test_many_levels_are_kept_in_wider_integers_and_do_not_touch_the_callers_array(
    levels: int, kind: torch.dtype
) -> None:
    images = np.arange(24, dtype=np.int64).reshape(3, 2, 2, 2) * 1000
    images[2, 1] = levels - 1
    held = data.Dataset.from_arrays("wide", levels, *images)
    assert held.train.dtype == kind
    assert torch.equal(held.test, torch.from_numpy(images[2].reshape(2, 4)).to(kind))
    assert images.dtype == np.int64


def test_to_moves_all_three_splits() -> None:
    moved = data.load("digits").to("meta")
    assert {split.device.type for split in (moved.train, moved.valid, moved.test)} == {"meta"}
    assert moved.checksum.startswith(DIGITS)


def test_fashion_mnist_is_there_in_full() -> None:
    """Where its files lie in the data root; elsewhere it is another test's tiny ones."""
    if not (data.data_root() / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip("needs FashionMNIST in the data root (set VAE_BENCH_DATA)")
    fashion = data.load("fashion_mnist", download=False)
    assert [len(split) for split in (fashion.train, fashion.valid, fashion.test)] == [50_000, 10_000, 10_000]
    assert (fashion.shape, fashion.levels) == ((28, 28), 256)
    assert fashion.checksum.startswith("40645c38")
    small = data.load("fashion_mnist", download=False, train_images=600, crop=24, resize=12, quantise=16)
    assert (small.shape, small.levels, len(small.test)) == ((12, 12), 16, 10_000)


# ---------------------------------------------------------------- splits


def test_the_fixed_order_is_the_documented_one() -> None:
    assert order(8).tolist() == [2, 4, 3, 5, 7, 6, 1, 0]
    keys = {i: hashlib.sha256(b"vae-likelihood-bench/%d" % i).hexdigest() for i in range(1000)}
    assert order(1000).tolist() == sorted(keys, key=keys.__getitem__)


@given(count=st.integers(10, 3000), block=st.integers(1, 60))
def test_splits_are_disjoint_complete_and_of_whole_blocks(count: int, block: int) -> None:
    block = min(block, count // 6)
    cut = three_ways(count, block)
    assert sorted(np.concatenate(cut).tolist()) == list(range(count))
    blocks = [set((part // block).tolist()) for part in cut]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(blocks, 2))
    share = -(-len(set().union(*blocks)) // 6)
    assert len(blocks[1]) == len(blocks[2]) == share


# ---------------------------------------------------------------- torchvision's data sets, as tiny files


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_are_read_with_the_last_ten_thousand_for_validation(name: str, folder: str, tmp_path: Path) -> None:
    train, test = numbered(10_003, 28, 28), numbered(4, 28, 28)
    for prefix, images in (("train", train), ("t10k", test)):
        write_idx(tmp_path / folder / "raw" / f"{prefix}-images-idx3-ubyte", images)
        write_idx(tmp_path / folder / "raw" / f"{prefix}-labels-idx1-ubyte", np.zeros(len(images), np.uint8))
    held = data.load(name, root=tmp_path, download=False)
    assert (held.name, held.levels, held.shape) == (name, 256, (28, 28))
    assert np.array_equal(held.train.numpy(), train[:3].reshape(3, 784))
    assert np.array_equal(held.valid.numpy(), train[3:].reshape(10_000, 784))
    assert np.array_equal(held.test.numpy(), test.reshape(4, 784))


def test_emnist_stands_upright(tmp_path: Path) -> None:
    train, test = numbered(10_003, 28, 28), numbered(4, 28, 28)
    for prefix, images in (("train", train), ("test", test)):
        path = tmp_path / "EMNIST" / "raw" / f"emnist-balanced-{prefix}"
        write_idx(path.with_name(path.name + "-images-idx3-ubyte"), images.transpose(0, 2, 1))  # as NIST holds them
        write_idx(path.with_name(path.name + "-labels-idx1-ubyte"), np.zeros(len(images), np.uint8))
    held = data.load("emnist", root=tmp_path, download=False)
    assert np.array_equal(held.train.numpy(), train[:3].reshape(3, 784))
    assert np.array_equal(held.test.numpy(), test.reshape(4, 784))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision takes files of the right name for the right files."""
    from torchvision.datasets import cifar, omniglot, svhn

    for module in (cifar, omniglot, svhn):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())


@pytest.mark.usefixtures("unchecked")
def test_cifar10_has_its_channels_last(tmp_path: Path) -> None:
    images = numbered(5006, 32, 32, 3)
    images[..., 1] = 7
    batches = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    parts = [*np.array_split(images[:5003], 5), images[5003:]]
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name, part in zip(batches, parts, strict=True):
        entry = {"data": part.transpose(0, 3, 1, 2).reshape(-1, 3072), "labels": [0] * len(part)}
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(entry))
    (tmp_path / "cifar-10-batches-py" / "batches.meta").write_bytes(pickle.dumps({"label_names": ["x"]}))
    held = data.load("cifar10", root=tmp_path, download=False)
    assert (held.levels, held.shape, held.dims) == (256, (32, 32, 3), 3072)
    assert np.array_equal(held.train.numpy(), images[:3].reshape(3, -1))
    assert np.array_equal(held.valid.numpy(), images[3:5003].reshape(5000, -1))
    assert np.array_equal(held.test.numpy(), images[5003:].reshape(3, -1))


@pytest.mark.usefixtures("unchecked")
def test_svhn_has_its_channels_last(tmp_path: Path) -> None:
    from scipy.io import savemat

    train, test = numbered(7260, 32, 32, 3), numbered(3, 32, 32, 3)
    for name, images in (("train", train), ("test", test)):
        content = {"X": images.transpose(1, 2, 3, 0), "y": np.ones((len(images), 1), np.uint8)}
        savemat(tmp_path / f"{name}_32x32.mat", content)
    held = data.load("svhn", root=tmp_path, download=False)
    assert (held.levels, held.shape) == (256, (32, 32, 3))
    assert np.array_equal(held.train.numpy(), train[:3].reshape(3, -1))
    assert np.array_equal(held.valid.numpy(), train[3:].reshape(7257, -1))
    assert np.array_equal(held.test.numpy(), test.reshape(3, -1))


@pytest.mark.usefixtures("unchecked")
def test_omniglot_holds_out_whole_characters_and_shows_bright_ink(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, characters in (("images_background", 20), ("images_evaluation", 2)):
        (tmp_path / "omniglot-py").mkdir(exist_ok=True)
        (tmp_path / "omniglot-py" / f"{part}.zip").write_bytes(b"")
        for character in range(characters):
            folder = tmp_path / "omniglot-py" / part / "Alphabet" / f"character{character:02}"
            folder.mkdir(parents=True)
            for drawing in range(20):
                paper = np.full((105, 105), 255, np.uint8)
                paper[5 * character : 5 * character + 5, rng.integers(100) :] = 0  # the row tells the character
                Image.fromarray(paper).convert("1").save(folder / f"{drawing:02}.png")
    held = data.load("omniglot", root=tmp_path, download=False)
    assert (held.levels, held.shape) == (256, (28, 28))
    assert [len(held.train), len(held.valid), len(held.test)] == [360, 40, 40]
    rows_of_ink = [
        {int(image.reshape(28, 28).sum(1, dtype=torch.int64).argmax()) for image in split}
        for split in (held.train, held.valid)
    ]
    assert not rows_of_ink[0] & rows_of_ink[1]
    assert held.test.max() == 255
    assert held.test.float().mean() < 30


def test_shrinking_is_the_box_filter() -> None:
    drawing = np.where(np.random.default_rng(1).random((105, 105)) < 0.3, 0, 255).astype(np.uint8)
    quarters = np.kron(drawing == 0, np.ones((4, 4)))  # 420 = 28 · 15 quarters of a pixel to a side
    share = quarters.reshape(28, 15, 28, 15).mean((1, 3))
    assert np.abs(torchvision_root.shrink(drawing) - 255 * share).max() <= 0.5  # rounding only
    assert torchvision_root.shrink(np.zeros((105, 105), np.uint8)).min() == 255
    assert torchvision_root.shrink(np.full((105, 105), 255, np.uint8)).max() == 0


# ---------------------------------------------------------------- what is not there


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mnist", "train-images-idx3-ubyte, .* in MNIST/raw"),
        ("fashion_mnist", ".* in FashionMNIST/raw"),
        ("kmnist", ".* in KMNIST/raw"),
        ("emnist", "emnist-balanced-train-images-idx3-ubyte, .* in EMNIST/raw"),
        ("cifar10", "cifar-10-batches-py"),
        ("svhn", "train_32x32.mat and test_32x32.mat"),
        ("omniglot", "images_background.zip .* in omniglot-py"),
        ("frey", "frey_faces.npz"),
    ],
)
def test_a_data_set_that_cannot_be_had_says_what_to_put_where(name: str, wanted: str, tmp_path: Path) -> None:
    root = tmp_path / "not" / "yet"
    with pytest.raises(data.DataError, match=f"^{name} .*put {wanted}") as caught:
        data.load(name, root=root)
    assert str(root) in str(caught.value)
    assert "VAE_BENCH_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "not").exists()  # nothing half-written


def test_nothing_is_downloaded_when_asked_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_root, "_staging", lambda root: pytest.fail("tried to download"))
    with pytest.raises(data.DataError, match=r"mnist cannot be read from .* put train-images"):
        data.load("mnist", root=tmp_path, download=False)


@pytest.mark.usefixtures("no_network")
def test_a_damaged_file_is_told_from_a_missing_one(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    for prefix in ("train", "t10k"):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", numbered(5, 28, 28))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.zeros(5, np.uint8))
    with pytest.raises(data.DataError, match="only 5 training images"):
        data.load("mnist", root=tmp_path)
    whole = (raw / "train-images-idx3-ubyte").read_bytes()
    (raw / "train-images-idx3-ubyte").write_bytes(whole[:-100])
    with pytest.raises(data.DataError, match="cannot be read from") as caught:
        data.load("mnist", root=tmp_path)
    assert "not found" not in str(caught.value)
    assert (raw / "train-images-idx3-ubyte").read_bytes() == whole[:-100]


Serve = Callable[[dict[str, bytes]], None]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes torchvision's MNIST come from a server in this process, which answers with the given files."""
    from torchvision.datasets import MNIST

    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path[1:], b"")
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(content: dict[str, bytes]) -> None:
        files.update(content)
        md5s = [(name, hashlib.md5(packed).hexdigest()) for name, packed in content.items()]
        monkeypatch.setattr(MNIST, "resources", md5s)

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    yield serve
    server.shutdown()
    server.server_close()


@pytest.fixture
def packed(tmp_path: Path) -> dict[str, bytes]:
    """The four files of a small MNIST, packed as its servers hold them."""
    contents = {}
    for prefix, count in (("train", 10_002), ("t10k", 3)):
        for kind, values in (("images-idx3", numbered(count, 28, 28)), ("labels-idx1", np.zeros(count, np.uint8))):
            file = tmp_path / "unpacked" / f"{prefix}-{kind}-ubyte"
            write_idx(file, values)
            contents[f"{file.name}.gz"] = gzip.compress(file.read_bytes(), 1)
    return contents


def test_what_is_missing_is_downloaded_once(
    mirror: Serve, packed: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(packed)
    root = tmp_path / "root"
    fetched = data.load("mnist", root=root)
    assert np.array_equal(fetched.test.numpy(), numbered(3, 28, 28).reshape(3, 784))
    assert {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()} == {
        f"MNIST/raw/{name.removesuffix('.gz')}" for name in packed
    }
    assert [folder.name for folder in root.iterdir()] == ["MNIST"]
    assert capsys.readouterr().out == ""
    assert data.load("mnist", root=root, download=False).checksum == fetched.checksum


def test_a_download_that_breaks_off_leaves_nothing(mirror: Serve, packed: dict[str, bytes], tmp_path: Path) -> None:
    mirror(packed | {"t10k-images-idx3-ubyte.gz": packed["t10k-images-idx3-ubyte.gz"][:-50]})
    root = tmp_path / "root"
    with pytest.raises(data.DataError, match=r"mnist cannot be read .* and cannot be downloaded"):
        data.load("mnist", root=root)
    assert not root.exists()


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import MNIST

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"])
        monkeypatch.setattr(torchvision_root, "PATIENCE_S", 0.2)
        start = time.perf_counter()
        with pytest.raises(data.DataError, match=r"cannot be downloaded .*timed out"):
            data.load("mnist", root=tmp_path)
    assert time.perf_counter() - start < 60  # as long as a busy machine may take
    assert not list(tmp_path.iterdir())
    assert socket.getdefaulttimeout() is None


# ---------------------------------------------------------------- names


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(
        data.DataError, match=r"unknown data set 'fashion-mnist' \(did you mean 'fashion_mnist'\? .*list"
    ):
        data.load("fashion-mnist")
    with pytest.raises(data.DataError, match=r"unknown data set '' .*digits, mnist"):
        data.load("")
    with pytest.raises(data.DataError, match="unknown data set 'minst'"):
        data.describe("minst")


# ---------------------------------------------------------------- what is made of it


@given(st.integers(1, 1197))
def test_fewer_training_images_are_the_first_of_the_fixed_order(count: int) -> None:
    digits = data.load("digits")
    some = digits.fewer(count)
    share = max(2, -(-300 * count // 1197))
    for split, kept in (("train", count), ("valid", share)):
        whole, part = getattr(digits, split), getattr(some, split)
        assert torch.equal(part, whole[np.sort(order(len(whole))[:kept])])
    assert torch.equal(some.test, digits.test)
    assert (some.checksum == digits.checksum) == (count == 1197)
    assert rows(some.train) <= rows(digits.fewer(min(count + 100, 1197)).train)
    assert some.about == f"{digits.about}; {count} of 1197 training and {share} of 300 validation images"


@pytest.mark.parametrize("levels", [2, 16, 128])
def test_quantised_joins_neighbouring_levels(levels: int) -> None:
    k = torch.arange(256, dtype=torch.uint8).reshape(-1, 4, 4)
    whole = data.Dataset.from_arrays("ramp", 256, *[k.numpy()] * 3)
    joined = whole.quantised(levels)
    assert joined.levels == levels
    for split in (joined.train, joined.valid, joined.test):
        assert torch.equal(split, (k.int() * levels // 256).reshape(-1, 16).to(torch.uint8))
    assert joined.checksum not in (whole.checksum, whole.quantised(levels * 2 if levels < 128 else 64).checksum)
    assert f"quantised to {levels} levels, k·{levels} // 256" in joined.about


def test_what_is_made_of_data_is_one_data_set_however_it_came_about() -> None:
    k = np.arange(120 * 4, dtype=np.int64).reshape(120, 2, 2) % 24
    whole = data.Dataset.from_arrays("some", 24, k, k, k)
    assert whole.fewer(30).quantised(6).checksum == whole.quantised(6).fewer(30).checksum
    assert data.load("digits", train_images=100).checksum == data.load("digits").fewer(100).checksum


@pytest.mark.parametrize(
    ("levels", "asked", "remedy"),
    [
        (17, 16, "leave it out, for no fewer levels divide them"),
        (256, 15, "give 8 or 16, or leave it out"),
        (256, 256, "give 128, or leave it out"),
        (256, 1000, "give 128, or leave it out"),
        (24, 5, "give 4 or 6, or leave it out"),
    ],
)
def test_levels_that_cannot_be_joined_get_a_remedy_that_works(levels: int, asked: int, remedy: str) -> None:
    k = np.zeros((12, 2, 2), np.uint8)
    whole = data.Dataset.from_arrays("some", levels, k, k, k)
    with pytest.raises(data.DataError, match=f"^some has {levels} levels, which .* quantise = {asked}: {remedy}.$"):
        whole.quantised(asked)
    for number in remedy.split(",")[0].removeprefix("give ").split(" or "):
        assert not number.isdecimal() or whole.quantised(int(number)).levels == int(number)


@pytest.mark.parametrize("count", [0, -1, 1198])
def test_more_training_images_than_there_are_cannot_be_had(count: int) -> None:
    sentence = rf"^digits has 1197 training images, but train_images = {count}: give 1…1197, or leave it out for all"
    with pytest.raises(data.DataError, match=sentence):
        data.load("digits", train_images=count)


def test_levels_of_a_named_data_set_cannot_be_changed() -> None:
    assert data.load("digits", levels=17).levels == 17
    with pytest.raises(data.DataError, match="digits has 17 levels, not 256"):
        data.load("digits", levels=256)


def test_the_data_root_comes_from_argument_environment_or_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_BENCH_DATA", "/somewhere")
    assert data.data_root("/else") == Path("/else")
    assert data.data_root() == Path("/somewhere")
    monkeypatch.delenv("VAE_BENCH_DATA")
    assert data.data_root() == Path.home() / ".cache" / "vae-bench"


def test_names_and_descriptions_cost_neither_torch_nor_torchvision() -> None:
    code = (
        "import sys; from bench.grid import lazy_torch; lazy_torch.install()\n"
        "from vae_core import data\n"
        "assert all(data.describe(name) for name in data.names())\n"
        "print(lazy_torch.executed(), [m for m in ('torchvision', 'sklearn') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False []"
