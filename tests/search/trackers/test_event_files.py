"""Event files: they are as TensorBoard's own writer and reader have them."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from search.trackers.event_files import EventFolder, Value, record


def scalar(value: float) -> Value:
    return Value(tag="loss", simple_value=value)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=3000), st.integers(0, 2**40))
def test_a_record_is_as_tensorboards_own_writer_writes_it(text: str, step: int) -> None:
    event = event_pb2.Event(wall_time=1e9, step=step, file_version=text)
    written = io.BytesIO()
    RecordWriter(written).write(event.SerializeToString())
    assert record(event) == written.getvalue()


def test_tensorboards_own_reader_reads_them(tmp_path: Path) -> None:
    folder = EventFolder(tmp_path / "a run, ünïcödé")
    large = Value(tag="large", image={"encoded_image_string": random.Random(0).randbytes(20_000)})
    folder.write([(1, [scalar(0.5)]), (2, [large])], at=1e9)
    folder.write([(3, [scalar(0.25)])], at=1e9 + 1)
    (file,) = files(tmp_path / "a run, ünïcödé")
    events = [*EventFileLoader(str(file)).Load()]
    assert [event.step for event in events] == [0, 1, 2, 3]
    assert [event.wall_time for event in events] == [1e9, 1e9, 1e9, 1e9 + 1]
    assert events[0].file_version == "brain.Event:2"
    assert [value.tag for event in events for value in event.summary.value] == ["loss", "large", "loss"]


def test_after_half_a_record_a_new_file_begins(tmp_path: Path) -> None:
    """On a full disk: no reader gets past half a record, so nothing may be written behind it."""
    folder = EventFolder(tmp_path)
    folder.write([(1, [scalar(1.0)])], at=1e9)
    (first,) = files(tmp_path)
    os.truncate(first, first.stat().st_size - 3)
    first.chmod(0o400)
    if os.access(first, os.W_OK):  # The superuser may write to all files.
        first.unlink()
        first.mkdir()
    with pytest.raises(OSError):
        folder.write([(2, [scalar(2.0)])], at=1e9)
    folder.write([(3, [scalar(3.0)])], at=1e9)
    assert [event.step for event in EventFileLoader(str(files(tmp_path)[-1])).Load()] == [0, 3]
