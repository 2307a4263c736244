"""Event files: what TensorBoard's own reader makes of them, and what damage does not go unnoticed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as tensorboards_crc32c

from search.trackers.event_files import (
    EventFolder,
    Value,
    checksums,
    crc32c,
    event_files,
    is_whole,
)


def scalar(value: float) -> Value:
    return Value(tag="loss", simple_value=value)


def write(folder: Path, size: int = 20_000) -> Path:
    """Write three events, the second of them large; return the file."""
    events = EventFolder(folder)
    large = Value(tag="large", image={"encoded_image_string": random.Random(0).randbytes(size)})
    events.write([(1, [scalar(0.5)]), (2, [large])], at=1e9)
    events.write([(3, [scalar(0.25)])], at=1e9 + 1)
    (file,) = event_files(folder)
    return file


def test_the_checksum_is_the_published_one() -> None:
    """RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and the numbers 0 to 31."""
    parts = [bytes(32), b"\xff" * 32, bytes(range(32)), b"123456789"]
    known = [0x8A9136AA, 0x62A8AB43, 0x46DD794E, 0xE3069283]
    assert checksums(parts) == [crc32c(part) for part in parts] == known


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=1500) | st.integers(0, 3000).map(lambda size: random.Random(size).randbytes(size))))
def test_many_at_once_are_as_one_by_one(parts: list[bytes]) -> None:
    assert checksums(parts) == [tensorboards_crc32c(part) for part in parts]


def test_tensorboards_own_reader_reads_them(tmp_path: Path) -> None:
    events = [*EventFileLoader(str(write(tmp_path / "a run, ünïcödé"))).Load()]
    assert [event.step for event in events] == [0, 1, 2, 3]
    assert [event.wall_time for event in events] == [1e9, 1e9, 1e9, 1e9 + 1]
    assert events[0].file_version == "brain.Event:2"
    assert [value.tag for event in events for value in event.summary.value] == ["loss", "large", "loss"]


def test_any_changed_byte_and_any_missing_end_is_noticed(tmp_path: Path) -> None:
    file = write(tmp_path)
    content = file.read_bytes()
    assert is_whole(file)
    places = {*range(60), *range(0, len(content), 997), *range(len(content) - 60, len(content))}
    for place in places:
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        assert not is_whole(file), place
        # A file that ends with a whole record is whole, as far as it goes.
        file.write_bytes(content[:place])
        assert is_whole(file) == (place > 0 and content[:place] == content[: _record_end(content, place)]), place


def _record_end(content: bytes, place: int) -> int:
    """Return where the record that ends at or before `place` ends."""
    at = end = 0
    while at <= place:
        end = at
        if at + 8 > len(content):
            break
        at += 16 + int.from_bytes(content[at : at + 8], "little")
    return end


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"rubbish" * 100, os.urandom(1000)])
def test_what_is_no_event_file_is_not_whole(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "events.out.tfevents.1"
    file.write_bytes(content)
    assert not is_whole(file)
    assert not is_whole(tmp_path / "missing")


def test_after_half_a_record_a_new_file_begins(tmp_path: Path) -> None:
    """On a full disk: no reader gets past half a record, so nothing may be written behind it."""
    events = EventFolder(tmp_path)
    events.write([(1, [scalar(1.0)])], at=1e9)
    (first,) = event_files(tmp_path)
    os.truncate(first, first.stat().st_size - 3)
    first.chmod(0o400)
    if os.access(first, os.W_OK):  # The superuser may write to all files.
        first.unlink()
        first.mkdir()
    with pytest.raises(OSError):
        events.write([(2, [scalar(2.0)])], at=1e9)
    events.write([(3, [scalar(3.0)])], at=1e9)
    assert [event.step for event in EventFileLoader(str(event_files(tmp_path)[-1])).Load()] == [0, 3]
