"""MNIST and Fashion-MNIST, from the IDX files that torchvision keeps."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from gan.errors import InputError

_MAGIC = b"\x00\x00\x08\x03"  # Unsigned bytes, three dimensions.
_SIDE = 28
_MOST = 2_000_000
"""Largest number of images that a file may claim. Known sets are far smaller; this bounds what is read."""
_FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")


class Mnist:
    """The images of MNIST: the training files, then the test files, which are held out.

    Images are 28×28 with one channel. For size 32 they are padded by 2 black pixels a side, as is usual for
    networks of powers of two. For other sizes they are resized with an antialiased filter.

    Args:
        path: torchvision's `root` folder, its `raw` folder, or the folder that holds the files.
        size: pixels a side; None keeps 28.

    Raises:
        InputError: a file is missing or is not an IDX file of 28×28 images.
    """

    scheme = "mnist"
    folder = "MNIST"
    default_features = "random-conv"
    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, path: str, size: int | None = None) -> None:
        root = Path(path).expanduser().resolve()
        self.uri = f"{self.scheme}:{root}"
        self._size = size or _SIDE
        self.shape = (self._size, self._size, 1)
        self._files = [self._find(root, name) for name in _FILES]
        counts = [_count(file) for file in self._files]
        self._length = sum(counts)
        self.held_out = range(counts[0], self._length)

    def _find(self, root: Path, name: str) -> Path:
        folders = (root / self.folder / "raw", root / "raw", root)
        for folder in folders:
            for file in (folder / name, folder / f"{name}.gz"):
                if file.is_file():
                    return file
        raise InputError(f"{self.scheme}: no {name} (or {name}.gz) in {root}, nor in {folders[0]}")

    def __len__(self) -> int:
        return self._length

    def fingerprint(self) -> str:
        """Return a hash of the files' names, sizes and times, and of the image size."""
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in self._files]
        return hashlib.sha256(f"1 {self._size} {stats}".encode()).hexdigest()

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the images as uint8 arrays [n, size, size, 1].

        Raises:
            InputError: a file is cut short or damaged.
        """
        for file in self._files:
            images = read_images(file)
            for start in range(0, len(images), 1024):
                yield _resize(images[start : start + 1024], self._size)[..., None]

    def __iter__(self) -> Iterator[np.ndarray]:
        for batch in self.batches():
            yield from batch


class FashionMnist(Mnist):
    """The images of Fashion-MNIST (Zalando Research), in files like those of MNIST."""

    scheme = "fashion-mnist"
    folder = "FashionMNIST"


def read_images(file: Path) -> np.ndarray:
    """Return all images of an IDX file, gzipped or not, as uint8 [n, 28, 28].

    Raises:
        InputError: the file is not an IDX file of images, or its length is not what its header says.
    """
    with _reading(file) as stream:
        expected = _header(file, stream) * _SIDE * _SIDE
        data = stream.read(expected + 1)
    if len(data) != expected:
        fault = "is cut short" if len(data) < expected else "is longer than its header says"
        raise InputError(f"{file}: {fault} ({expected:,} bytes of pixels expected); fetch it again")
    return np.frombuffer(data, np.uint8).reshape(-1, _SIDE, _SIDE)


def _count(file: Path) -> int:
    with _reading(file) as stream:
        return _header(file, stream)


@contextmanager
def _reading(file: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    """Open a file, gzipped or not; turn read errors into `InputError`."""
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        try:
            yield stream
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{file}: cannot be read: {error}; fetch it again") from error


def _header(file: Path, stream: BinaryIO | gzip.GzipFile) -> int:
    """Read the 16 bytes before the pixels; return the number of images."""
    head = stream.read(16)
    if len(head) < 16 or head[:4] != _MAGIC:
        raise InputError(f"{file}: is not an IDX file of images")
    count, height, width = (int(number) for number in np.frombuffer(head, ">u4", 3, 4))
    if (height, width) != (_SIDE, _SIDE) or not 0 < count <= _MOST:
        raise InputError(f"{file}: claims {count:,} images of {height}×{width}; 28×28 is expected")
    return count


def _resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resize images [n, 28, 28] to [n, size, size]."""
    if size == _SIDE:
        return images
    if size == _SIDE + 4:
        return np.pad(images, ((0, 0), (2, 2), (2, 2)))
    filter_ = Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), filter_)) for image in images])
