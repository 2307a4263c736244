"""What must never be found in a journal, for benchmarks and tests that look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def trained_after_its_verdict(events: Iterable[dict[str, Any]]) -> list[str]:
    """Return the trials that had a final verdict and went on, or got another one: there must be none."""
    ended: set[str] = set()
    again = []
    for event in events:
        if event["event"] in ("start", "report", "verdict") and event["trial"] in ended:
            again.append(event["trial"])
        if event["event"] == "verdict":
            ended.add(event["trial"])
    return again
