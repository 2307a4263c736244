"""Turns an encoded image into a row: decodes it, turns it upright, crops it and resizes it once."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import ExifTags, Image

from gan.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP")
MOST_PIXELS = 89_000_000
"""Larger images are refused: a small file can claim any size, and would fill the memory when decoded."""
MOST_BYTES = 300_000_000
"""Larger files are refused: this is more than so many pixels take without compression."""
LEAST_SIDE = 8
"""Smaller images are refused: they are icons and counters, not useful pictures."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn an image of each EXIF orientation upright."""
_ON_ITS_SIDE = 5
"""From this EXIF orientation on, width and height are swapped."""


@dataclass(frozen=True)
class Crop:
    """The square in the middle of an image that is kept.

    Attributes:
        side: pixels a side of the square; None takes the largest.
        cut: rows to cut off first at the top, and as many at the bottom.
    """

    side: int | None = None
    cut: int = 0

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse the name of a crop: "center", "center-178", "top-bottom-20".

        Raises:
            InputError: an unknown crop.
        """
        match = re.fullmatch(r"(center|top-bottom)(?:-([1-9]\d{0,4}))?", name)
        if match is None or match[0] == "top-bottom":
            raise InputError(
                f"crop: '{name}' is not known: use center, center-N with N pixels a side, or top-bottom-N with N rows"
                " cut off at either end"
            )
        number = int(match[2]) if match[2] else None
        return cls(cut=number or 0) if match[1] == "top-bottom" else cls(side=number)

    def square(self, width: int, height: int) -> int:
        """Return the side in pixels of the square to keep of an upright image.

        Raises:
            ValueError: the image is too small for the crop.
        """
        side = self.side or min(width, height - 2 * self.cut)
        if side < 1:
            raise ValueError(f"has {width}×{height} pixels, too few to cut off {self.cut} rows at either end")
        if side > min(width, height):
            raise ValueError(f"has {width}×{height} pixels, too few to crop {side}")
        return side


@dataclass(frozen=True)
class Decoder:
    """Turns the images of a set into rows. It can be pickled.

    Attributes:
        size: pixels a side of a row.
        crop: the square to cut out of each image.
        exactly: width and height that each image must have; None allows any.
        channels: 3 for colour, 1 for grey.
    """

    size: int
    crop: Crop = Crop()
    exactly: tuple[int, int] | None = None
    channels: int = 3

    def __call__(self, data: bytes) -> np.ndarray:
        """Decode an image to uint8 [size, size, channels], RGB or grey.

        The image is turned according to its EXIF data, and transparency is laid over white. The square in
        the middle is cut out and resized once with an antialiased filter (Lanczos). The first frame of an
        animation is taken.

        Args:
            data: the content of a JPEG, PNG or WebP file.

        Raises:
            ValueError: the file is empty, or has too many or too few pixels.
            Exception: whatever Pillow raises for a file that it cannot decode.
        """
        if not data:
            raise ValueError("is empty")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            self._check(*image.size)
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            square = self.crop.square(*_upright(image))
            width, height, scale = _reduce(image, square / (2 * self.size))
            row = _resize(_rgb(image), (width, height), square / scale, self.size)
            turn = _TURNS.get(orientation)
            row = row if turn is None else row.transpose(turn)
            # Grey images keep their values.
            return np.asarray(row if self.channels == 3 else row.convert("L")).reshape(self.shape)

    def side(self, data: bytes) -> int:
        """Return the side in pixels of the square that is cut out of an image; raises as decoding does."""
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            self._check(*image.size)
            return self.crop.square(*_upright(image))

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, self.channels

    def _check(self, width: int, height: int) -> None:
        """Raise `ValueError` if an image of this size must not be decoded."""
        if width * height > MOST_PIXELS:
            raise ValueError(f"has {width}×{height} pixels, over {MOST_PIXELS:,}")
        if self.exactly not in (None, (width, height)):
            raise ValueError(f"has {width}×{height} pixels, not {self.exactly[0]}×{self.exactly[1]}")
        if min(width, height) < LEAST_SIDE:
            raise ValueError(f"has {width}×{height} pixels, under {LEAST_SIDE} a side")


def _upright(image: Image.Image) -> tuple[int, int]:
    """Return width and height as its EXIF data turns an image."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    width, height = image.size
    return (height, width) if orientation in _TURNS and orientation >= _ON_ITS_SIDE else (width, height)


def _reduce(image: Image.Image, most: float) -> tuple[float, float, float]:
    """Let a JPEG decode at 1/2, 1/4 or 1/8 of its size, by a factor of `most` at most: this is far less work.

    Returns:
        The width and height of the decoded image in fractions of a pixel (what is decoded beyond them is
        padding), and the factor.
    """
    width, height = image.size
    smallest = (math.ceil(width / max(1, most)), math.ceil(height / max(1, most)))
    reduced = image.draft(image.mode, smallest)
    if reduced is None:
        return width, height, 1
    return reduced[1][2], reduced[1][3], width / reduced[1][2]


def _resize(image: Image.Image, extent: tuple[float, float], square: float, size: int) -> Image.Image:
    """Cut out the middle square and resize it. Pixels outside the square do not affect its edge."""
    left, top = ((length - square) / 2 for length in extent)
    if float(square).is_integer():  # Only a reduced JPEG needs fractions of a pixel.
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
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
