"""Checks before data is opened: packing can take minutes, and must not be wasted on a request that fails later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

from gan.data.dataset import DataSet, Source
from gan.data.packed.opening import open_data
from gan.data.packed.packing import Progress
from gan.data.sources.celeba import GEOMETRY
from gan.data.sources.decode import Crop
from gan.data.sources.opening import open_source, takes
from gan.data.uri import DataUri
from gan.errors import InputError
from gan.evaluation.features import make_features
from gan.recipe.recipe import Recipe

log = logging.getLogger(__name__)

T = TypeVar("T")


def size_and_crop(
    uri: str, size: int | None, crop: str | None, recipes: Sequence[Recipe]
) -> tuple[int | None, str | None]:
    """Return size and crop for `open_data`: the given ones, else those that the recipes have for this source.

    Raises:
        InputError: one is not given, and the recipes differ in it.
    """
    if size is None and takes(uri, "size"):
        size = _agreed("size", {recipe.size: recipe.size for recipe in recipes if recipe.size is not None})
    if crop is None and takes(uri, "crop"):
        scheme = DataUri.parse(uri).scheme
        crops = [recipe.crop[scheme] for recipe in recipes if scheme in recipe.crop]
        crop = _agreed("crop", {_cropped_square(scheme, name): name for name in crops})
    return size, crop


def _cropped_square(scheme: str, crop: str) -> Hashable:
    """Return the square that a crop keeps of CelebA's images, which are of one size; elsewhere the crop's name."""
    if scheme != "celeba":
        return crop
    try:
        return Crop.parse(crop).square(*GEOMETRY)
    except ValueError as error:
        raise InputError(f"crop {crop}: an image of CelebA {error}") from None


def _agreed(option: str, values: dict[Hashable, T]) -> T | None:
    """Return the value that all recipes agree on; None if none has one."""
    if len(values) > 1:
        names = ", ".join(sorted(map(str, values.values())))
        raise InputError(f"the recipes are of different {option}s ({names}): give --{option}")
    return next(iter(values.values()), None)


def open_checked(
    uri: str,
    size: int | None,
    crop: str | None,
    *,
    features: str | None = None,
    weights: Path | None = None,
    check_shape: Callable[[tuple[int, ...]], object] = lambda shape: None,
    progress: Progress | None = None,
) -> DataSet:
    """Open a data set for training, after checking what would fail later.

    Args:
        uri, size, crop, progress: as `open_data` takes them.
        features, weights: of the evaluation; by default the features that suit the data.
        check_shape: raises `InputError` for a shape of rows that cannot be used.

    Raises:
        InputError: the data, the features or the shape cannot be used.
    """

    def check(source: Source | DataSet) -> None:
        check_shape(source.shape)
        make_features(features or source.default_features, shape=source.shape, inception_weights=weights)

    if not uri.startswith("packed:"):
        check(open_source(uri, size, crop))
    data = open_data(uri, size, crop=crop, progress=progress)
    check(data)
    shape = "×".join(map(str, data.shape))
    log.info("%s: %d to train on, %d held out, each %s", uri, len(data.train), len(data.held_out), shape)
    return data
