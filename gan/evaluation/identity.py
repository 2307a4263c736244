"""The identity of an evaluation: only scores of equal identity may be compared or ranked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gan.errors import InputError
from gan.metric import metric_name

EXTRACTION = ("features", "weights_sha256", "resize", "size")
"""The fields that features depend on: statistics that differ in one of these cannot be compared."""

_OF_REFERENCE = (*EXTRACTION, "reference_samples", "reference_seed", "data_hash")
"""The fields that the reference statistics depend on; the others concern generated images or are only names."""


@dataclass(frozen=True)
class EvaluationIdentity:
    """Everything that a score depends on besides the generator.

    Attributes:
        features: name of the feature extractor.
        weights_sha256: hash of the extractor's weights.
        resize: how images are resized to the extractor's input size.
        samples: number of generated images.
        reference_samples: number of real images that they are compared with.
        reference_seed: seed that selects the real images.
        latent_seed: seed of the generator's latents.
        data: the data URI; not part of equality, because one set may have many names.
        data_hash: content hash of the data.
        size: height of the images in pixels, or length of the vectors.
    """

    features: str
    weights_sha256: str | None
    resize: str
    samples: int
    reference_samples: int
    reference_seed: int
    latent_seed: int
    data: str = field(compare=False)
    data_hash: str
    size: int

    @property
    def metric(self) -> str:
        """The name of a distance with this identity; see `metric_name`."""
        return metric_name(self.features, self.weights_sha256)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvaluationIdentity:
        """Make an identity from the result of `as_dict()`.

        Raises:
            InputError: a key is missing or unknown.
        """
        known = {entry.name for entry in dataclasses.fields(cls)}
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise InputError(f"not an evaluation identity of this version: missing or unknown: {odd}")
        return cls(**values)

    def reference_digest(self) -> str:
        """Return a sha256 over the fields that the reference statistics depend on: their cache key."""
        values = {name: getattr(self, name) for name in _OF_REFERENCE}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return one "field: mine, not theirs" for each named field that differs."""
    return [f"{name}: {mine.get(name)}, not {theirs.get(name)}" for name in names if mine.get(name) != theirs.get(name)]


def require_same(first: EvaluationIdentity, second: EvaluationIdentity) -> None:
    """Check that two scores can be compared.

    Raises:
        InputError: the identities differ; the message lists the differences.
    """
    compared = [entry.name for entry in dataclasses.fields(first) if entry.compare]
    differences = differing(first.as_dict(), second.as_dict(), compared)
    if differences:
        raise InputError(f"scores of different evaluations cannot be compared: {'; '.join(differences)}")
