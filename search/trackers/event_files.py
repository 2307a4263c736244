"""TensorBoard's event files: written a record at a time, and checked for damage.

A file is a row of records, each a length and a protocol buffer with a checksum of either (CRC-32C, masked).
"""

from __future__ import annotations

import functools
import itertools
import os
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2

Value: TypeAlias = summary_pb2.Summary.Value
"""One number, picture or text, under its tag."""

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_VERSION = "brain.Event:2"
_serial = itertools.count()


class EventFolder:
    """The event files of one run in TensorBoard's sense: a folder, to which one process appends.

    Args:
        folder: made when the first record is written, to a file of this process's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def write(self, events: Iterable[tuple[int, Sequence[Value]]], at: float) -> None:
        """Append events, each a step and its values; they are on their way to the disk when this returns.

        Raises:
            OSError: they could not be written. The next ones begin a new file: no reader gets past half a record.
        """
        made = [
            event_pb2.Event(wall_time=at, step=step, summary=summary_pb2.Summary(value=values))
            for step, values in events
        ]
        try:
            with self._open(at) as file:
                file.write(b"".join(record(event.SerializeToString()) for event in made))
        except OSError:
            self._path = None
            raise

    def _open(self, at: float) -> BinaryIO:
        if self._path is not None:
            return self._path.open("ab")
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{int(time.time()):010d}.{next(_serial):06d}.{os.getpid()}"
        self._path = self._folder / name
        file = self._path.open("xb")
        file.write(record(event_pb2.Event(wall_time=at, file_version=_VERSION).SerializeToString()))
        return file


def record(content: bytes) -> bytes:
    """Return a record as it stands in a file."""
    length = struct.pack("<Q", len(content))
    of_length = crc32c(length)
    of_content = crc32c(content) if len(content) < _SHORT else checksums([content])[0]
    return length + _CHECKSUM.pack(_mask(of_length)) + content + _CHECKSUM.pack(_mask(of_content))


def event_files(folder: Path) -> list[Path]:
    """Return the event files in a folder, in the order in which TensorBoard reads them."""
    return sorted(folder.glob("*tfevents*"))


def is_whole(path: Path) -> bool:
    """Tell whether every record of an event file is as it was written, the last one included."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    parts, wanted, at = [], [], 0
    while at < len(content):
        if len(content) - at < _HEADER.size:
            return False
        length, checksum = _HEADER.unpack_from(content, at)
        begin, end = at + _HEADER.size, at + _HEADER.size + length
        if checksum != _mask(crc32c(content[at : at + 8])) or end + _CHECKSUM.size > len(content):
            return False
        parts.append(content[begin:end])
        wanted.append(_CHECKSUM.unpack_from(content, end)[0])
        at = end + _CHECKSUM.size
    return bool(parts) and [_mask(checksum) for checksum in checksums(parts)] == wanted


# ---- CRC-32C (Castagnoli; RFC 3720)
#
# TensorBoard's own is plain Python: 0.1 s for a sample grid of half a megabyte, with the interpreter's lock
# held. The driver has better things to do, and so has whoever waits for a thousand files to be checked.

_POLYNOMIAL = 0x82F63B78
_LANE = 512
"""Bytes in a lane. All lanes are taken two bytes further by one NumPy operation."""


def _make_table(bits: int) -> np.ndarray:
    """Return what a register's lowest bits become as they are shifted out: uint32 [2^bits]."""
    table = np.arange(2**bits, dtype=np.uint32)
    for _ in range(bits):
        table = table >> 1 ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return table


_SHORT = 8192
"""Bytes up to which the plain loop is faster than starting NumPy's many."""

_BYTE: list[int] = _make_table(8).tolist()


def crc32c(content: bytes) -> int:
    """Return the checksum of a few bytes; `checksums` is for many."""
    register = 0xFFFFFFFF
    for byte in content:
        register = _BYTE[(register ^ byte) & 0xFF] ^ register >> 8
    return register ^ 0xFFFFFFFF


def checksums(parts: Sequence[bytes]) -> list[int]:
    """Return the checksum of each part."""
    lanes = [-(-len(part) // _LANE) for part in parts]
    padded = np.zeros((sum(lanes), _LANE), np.uint8)
    ends = list(itertools.accumulate(lanes))
    for part, end in zip(parts, ends, strict=True):
        # A register of zero stays zero over zeros, so these may be put in front; and that it begins with ones
        # is the same as inverting the first four bytes.
        flat = padded[:end].reshape(-1)[-len(part) :] if part else padded[:0].reshape(-1)
        flat[:] = np.frombuffer(part, np.uint8)
        flat[:4] ^= 0xFF
    registers = _advance(np.zeros(len(padded), np.uint32), padded).tolist()
    return [
        _join(registers[end - count : end]) ^ 0xFFFFFFFF if len(part) >= 4 else crc32c(part)
        for part, end, count in zip(parts, ends, lanes, strict=True)
    ]


def _advance(registers: np.ndarray, lanes: np.ndarray) -> np.ndarray:
    """Take registers uint32 [n] over lanes uint8 [n, bytes]."""
    table = _pair_table()
    for column in np.ascontiguousarray(lanes.view("<u2").T):
        registers = table[(registers ^ column) & 0xFFFF] ^ registers >> 16
    return registers


def _join(registers: list[int]) -> int:
    """Return the register after all lanes of a part, from those after each lane alone."""
    first, second, third, fourth = _lane_tables()
    register = 0
    for lane in registers:
        low, high = first[register & 0xFF] ^ second[register >> 8 & 0xFF], third[register >> 16 & 0xFF]
        register = low ^ high ^ fourth[register >> 24] ^ lane
    return register


@functools.cache
def _pair_table() -> np.ndarray:
    return _make_table(16)


@functools.cache
def _lane_tables() -> list[list[int]]:
    """Return what a lane of zeros makes of a register, for each value of each of its bytes; they add up (XOR)."""
    values = np.arange(256, dtype=np.uint32)[None, :] << np.array([0, 8, 16, 24], np.uint32)[:, None]
    moved = _advance(values.reshape(-1), np.zeros((1024, _LANE), np.uint8))
    tables: list[list[int]] = moved.reshape(4, 256).tolist()
    return tables


def _mask(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
