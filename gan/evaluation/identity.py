"""What a score was measured with: only scores of equal identity may be compared or ranked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gan.errors import InputError
from gan.metric import metric_name

# What the reference statistics depend on; the rest concerns the generated side or is only a name.
_OF_REFERENCE = (
    "features",
    "weights_sha256",
    "resize",
    "reference_samples",
    "reference_seed",
    "data_hash",
    "size",
)

EXTRACTION = ("features", "weights_sha256", "resize", "size")
"""What features themselves depend on: statistics that differ in one of these cannot be compared."""


@dataclass(frozen=True)
class EvaluationIdentity:
    """Everything that a score depends on besides the generator.

    Attributes:
        features: the extractor's name.
        weights_sha256: of the extractor's weights.
        resize: how images reach the extractor's own size.
        samples: how many images are generated.
        reference_samples: how many real images they are compared with.
        reference_seed: which real images these are.
        latent_seed: which latents the generator is given.
        data: how the user named the data; no part of equality, as one set may have many names.
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
        """What a distance measured so is called; see `metric_name`."""
        return metric_name(self.features, self.weights_sha256)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EvaluationIdentity:
        """Rebuild an identity from `as_dict()`, back from JSON.

        Raises:
            InputError: a key is missing or unknown.
        """
        known = {entry.name for entry in dataclasses.fields(cls)}
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise InputError(f"not an evaluation identity of this version: missing or unknown: {odd}")
        return cls(**values)

    def digest(self) -> str:
        """Return a sha256 that is equal for equal identities, on every machine."""
        counted = [entry.name for entry in dataclasses.fields(self) if entry.compare]
        return _digest({name: getattr(self, name) for name in counted})

    def reference_digest(self) -> str:
        """Return a sha256 over what the reference statistics depend on: their name in the cache."""
        return _digest({name: getattr(self, name) for name in _OF_REFERENCE})

    def differences(self, other: EvaluationIdentity) -> list[str]:
        """Return one "field: mine, not theirs" for each field that counts and differs."""
        counted = [entry.name for entry in dataclasses.fields(self) if entry.compare]
        return differing(self.as_dict(), other.as_dict(), counted)


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return one "field: mine, not theirs" for each named field that differs."""
    return [f"{name}: {mine.get(name)}, not {theirs.get(name)}" for name in names if mine.get(name) != theirs.get(name)]


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def require_same(first: EvaluationIdentity, second: EvaluationIdentity) -> None:
    """Let scores be compared only when they were measured alike.

    Raises:
        InputError: the identities differ; the message lists how.
    """
    differences = first.differences(second)
    if differences:
        raise InputError(f"scores of different evaluations cannot be compared: {'; '.join(differences)}")
