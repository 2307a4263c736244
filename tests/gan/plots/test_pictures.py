"""The grid of real images that is kept beside what a training makes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.plots.pictures import REAL, write_real
from gan.storage.storage import Storage
from gan.tensors.images import grid


def cells(png: bytes, side: int) -> np.ndarray:
    """Take a grid of eight columns apart again: uint8 64×side×side×3."""
    sheet = np.asarray(Image.open(io.BytesIO(png)))
    step = side + 2
    return np.stack([sheet[2 + i // 8 * step :, 2 + i % 8 * step :][:side, :side] for i in range(64)])


def test_it_shows_64_different_training_images_and_none_held_out(tiny_data: str, tmp_path: Path) -> None:
    data = open_data(tiny_data, None)
    write_real(Storage(tmp_path), data)
    shown = cells((tmp_path / REAL).read_bytes(), 16)
    train = {row.tobytes() for row in data.train.gather(np.arange(len(data.train)))}
    assert len({row.tobytes() for row in shown}) == 64
    assert all(row.tobytes() in train for row in shown)


def test_it_is_the_same_every_time_and_written_once(tiny_data: str, tmp_path: Path) -> None:
    data = open_data(tiny_data, None)
    for folder in ("a", "b"):
        write_real(Storage(tmp_path / folder), data)
    assert (tmp_path / "a" / REAL).read_bytes() == (tmp_path / "b" / REAL).read_bytes()
    (tmp_path / "a" / REAL).write_bytes(b"as it is")
    write_real(Storage(tmp_path / "a"), data)
    assert (tmp_path / "a" / REAL).read_bytes() == b"as it is"


def test_fewer_images_than_places_are_all_shown(tiny_data: str, tmp_path: Path) -> None:
    data = open_data(tiny_data, None)
    few = DataSet(data.uri, data.shape, data.dtype, "", "", data.held_out, data.train)
    write_real(Storage(tmp_path), few)
    rows = data.held_out.gather(np.arange(len(data.held_out)))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / REAL)), grid(rows, columns=8))


def test_data_that_is_not_images_has_none(tmp_path: Path) -> None:
    write_real(Storage(tmp_path), open_data("curves", None))
    assert list(tmp_path.iterdir()) == []
