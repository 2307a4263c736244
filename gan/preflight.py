"""Opening data only after what would fail later has been checked: packing it can take minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gan.data import DataSet, open_data, open_source, takes
from gan.data.packing import Progress
from gan.data.uri import DataUri
from gan.errors import InputError
from gan.evaluation import make_features
from gan.recipe import Recipe

T = TypeVar("T")


def recommended(
    uri: str, size: int | None, crop: str | None, recipes: Sequence[Recipe]
) -> tuple[int | None, str | None]:
    """Return size and crop for `open_data`: what is given, else what the recipes say for this source.

    Raises:
        InputError: nothing is given, and the recipes differ.
    """
    if size is None and takes(uri, "size"):
        size = _common("size", {str(recipe.size): recipe.size for recipe in recipes if recipe.size is not None})
    if crop is None and takes(uri, "crop"):
        crops = (recipe.crop.get(DataUri.parse(uri).scheme) for recipe in recipes)
        crop = _common("crop", {name: name for name in crops if name is not None})
    return size, crop


def _common(what: str, found: dict[str, T]) -> T | None:
    if len(found) > 1:
        raise InputError(f"the recipes are of different {what}s ({', '.join(sorted(found))}): give --{what}")
    return next(iter(found.values()), None)


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
