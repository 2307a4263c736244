"""What a distance is called. Light to import: reports and model cards need it without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FID = "FID"
"""The name of FID as published; a metric of any other name is another distance."""
REFERENCE_INCEPTION = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""sha256 of the weights of the 2015 Inception network, as converted for pytorch-fid and torch-fidelity."""


def metric_name(features: str, weights_sha256: str | None) -> str:
    """Return what a distance in these features is called: only that of the reference Inception network is FID."""
    if features == "inception":
        known = weights_sha256 == REFERENCE_INCEPTION
        return FID if known else "Fréchet distance in features of other Inception weights than the reference's"
    return f"Fréchet distance in {features} features"


def metric_of(evaluation: Mapping[str, Any] | None) -> str:
    """Return what a distance is called whose evaluation identity was saved, or of which nothing is known."""
    told = evaluation or {}
    return metric_name(told.get("features") or "unknown", told.get("weights_sha256"))


def label(evaluation: Mapping[str, Any] | None) -> str:
    """Return the same in a few words, for tables and axes: "FID", or "FD (random-conv)"."""
    told = evaluation or {}
    if metric_of(told) == FID:
        return FID
    features = told.get("features") or "unknown features"
    return f"FD ({'inception, other weights' if features == 'inception' else features})"


def short_name(metric: str) -> str:
    """Return what a metric is called where room is short: FID, or FD for any other distance."""
    return FID if metric == FID else "FD"
