"""What a run tells its trackers."""

from __future__ import annotations

from collections.abc import Callable

from search.run.record import TrialRecord

Listener = Callable[[str, TrialRecord], None]
"""Called with "trial", "start", "report", "retry" or "verdict", and the trial."""
