"""Files that promise more than memory, or more than they have: a sentence, before memory is taken."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.taken import taken
from vae_core import data
from vae_core.data import files, pictures
from vae_core.data.sources import headers

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, size=(12, 5, 4), dtype=np.uint8)
TAKEN = 4 * 2**20  # bytes that a refusal may take


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(data.DataError) as caught:
        call()
    return str(caught.value)


def refused(path: Path | str, most: int = TAKEN) -> str:
    """What is said of it, by a process whose memory did not rise."""
    said, peak = taken(lambda: error_of(lambda: data.load(str(path))))
    assert peak < most, f"{peak:,} bytes were taken"
    assert said.endswith(".")
    assert len(said) <= 300
    assert said.isprintable()
    return said


def head(shape: str, descr: str = "'|u1'", version: int = 1, length: int | None = None, extra: str = "") -> bytes:
    """The header of an .npy, whatever it says."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}{extra}}}\n".encode()
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


HEADS = {
    "10^12 images": (head("(1000000000000, 28, 28)"), "says 784000.0 GB, and 784 bytes are there"),
    "a size of 10^9": (head("(1000000000,)"), "says 1.0 GB, and 784 bytes are there"),
    "beyond 64 bits": (head(f"({10**30}, 3)"), "says more than 10\\^18 bytes"),
    "less than nothing": (head("(-5, 28, 28)"), r"says a shape of \(-5, 28, 28\)"),
    "twice less than nothing": (head("(-5, -28, 28)"), "says a shape of"),
    "a truth for a size": (head("(True, 784)"), r"says a shape of \(True, 784\)"),
    "a float for a size": (head("(1.5, 2)"), "says a shape of"),
    "a list": (head("[28, 28]"), "says a shape of"),
    "no shape": (head("None"), "says a shape of None"),
    "too many axes": (head("(1,) * 40"), "says nothing that numpy writes"),
    "many axes": (head(str((1,) * 40)), "it has 40 axes"),
    "wide values": (head("(10,)", "'<U100000000'"), "says 4.0 GB"),
    "values of no size": (head("(1000000000000,)", "'<U0'"), "values of no size"),
    "an unknown type": (head("(2,)", "'<q99'"), "says nothing that numpy writes"),
    "code": (head("(2,)", "__import__('os').getcwd()"), "says nothing that numpy writes"),
    "brackets": (head("(" * 3000 + ")" * 3000), "says nothing that numpy writes"),
    "objects": (head("(2,)", "'|O'"), "holds pickled objects"),
    "10^12 objects": (head("(1000000000000,)", "'|O'"), "holds pickled objects"),
    "objects inside": (head("(2,)", "[('a', '|O')]"), "holds pickled objects"),
    "a header of gigabytes": (head("(2,)", version=2, length=2**32 - 1), "its header has 4,294,967,295 bytes"),
    "an unknown version": (head("(2,)", version=9), "it is of version 9 of .npy"),
    "nothing of numpy's": (b"\x93NUMPZ", "it does not begin as an .npy does"),
    "a pickle": (b"\x80\x04K\x01.", "it does not begin as an .npy does"),
}


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("packed", [False, True], ids=["npy", "npz"])
def test_a_header_that_promises_too_much_is_refused(case: str, packed: bool, tmp_path: Path) -> None:
    begin, said = HEADS[case]
    path = tmp_path / ("a.npz" if packed else "a.npy")
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", begin + bytes(784))
    else:
        path.write_bytes(begin + bytes(784))
    assert re.search(said, refused(path))


def zeros(path: Path, size: int, *, how: int = zipfile.ZIP_DEFLATED, name: str = "images.npy") -> Path:
    """A packed array of so many zeros."""
    with zipfile.ZipFile(path, "a", how, compresslevel=1) as archive, archive.open(name, "w") as file:
        file.write(head(f"({size // 784}, 28, 28)"))
        for _ in range(size // 784 // 1000):
            file.write(bytes(784_000))
    return path


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has 64 MB free, a quarter of which may be read."""
    monkeypatch.setattr(headers, "free_memory", lambda: 64 * 10**6)
    monkeypatch.setattr(pictures, "free_memory", lambda: 64 * 10**6)


@pytest.mark.usefixtures("little")
def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = zeros(tmp_path / "bomb.npz", 78_400_000)
    assert path.stat().st_size < 10**6
    assert "holds 0.1 GB, and 0.0 GB is the most that is read here: save some of its images, fewer," in refused(path)


@pytest.mark.usefixtures("little")
def test_what_is_not_asked_for_is_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=GREY)
    zeros(tmp_path / "a.npz", 78_400_000, name="other.npy")
    found, peak = taken(lambda: data.load(str(tmp_path / "a.npz")))
    assert len(found.train) == 8
    assert peak < TAKEN
    np.savez_compressed(tmp_path / "b.npz", images=GREY)
    zeros(tmp_path / "b.npz", 78_400_000, name="levels.npy")
    assert "states levels as uint8[100000, 28, 28], but it must be one integer" in refused(tmp_path / "b.npz")


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_that_numpy_does_not_use_is_refused(tmp_path: Path, how: int) -> None:
    """A kilobyte of it may become a gigabyte in one step."""
    assert "is packed as numpy.savez_compressed does not pack" in refused(zeros(tmp_path / "a.npz", 7_840_000, how=how))


def test_a_file_that_says_less_of_itself_than_it_holds_is_damaged(tmp_path: Path) -> None:
    """The size in the directory of the archive is a promise too."""
    np.savez_compressed(tmp_path / "a.npz", images=GREY)
    held = bytearray((tmp_path / "a.npz").read_bytes())
    place = held.rindex(b"PK\x01\x02") + 24
    for said in (300, 4):
        held[place : place + 4] = struct.pack("<I", said)
        (tmp_path / "b.npz").write_bytes(held)
        assert "Bad CRC-32" in refused(tmp_path / "b.npz")


def test_memory_does_not_rise_where_a_process_may_have_little_of_it(tmp_path: Path) -> None:
    """A process of its own, with a limit that the arrays of both files are beyond: a sentence, and no MemoryError."""
    (tmp_path / "a.npy").write_bytes(head("(3000000, 28, 28)"))
    os.truncate(tmp_path / "a.npy", (tmp_path / "a.npy").stat().st_size + 3_000_000 * 784)
    script = textwrap.dedent(
        """
        import resource, sys
        from vae_core import data
        from vae_core.data.sources import headers
        used = 4096 * int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)
        assert headers.free_memory() <= 400 * 2**20
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            data.load(sys.argv[1])
        except data.DataError as error:
            print(error)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "kilobytes"
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.npy")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "holds 2.4 GB, and 0.1 GB is the most that is read here" in done.stdout


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_ends_early_is_told(tmp_path: Path, share: float) -> None:
    np.save(tmp_path / "a.npy", GREY)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[: int(share * len(whole))])
    assert "cannot be read" in refused(tmp_path / "a.npy")


@pytest.mark.filterwarnings("ignore:Reading:UserWarning")
def test_what_numpy_has_written_at_any_time_is_read(tmp_path: Path) -> None:
    for number, (version, array) in enumerate(
        (version, array)
        for version in ((1, 0), (2, 0), (3, 0))
        for array in (GREY, np.asfortranarray(GREY), GREY.astype(">u2") * 0 + GREY, GREY > 100)
    ):
        path = tmp_path / f"{number}.npy"
        with path.open("wb") as file:
            np.lib.format.write_array(file, array, version=version)
        read, _ = files.read_array(path)
        assert np.array_equal(read, array)
        assert read.dtype == array.dtype
    old = head("(12L, 5L, 4L)") + GREY.tobytes()
    (tmp_path / "old.npy").write_bytes(old)
    assert np.array_equal(files.read_array(tmp_path / "old.npy")[0], GREY)


# -- pictures ----------------------------------------------------------------------------------------------------------


def png(width: int, height: int, rest: bytes = b"") -> bytes:
    """A PNG that says that it is so large."""

    def chunk(kind: bytes, held: bytes) -> bytes:
        return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))

    begin = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", begin)
        + rest
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def frames(count: int) -> bytes:
    """An animated PNG that says that it has so many."""
    held = struct.pack(">II", count, 0)
    chunk = struct.pack(">I", 8) + b"acTL" + held + struct.pack(">I", zlib.crc32(b"acTL" + held))
    return png(100, 100, chunk)


def tiff(width: int) -> bytes:
    """A TIFF whose first numbers say that it is so wide."""
    stream = io.BytesIO()
    Image.fromarray(GREY[0]).save(stream, "TIFF")
    held = stream.getvalue()
    place = (
        held.index(struct.pack("<HHI", 256, 4, 1))
        if struct.pack("<HHI", 256, 4, 1) in held
        else held.index(b"\x00\x01\x03\x00")
    )
    return held[: place + 2] + struct.pack("<HII", 4, 1, width) + held[place + 12 :]


ENORMOUS = {
    "a PNG": ("a.png", png(60_000, 60_000), "Image size .3600000000 pixels. exceeds limit"),
    "a PNG that is merely large": ("a.png", png(10_000, 10_000), "Image size .100000000 pixels. exceeds limit"),
    "a PNG beyond memory": ("a.png", png(9_000, 9_000), "says that it has 9,000 × 9,000 pixels, 0.1 GB, and 0.0 GB is"),
    "10^9 frames": ("a.png", frames(10**9), "says that it has 100 × 100 pixels of 1,000,000,00[01] pages, 10000.0 GB"),
    "a PGM": ("a.pgm", b"P5 100000 100000 255\n" + bytes(99), "says that it has 100,000 × 100,000 pixels, 10.0 GB"),
    "a PGM of 16 bits": ("a.pgm", b"P5 9000 9000 65535\n" + bytes(99), "says that it has 9,000 × 9,000 pixels, 0.2"),
    "a PPM": ("a.ppm", b"P6 999999999 999999999 255\n", "says that it has 999,999,999 × 999,999,999 pixels"),
    "a PGM in decimals": ("a.pgm", b"P2 9000 9000 255\n" + b"1 " * 99, "says that it has 9,000 × 9,000 pixels, 5.2 GB"),
    "a PGM of long numbers": ("a.pgm", b"P2 2 2 255\n" + b"9" * 9000, "cannot be read as an image"),
    "a PGM of long comments": ("a.pgm", b"P5 #" + b"x" * 10**5 + b"\n5 4 255\n" + bytes(20), "its head lacks a width"),
    "a TIFF": ("a.tif", tiff(10**8), "cannot be read as an image|says that it has"),
    "a BMP": (
        "a.bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "Image size .900000000 pixels. exceeds limit",
    ),
}


@pytest.mark.usefixtures("little")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ENORMOUS)
def test_an_enormous_picture_is_refused_by_its_header(case: str, tmp_path: Path) -> None:
    name, held, said = ENORMOUS[case]
    Image.fromarray(GREY[0]).save(tmp_path / "z.png")
    (tmp_path / name).write_bytes(held)
    assert re.search(said, refused(tmp_path, 2 * TAKEN))


@pytest.mark.usefixtures("little")
def test_a_folder_beyond_memory_is_told_after_its_first_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((1000, 1000), np.uint8)).save(tmp_path / "00.png")
    for number in range(1, 20):
        (tmp_path / f"{number:02}.png").symlink_to("00.png")
    read: list[str] = []
    original = pictures._pages

    def pages(file: Path, room: int) -> list[pictures.Page]:
        read.append(file.name)
        return original(file, room)

    monkeypatch.setattr(pictures, "_pages", pages)
    assert "holds 0.0 GB of pixels, and 0.0 GB is the most that is read here: give a folder of 16 of its 20" in refused(
        tmp_path
    )
    assert set(read) == {"00.png"}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path.name)], ids=["a pipe", "a loop"])
def test_what_is_no_picture_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.png")
    assert "a.png is no file that has an end: remove it" in refused(tmp_path)


def test_a_folder_of_everything_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_FILES", 10)
    for number in range(11):
        (tmp_path / f"{number}.txt").touch()
    assert "holds more than 10 files: give a folder of images alone" in refused(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_pictures_are_told_whatever_their_decoder_says(tmp_path: Path) -> None:
    """Bytes of small files of each kind changed by a seeded hand: read, or a sentence."""
    rng = np.random.default_rng(5)
    kinds = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF", "ppm": "PPM", "webp": "WEBP"}
    told: list[str] = []
    for suffix, kind in kinds.items():
        stream = io.BytesIO()
        Image.fromarray(RNG.integers(0, 256, (5, 4, 3), np.uint8)).save(stream, kind)
        for _ in range(40):
            held = bytearray(stream.getvalue())
            for place in rng.integers(0, len(held), rng.integers(1, 6)):
                held[place] = rng.integers(0, 256)
            (tmp_path / f"a.{suffix}").write_bytes(held[: rng.integers(1, len(held) + 1)])
            try:
                data.read_folder(tmp_path)
            except data.DataError as error:
                told.append(str(error))
        (tmp_path / f"a.{suffix}").unlink()
    assert len(told) > 60
    assert max(map(len, told)) <= 300


# -- other places ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("~nouser/a.npy", "begins with the home of somebody who has none: give the path from / on"),
        ("~nouser", "unknown data set '~nouser'"),
        ("a\0b.npy", r"a\\x00b.npy was not found"),
        ("a\0b", r"unknown data set 'a\\x00b'"),
        ("x" * 10**5, "unknown data set 'x+…x+'"),
        ("./" + "x" * 10**5, r"\./x+…x+ was not found"),
        ("/dev/null/a.npy", "was not found"),
        ("./a\x1b[2J\n.npy", r"\./a\\x1b\[2J\\n\.npy was not found"),
    ],
)
def test_a_hostile_path_gets_a_sentence(name: str, said: str) -> None:
    assert re.search(said, refused(name))


def test_a_pipe_is_no_data_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    assert "is neither a file nor a folder" in refused(tmp_path / "a.npy")


def test_a_root_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_BENCH_DATA", "~nouser/data")
    with pytest.raises(data.DataError, match="begins with the home of somebody who has none"):
        data.load("mnist", download=False)


IDX = {
    "more than there is": (struct.pack(">HBB3I", 0, 8, 3, 60_000, 28, 28), "says 47.0 MB, and 784 bytes are there"),
    "gigabytes": (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 9), "says more than 10\\^18 bytes"),
    "no axes": (struct.pack(">HBB", 0, 8, 0), "does not begin as an IDX file does"),
    "an unknown type": (struct.pack(">HBB3I", 0, 99, 3, 1, 28, 28), "does not begin as an IDX file does"),
    "a gzip": (b"\x1f\x8b\x08\x00", "does not begin as an IDX file does"),
    "nothing": (b"", "does not begin as an IDX file does"),
}


@pytest.mark.parametrize("case", IDX)
@pytest.mark.parametrize(
    ("name", "prefix"), [("mnist", "MNIST/raw/t10k"), ("emnist", "EMNIST/raw/emnist-balanced-test")]
)
def test_an_idx_file_is_held_to_its_header_before_it_is_read(case: str, name: str, prefix: str, tmp_path: Path) -> None:
    begin, said = IDX[case]
    path = tmp_path / f"{prefix}-images-idx3-ubyte"
    path.parent.mkdir(parents=True)
    path.write_bytes(begin + (bytes(784) if begin else b""))
    with pytest.raises(data.DataError, match=f"t-images.*{said}|t10k-images.*{said}"):
        data.load(name, root=tmp_path, download=False)


def test_an_idx_file_beyond_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.parent.mkdir(parents=True)
    path.write_bytes(struct.pack(">HBB3I", 0, 8, 3, 10**6, 28, 28))
    os.truncate(path, 16 + 784 * 10**6)
    monkeypatch.setattr(headers, "free_memory", lambda: 10**9)
    said, peak = taken(lambda: error_of(lambda: data.load("mnist", root=tmp_path, download=False)))
    assert "holds 784.0 MB, and memory has room for 250.0 MB" in said
    assert peak < TAKEN


def test_a_packed_idx_file_is_never_unpacked_by_us(tmp_path: Path) -> None:
    """Torchvision unpacks what it has downloaded, by its checksum; one that lies there is left alone."""
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(99))
    with pytest.raises(data.DataError, match=r"mnist cannot be read from .* put train-images-idx3-ubyte"):
        data.load("mnist", root=tmp_path, download=False)


def test_free_memory_is_no_more_than_the_machine_has() -> None:
    assert 0 < headers.free_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
