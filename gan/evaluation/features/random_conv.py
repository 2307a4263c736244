"""`random-conv`: a fixed, randomly initialised embedding. It is fast and needs no download.

Naeem et al. 2020 ("Reliable Fidelity and Diversity Metrics for Generative Models") rank generators by random
embeddings if images are far from ImageNet. The distances are not standard FID, and are always shown with this
extractor's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gan.errors import InputError
from gan.evaluation.features import fixed_precision
from gan.tensors.images import to_unit

LARGEST = 64
"""Side in pixels above which images are shrunk, as random filters gain nothing from more detail."""

_SEED = 2020
_CHANNELS = (32, 64, 128)  # Of the three convolutions, each of stride 2.
_POOLS = (1, 2, 1)  # Cells a side over which the output of each convolution is averaged.
_WIDTH = 128  # Of each of the two layers for vectors.
_FLOOR = 0.01  # Added before the square root to bound its slope; responses are about 0.1 to 1.
_SCALE = 16.0  # Brings distances to the usual magnitudes of FID: about 200 for a constant image.

# Photographs have most of their energy in smooth brightness, which would hide everything else. The first
# filters therefore stress detail and colour. A random 3×3 filter is convolved with a Laplacian plus a constant
# (gain 4 for a flat area, up to 24 for detail), and its colours are weighted against each other (gain 2 for
# grey, 5 for colour). All are integers, so that the result is exact.
_ROUGHEN = np.array([[-1, -2, -1], [-2, 16, -2], [-1, -2, -1]])
_COLOUR = 5 * np.eye(3, dtype=np.int64) - 1


def make(shape: tuple[int, ...], device: torch.device, inception_weights: Path | None = None) -> RandomEmbedding:
    """Make the embedding for images (H, W, C) or vectors (F,); `inception_weights` is not used.

    Raises:
        InputError: rows of another kind.
    """
    return RandomEmbedding(shape).to(device)


class RandomEmbedding:
    """Random convolutions for images, random layers for vectors; see `FeatureExtractor`.

    Activations are square roots of the rectified response. A change then counts relative to the response, so
    that a faint fault in a flat area is noticed beside a strong edge, and contrast does not dominate the
    distance.
    """

    name = "random-conv"

    def __init__(self, shape: tuple[int, ...]) -> None:
        if not (len(shape) == 1 or (len(shape) == 3 and shape[2] in (1, 3))):
            raise InputError(f"random-conv takes grey or RGB images, or vectors, not rows of shape {shape}")
        self._shape = shape
        self._is_image = len(shape) == 3
        weights = _image_weights() if self._is_image else _vector_weights(shape[0])
        self.weights_sha256 = _hash_of(weights)
        self._weights = [torch.from_numpy(weight) for weight in weights]
        if self._is_image:
            self._weights = [weight.contiguous(memory_format=torch.channels_last) for weight in self._weights]
        self.resize = f"antialiased bilinear to {LARGEST}" if self._shrinks else "none"
        self.dimensions = sum(c * p * p for c, p in zip(_CHANNELS, _POOLS, strict=True))
        if not self._is_image:
            self.dimensions = 2 * _WIDTH

    @property
    def _shrinks(self) -> bool:
        return self._is_image and max(self._shape[:2]) > LARGEST

    def __reduce__(self) -> tuple[object, ...]:
        return RandomEmbedding, (self._shape,)

    def to(self, device: torch.device | str) -> Self:
        self._weights = [weight.to(device) for weight in self._weights]
        return self

    @torch.no_grad()
    def __call__(self, rows: Tensor) -> Tensor:
        rows = rows.to(self._weights[0].device)
        with fixed_precision(rows.device):
            levels = self._convolved(rows) if self._is_image else self._layered(rows)
        return torch.cat(levels, 1) * _SCALE

    def _convolved(self, pixels: Tensor) -> list[Tensor]:
        images = to_unit(pixels)
        if self._shrinks:
            size = [min(side, LARGEST) for side in images.shape[2:]]
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        levels = []
        for weight, pool in zip(self._weights, _POOLS, strict=True):
            if weight.shape[1] == 3 and images.shape[1] == 1:
                # Equals repeating grey three times, with a third of the work.
                weight = weight.sum(1, keepdim=True)
            floor = weight.new_full(weight.shape[:1], _FLOOR)
            images = _compress(F.conv2d(images, weight, floor, stride=2, padding=weight.shape[-1] // 2))
            levels.append(F.adaptive_avg_pool2d(images, pool).flatten(1))
        return levels

    def _layered(self, vectors: Tensor) -> list[Tensor]:
        first, offset, second = self._weights
        hidden = F.relu(F.linear(vectors, first, offset))
        return [hidden, _compress(F.linear(hidden, second) + _FLOOR)]


def _compress(responses: Tensor) -> Tensor:
    """Return √(floor + max(0, response)), in place, for responses that include the floor."""
    return responses.clamp_min_(_FLOOR).sqrt_()


def _image_weights() -> list[np.ndarray]:
    bits = np.random.Philox(key=_SEED)
    weights = [_unit(_roughened(_integers(bits, (_CHANNELS[0], 3, 3, 3)))) / 2]
    for inputs, outputs in pairwise(_CHANNELS):
        draws = _integers(bits, (outputs, inputs, 3, 3))
        # The input is positive everywhere. Filters of mean 0 respond to its pattern, not to its sum.
        fan_in = inputs * 9
        weights.append(_unit(draws * fan_in - draws.sum((1, 2, 3), keepdims=True)))
    return [weight.astype(np.float32) for weight in weights]


def _vector_weights(features: int) -> list[np.ndarray]:
    bits = np.random.Philox(key=_SEED)
    first = _unit(_integers(bits, (_WIDTH, features)))
    offset = _integers(bits, (_WIDTH,)) / 2**16  # Spreads the kinks of the activations over the range of the data.
    second = _integers(bits, (_WIDTH, _WIDTH))
    second = _unit(second * _WIDTH - second.sum(1, keepdims=True))
    return [weight.astype(np.float32) for weight in (first, offset, second)]


def _integers(bits: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """Draw odd integers, uniform in ±2^16, bit-equal on every machine.

    They come from raw bits, because NumPy guarantees a fixed stream only for its bit generators. They are
    integers, because sums of integers do not depend on their order.
    """
    raw = (bits.random_raw(prod(shape)) >> np.uint64(48)).astype(np.int64)
    return (2 * raw - (2**16 - 1)).reshape(shape)


def _roughened(filters: np.ndarray) -> np.ndarray:
    """Convolve filters N×3×3×3 with `_ROUGHEN`, to N×3×5×5, and mix their colours by `_COLOUR`."""
    out = np.zeros((len(filters), 3, 5, 5), np.int64)
    for (row, column), gain in np.ndenumerate(_ROUGHEN):
        out[:, :, row : row + 3, column : column + 3] += gain * filters
    mixed: np.ndarray = np.einsum("dc,nchw->ndhw", _COLOUR, out)
    return mixed


def _unit(filters: np.ndarray) -> np.ndarray:
    """Scale integer filters to length 1, in float64.

    The sum of squares is below 2^62 here, so it is exact. IEEE roots and quotients are the same everywhere.
    """
    squares = (filters**2).sum(tuple(range(1, filters.ndim)), keepdims=True)
    scaled: np.ndarray = filters / np.sqrt(squares.astype(np.float64))
    return scaled


def _hash_of(weights: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(str(weight.shape).encode() + weight.astype("<f4").tobytes())
    return digest.hexdigest()
