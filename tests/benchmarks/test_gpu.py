"""That the script for GPUs runs: on a CPU, with tiny networks, where its figures mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_every_part_runs_and_tells_what_it_promises(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--quick", "--out", str(out)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout)
    assert json.loads(out.read_text()) == found
    case = found["step"]["quick"]
    assert case["rates"].keys() == {"tutorial", "trainer", "graph"} and min(case["rates"].values()) > 0
    assert case["go"] == (case["graph_over_trainer"] >= 1.3)
    packed = found["packing"]
    assert packed["sums"].keys() == {"processes without graphs", "processes", "streams"} and not packed["failed"]
    assert all(sums.keys() == {"2"} for sums in packed["sums"].values())
    best = packed["best"]
    assert packed["sums"][best["way"]][str(best["trials"])] / packed["one_graph"] == best["over_one_graph"]
    assert packed["reached"] == (best["over_tutorial"] >= 1.0)
    assert found["fusing"]["packed"] == best["over_one_graph"]
    assert 0 < found["ceilings"]["quick"]["arithmetic_share"] < 1
    assert found["fid"]["seconds"] > 0
    cost = found["tuning"]
    training = 35 * 3 * 202_599 / cost["images_per_second"]["1"] / 60
    assert cost["images_per_second"].keys() == {"1"} and cost["evaluation_minutes"] > 0
    assert cost["all_in_full_minutes"] == pytest.approx(training + cost["evaluation_minutes"])
    assert cost["one_alone_minutes"] == pytest.approx(training / 35)
    assert cost["as_search_minutes"] == pytest.approx(cost["search_share"] * cost["all_in_full_minutes"])
