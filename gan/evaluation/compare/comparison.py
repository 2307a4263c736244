"""The distance between any two of what `fid` takes, and all that it depends on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gan.errors import InputError, NotFinite, TooFew
from gan.evaluation.compare.inputs import FidInput, FidOptions
from gan.evaluation.features import FeatureExtractor, make_features, singular
from gan.evaluation.frechet import Reference
from gan.evaluation.identity import EXTRACTION, differing
from gan.evaluation.statistics import Statistics


@dataclass(frozen=True)
class Comparison:
    """A distance, and how it came about.

    Attributes:
        distance: the squared Fréchet distance.
        first, second: the sides; the second is the reference.
        count, reference_count: images of each; None where a file does not tell.
        features: None between two files of statistics.
    """

    distance: float
    first: FidInput
    second: FidInput
    count: int | None
    reference_count: int | None
    features: FeatureExtractor | None
    options: FidOptions

    def evaluation(self) -> dict[str, Any]:
        """Return the identity of this measurement: the fields of `EvaluationIdentity`, and the first side."""
        return {
            **_extraction(self.features, self.first, self.second),
            "samples": self.count,
            "reference_samples": self.reference_count,
            "reference_seed": self.options.seed,
            "latent_seed": self.options.seed,
            "data": self.second.name,
            "data_hash": self.second.content_hash(),
            "compared": self.first.name,
            "compared_hash": self.first.content_hash(),
        }

    def caveats(self) -> list[str]:
        """Return what must be said beside the number, a line each."""
        said = [self.first.caveat(self.count), self.second.caveat(self.reference_count)]
        counts = [count for count in (self.count, self.reference_count) if count is not None]
        if self.features is not None and counts:
            said.append(singular(self.features.dimensions, min(counts)))
        return [line for line in said if line]


@dataclass(frozen=True)
class Measured:
    """One side's statistics, and what they were measured with."""

    statistics: Statistics
    side: FidInput
    features: FeatureExtractor
    options: FidOptions

    def evaluation(self) -> dict[str, Any]:
        """Return what whoever reads them must know."""
        return {
            **_extraction(self.features, self.side, self.side),
            "samples": self.statistics.count,
            "seed": self.options.seed,
            "data": self.side.name,
            "data_hash": self.side.content_hash(),
            "shape": list(self.side.shape or ()),
        }

    def caveats(self) -> list[str]:
        count = self.statistics.count or 0
        said = [self.side.caveat(count), singular(self.features.dimensions, count)]
        return [line for line in said if line]


def _extraction(features: FeatureExtractor | None, first: FidInput, second: FidInput) -> dict[str, Any]:
    """Return the fields `EXTRACTION`, null where nobody knows."""
    shape = first.shape or second.shape
    if features is None:
        known = first.measured or second.measured or {}
        return {name: known.get(name) for name in EXTRACTION}
    return {
        "features": features.name,
        "weights_sha256": features.weights_sha256,
        "resize": features.resize,
        "size": None if shape is None else shape[0],
    }


def compare(first: FidInput, second: FidInput, size: int | None, options: FidOptions) -> Comparison:
    """Measure how far two sides are apart.

    Args:
        first, second: in any order, as the distance is symmetric.
        size: pixels a side that images are brought to; None takes what the sides have.
        how: everything else.

    Raises:
        InputError: they cannot be compared; no features have been computed by then.
    """
    first, second = _at_one_size(first, second, size)
    if first.rank > second.rank:
        first, second = second, first
    if first.saved is not None and second.saved is not None:
        _require_like(first, second, first.measured, second.measured)
        distance = Reference.of(second.saved).distance(first.saved)
        return Comparison(distance, first, second, first.saved.count, second.saved.count, None, options)
    features = _features(first, second, options)
    with _named(second):
        reference, count = second.reference(features, options)
    with _named(first):
        statistics = first.statistics(features, options)
    distance = reference.distance(statistics.to(options.device))
    return Comparison(distance, first, second, statistics.count, count, features, options)


def measure(side: FidInput, size: int | None, options: FidOptions) -> Measured:
    """Compute the statistics of one side, to be saved.

    Raises:
        InputError: it has no images, or none of one size.
    """
    if side.saved is not None:
        raise InputError(f"{side.name}: is a file of statistics already")
    if side.shape is None:
        side = side.at_size(size or side.own_size())
    elif size not in (None, side.shape[0]):
        raise InputError(f"--size {size}: {side.name} is of size {side.shape[0]}, and cannot be resized")
    features = _features(side, side, options)
    with _named(side):
        return Measured(side.statistics(features, options), side, features, options)


@contextmanager
def _named(side: FidInput) -> Iterator[None]:
    """Say of which side it is that there are too few images, or none with finite features."""
    try:
        yield
    except (TooFew, NotFinite) as error:
        raise InputError(f"{side.name}: {error}") from error


def _at_one_size(first: FidInput, second: FidInput, size: int | None) -> tuple[FidInput, FidInput]:
    """Settle the size of both sides: given, or that of the side that cannot change, or the images' own."""
    fixed = next((side for side in (first, second) if side.shape is not None), None)
    if fixed is None or fixed.shape is None:
        size = size or _common_size(first, second)
    elif len(fixed.shape) == 1:
        size = None
    elif size not in (None, fixed.shape[0]):
        raise InputError(f"--size {size}: {fixed.name} is of size {fixed.shape[0]}, and cannot be resized")
    else:
        size = fixed.shape[0]
    first, second = (side if side.shape is not None else side.at_size(size) for side in (first, second))
    if first.shape is not None and second.shape is not None:
        _require_one_shape(first, second)
    return first, second


def _common_size(first: FidInput, second: FidInput) -> int | None:
    """Return the size that the images of both sides have by themselves, as far as they have one.

    Raises:
        InputError: they differ: which of the two is resized would change the result.
    """
    mine, theirs = first.own_size(), second.own_size()
    if mine and theirs and mine != theirs:
        raise InputError(
            f"{first.name} and {second.name} are of different sizes ({mine} and {theirs}): say with --size to which"
            " one both are brought"
        )
    return mine or theirs


def _require_one_shape(first: FidInput, second: FidInput) -> None:
    """Raise `InputError` unless both are images of one size (grey and RGB go together), or like vectors."""
    mine, theirs = first.shape or (), second.shape or ()
    if len(mine) != len(theirs) or mine[: max(1, len(mine) - 1)] != theirs[: max(1, len(theirs) - 1)]:
        shapes = " and ".join("×".join(map(str, shape)) for shape in (mine, theirs))
        raise InputError(f"{first.name} and {second.name} are of different sizes ({shapes}) and cannot be compared")


def _features(first: FidInput, second: FidInput, options: FidOptions) -> FeatureExtractor:
    """Make the extractor asked for, or the one that fits the data; check saved statistics against it."""
    by_voice = sorted((first, second), key=lambda side: side.voice, reverse=True)
    name = options.features or next((side.default_features for side in by_voice if side.default_features), "inception")
    shape = next(side.shape for side in by_voice if side.shape is not None and side.saved is None)
    features = make_features(name, shape=shape, device=options.device, inception_weights=options.weights)
    for side in (first, second):
        _require_fit(side, features, _extraction(features, first, second))
    return features


def _require_fit(side: FidInput, features: FeatureExtractor, wanted: dict[str, Any]) -> None:
    """Raise `InputError` where saved statistics are of other features than will be computed."""
    if side.saved is None:
        return
    if side.measured is not None:
        different = differing(side.measured, wanted, EXTRACTION)
        if different:
            raise InputError(
                f"{side.name}: its statistics were made otherwise than asked for here: {'; '.join(different)}"
            )
    if len(side.saved.mean) != features.dimensions:
        raise InputError(
            f"{side.name}: statistics of {len(side.saved.mean)} dimensions, but {features.name} has"
            f" {features.dimensions}: choose other --features"
        )


def _require_like(
    first: FidInput, second: FidInput, mine: dict[str, Any] | None, theirs: dict[str, Any] | None
) -> None:
    """Raise `InputError` where two files of statistics say that they were made in different ways."""
    different = differing(mine, theirs, EXTRACTION) if mine and theirs else []
    if different:
        raise InputError(f"{first.name} and {second.name} cannot be compared: {'; '.join(different)}")
