"""Opening data only after what would fail later has been checked: packing it can take minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

from gan.data.dataset import DataSet
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


def recommended(
    uri: str, size: int | None, crop: str | None, recipes: Sequence[Recipe]
) -> tuple[int | None, str | None]:
    """Return size and crop for `open_data`: what is given, else what the recipes say for this source.

    Raises:
        InputError: nothing is given, and the recipes differ.
    """
    if size is None and takes(uri, "size"):
        size = _common("size", {recipe.size: recipe.size for recipe in recipes if recipe.size is not None})
    if crop is None and takes(uri, "crop"):
        scheme = DataUri.parse(uri).scheme
        crops = [recipe.crop[scheme] for recipe in recipes if scheme in recipe.crop]
        crop = _common("crop", {_kept(scheme, name): name for name in crops})
    return size, crop


def _kept(scheme: str, crop: str) -> Hashable:
    """Return what a crop keeps of a source's images: under two names it may be the same where they are of one size."""
    if scheme != "celeba":
        return crop
    try:
        return Crop.parse(crop).square(*GEOMETRY)
    except ValueError as error:
        raise InputError(f"crop {crop}: an image of CelebA {error}") from None


def _common(what: str, found: dict[Hashable, T]) -> T | None:
    if len(found) > 1:
        names = ", ".join(sorted(map(str, found.values())))
        raise InputError(f"the recipes are of different {what}s ({names}): give --{what}")
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
    shape = "×".join(map(str, data.shape))
    log.info("%s: %d to train on, %d held out, each %s", uri, len(data.train), len(data.held_out), shape)
    return data
