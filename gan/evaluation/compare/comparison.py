"""The distance between any two inputs of `fid`, and everything that it depends on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from gan.errors import InputError, NotFinite, TooFew
from gan.evaluation.compare.inputs import FidInput, FidOptions
from gan.evaluation.features import FeatureExtractor, make_features, singular
from gan.evaluation.frechet import Reference
from gan.evaluation.identity import EXTRACTION, differing
from gan.evaluation.statistics import Statistics


class Comparison(NamedTuple):
    """A distance, and how it was measured.

    Attributes:
        distance: the squared Fréchet distance.
        evaluation: the identity of this measurement: the fields of `EvaluationIdentity`, and the first input.
        caveats: the warnings about this distance; None where there is nothing to warn of.
    """

    distance: float
    evaluation: dict[str, Any]
    caveats: list[str | None]


class Measurement(NamedTuple):
    """The statistics of one input, the description that is saved with them, and the warnings about them."""

    statistics: Statistics
    evaluation: dict[str, Any]
    caveats: list[str | None]


def _extraction(features: FeatureExtractor | None, first: FidInput, second: FidInput) -> dict[str, Any]:
    """Return the fields `EXTRACTION`; those that are unknown are None."""
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
    """Measure the distance between two inputs.

    Args:
        first, second: the inputs, in any order, as the distance is symmetric.
        size: pixels a side that images are brought to; None takes the size of the inputs.
        options: everything else.

    Raises:
        InputError: the inputs cannot be compared. It is raised before features are computed.
    """
    first, second = _at_one_size(first, second, size)
    if first.reference_priority > second.reference_priority:
        first, second = second, first
    if first.saved is not None and second.saved is not None:
        different = differing(first.measured, second.measured, EXTRACTION) if first.measured and second.measured else []
        if different:
            raise InputError(f"{first.name} and {second.name} cannot be compared: {'; '.join(different)}")
        features, statistics, reference_count = None, first.saved, second.saved.count
        distance = Reference.of(second.saved).distance(first.saved)
    else:
        features = _features(first, second, options)
        with _named(second):
            reference, reference_count = second.reference(features, options)
        with _named(first):
            statistics = first.statistics(features, options)
        distance = reference.distance(statistics.to(options.device))
    evaluation = {
        **_extraction(features, first, second),
        "samples": statistics.count,
        "reference_samples": reference_count,
        "reference_seed": options.seed,
        "latent_seed": options.seed,
        "data": second.name,
        "data_hash": second.content_hash(),
        "compared": first.name,
        "compared_hash": first.content_hash(),
    }
    caveats = [first.caveat(statistics.count), second.caveat(reference_count)]
    counts = [count for count in (statistics.count, reference_count) if count is not None]
    if features is not None and counts:
        caveats.append(singular(features.dimensions, min(counts)))
    return Comparison(distance, evaluation, caveats)


def measure(source: FidInput, size: int | None, options: FidOptions) -> Measurement:
    """Compute the statistics of one input, to be saved.

    Raises:
        InputError: the input has no images, or images of different sizes.
    """
    if source.saved is not None:
        raise InputError(f"{source.name}: is a file of statistics already")
    if source.shape is None:
        source = source.at_size(size or source.own_size())
    elif size not in (None, source.shape[0]):
        raise _fixed_size(source, size)
    features = _features(source, source, options)
    with _named(source):
        statistics = source.statistics(features, options)
    count = statistics.count or 0
    evaluation = {
        **_extraction(features, source, source),
        "samples": statistics.count,
        "seed": options.seed,
        "data": source.name,
        "data_hash": source.content_hash(),
        "shape": list(source.shape or ()),
    }
    return Measurement(statistics, evaluation, [source.caveat(count), singular(features.dimensions, count)])


def _fixed_size(source: FidInput, size: int | None) -> InputError:
    assert source.shape is not None
    return InputError(f"--size {size}: {source.name} is of size {source.shape[0]}, and cannot be resized")


@contextmanager
def _named(source: FidInput) -> Iterator[None]:
    """Add the input's name to the error that it has too few images, or features that are not finite."""
    try:
        yield
    except (TooFew, NotFinite) as error:
        raise InputError(f"{source.name}: {error}") from error


def _at_one_size(first: FidInput, second: FidInput, size: int | None) -> tuple[FidInput, FidInput]:
    """Bring both inputs to one size: the given one, that of an input of fixed size, or the images' own."""
    fixed = next((source for source in (first, second) if source.shape is not None), None)
    if fixed is None or fixed.shape is None:
        size = size or _common_size(first, second)
    elif len(fixed.shape) == 1:
        size = None
    elif size not in (None, fixed.shape[0]):
        raise _fixed_size(fixed, size)
    else:
        size = fixed.shape[0]
    first, second = (source if source.shape is not None else source.at_size(size) for source in (first, second))
    if first.shape is not None and second.shape is not None:
        _require_one_shape(first, second)
    return first, second


def _common_size(first: FidInput, second: FidInput) -> int | None:
    """Return the size that the images of both inputs have themselves, if any.

    Raises:
        InputError: the sizes differ. The result would depend on which input is resized.
    """
    mine, theirs = first.own_size(), second.own_size()
    if mine and theirs and mine != theirs:
        raise InputError(
            f"{first.name} and {second.name} are of different sizes ({mine} and {theirs}): say with --size to which"
            " one both are brought"
        )
    return mine or theirs


def _require_one_shape(first: FidInput, second: FidInput) -> None:
    """Raise `InputError` unless both are images of one size (grey or RGB), or vectors of one length."""
    mine, theirs = first.shape or (), second.shape or ()
    if len(mine) != len(theirs) or mine[: max(1, len(mine) - 1)] != theirs[: max(1, len(theirs) - 1)]:
        shapes = " and ".join("×".join(map(str, shape)) for shape in (mine, theirs))
        raise InputError(f"{first.name} and {second.name} are of different sizes ({shapes}) and cannot be compared")


def _features(first: FidInput, second: FidInput, options: FidOptions) -> FeatureExtractor:
    """Make the requested extractor, or the one that fits the data, and check saved statistics against it."""
    ordered = sorted((first, second), key=lambda source: source.features_priority, reverse=True)
    defaults = (source.default_features for source in ordered if source.default_features)
    name = options.features or next(defaults, "inception")
    shape = next(source.shape for source in ordered if source.shape is not None and source.saved is None)
    features = make_features(name, shape=shape, device=options.device, inception_weights=options.weights)
    for source in (first, second):
        _require_fit(source, features, _extraction(features, first, second))
    return features


def _require_fit(source: FidInput, features: FeatureExtractor, extraction: dict[str, Any]) -> None:
    """Raise `InputError` if saved statistics are of other features than those that will be computed."""
    if source.saved is None:
        return
    different = differing(source.measured, extraction, EXTRACTION) if source.measured is not None else []
    if different:
        raise InputError(
            f"{source.name}: its statistics were made otherwise than asked for here: {'; '.join(different)}"
        )
    if len(source.saved.mean) != features.dimensions:
        raise InputError(
            f"{source.name}: statistics of {len(source.saved.mean)} dimensions, but {features.name} has"
            f" {features.dimensions}: choose other --features"
        )
