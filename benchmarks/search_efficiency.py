"""Does the search earn its keep? Recorded trials, replayed: `python benchmarks/search_efficiency.py`.

    python benchmarks/search_efficiency.py                                     # both data sets, 50 seeds
    python benchmarks/search_efficiency.py faces+faces-2 --seeds 100 --first-seed 1000 --json
    python benchmarks/search_efficiency.py faces --set grace_kimg=1 --set reduction_factor=4
    python benchmarks/search_efficiency.py fashion-mnist --live fashion-mnist:DIR --seeds 3
    python benchmarks/search_efficiency.py horse-16 game-16 --live 'folder:SETS/{}' --prior 'PRIORS/{}.json' \\
        --seeds 8 --full-trials 12 --keep done.jsonl

Ways to spend the same trial-seconds: (a) this project's search, (b) random search without stopping, (c) Ray Tune,
Optuna and ASHA as they come, (d) the published settings over and over. With `--prior` (see `learn_prior.py`) also (e)
as (c), but it evaluates the prior's portfolio first, and (f) as (a), but without the prior; with `--wrong` (g) as (a)
with another prior. All but (b) and (d) are the real searcher and scheduler classes; how recorded trials stand in for
training is told in `benchmarks/emulated.py`, or, with `--nearest`, in `benchmarks/contenders.py`. `--sampler` and
`--foresight` ask what a part of (a) is worth: another sampler in place of its own, or one of its parts told beforehand
where each trial would end.

With `--live` every trial is trained, on the same simulated clock, as long and as evaluated as the recordings of that
name, and charged what such trials took when they were recorded; that takes processor minutes a search where replay
takes seconds, but no search is held to what was recorded. `{}` in `--live`, `--prior` and `--wrong` stands for the name
of the set. `--keep` names a file to which every search is added as it ends; the same command goes on from there.

Each seed is a search of each kind. Ratios are of the best FIDs of one seed, averaged as logarithms; intervals are 95%
bootstraps over seeds, p is Wilcoxon's signed-rank test on the same pairs, two-sided. Of several sets, the mean ratio's
interval is Student's over the sets.
"""

from __future__ import annotations

import os

# Before NumPy and PyTorch are imported: on networks this small, threads only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import yaml
from contenders import FORESIGHT, SAMPLERS, Contender, Ours, Plain, Pool, Published, Random, expect
from emulated import EmulatedPool, Emulator
from live import LivePool
from replay import History, simulate
from scipy.stats import t as student
from scipy.stats import wilcoxon
from traces import TraceSet, mean_seconds, read_joined, set_of

from search.algorithm.prior import Prior
from search.plan.priors import identity_of

CONTENDERS: dict[str, type[Contender]] = {
    "ours": Ours,
    "random": Random,
    "plain": Plain,
    "published": Published,
    "primed": Plain,
    "bare": Ours,
    "wrong": Ours,
}
NAMES = {
    "ours": "(a) this search",
    "random": "(b) random, no stopping",
    "plain": "(c) plain Tune + Optuna + ASHA",
    "published": "(d) published settings",
    "primed": "(e) as (c), portfolio first",
    "bare": "(f) as (a), without a prior",
    "wrong": "(g) as (a), with a wrong prior",
}
PRIORS = {"ours": "prior", "primed": "prior", "wrong": "wrong"}
"""Contender → the option that names its prior's file. Without one, those after the first take no part."""
TRIALS = 3
"""Trials of a sweep for each full training of its budget."""
DATA = ["faces+faces-2+faces-near", "fashion-mnist+fashion-mnist-2+fashion-mnist-near"]
QUARTER, LEAD = 0.25, 0.95
"""Targets: of (b)'s trial-seconds to reach its final best; of (c)'s best FID."""


recorded = cache(read_joined)
"""Each process reads recordings once, for all of its searches."""


@cache
def read_prior(path: str) -> Prior:
    return Prior.parse(Path(path).read_bytes())


@cache
def emulator(recordings: str) -> Emulator:
    return Emulator(recorded(recordings))


def run(
    kind: str, seed: int, recordings: str, args: argparse.Namespace, settings: dict[str, Any], priors: dict[str, str]
) -> tuple[History, Counter[str]]:
    """Run one search; return what it came to, and whom it stopped, where that is recorded.

    Args:
        args: the options of the command.
        settings: of (a)'s sweep.
        priors: contender → its prior's file.
    """
    traces = recorded(recordings)
    # No two searches train with the same seeds.
    own = seed * len(CONTENDERS) + list(CONTENDERS).index(kind)
    pool: Pool | None = None
    if args.live:
        pool = LivePool(traces, args.live.replace("{}", set_of(traces)), own)
    elif not args.nearest:
        pool = EmulatedPool(traces, emulator(recordings), own)
    own_settings = settings if kind in ("ours", "bare", "wrong") else {}
    if kind in priors or kind == "bare":
        prior = read_prior(priors[kind].replace("{}", set_of(traces))) if kind in priors else None
        own_settings = {**own_settings, "prior": prior, "trials": round(TRIALS * args.full_trials)}
    contender = CONTENDERS[kind](traces, seed, pool, **own_settings)
    history = simulate(contender, args.slots, args.full_trials * mean_seconds(traces))
    return history, contender.stops() if isinstance(contender, Ours) and not args.live else Counter()


def bootstrap(values: list[float], statistic: Any, rounds: int = 5000) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic (over the last axis) of resampled values."""
    found = np.asarray(values, dtype=float)
    picks = np.random.default_rng(0).integers(len(found), size=(rounds, len(found)))
    low, high = np.percentile(statistic(found[picks], axis=-1), [2.5, 97.5], method="nearest")
    return float(low), float(high)


def ratio(ours: list[float], others: list[float]) -> dict[str, float]:
    """Compare two lists of best FIDs, seed by seed."""
    logs = [math.log(a / b) for a, b in zip(ours, others, strict=True)]
    low, high = bootstrap(logs, np.mean)
    p = float(wilcoxon(logs).pvalue) if any(logs) else 1.0
    return {"ratio": math.exp(fmean(logs)), "low": math.exp(low), "high": math.exp(high), "p": p}


class Kept:
    """Searches that have ended, in a file of one JSON object a line; see `--keep`.

    Args:
        path: None: they are kept in memory.
        common: what they have in common; those of a file that differ in it are left aside.
    """

    def __init__(self, path: Path | None, common: dict[str, Any]) -> None:
        self._path = path
        self._common = common
        self._found: dict[tuple[str, str, int], tuple[History, Counter[str]]] = {}
        for line in path.read_text().splitlines() if path is not None and path.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # Empty, or broken off.
            if entry["common"] == common:
                key = entry["data"], entry["kind"], entry["seed"]
                self._found[key] = History(**entry["history"]), Counter(entry["stops"])

    def __contains__(self, key: tuple[str, str, int]) -> bool:
        return key in self._found

    def __getitem__(self, key: tuple[str, str, int]) -> tuple[History, Counter[str]]:
        return self._found[key]

    def add(self, key: tuple[str, str, int], history: History, stops: Counter[str]) -> None:
        self._found[key] = history, stops
        if self._path is not None:
            names = dict(zip(("data", "kind", "seed"), key, strict=True))
            entry = {**names, "common": self._common, "history": asdict(history), "stops": stops}
            with self._path.open("a") as file:
                file.write("\n" + json.dumps(entry))


def over_sets(results: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Return the geometric mean of the sets' ratios to a contender, with Student's 95% interval."""
    logs = np.log([result["against"][name]["ratio"] for result in results])
    half = float(student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    mean = float(logs.mean())
    return {"ratio": math.exp(mean), "low": math.exp(mean - half), "high": math.exp(mean + half)}


def published_best(traces: TraceSet) -> float:
    """Return the best of what the recipes' own settings were recorded with, each in the median of its seeds."""
    found: dict[str, list[float]] = defaultdict(list)
    for trace in traces.traces:
        if trace.source == "published" and trace.best_fid is not None:
            found[trace.recipe].append(trace.best_fid)
    return min(median(results) for results in found.values())


def foreseen(traces: TraceSet, prior: Prior, best: list[float], full_trials: float) -> dict[str, Any] | None:
    """Compare the best of searches with what the prior expected of them, over the best published settings."""
    expected = expect(prior, traces, traces.recipes).best(full_trials)
    if expected is None:
        return None
    ratios = [found / published_best(traces) for found in best]
    within = fmean(expected.low <= ratio <= expected.high for ratio in ratios)
    return {**expected._asdict(), "found": median(ratios), "within": within}


def summarise(
    traces: TraceSet, histories: list[dict[str, History]], stops: Counter[str], budget: float
) -> dict[str, Any]:
    best = {name: [history[name].at(budget) for history in histories] for name in histories[0]}
    shares = [history["ours"].reaches(history["random"].at(budget)) / budget for history in histories]
    plain_shares = [history["plain"].reaches(history["random"].at(budget)) / budget for history in histories]
    return {
        "data": traces.common["data"],
        "recorded": len(traces.traces),
        "seeds": len(histories),
        "budget_seconds": budget,
        "best": {name: {"median": median(found), "mean": fmean(found)} for name, found in best.items()},
        "trials": {name: fmean(history[name].trials for history in histories) for name in best},
        "against": {name: ratio(best["ours"], best[name]) for name in best if name != "ours"},
        "stopped": dict(stops),
        "share_of_random": reached(shares),
        "plain_share_of_random": reached(plain_shares),
    }


def reached(shares: list[float]) -> dict[str, Any]:
    """Say in what share of its trial-seconds (b)'s final best was reached; infinite where it was not."""
    low, high = bootstrap(shares, np.median)
    return {
        "median": _finite(median(shares)),
        "low": _finite(low),
        "high": _finite(high),
        "within_a_quarter": fmean(share <= QUARTER for share in shares),
        "reached": fmean(share <= 1 for share in shares),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def show(result: dict[str, Any]) -> None:
    print(
        f"\n{result['data']}: {result['recorded']} recorded trials, {result['seeds']} search seeds,"
        f" {result['budget_seconds']:.0f} trial-seconds each"
    )
    print(f"{'':32}{'best FID':>10}{'trials':>8}   (a) against it")
    for name in result["best"]:
        title = NAMES[name]
        line = f"{title:32}{result['best'][name]['mean']:10.1f}{result['trials'][name]:8.0f}"
        if name in result["against"]:
            found = result["against"][name]
            line += f"   {found['ratio']:.3f} ({found['low']:.3f} to {found['high']:.3f}), p = {found['p']:.2g}"
        print(line)
    for name, title in (("share_of_random", "(a)"), ("plain_share_of_random", "(c)")):
        found = result[name]
        shown = ["never" if found[key] is None else f"{found[key]:.2f}" for key in ("median", "low", "high")]
        print(
            f"{title} reaches (b)'s final best in {shown[0]} ({shown[1]} to {shown[2]}) of its trial-seconds; within a"
            f" quarter in {found['within_a_quarter']:.0%} of the searches, at all in {found['reached']:.0%}"
        )
    for kind in ("rungs", "futility"):
        if kind in result["stopped"]:
            wrongly = result["stopped"].get(f"{kind}, wrongly", 0)
            print(f"(a) stopped {result['stopped'][kind]} by {kind}, {wrongly} of whom would have beaten its best")
    found = result.get("foreseen")
    if found is not None:
        print(
            f"(a) was expected at {found['ratio']:.2f} ({found['low']:.2f} to {found['high']:.2f}) of the best"
            f" published settings; it came to {found['found']:.2f} in the median, within the interval in"
            f" {found['within']:.0%} of the searches"
        )
    share, lead = result["share_of_random"]["median"], result["against"]["plain"]
    print(
        f"targets: a quarter {'reached' if share is not None and share <= QUARTER else 'not reached'};"
        f" 5% ahead of (c) {'reached' if lead['ratio'] <= LEAD and lead['p'] < 0.05 else 'not reached'}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=DATA, help="recordings or files")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=1000, help="defaults were chosen on seeds from 0 on")
    parser.add_argument("--full-trials", type=float, default=20, help="the budget, in trials that nobody stops")
    parser.add_argument("--slots", type=int, default=4, help="trials at once")
    parser.add_argument("--live", metavar="URI", help="train the trials, on the images that were recorded")
    parser.add_argument("--nearest", action="store_true", help="hand out recordings, each once, instead of emulating")
    parser.add_argument("--sampler", choices=list(SAMPLERS), help="of (a), in place of its own")
    parser.add_argument("--foresight", choices=FORESIGHT, help="what of (a) knows where trials would end")
    parser.add_argument("--prior", metavar="FILE", help="that (a) begins with: one that has not seen the images")
    parser.add_argument("--wrong", metavar="FILE", help="a prior that (g) begins with, learnt from reversed ranks")
    parser.add_argument("--without", action="append", default=[], choices=list(CONTENDERS), help="what to leave out")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of (a)'s sweep")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where searches that have ended are kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.live and len(args.data) != 1 and "{}" not in args.live:
        parser.error("--live takes one recording, whose images it names, or {} for the name of each set")
    if args.live and (args.nearest or args.foresight):
        parser.error("--nearest and --foresight are for recorded trials: leave out --live")
    return args


def main() -> None:
    args = parse()
    settings = {name: yaml.safe_load(value) for name, _, value in (given.partition("=") for given in args.set)}
    priors = {kind: str(getattr(args, option)) for kind, option in PRIORS.items() if getattr(args, option)}
    missing = {"primed", "bare", "wrong"} - priors.keys() - ({"bare"} if priors else set())
    kinds = [kind for kind in CONTENDERS if kind not in missing | {*args.without}]
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    variant = {name: getattr(args, name) for name in ("sampler", "foresight") if getattr(args, name)}
    results = []
    common = {"full_trials": args.full_trials, "slots": args.slots, "settings": settings | variant}
    # A prior that was learnt anew is another one.
    sets = [set_of(recorded(name)) for name in args.data]
    hashes = {
        kind: [identity_of(read_prior(path.replace("{}", name))) for name in sets] for kind, path in priors.items()
    }
    common |= {"live": args.live, "nearest": args.nearest, "priors": priors, "hashes": hashes}
    kept = Kept(args.keep, common)
    with ProcessPoolExecutor(args.jobs) as pool:
        wanted = [(name, kind, seed) for name in args.data for seed in seeds for kind in kinds]
        running = {
            pool.submit(run, kind, seed, name, args, settings | variant, priors): (name, kind, seed)
            for name, kind, seed in wanted
            if (name, kind, seed) not in kept
        }
        for future in as_completed(running):
            kept.add(running[future], *future.result())
    for name in args.data:
        traces = recorded(name)
        histories = [{kind: kept[name, kind, seed][0] for kind in kinds} for seed in seeds]
        stops = sum((kept[name, "ours", seed][1] for seed in seeds), Counter())
        results.append(summarise(traces, histories, stops, args.full_trials * mean_seconds(traces)))
        if args.prior:
            prior = read_prior(args.prior.replace("{}", set_of(traces)))
            best = [history["ours"].best[-1] for history in histories]
            results[-1]["foreseen"] = foreseen(traces, prior, best, args.full_trials)
    if args.json:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"date": date, **common, "results": results}, sys.stdout)
        return
    for result in results:
        show(result)
    if len(results) > 1:
        print(f"\nover {len(results)} sets, (a) against")
        for name in results[0]["against"]:
            found = over_sets(results, name)
            print(f"{NAMES[name]:32}{found['ratio']:.3f} ({found['low']:.3f} to {found['high']:.3f})")


if __name__ == "__main__":
    main()
