"""How a trial ended: one type for a worker's last report, the journal's verdict and what the sampler learns."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What ended a trial, or the attempt of one worker at it."""

    FINISHED = "finished"
    """It was trained to its full length."""
    STOPPED = "stopped"
    """It fell behind the others."""
    DIVERGED = "diverged"
    INFEASIBLE = "infeasible"
    """Its settings do not fit into memory. A second attempt would fail as well."""
    NODE_OUT_OF_MEMORY = "node-out-of-memory"
    """Its node ran out of memory, which says nothing about its settings."""
    FAILED = "failed"
    """Any other error."""
    HALT = "halt"
    """Something that would end every other trial too: the run halts, and the trial has no verdict."""

    @property
    def state(self) -> str:
        """The state of a trial with this verdict."""
        return "failed" if self in (Outcome.INFEASIBLE, Outcome.NODE_OUT_OF_MEMORY) else self.value

    @property
    def is_fault_of_settings(self) -> bool:
        """Whether other settings would have ended better: the sampler counts the trial as worse than any other."""
        return self in (Outcome.DIVERGED, Outcome.INFEASIBLE)

    @classmethod
    def of_verdict(cls, event: Mapping[str, Any]) -> Outcome | None:
        """Return the outcome in a journal's verdict; None if this version knows neither it nor the state.

        A verdict from before version 0.1.0 has a state and a reason only. Each "out of memory" keeps the meaning that
        it had then, a fault of the settings, also where Ray ended the process because its node ran low: a resumed run
        teaches the sampler the same as before.
        """
        if "outcome" not in event and event["state"] == "failed":
            return cls.INFEASIBLE if str(event.get("reason")).startswith("out of memory") else cls.FAILED
        return next(
            (known for value in (event.get("outcome"), event["state"]) for known in cls if known == value), None
        )
