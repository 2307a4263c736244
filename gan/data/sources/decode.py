"""From an encoded image to a row: decoded, turned upright, cropped and resized once."""

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
"""Larger images are refused: a small file can claim any size and fill the memory when decoded."""
MOST_BYTES = 300_000_000
"""Larger files are refused: more than the pixels above take when they are not compressed at all."""
LEAST_SIDE = 8
"""Smaller images are refused: they are icons and counters, not pictures to learn from."""
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
_ON_ITS_SIDE = 5
"""From this orientation on, width and height change places."""


@dataclass(frozen=True)
class Crop:
    """Which square in the middle of an image is kept.

    Attributes:
        side: its pixels a side; None takes the largest.
        cut: rows that are cut off at the top, and as many at the bottom, before that.
    """

    side: int | None = None
    cut: int = 0

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a crop as users write it: "center", "center-178", "top-bottom-20".

        Raises:
            InputError: there is no such crop.
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
        """Return the pixels a side that are kept of an upright image.

        Raises:
            ValueError: the image is too small for it.
        """
        side = self.side or min(width, height - 2 * self.cut)
        if side < 1:
            raise ValueError(f"has {width}×{height} pixels, too few to cut off {self.cut} rows at either end")
        if side > min(width, height):
            raise ValueError(f"has {width}×{height} pixels, too few to crop {side}")
        return side


@dataclass(frozen=True)
class Decoder:
    """How a set's images become rows; it may be sent to other processes.

    Attributes:
        size: pixels a side of a row.
        crop: what is cut out of each image.
        exactly: width and height that each image must have; None takes any.
        channels: 3 for colour, 1 for grey.
    """

    size: int
    crop: Crop = Crop()
    exactly: tuple[int, int] | None = None
    channels: int = 3

    def __call__(self, data: bytes) -> np.ndarray:
        """Return an encoded image as uint8 [size, size, channels], RGB or grey.

        It is turned as its EXIF data says, transparency is laid over white, the square in the middle
        is cut out, and that is resized once with an antialiased filter (Lanczos). Of an animation the
        first picture counts.

        Args:
            data: the content of a JPEG, PNG or WebP file.

        Raises:
            ValueError: the image is refused: empty, of too many or too few pixels.
            Exception: whatever Pillow raises for a file that it cannot decode.
        """
        if not data:
            raise ValueError("is empty")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            self._check(*image.size)
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            lying = orientation in _TURNS and orientation >= _ON_ITS_SIDE
            square = self.crop.square(*(image.size[::-1] if lying else image.size))
            width, height, scale = _reduce(image, square / (2 * self.size))
            row = _resize(_rgb(image), (width, height), square / scale, self.size)
            turn = _TURNS.get(orientation)
            row = row if turn is None else row.transpose(turn)
            # What is grey already keeps its values.
            return np.asarray(row if self.channels == 3 else row.convert("L")).reshape(self.shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, self.channels

    def _check(self, width: int, height: int) -> None:
        """Raise `ValueError` unless an image of this size is to be decoded."""
        if width * height > MOST_PIXELS:
            raise ValueError(f"has {width}×{height} pixels, over {MOST_PIXELS:,}")
        if self.exactly not in (None, (width, height)):
            raise ValueError(f"has {width}×{height} pixels, not {self.exactly[0]}×{self.exactly[1]}")
        if min(width, height) < LEAST_SIDE:
            raise ValueError(f"has {width}×{height} pixels, under {LEAST_SIDE} a side")


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
