"""Folders of images, and how an image file becomes a row: decoded, cropped and resized once."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from gan.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MOST_PIXELS = 89_000_000
"""Larger images are refused: a small file can claim any size and fill the memory when decoded."""
MOST_UNREADABLE = 0.01
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What to do for each orientation that EXIF knows."""


class Folder:
    """All JPEG, PNG and WebP files below a folder, in the order of their relative paths, as RGB.

    Hidden files and folders are left out. Files that cannot be read are skipped and listed.

    Args:
        path: the folder.
        size: pixels a side.
        crop: "center", the largest square in the middle, or "center-N", N pixels a side.

    Raises:
        InputError: no such folder, no image in it, or an unknown crop; from iterating also: more than
            1% of the files cannot be read.
    """

    default_features = "inception"
    held_out = None
    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, path: str, size: int, crop: str = "center") -> None:
        self._root = Path(path).expanduser().resolve()
        self.uri = f"folder:{self._root}"
        self.shape = (size, size, 3)
        self.crop = crop
        self.skipped: list[str] = []
        self._side = crop_side(crop)
        if not self._root.is_dir():
            raise InputError(f"folder: {self._root} is not a folder")
        try:
            self._files = sorted(_files(self._root))
        except OSError as error:
            raise InputError(f"folder: {error.filename}: cannot be read: {error.strerror}") from error
        if not self._files:
            raise InputError(f"folder: no image ({', '.join(SUFFIXES)}) in {self._root}")

    def __len__(self) -> int:
        return len(self._files)

    def fingerprint(self) -> str:
        """Return a hash of the files' relative paths, sizes and times, and of what is made of them."""
        said = hashlib.sha256(f"1 {self.shape} {self.crop}\n".encode())
        for name, size, modified in self._files:
            said.update(f"{name}\0{size}\0{modified}\n".encode(errors="surrogateescape"))
        return said.hexdigest()

    def __iter__(self) -> Iterator[np.ndarray]:
        self.skipped = []
        names = [name for name, _, _ in self._files]
        for name, row in zip(names, decode_all(self._read, names), strict=True):
            if isinstance(row, str):
                self.skipped.append(f"{name}: {row}")
                check_skipped(self.uri, self.skipped, len(names))
            else:
                yield row

    def _read(self, name: str) -> np.ndarray:
        return decode((self._root / name).read_bytes(), self.shape[0], self._side)


def _files(root: Path) -> Iterator[tuple[str, int, int]]:
    """Yield (relative path, bytes, time in nanoseconds) of every image below a folder, in any order."""
    folders = [""]
    seen = set()
    while folders:
        folder = folders.pop()
        real = os.path.realpath(root / folder)
        if real in seen:
            continue  # A link back up would go round for ever.
        seen.add(real)
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(f"{name}/")
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                    stat = entry.stat()
                    yield name, stat.st_size, stat.st_mtime_ns


def crop_side(crop: str) -> int | None:
    """Return the pixels a side that a crop keeps; None for the largest square.

    Raises:
        InputError: there is no such crop.
    """
    match = re.fullmatch(r"center(?:-([1-9]\d{0,4}))?", crop)
    if match is None:
        raise InputError(f"crop: '{crop}' is not known: use center, or center-N with N pixels a side")
    return int(match[1]) if match[1] else None


def decode(data: bytes, size: int, side: int | None = None) -> np.ndarray:
    """Return an encoded image as uint8 RGB [size, size, 3].

    It is turned as its EXIF data says, transparency is laid over white, the square in the middle is
    cut out, and that is resized once with an antialiased filter (Lanczos).

    Args:
        data: the content of a JPEG, PNG or WebP file.
        size: pixels a side of the result.
        side: pixels a side of the square to cut out; None takes the largest.

    Raises:
        ValueError: the image is refused: too many pixels, or smaller than the square.
        Exception: whatever Pillow raises for a file that it cannot decode.
    """
    if not data:
        raise ValueError("is empty")
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"has {image.width}×{image.height} pixels, over {MOST_PIXELS:,}")
        square = side or min(image.size)
        if square > min(image.size):
            raise ValueError(f"has {image.width}×{image.height} pixels, too few to crop {square}")
        width, height, scale = _reduce(image, square / (2 * size))
        row = _resize(_rgb(image), (width, height), square / scale, size)
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return np.asarray(row if turn is None else row.transpose(turn))


def _reduce(image: Image.Image, most: float) -> tuple[float, float, float]:
    """Have a JPEG decode at 1/2, 1/4 or 1/8 of its size, which is far less work, where `most` allows.

    Returns:
        The width and height that it will have, in fractions of a pixel (whatever is decoded beyond
        them is padding), and the factor.
    """
    width, height = image.size
    wanted = (math.ceil(width / max(1, most)), math.ceil(height / max(1, most)))
    reduced = image.draft(image.mode, wanted)
    if reduced is None:
        return width, height, 1
    return reduced[1][2], reduced[1][3], width / reduced[1][2]


def _resize(image: Image.Image, extent: tuple[float, float], square: float, size: int) -> Image.Image:
    """Cut out the middle square and resize it; nothing outside it leaks in at the edge."""
    left, top = ((length - square) / 2 for length in extent)
    if float(square).is_integer():  # Whole pixels, then, unless a reduced JPEG needs fractions.
        left, top = float(math.floor(left)), float(math.floor(top))
    outer = (math.floor(left), math.floor(top), math.ceil(left + square), math.ceil(top + square))
    inner = (left - outer[0], top - outer[1], left - outer[0] + square, top - outer[1] + square)
    return image.crop(outer).resize((size, size), Image.Resampling.LANCZOS, box=inner)


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16 bits are scaled to 8, transparency is laid over white."""
    if image.mode.startswith(("I", "F")):
        grey = np.asarray(image).astype(np.float64) / 257
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def decode_all(
    read: Callable[[str], np.ndarray], names: Iterable[str], threads: int | None = None
) -> Iterator[np.ndarray | str]:
    """Read many images in threads (Pillow decodes outside the interpreter's lock), in their order.

    Args:
        read: makes the row of one name.
        names: what to read.
        threads: how many; by default one a processor, 16 at most.

    Yields:
        For each name its row, or the reason why there is none.
    """
    count = threads or min(16, os.cpu_count() or 1)
    waiting: deque[Future[np.ndarray | str]] = deque()
    with ThreadPoolExecutor(count, "decode") as pool:
        try:
            for name in names:
                waiting.append(pool.submit(_attempt, read, name))
                if len(waiting) > 4 * count:  # Enough to keep the threads busy; memory stays bounded.
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _attempt(read: Callable[[str], np.ndarray], name: str) -> np.ndarray | str:
    try:
        return read(name)
    except Exception as error:  # Pillow raises nearly anything on damaged files; one must not end all.
        return str(error).splitlines()[0] if str(error) else type(error).__name__


def check_skipped(uri: str, skipped: list[str], total: int) -> None:
    """Raise InputError, listing the first of them, when too many files could not be read."""
    if len(skipped) > MOST_UNREADABLE * total:
        first = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise InputError(f"{uri}: more than {MOST_UNREADABLE:.0%} of its {total:,} images cannot be read: {first}")
