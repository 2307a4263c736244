"""Encoded images, on disk or in a zip archive, as a source of rows."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from gan.data.dataset import check_skipped
from gan.data.sources.decode import MOST_BYTES, Decoder
from gan.data.uri import with_option
from gan.errors import InputError


class Files(Protocol):
    """Where the bytes of images are; it may be sent to other processes."""

    def read(self, item: Any) -> bytes:
        """Return the content of one file; any exception says why there is none."""


@dataclass(frozen=True)
class FolderFiles:
    """Files of a folder; an item is a path relative to it."""

    root: str

    def read(self, item: str) -> bytes:
        with (Path(self.root) / item).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"has over {MOST_BYTES:,} bytes")
        return data


class Member(NamedTuple):
    """Where one file is in a zip archive, as the archive's directory says."""

    name: str
    offset: int
    packed: int
    size: int
    method: int
    crc: int


@dataclass(frozen=True)
class ZipFiles:
    """Files of a zip archive, read where they lie; an item is a `Member`.

    Not by `zipfile`: it reads the whole directory whenever it opens an archive, which takes seconds and
    a hundred megabytes for 200,000 images, in each process. Here that is done once, by `members`.
    """

    path: str

    def members(self) -> list[Member]:
        """Return all files in the archive, in its order; folders are left out.

        Raises:
            InputError: it is no zip archive, is damaged, or has a member that cannot or must not be read.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                return [self._member(info) for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, struct.error) as error:
            raise InputError(f"{self.path}: cannot be read as a zip archive: {error}") from error

    def _member(self, info: zipfile.ZipInfo) -> Member:
        parts = info.filename.replace("\\", "/").split("/")
        if info.filename.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":"):
            raise InputError(f"{self.path}: the name '{info.filename}' in it leads out of it: make the archive anew")
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
            file.seek(sum(struct.unpack("<HH", header[26:30])), os.SEEK_CUR)  # its name, and extra fields
            data = file.read(item.packed)
        if item.method == zipfile.ZIP_DEFLATED and item.size:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, item.size)  # no more than it claims
        if len(data) != item.size or zlib.crc32(data) != item.crc:
            raise ValueError("is damaged in the archive")
        return data


@dataclass(frozen=True)
class DecodeFiles:
    """A piece of a set of image files; see `Source.part_reader`."""

    files: Files
    items: tuple[tuple[str, Any], ...]
    decoder: Decoder

    def __call__(self) -> Iterator[np.ndarray | str]:
        """Yield for each item its row, or a line on why there is none."""
        for name, item in self.items:
            yield attempt(self._decode, name, item)

    def _decode(self, item: Any) -> np.ndarray:
        return self.decoder(self.files.read(item))


class ImageFiles:
    """Image files as a `Source`; what a data source of such files inherits.

    Args:
        uri: as the user would name it, with an absolute path.
        files: reads them.
        items: for each of them its name for messages and what `files` reads it by, in order.
        decoder: makes them rows.
        crop: how users write the decoder's crop.
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

    def part_reader(self, rows: Sequence[int]) -> DecodeFiles:
        """Return the work of reading some rows; see `Source`."""
        return DecodeFiles(self._files, tuple(self._items[row] for row in rows), self._decoder)

    def __iter__(self) -> Iterator[np.ndarray]:
        self.skipped = []
        for row in decode_all(lambda item: self._decoder(self._files.read(item)), self._items):
            if isinstance(row, str):
                self.skipped.append(row)
                check_skipped(self.uri, self.skipped, len(self))
            else:
                yield row


def decode_all(
    read: Callable[[Any], np.ndarray], items: Iterable[tuple[str, Any]], threads: int | None = None
) -> Iterator[np.ndarray | str]:
    """Read many images in threads (Pillow decodes outside the interpreter's lock), in their order.

    Args:
        read: makes the row of one item.
        items: the name of each, and what `read` takes.
        threads: how many; by default one a processor, 16 at most.

    Yields:
        For each item its row, or a line on why there is none.
    """
    count = threads or min(16, os.cpu_count() or 1)
    waiting: deque[Future[np.ndarray | str]] = deque()
    with ThreadPoolExecutor(count, "decode") as pool:
        try:
            for name, item in items:
                waiting.append(pool.submit(attempt, read, name, item))
                if len(waiting) > 4 * count:  # Enough to keep the threads busy; memory stays bounded.
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def attempt(read: Callable[[Any], np.ndarray], name: str, item: Any) -> np.ndarray | str:
    """Return the row of an item, or "NAME: why there is none"."""
    try:
        return read(item)
    except Exception as error:  # Pillow raises nearly anything on damaged files; one must not end all.
        return f"{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
