"""How the driver informs the screen and the trackers of what happens."""

from __future__ import annotations

from collections.abc import Callable

from search.run.record import TrialRecord

Listener = Callable[[str, TrialRecord], None]
"""Called with "trial", "start", "report", "retry" or "verdict", and the trial."""
