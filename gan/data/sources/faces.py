"""`faces`: 60,000 drawn faces with known attributes, identical on every machine.

With these data a search can be shown without a download. Attributes are hashes of the image's index, so
any image can be drawn alone. `gan.data.sources.face_drawing` turns attributes into pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gan.data.sources.face_drawing import BEARDS, CUTS, EYE_COLOURS, HAIR_COLOURS, render
from gan.errors import InputError

VERSION = 2  # Raise it whenever an image changes: the cache keys of packed sets and statistics depend on it.
COUNT, TRAIN = 60_000, 50_000
SMALLEST = 16  # Pixels a side; smaller faces cannot be recognised.


@dataclass(frozen=True)
class Scale:
    """Values in [low, high), distributed uniformly, or with a peak in the middle (a triangle) if `central`."""

    low: float
    high: float
    central: bool = False


@dataclass(frozen=True)
class Kinds:
    """Named values, numbered in order, with a weight for how often each occurs (equal weights if none)."""

    names: tuple[str, ...]
    weights: tuple[float, ...] = ()

    def shares(self) -> npt.NDArray[np.float64]:
        """Return the expected share of each name."""
        weights = self.weights or (1.0,) * len(self.names)
        return np.array(weights) / sum(weights)


# An attribute's index in this table is part of its hash: append new ones, and raise VERSION.
# Lengths are in head coordinates: the frame is 2 wide and 2 high.
ATTRIBUTES: dict[str, Scale | Kinds] = {
    "skin": Scale(0, 1),  # dark to light
    "warmth": Scale(-1, 1),
    "face_width": Scale(0.48, 0.60),
    "face_height": Scale(0.64, 0.76),
    "jaw": Scale(0.0, 0.45),  # how much the face narrows to the chin
    "ear_size": Scale(0.07, 0.12),
    "shoulders": Scale(0.7, 1.1),
    "hair_style": Kinds(tuple(CUTS), (3, 6, 12, 11, 14, 4, 3, 10, 8, 12, 16, 8)),
    "hair_colour": Kinds(tuple(HAIR_COLOURS), (18, 18, 16, 9, 9, 14, 6, 4, 3, 3)),
    "hair_volume": Scale(-1, 1),
    "hair_part": Scale(-1, 1),  # left to right
    "hairline": Scale(-1, 1),  # high to low
    "brow_height": Scale(0.17, 0.25),
    "brow_tilt": Scale(-0.28, 0.28),  # angry to worried
    "brow_thickness": Scale(0.015, 0.04),
    "eye_colour": Kinds(tuple(EYE_COLOURS), (40, 12, 14, 24, 10)),
    "eye_size": Scale(0.12, 0.17),
    "eye_open": Scale(0.45, 0.85),
    "eye_spacing": Scale(0.20, 0.26),
    "eye_tilt": Scale(-0.2, 0.2),
    "gaze": Scale(-1, 1, central=True),
    "nose_length": Scale(0.17, 0.27),
    "nose_width": Scale(0.06, 0.11),
    "mouth_width": Scale(0.14, 0.26),
    "mouth_curve": Scale(-0.8, 1.4),  # frown to smile
    "mouth_open": Scale(0, 1),
    "lip_fullness": Scale(0.03, 0.065),
    "lip_redness": Scale(0, 1),
    "blush": Scale(0, 1),
    "beard": Kinds(tuple(BEARDS), (78, 9, 13)),
    "glasses": Kinds(("no", "yes"), (70, 30)),
    "glasses_shape": Scale(0, 1),  # round to square
    "frame_colour": Scale(0, 1),
    "shift_x": Scale(-0.07, 0.07, central=True),
    "shift_y": Scale(0.0, 0.08, central=True),
    "yaw": Scale(-0.12, 0.12, central=True),  # how far the features move on the head
    "pitch": Scale(-0.04, 0.04, central=True),
    "roll": Scale(-0.18, 0.18, central=True),  # radians
    "light_direction": Scale(-1, 1),  # from the left to from the right
    "light_strength": Scale(0.1, 0.6),
    "background_hue": Scale(0, 1),
    "background_saturation": Scale(0.1, 0.6),
    "background_lightness": Scale(0.35, 0.95),
    "gradient_x": Scale(-0.25, 0.25),
    "gradient_y": Scale(-0.25, 0.25),
    "clothes_hue": Scale(0, 1),
    "clothes_lightness": Scale(0.25, 0.9),
}


def attributes(indices: npt.ArrayLike) -> dict[str, npt.NDArray[np.generic]]:
    """Return the attributes of the faces at `indices`, each as an array of their length.

    A `Scale` gives float32 in its range, `Kinds` gives int64 numbers of its names. The attributes of index i
    do not depend on the other indices or on the machine.
    """
    chosen = np.asarray(indices, np.int64).astype(np.uint64)
    return {name: _values(_hash(chosen, number), space) for number, (name, space) in enumerate(ATTRIBUTES.items())}


def _hash(indices: npt.NDArray[np.uint64], number: int) -> npt.NDArray[np.uint64]:
    """Hash index and attribute number to 64 random bits (splitmix64: Steele, Lea and Flood, 2014)."""
    bits = (indices * np.uint64(len(ATTRIBUTES)) + np.uint64(number + 1)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _values(bits: npt.NDArray[np.uint64], space: Scale | Kinds) -> npt.NDArray[np.generic]:
    # Two independent numbers in [0, 1) of 24 bits each, which float32 holds exactly.
    first, second = (
        ((bits >> np.uint64(shift)) & np.uint64(0xFFFFFF)).astype(np.float64) / 2**24 for shift in (40, 16)
    )
    if isinstance(space, Kinds):
        ends = np.cumsum(space.shares())[:-1]
        return np.searchsorted(ends, first, side="right").astype(np.int64)
    place = (first + second) / 2 if space.central else first
    return (space.low + (space.high - space.low) * place).astype(np.float32)


def draw(indices: npt.ArrayLike, size: int) -> npt.NDArray[np.uint8]:
    """Draw the faces at `indices` (integers from 0) as uint8 images [faces, size, size, 3].

    A face is the same drawing at every size. Its bytes do not depend on the other faces drawn.

    Raises:
        InputError: `size` is too small for a face.
    """
    if size < SMALLEST:
        raise InputError(f"size: faces are drawn at {SMALLEST} pixels or more, not {size}")
    return render(attributes(indices), size)


@dataclass(frozen=True)
class DrawFaces:
    """Draws the faces at some indices; a `PartReader`."""

    indices: tuple[int, ...]
    size: int

    def __call__(self) -> Iterator[npt.NDArray[np.uint8]]:
        return iter(draw(self.indices, self.size))


class Faces:
    """The drawn faces as a `Source`: the first 50,000 are for training, the last 10,000 are held out.

    Raises:
        InputError: `size` is too small for a face.
    """

    uri = "faces"
    dtype = np.dtype(np.uint8)
    default_features = "random-conv"
    held_out = range(TRAIN, COUNT)

    def __init__(self, size: int) -> None:
        draw([], size)  # Refuses a bad size before anything is written.
        self.size = size
        self.shape = (size, size, 3)

    def fingerprint(self) -> str:
        """Return a string that changes when an image does."""
        return f"faces-{VERSION}-{self.size}"

    def __len__(self) -> int:
        return COUNT

    def part_reader(self, rows: Sequence[int]) -> DrawFaces:
        """Return a reader of some rows; see `Source`."""
        return DrawFaces(tuple(rows), self.size)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        for start in range(0, COUNT, 1000):
            yield from draw(np.arange(start, start + 1000), self.size)
