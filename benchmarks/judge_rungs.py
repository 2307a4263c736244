"""What is lost at the first rung among settings that are good: `python benchmarks/judge_rungs.py`.

It takes the recordings of the same settings on many sets (`record_trials.py --listed`). Of those that were good on
other sets, only the quarter that is best after some reports goes on. The table shows, for each number of reports, how
the best distances by then rank the final ones, and the best of the quarter over the best of all.
"""

from __future__ import annotations

import argparse
import json
import math
from statistics import fmean

import numpy as np
from learn_prior import best_within
from scipy.stats import spearmanr
from traces import FOLDER, TraceSet, read_traces, set_of

QUARTER = 0.25
LOST = 1e4
"""Distance as which a trial without one counts."""


def judge(traces: TraceSet, reports: int) -> tuple[float, float]:
    """Return Spearman's correlation of early and final distances, and the best of the quarter over the best of all."""
    good = [trace for trace in traces.traces if trace.source == "near"]
    early, final = (
        np.minimum([best_within(traces, trace, kimg) for trace in good], LOST)
        for kimg in (traces.interval * reports, traces.kimg)
    )
    going_on = early <= np.quantile(early, QUARTER)
    return float(spearmanr(early, final)[0]), float(final[going_on].min() / final.min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, nargs="+", default=[1, 2, 3, 4, 6])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    recordings = [read_traces(path) for path in sorted(FOLDER.glob("*.jsonl.gz"))]
    listed = [traces for traces in recordings if traces.common.get("listed")]
    found = {reports: {set_of(traces): judge(traces, reports) for traces in listed} for reports in args.reports}
    if args.json:
        print(json.dumps(found))
        return
    print(f"{len(listed)} sets\nreports  rank correlation       best of the quarter / best of all")
    for reports, sets in found.items():
        correlations, losses = zip(*sets.values(), strict=True)
        mean = math.exp(fmean(map(math.log, losses)))
        kept = sum(loss == 1 for loss in losses)
        print(
            f"{reports:7d}  {fmean(correlations):.2f} ({min(correlations):.2f} to {max(correlations):.2f})"
            f"   {mean:.3f} (at most {max(losses):.2f}; none in {kept} sets)"
        )


if __name__ == "__main__":
    main()
