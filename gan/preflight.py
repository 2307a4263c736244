"""Opening data only after what would fail later has been checked: packing it can take minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gan.data import DataSet, open_data, open_source
from gan.data.packing import Progress
from gan.evaluation import make_features


def open_checked(
    uri: str,
    size: int | None,
    crop: str | None,
    *,
    features: str | None = None,
    weights: Path | None = None,
    fits: Callable[[tuple[int, ...]], object] = lambda shape: None,
    progress: Progress | None = None,
) -> DataSet:
    """Open a data set that a training is to use.

    Args:
        uri, size, crop, progress: as `open_data` takes them.
        features, weights: of the evaluation to come; features default to what suits the data.
        fits: raises `InputError` for a shape of rows that cannot be used.

    Raises:
        InputError: whatever is wrong.
    """
    if not uri.startswith("packed:"):
        source = open_source(uri, size, crop)
        fits(source.shape)
        make_features(features or source.default_features, shape=source.shape, inception_weights=weights)
    data = open_data(uri, size, crop=crop, progress=progress)
    fits(data.shape)
    make_features(features or data.default_features, shape=data.shape, inception_weights=weights)
    return data
