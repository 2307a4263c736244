"""That the profiler runs, and finds each phase: on a CPU, with tiny networks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "profiling.py"
TINY = ("--size", "16", "--width", "4", "--batch", "8", "--cycles", "2", "--samples", "64", "--trials", "6")


def test_every_phase_is_found() -> None:
    command = [sys.executable, str(SCRIPT), *TINY, "--slots", "2", "--device", "cpu", "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
    phases = {"data", "generator forward", "discriminator forward", "backward", "optimiser", "EMA", "other"}
    rows = {row["phase"]: row for row in told["training"]["rows"]}
    assert rows.keys() == phases
    assert min(row["seconds"] for row in rows.values()) > 0
    assert {row["phase"] for row in told["evaluation"]["rows"]} == {
        "generator",
        "features",
        "Fréchet distance",
        "other",
    }
    assert any("suggest" in row["function"] for row in told["driver"]["rows"])
