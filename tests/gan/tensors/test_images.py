"""Pixels become tensors and back in one place, with a fixed range."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan.tensors.images import encode_png, grid, save_png, to_pixels, to_unit


def test_every_pixel_value_survives_the_way_there_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    unit = to_unit(pixels)
    assert unit.dtype == torch.float32 and unit.shape == (1, 1, 16, 16)
    assert (unit.min(), unit.max()) == (-1, 1)
    assert torch.equal(to_pixels(unit), pixels)


def test_the_mapping_is_linear_and_keeps_rows_columns_and_channels() -> None:
    pixels = torch.randint(0, 256, (2, 4, 6, 3), dtype=torch.uint8)
    unit = to_unit(pixels)
    assert unit.shape == (2, 3, 4, 6)
    assert unit.is_contiguous(memory_format=torch.channels_last)
    expected = pixels.numpy().transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(unit.numpy(), expected, atol=1e-6)


def test_converting_leaves_the_pixels_alone() -> None:
    pixels = torch.full((1, 2, 2, 3), 7, dtype=torch.uint8)
    to_unit(pixels)
    assert (pixels == 7).all()
    images = torch.zeros(1, 3, 2, 2)
    to_pixels(images)
    assert not images.any()


def test_quantising_rounds_to_the_nearest_and_clips() -> None:
    values = torch.tensor([-5.0, -1.0, -0.99, 0.0, 0.99, 1.0, 5.0, 1 / 127.5 * 0.4, -1 + 0.4 / 127.5])
    pixels = to_pixels(values.view(1, 1, 1, -1)).flatten().tolist()
    assert pixels == [0, 0, 1, 128, 254, 255, 255, 128, 0]


def test_quantising_is_not_relative_to_the_sample() -> None:
    """Two grey images of different contrast must stay different."""
    faint = 0.1 * torch.linspace(-1, 1, 256).view(1, 1, 16, 16)
    pixels = to_pixels(faint)
    assert pixels.min() >= 114 and pixels.max() <= 141


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_quantised_alike(dtype: torch.dtype) -> None:
    images = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]).view(1, 1, 1, 5)
    assert torch.equal(to_pixels(images.to(dtype)), to_pixels(images))


def test_a_grid_lays_images_out_row_by_row() -> None:
    pixels = np.stack([np.full((4, 5, 3), value, np.uint8) for value in range(5)])
    sheet = grid(pixels, columns=3, pad=1)
    assert sheet.shape == (2 * 5 + 1, 3 * 6 + 1, 3)
    for index in range(5):
        top, left = 1 + index // 3 * 5, 1 + index % 3 * 6
        assert (sheet[top : top + 4, left : left + 5] == index).all()
    assert (sheet[6:, 13:] == 255).all() and (sheet[0] == 255).all()
    assert grid(pixels).shape[:2] == (2 * 6 + 2, 3 * 7 + 2)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_png_keeps_every_pixel(channels: int, mode: str, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 9, channels), np.uint8)
    opened = Image.open(io.BytesIO(encode_png(image)))
    assert opened.mode == mode
    assert np.array_equal(np.asarray(opened).reshape(image.shape), image)
    save_png(tmp_path / "image.png", image)
    assert (tmp_path / "image.png").read_bytes() == encode_png(image)
