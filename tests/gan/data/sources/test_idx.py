"""MNIST's layout: where files are looked for, what is made of them, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from gan.data.packed.opening import open_data
from gan.data.sources.idx import FashionMnist, Mnist
from gan.errors import InputError

TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"


def idx(images: np.ndarray) -> bytes:
    return b"\x00\x00\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes()


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def write_set(folder: Path, zipped: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in ((TRAIN, idx(images(20))), (TEST, idx(images(7, 1)))):
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(data) if zipped else data)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inner", ["MNIST/raw", "raw", "."])
def test_all_layouts_give_the_same_set(tmp_path: Path, zipped: bool, inner: str) -> None:
    write_set(tmp_path / inner, zipped)
    dataset = open_data(f"mnist:{tmp_path}", cache_dir=tmp_path / "cache")
    assert dataset.shape == (28, 28, 1)
    assert dataset.default_features == "random-conv"
    assert np.array_equal(dataset.train.gather(np.arange(20))[..., 0], images(20))
    assert np.array_equal(dataset.held_out.gather(np.arange(7))[..., 0], images(7, 1))


def test_fashion_is_looked_for_in_its_own_folder(tmp_path: Path) -> None:
    write_set(tmp_path / "MNIST" / "raw")
    with pytest.raises(InputError, match="no train-images-idx3-ubyte"):
        FashionMnist(str(tmp_path))
    write_set(tmp_path / "FashionMNIST" / "raw", zipped=True)
    assert len(FashionMnist(str(tmp_path))) == 27


def test_size_32_pads_with_black(tmp_path: Path) -> None:
    write_set(tmp_path)
    row = next(iter(Mnist(str(tmp_path), 32)))
    assert row.shape == (32, 32, 1)
    assert np.array_equal(row[2:30, 2:30, 0], images(20)[0])
    assert row.sum() == images(20)[0].sum()


@pytest.mark.parametrize("size", [16, 64])
def test_other_sizes_are_resized_and_keep_their_brightness(tmp_path: Path, size: int) -> None:
    write_set(tmp_path)
    rows = np.stack(list(Mnist(str(tmp_path), size)))
    assert rows.shape == (27, size, size, 1)
    assert rows[:20].mean() == pytest.approx(images(20).mean(), abs=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"\x00\x00\x08\x01" + bytes(100), "is not an IDX file"),
        (idx(images(3))[:-1], "is cut short"),
        (idx(images(3)) + b"x", "is longer than its header says"),
        (idx(images(3)[:, :14]), "28×28 is expected"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "28×28 is expected"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, message: str, zipped: bool) -> None:
    write_set(tmp_path)
    (tmp_path / TEST).unlink()
    bad = tmp_path / (f"{TEST}.gz" if zipped else TEST)
    bad.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(InputError, match=message) as error:
        open_data(f"mnist:{tmp_path}", cache_dir=tmp_path / "cache")
    assert str(bad) in str(error.value)
    assert not list(tmp_path.glob("cache/**/*.arrow"))


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(idx(images(9)))[:300]])
def test_a_damaged_gzip_is_named(tmp_path: Path, content: bytes) -> None:
    write_set(tmp_path)
    (tmp_path / TRAIN).unlink()
    (tmp_path / f"{TRAIN}.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz: cannot be read"):
        open_data(f"mnist:{tmp_path}", cache_dir=tmp_path / "cache")


def test_the_fingerprint_follows_the_files_and_the_size(tmp_path: Path) -> None:
    write_set(tmp_path)
    first = Mnist(str(tmp_path)).fingerprint()
    assert Mnist(str(tmp_path)).fingerprint() == first
    assert Mnist(str(tmp_path), 32).fingerprint() != first
    (tmp_path / TRAIN).write_bytes(idx(images(21)))
    assert Mnist(str(tmp_path)).fingerprint() != first
