"""Feature extractors: what turns images into the vectors that FID compares."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from gan.errors import InputError
from gan.registry import Registry

EXTRACTORS = Registry(
    "feature extractor",
    "gan_search.features",
    {
        "random-conv": "gan.evaluation.features.random_conv:make",
        "inception": "gan.evaluation.features.inception:make",
        "exported": "gan.evaluation.features.exported:make",
    },
)
"""Name → `make(shape, device, inception_weights) -> FeatureExtractor`.

An extractor whose `make` has a parameter `path` reads a file, and is named NAME:PATH.
"""


class FeatureExtractor(Protocol):
    """A fixed embedding of rows. It can be pickled, and is unpickled on the CPU.

    Attributes:
        name: the registered name; it accompanies every score.
        weights_sha256: hash of the weights; None if there are none.
        resize: how images are resized to the extractor's input size.
        dimensions: D, the length of a feature vector.
    """

    name: str
    resize: str
    dimensions: int

    @property
    def weights_sha256(self) -> str | None: ...

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

    Args:
        name: the registered name, followed by ":PATH" if the extractor reads a file.

    Raises:
        InputError: an unknown extractor, rows that it does not take, or weights that are missing or unusable.
    """
    kind, _, path = name.partition(":")
    make = EXTRACTORS[kind]
    options: dict[str, Any] = {"shape": shape, "device": torch.device(device), "inception_weights": inception_weights}
    if "path" in inspect.signature(make).parameters:
        if not path:
            raise InputError(f"--features {name}: needs a file: {kind}:PATH")
        options["path"] = Path(path)
    elif name != kind:
        raise InputError(f"--features {name}: {kind} is read from no file: leave out ':{path}'")
    extractor: FeatureExtractor = make(**options)
    return extractor


@contextmanager
def fixed_precision(device: torch.device) -> Iterator[None]:
    """Switch off autocast and TF32: a caller's settings must not change the features, nor a score."""
    with torch.autocast(device.type, enabled=False), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def absolute_name(name: str) -> str:
    """Return an extractor's name with its file's path, if it has one, made absolute."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{Path(path).expanduser().absolute()}" if colon and path else name


def singular(dimensions: int, samples: int) -> str | None:
    """Return a warning if there are fewer samples than a covariance of `dimensions` needs, else None."""
    if samples > dimensions:
        return None
    return (
        f"{samples:,} samples for {dimensions:,} features: the covariance is singular and the distance biased"
        f" upwards, the more so the fewer; take over {dimensions:,}, and compare only at equal counts"
    )
