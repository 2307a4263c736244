"""What a report tells of finalists that were judged again after the search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gan.metric import short_name
from search.run.record import SweepRecord


@dataclass(frozen=True)
class Rescoring:
    """How finalists were judged again after the search.

    Attributes:
        metric: what the distance is called in full.
        evaluation: identity of the measurement, as `ReportData.evaluation`.
        trials: how many took part.
        draws: of latents, for each.
    """

    metric: str
    evaluation: dict[str, Any]
    trials: int
    draws: int

    @property
    def metric_short(self) -> str:
        return short_name(self.metric)


def rescoring_of(record: SweepRecord) -> Rescoring | None:
    """Return what the last re-scoring measured with; None if there was none, or what it found is out of date."""
    found = [rescore for rescore in map(record.rescored, record.trials.values()) if rescore is not None]
    if not found:
        return None
    return Rescoring(found[0].metric, found[0].evaluation, len(found), max(len(rescore.fids) for rescore in found))
