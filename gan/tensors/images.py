"""Conversion between pixels and tensors, uint8 in [0, 255] ↔ float in [-1, 1], and encoding of images."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_unit(pixels: Tensor) -> Tensor:
    """Map uint8 images N×H×W×C to float32 N×C×H×W in [-1, 1], channels_last in memory.

    A permuted N×H×W×C tensor is channels_last already, so only the type is converted.
    """
    return pixels.permute(0, 3, 1, 2).to(torch.float32).sub_(127.5).div_(127.5)


def to_pixels(images: Tensor) -> Tensor:
    """Quantise float images N×C×H×W in [-1, 1] to uint8 N×H×W×C.

    The range is fixed. Scaling by a sample's own minimum and maximum would hide faults of contrast from FID.
    """
    rounded = images.float().mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous()


def grid(pixels: np.ndarray, columns: int | None = None, pad: int = 2) -> np.ndarray:
    """Arrange uint8 images N×H×W×C row by row on a white background, as one H'×W'×C image."""
    count, height, width, channels = pixels.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + pad) + pad, columns * (width + pad) + pad, channels), 255, np.uint8)
    for index, image in enumerate(pixels):
        top = pad + index // columns * (height + pad)
        left = pad + index % columns * (width + pad)
        sheet[top : top + height, left : left + width] = image
    return sheet


def encode_png(image: np.ndarray) -> bytes:
    """Encode one uint8 image H×W×C (C of 1 or 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_gif(frames: Iterable[np.ndarray], examples: np.ndarray, milliseconds: int = 60) -> bytes:
    """Encode uint8 images H×W×C (C of 1 or 3) as an animated GIF that repeats for ever.

    Args:
        frames: the images in order, consumed one by one.
        examples: some of them, N×H×W×C. All frames use the 256 colours that fit these, so that parts which
            do not move do not flicker.
        milliseconds: duration of a frame; GIF rounds it to tens of milliseconds.
    """
    palette = Image.fromarray(_tall(examples)).quantize(256, Image.Quantize.MEDIANCUT)
    images = (Image.fromarray(_tall(frame[None])) for frame in frames)
    # Dithering would add moving noise.
    pictures = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    buffer = io.BytesIO()
    next(pictures).save(
        buffer, format="GIF", save_all=True, append_images=pictures, duration=milliseconds, loop=0, optimize=False
    )
    return buffer.getvalue()


def _tall(images: np.ndarray) -> np.ndarray:
    """Stack images N×H×W×C, grey or RGB, vertically as one RGB image."""
    return np.ascontiguousarray(np.broadcast_to(images, (*images.shape[:3], 3)).reshape(-1, images.shape[2], 3))


def save_png(path: Path, image: np.ndarray) -> None:
    """Write one uint8 image H×W×C (C of 1 or 3) as PNG."""
    path.write_bytes(encode_png(image))
