"""What an evaluation of a sweep's winner left in its run; see `search.rescore`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gan.evaluation.assessment.lines import JSON, PICTURE, Line, lines
from gan.storage.storage import Storage
from search.run.run_folder import EVIDENCE

BESIDE = f"{EVIDENCE}/{PICTURE}"
"""Path, in a run, of samples beside their nearest training images; there may be none."""


@dataclass(frozen=True)
class Assessed:
    """How a winner was judged.

    Attributes:
        trial: whose generator that was.
        lines: the figures, for people.
        found: all of `Assessment.as_dict()`.
    """

    trial: str
    lines: list[Line]
    found: dict[str, Any]


def assessed(run: Storage) -> Assessed | None:
    """Return what is known of the run's winner beyond its distance; None where it was not evaluated."""
    try:
        found = json.loads(run.read_bytes(f"{EVIDENCE}/{JSON}"))
        return Assessed(str(found["trial"]), lines(found), found)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Not there, or damaged: a report does without.
