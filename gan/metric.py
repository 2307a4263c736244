"""Names of distances. It imports no PyTorch, because reports and model cards use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FID = "FID"
"""The name of FID as published. A metric with another name is another distance."""
REFERENCE_INCEPTION = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""sha256 of the weights of the 2015 Inception network, as converted for pytorch-fid and torch-fidelity."""


def metric_name(features: str, weights_sha256: str | None) -> str:
    """Return the name of a distance in these features: FID only for the reference Inception network."""
    if features == "inception":
        known = weights_sha256 == REFERENCE_INCEPTION
        return FID if known else "Fréchet distance in features of other Inception weights than the reference's"
    return f"Fréchet distance in {features} features"


def metric_of(evaluation: Mapping[str, Any] | None) -> str:
    """Return the name of a distance with a saved evaluation identity, which may be unknown (None)."""
    identity = evaluation or {}
    return metric_name(identity.get("features") or "unknown", identity.get("weights_sha256"))


def label(evaluation: Mapping[str, Any] | None) -> str:
    """Return a short name of the distance for tables and axes: "FID", or "FD (random-conv)"."""
    if metric_of(evaluation) == FID:
        return FID
    features = (evaluation or {}).get("features") or "unknown features"
    return f"FD ({'inception, other weights' if features == 'inception' else features})"


def short_name(metric: str) -> str:
    """Return the shortest name of a metric: FID, or FD for any other distance."""
    return FID if metric == FID else "FD"
