"""Learn a prior from recorded trials: `python benchmarks/learn_prior.py --out search/algorithm/prior.json`.

    python benchmarks/learn_prior.py --without faces --out /tmp/unseen.json
    python benchmarks/learn_prior.py --without horse --without cifar --reversed --out /tmp/wrong.json

It takes all recordings in `traces/`, but for those of the sets named with `--without`: a prior that is judged on a set
must not have seen it, nor another that holds some of its images. The same recordings give the same file, to the byte.
`--reversed` learns from reversed ranks, which makes a prior that is wrong everywhere.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from traces import FOLDER, Trace, TraceSet, images_of, read_traces, set_of

from gan.recipe.recipe import load_recipe
from search.algorithm.learning import Table, learn
from search.algorithm.prior import Prior, Task
from search.plan.spec import DEFAULTS

KINDS = {
    **dict.fromkeys(("automobile", "bird", "horse", "ship", "cifar"), "cifar"),
    **dict.fromkeys(("emoji", "emoji-3d"), "emoji"),
}
"""Set → kind, for sets that share images, or are alike; any other is a kind of its own."""
LEVELS = (0.25, 0.5, 1.0)
"""Shares of a recording's length at which its trials are compared."""


def best_within(traces: TraceSet, trace: Trace, kimg: float) -> float:
    """Return a trial's best distance within its first `kimg`; infinite if there is none, or all ended in NaN."""
    reports = trace.reports[: round(kimg / traces.interval)]
    known = [report.fid for report in reports if report.fid is not None]
    return min(known, default=math.inf)


def tables(recordings: list[TraceSet]) -> list[Table]:
    """Return the results of all trials of the same set, size, width and length together."""
    found: dict[tuple[str, Task], list[tuple[str, dict[str, Any], float]]] = defaultdict(list)
    for traces in recordings:
        name, images = set_of(traces), images_of(traces)
        for trace in traces.traces:
            settings = traces.settings(trace)
            params = {key: settings[key] for key in traces.recipes[trace.recipe].searchable() if key in settings}
            for level in LEVELS:
                kimg = traces.kimg * level
                task = Task.of(traces.shape, settings, kimg, images)
                found[name, task].append((trace.recipe, params, best_within(traces, trace, kimg)))
    return [
        Table(
            name,
            task,
            [(recipe, params) for recipe, params, _ in rows],
            np.array([result for *_, result in rows]),
            KINDS.get(name, ""),
        )
        for (name, task), rows in sorted(found.items())
    ]


def read_recordings(without: list[str]) -> list[TraceSet]:
    """Return all recordings of default spaces that are not of the sets named."""
    recordings = (read_traces(path) for path in sorted(FOLDER.glob("*.jsonl.gz")))
    return [traces for traces in recordings if "space" not in traces.common and set_of(traces) not in without]


def learn_from(without: list[str], reverse: bool = False) -> Prior:
    """Return the prior that the recordings teach, but for those of some sets."""
    found = tables(read_recordings(without))
    if reverse:
        found = [replace(table, results=-table.results) for table in found]
    return learn({name: load_recipe(name) for name in DEFAULTS}, found)


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", action="append", default=[], metavar="SET", help="leave out its recordings")
    parser.add_argument("--reversed", action="store_true", help="learn from reversed ranks")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    args = parse()
    prior = learn_from(args.without, args.reversed)
    args.out.write_bytes(prior.as_bytes())
    print(
        f"{args.out}: {len(prior.sets)} sets ({', '.join(prior.sets)}), {len(prior.rows)} rows,"
        f" {len(prior.portfolio)} settings in the portfolio, {args.out.stat().st_size / 1000:.0f} kB"
    )


if __name__ == "__main__":
    main()
