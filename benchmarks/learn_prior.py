"""Learn a prior from recorded trials: `python benchmarks/learn_prior.py --out search/algorithm/prior.json`.

    python benchmarks/learn_prior.py --without faces --out /tmp/unseen.json
    python benchmarks/learn_prior.py --without cifar --reversed --out /tmp/wrong.json   # CIFAR-10, and its parts
    python benchmarks/learn_prior.py --judge

It takes all recordings in `traces/`, but for those of the sets or kinds named with `--without`: a prior that is judged
on a set must not have seen it, nor another that holds some of its images. The same recordings give the same file, to
the byte.
It prints what the settings that a prior without each kind proposes came to there, over the best published settings.
`--reversed` learns from reversed ranks, which makes a prior that is wrong everywhere.

`--judge` says how well the constants of the process rank settings on kinds of images that were left out, beside others
with one constant changed each, and how far the scores lie from what was expected there.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from traces import FOLDER, Trace, TraceSet, images_of, read_traces, set_of

from gan.recipe.recipe import load_recipe
from search.algorithm.learning import Table, learn, learn_model, means_of, scores_of
from search.algorithm.prior import Constants, Prior, Task
from search.plan.spec import DEFAULTS

KINDS = {
    **dict.fromkeys(("automobile", "bird", "horse", "ship", "cifar"), "cifar"),
    **dict.fromkeys(("emoji", "emoji-3d"), "emoji"),
}
"""Set → kind, for sets that share images, or are alike; any other is a kind of its own."""
LEAST_KIMG = 3.0
"""Trials are compared at their full length, at half of it, and so on, as long as that is no less than this."""


def best_within(traces: TraceSet, trace: Trace, kimg: float) -> float:
    """Return a trial's best distance within its first `kimg`; infinite if there is none, or all ended in NaN."""
    reports = trace.reports[: round(kimg / traces.interval)]
    known = [report.fid for report in reports if report.fid is not None]
    return min(known, default=math.inf)


def lengths(traces: TraceSet) -> list[float]:
    """Return the lengths at which the trials of a recording are compared: those with a report at each."""
    halves = (traces.kimg / 2**step for step in range(8))
    return [kimg for kimg in halves if kimg >= LEAST_KIMG and (kimg / traces.interval).is_integer()]


def rounded(value: Any) -> Any:
    """Return a number as `settings.jsonl` has it, so that the same settings are the same in all recordings."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def tables(recordings: list[TraceSet]) -> list[Table]:
    """Return the results of all trials of the same set, size, width and length together."""
    found: dict[tuple[str, Task], list[tuple[str, dict[str, Any], float]]] = defaultdict(list)
    whole: set[tuple[str, Task]] = set()
    for traces in recordings:
        # The number of images matters little. Rounded, it lets sets of similar numbers share rows.
        name, images = set_of(traces), 4 ** round(math.log(images_of(traces), 4))
        for trace in traces.traces:
            settings = traces.settings(trace)
            searched = traces.recipes[trace.recipe].searchable()
            params = {key: rounded(settings[key]) for key in searched if key in settings}
            for kimg in lengths(traces):
                task = Task.of(traces.shape, settings, kimg, images)
                found[name, task].append((trace.recipe, params, best_within(traces, trace, kimg)))
                whole |= {(name, task)} if kimg == traces.kimg else set()
    return [
        Table(
            name,
            task,
            [(recipe, params) for recipe, params, _ in rows],
            np.array([result for *_, result in rows]),
            KINDS.get(name, ""),
            (name, task) in whole,
        )
        for (name, task), rows in sorted(found.items())
    ]


def read_recordings(without: list[str]) -> list[TraceSet]:
    """Return all recordings of default spaces that are not of the sets or kinds named."""
    recordings = (read_traces(path) for path in sorted(FOLDER.glob("*.jsonl.gz")))
    known = [traces for traces in recordings if "space" not in traces.common]
    return [traces for traces in known if not {set_of(traces), KINDS.get(set_of(traces))} & {*without}]


def learn_from(without: list[str], reverse: bool = False) -> Prior:
    """Return the prior that the recordings teach, but for those of some sets."""
    found = tables(read_recordings(without))
    if reverse:
        found = [replace(table, results=-table.results) for table in found]
    return learn({name: load_recipe(name) for name in DEFAULTS}, found)


def judge(constants: Constants, found: list[Table]) -> tuple[float, float, float]:
    """Leave out each kind of images, and compare what is expected with what was recorded.

    Returns:
        Spearman's correlation of expected scores and results; the share of a table's results that are better than the
        best of the three settings that were expected to be the best; the variance of scores around the expected ones.
        Means over kinds.
    """
    recipes = {name: load_recipe(name) for name in DEFAULTS}
    figures = []
    for kind in sorted({table.group for table in found}):
        prior = learn_model(recipes, [table for table in found if table.group != kind], constants)
        each = []
        for table in found:
            if table.group == kind:
                means, scores = means_of(prior, table.settings, table.task), scores_of(prior, table)
                reached = table.results[np.argsort(means)[:3]].min()
                better = float((table.results < reached).mean())
                each.append(
                    (float(spearmanr(means, table.results)[0]), better, float(np.square(scores - means).mean()))
                )
        figures.append(np.mean(each, axis=0))
    return tuple(np.mean(figures, axis=0))


def variants(constants: Constants) -> list[Constants]:
    """Return the constants, and others in which one is half or twice as large."""
    names = ("common", "particular", "residual")
    found = [replace(constants, **{name: getattr(constants, name) * by}) for name in names for by in (0.5, 2.0)]
    for place in range(len(constants.scales)):
        for by in (0.5, 2.0):
            scales = tuple(scale * (by if index == place else 1) for index, scale in enumerate(constants.scales))
            found.append(replace(constants, scales=scales))
    return [constants, *found]


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--without", action="append", default=[], metavar="SET", help="leave out a set's recordings, or a kind's"
    )
    parser.add_argument("--reversed", action="store_true", help="learn from reversed ranks")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--judge", action="store_true", help="judge the constants on kinds of images left out")
    args = parser.parse_args()
    if not args.judge and args.out is None:
        parser.error("--out is missing")
    return args


def main() -> None:
    args = parse()
    if args.judge:
        found = tables(read_recordings(args.without))
        for constants in variants(Constants()):
            correlation, better, variance = judge(constants, found)
            print(f"{correlation:.3f} {better:.3f} {variance:.2f}  {constants}", flush=True)
        return
    prior = learn_from(args.without, args.reversed)
    args.out.write_bytes(prior.as_bytes())
    for history in prior.histories:
        best = [math.exp(history.best(DEFAULTS, trainings) or 0.0) for trainings in (1, 4, 12, len(history.trials))]
        ratios = ", ".join(f"{ratio:.2f}" for ratio in best)
        print(f"{history.kind}, {history.task}: 1, 4, 12, all {len(history.trials)} settings come to {ratios}")
    print(
        f"{args.out}: {len(prior.sets)} sets ({', '.join(prior.sets)}), {len(prior.rows)} rows,"
        f" {len(prior.portfolio)} settings in the portfolio, {args.out.stat().st_size / 1000:.0f} kB"
    )


if __name__ == "__main__":
    main()
