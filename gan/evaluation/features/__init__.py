"""Feature extractors: what turns images into the vectors that FID compares."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor

from gan.registry import Registry

EXTRACTORS = Registry(
    "feature extractor",
    "gan_search.features",
    {
        "random-conv": "gan.evaluation.features.random_conv:make",
        "inception": "gan.evaluation.features.inception:make",
    },
)
"""Name → `make(shape, device, inception_weights) -> FeatureExtractor`."""


class FeatureExtractor(Protocol):
    """A fixed embedding of rows. It can be pickled; it comes back on the CPU.

    Attributes:
        name: as registered; it accompanies every score.
        weights_sha256: hash of the weights, None where there are none.
        resize: how images reach the extractor's own size.
        dimensions: D, the length of a feature vector.
    """

    @property
    def name(self) -> str: ...
    @property
    def weights_sha256(self) -> str | None: ...
    @property
    def resize(self) -> str: ...
    @property
    def dimensions(self) -> int: ...

    def __call__(self, rows: Tensor) -> Tensor:
        """Embed uint8 images N×H×W×C (or float32 vectors N×F) on any device as float32 N×D."""

    def to(self, device: torch.device | str) -> Self:
        """Move to `device`, in place, and return itself."""


def make_features(
    name: str,
    *,
    shape: tuple[int, ...],
    device: torch.device | str = "cpu",
    inception_weights: Path | None = None,
) -> FeatureExtractor:
    """Make the extractor called `name` for rows of `shape`: (H, W, C) images or (F,) vectors.

    Raises:
        InputError: no such extractor, rows that it cannot take, or weights missing or unusable.
    """
    extractor: FeatureExtractor = EXTRACTORS[name](
        shape=shape, device=torch.device(device), inception_weights=inception_weights
    )
    return extractor
