"""Encoded images, on disk or in a zip archive, as a source of rows."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from gan.data.dataset import check_skipped
from gan.data.sources.decode import MOST_BYTES, Decoder
from gan.data.uri import with_option
from gan.data.workers import map_ahead
from gan.errors import InputError

SIDES_READ = 64
"""Number of files whose size is read."""


class Files(Protocol):
    """Reads image files. It can be pickled."""

    def read(self, item: Any) -> bytes:
        """Return the content of one file; the message of an exception says why it cannot be read."""


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder; an item is a path relative to the folder."""

    root: str

    def read(self, item: str) -> bytes:
        with (Path(self.root) / item).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"has over {MOST_BYTES:,} bytes")
        return data


class Member(NamedTuple):
    """The entry of one file in a zip archive's directory."""

    name: str
    offset: int
    packed: int
    size: int
    method: int
    crc: int


@dataclass(frozen=True)
class ZipFiles:
    """The files of a zip archive, read without unpacking it; an item is a `Member`.

    `zipfile` reads the whole directory whenever it opens an archive. For 200,000 images this takes seconds
    and a hundred megabytes in each process. Here the directory is read once, by `members`.
    """

    path: str

    def members(self) -> list[Member]:
        """Return all files in the archive, in its order, without folders.

        Raises:
            InputError: not a zip archive, a damaged one, or one with a member that cannot or must not be read.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                return [self._member(info) for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, struct.error) as error:
            raise InputError(f"{self.path}: cannot be read as a zip archive: {error}") from error

    def _member(self, info: zipfile.ZipInfo) -> Member:
        parts = info.filename.replace("\\", "/").split("/")
        if info.filename.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":"):
            raise InputError(f"{self.path}: the name '{info.filename}' in it leads out of it: make the archive again")
        if info.flag_bits & 1:
            raise InputError(f"{self.path}: is encrypted: give an archive without a password, or a folder")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(
                f"{self.path}: is compressed in a rare way ({info.filename}): unpack it and give the folder"
            )
        return Member(
            info.filename, info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC
        )

    def read(self, item: Member) -> bytes:
        if max(item.size, item.packed) > MOST_BYTES:
            raise ValueError(f"has over {MOST_BYTES:,} bytes")
        with Path(self.path).open("rb") as file:
            file.seek(item.offset)
            header = file.read(30)
            if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
                raise ValueError("is not where the archive's directory says")
            file.seek(sum(struct.unpack("<HH", header[26:30])), os.SEEK_CUR)  # Skips its name and extra fields.
            data = file.read(item.packed)
        if item.method == zipfile.ZIP_DEFLATED and item.size:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, item.size)  # At most the claimed size.
        if len(data) != item.size or zlib.crc32(data) != item.crc:
            raise ValueError("is damaged in the archive")
        return data


@dataclass(frozen=True)
class DecodeFiles:
    """Reads and decodes some image files; a `PartReader`.

    Attributes:
        files: reads the files.
        items: for each file its name in messages, and the item that `files` reads.
        decoder: turns a file into a row.
    """

    files: Files
    items: Sequence[tuple[str, Any]]
    decoder: Decoder

    def __call__(self) -> Iterator[np.ndarray | str]:
        return map(self.decode, self.items)

    def decode(self, named: tuple[str, Any]) -> np.ndarray | str:
        """Return the row of an item, or "NAME: the reason why it cannot be read"."""
        name, item = named
        try:
            return self.decoder(self.files.read(item))
        except Exception as error:  # Pillow raises nearly anything on damaged files; one must not end all.
            return f"{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


class ImageFiles:
    """A `Source` of image files; the base class of sources that read such files.

    Args:
        uri: the data URI, with an absolute path.
        files: reads the files.
        items: for each file its name in messages, and the item that `files` reads; in order.
        decoder: turns a file into a row.
        crop: the name of the decoder's crop.
    """

    default_features = "inception"
    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, uri: str, files: Files, items: Sequence[tuple[str, Any]], decoder: Decoder, crop: str) -> None:
        self.uri = with_option(uri, "channels", decoder.channels if decoder.channels != 3 else None)
        self.crop = crop
        self.shape = decoder.shape
        self.skipped: list[str] = []
        self.held_out: range | None = None
        self._files = files
        self._items = items
        self._decoder = decoder

    def __len__(self) -> int:
        return len(self._items)

    @property
    def usual_side(self) -> int | None:
        """Side in pixels of the square that most images have at least, judged by the heads of some files.

        None if none of them can be read.
        """
        sides = []
        for place in np.linspace(0, len(self) - 1, min(SIDES_READ, len(self))).astype(int):
            with suppress(Exception):  # As in `decode`: one damaged file must not end all.
                sides.append(self._decoder.side(self._files.read(self._items[place][1])))
        return sorted(sides)[len(sides) // 4] if sides else None

    def part_reader(self, rows: Sequence[int]) -> DecodeFiles:
        """Return a reader of some rows; see `Source`."""
        return DecodeFiles(self._files, tuple(self._items[row] for row in rows), self._decoder)

    def __iter__(self) -> Iterator[np.ndarray]:
        self.skipped = []
        for row in decode_in_threads(DecodeFiles(self._files, self._items, self._decoder)):
            if isinstance(row, str):
                self.skipped.append(row)
                check_skipped(self.uri, self.skipped, len(self))
            else:
                yield row


def decode_in_threads(files: DecodeFiles) -> Iterator[np.ndarray | str]:
    """Yield what `files` yields, but decode in threads: Pillow works outside the interpreter's lock."""
    count = min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(count, "decode") as threads:
        try:
            yield from map_ahead(threads, files.decode, files.items, 4 * count)
        finally:
            threads.shutdown(cancel_futures=True)
