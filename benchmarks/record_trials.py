"""Record whole trainings of random settings, to be replayed: `python benchmarks/record_trials.py faces`.

    python benchmarks/record_trials.py faces --trials 400
    python benchmarks/record_trials.py fashion-mnist:DIR --trials 400 --out benchmarks/traces/fashion-mnist.jsonl.gz
    python benchmarks/record_trials.py faces --first 1002 --published-seeds 0 --out benchmarks/traces/faces-2.jsonl.gz
    python benchmarks/record_trials.py faces --near faces+faces-2 --first 5000 --trials 360 \\
        --out benchmarks/traces/faces-near.jsonl.gz

Settings are drawn at random from the space that a sweep searches (the recipes' own settings first, on several
seeds), trained by the real trainer and evaluated at every interval, and never stopped: not by a rung, not by the
divergence rule. What the rule looks at is kept, so that any rule can be judged on it later. Only when nothing has
been finite for two reports does a trial end early, since NaN stays NaN.

With `--listed` the same settings are trained on many image sets: lines of `settings.jsonl`, by their numbers, which
`propose_settings.py` writes. Ask for more lines of a file when you like; those recorded before are left as they are.

    python benchmarks/record_trials.py folder:SETS/emoji --listed 0:70 --out benchmarks/traces/emoji-16.jsonl.gz

With `--near` settings are varied copies of the best tenth of other recordings, whoever searches: where a search spends
most of its time there are then enough recordings for what it proposes.

One trial after the other on one core; small images, narrow networks and a short training make a trial cost seconds.
Break it off when you like, and call it again to go on. With `--space` settings are drawn from elsewhere, as rates at
which trainings are really lost.
"""

from __future__ import annotations

import os

# Before NumPy and PyTorch are imported: on networks this small, threads only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from traces import FOLDER, FORMAT, Trace, TracedReport, TraceSet, read_joined, read_traces, write_traces
from training import Training, hopeless

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.data.sources.opening import public_name
from gan.data.uri import DataUri
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import Recipe
from gan.versions import versions
from search.algorithm.sampler import draw_params
from search.algorithm.space import RECIPE, suggest
from search.plan.spec import DEFAULTS

SETTINGS = FOLDER / "settings.jsonl"
"""Settings that are trained on many image sets. Lines are only ever added, so that a number means the same in all."""


def draw(index: int, recipes: dict[str, Recipe], published: int) -> tuple[str, str, dict[str, Any]]:
    """Return recipe, source and sampled parameters of a trial: a function of its number alone.

    Those of the first `published` trials of each recipe have its own settings; then the recipes take turns.
    """
    names = list(recipes)
    name = names[index % len(names)]
    if index < published * len(names):
        return name, "published", {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=index))
    study.enqueue_trial({RECIPE: name})
    return name, "sampled", suggest(study.ask(), recipes)[1]


def vary(index: int, recipes: dict[str, Recipe], best: list[Trace]) -> tuple[str, str, dict[str, Any]]:
    """As `draw`, with parameters near those of one of the best."""
    random = np.random.default_rng(index)
    model = best[random.integers(len(best))]
    recipe = recipes[model.recipe]
    return recipe.name, "near", draw_params(recipe.searchable(), recipe.settings, random, model.params)


def listed(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Return recipe, source and parameters of each line of a list of settings."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [(entry["recipe"], entry["source"], entry["params"]) for entry in entries]


def span(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end))


def best_tenth(traces: TraceSet) -> list[Trace]:
    """Return the best of the trials of random settings, one at least."""
    sampled = [trace for trace in traces.traces if trace.source == "sampled"]
    if not sampled:
        sys.exit("--near: none of these recordings is of random settings")
    sampled.sort(key=lambda trace: math.inf if trace.best_fid is None else trace.best_fid)
    return sampled[: max(1, len(sampled) // 10)]


def record(training: Training, count: int) -> list[TracedReport]:
    """Train to the full length and tell of every interval."""
    reports: list[TracedReport] = []
    while len(reports) < count and not hopeless(reports):
        reports.append(training.report())
    return reports


def describe(args: argparse.Namespace, data: DataSet, evaluator: Evaluator) -> dict[str, Any]:
    """Return what all trials have in common."""
    return {
        "format": FORMAT,
        "data": public_name(args.data),
        "shape": list(data.shape),
        **({"images": len(data.train), "listed": True} if args.listed else {}),
        "recipes": list(DEFAULTS),
        "settings": {"width_g": args.width, "width_d": args.width},
        "kimg": args.kimg,
        "interval_kimg": args.kimg / args.reports,
        "published_seeds": 0 if args.near or args.listed else args.published_seeds,
        "evaluation": {**evaluator.identity.as_dict(), "data": public_name(args.data)},
        "single_image_fid": round(evaluator.single_image_fid, 2),
        "torch": versions()["torch"],
        **({"space": args.space} if args.space else {}),
        **({"near": args.near} if args.near else {}),
    }


def resume(path: Path, common: dict[str, Any]) -> TraceSet:
    """Return what was recorded so far; refuse to mix trials that cannot be compared."""
    if not path.exists():
        return TraceSet(common)
    found = read_traces(path)
    changed = [name for name, value in common.items() if found.common.get(name) != value]
    if changed:
        sys.exit(f"{path} was recorded with another {', '.join(changed)}; choose another --out")
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="as the sweep's --data takes it")
    parser.add_argument("--trials", type=int, default=400, help="in all, those recorded before included")
    parser.add_argument("--first", type=int, default=0, help="number of the first; other numbers, other trials")
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--width", type=int, default=16, help="of both networks")
    parser.add_argument("--kimg", type=float, default=12.0)
    parser.add_argument("--reports", type=int, default=12)
    parser.add_argument("--samples", type=int, default=1000, help="of each evaluation")
    parser.add_argument("--published-seeds", type=int, default=4, help="trainings of each recipe's own settings")
    parser.add_argument("--space", type=json.loads, default={}, help="as a sweep's `space`, in JSON: other ranges")
    parser.add_argument("--near", metavar="RECORDINGS", help="whose best tenth to vary: `faces+faces-2`, or files")
    parser.add_argument("--listed", type=span, metavar="FIRST:END", help=f"lines of {SETTINGS.name}, counted from 0")
    parser.add_argument("--out", type=Path, help="default: benchmarks/traces/SCHEME.jsonl.gz")
    return parser.parse_args()


def main() -> None:
    args = parse()
    data = open_data(args.data, args.size)
    evaluator = Evaluator.prepare(data, samples=args.samples)
    path: Path = args.out or FOLDER / f"{DataUri.parse(args.data).scheme}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    traces = resume(path, describe(args, data, evaluator))
    if not args.listed and traces.traces and traces.traces[0].trial != args.first:
        sys.exit(f"{path} begins with trial {traces.traces[0].trial}: give --first {traces.traces[0].trial}")
    recipes = traces.recipes
    models = best_tenth(read_joined(args.near)) if args.near else []
    settings = listed(SETTINGS) if args.listed else []
    recorded = {trace.trial for trace in traces.traces}
    for index in args.listed or range(args.first, args.first + args.trials):
        if index in recorded:
            continue
        if args.listed:
            name, source, params = settings[index]
        elif args.near:
            name, source, params = vary(index, recipes, models)
        else:
            name, source, params = draw(index, recipes, args.published_seeds)
        training = Training(recipes[name].with_settings(params), data, evaluator, index, traces.interval)
        reports = record(training, round(traces.kimg / traces.interval))
        trace = Trace(index, name, source, index, params, reports)
        traces.traces = sorted([*traces.traces, trace], key=lambda each: each.trial)
        write_traces(path, traces)
        verdict = traces.verdict(trace)
        best = "none" if trace.best_fid is None else f"{trace.best_fid:.1f}"
        print(
            f"{index:5d} {name:6} {source:9} best {best:>7}  {trace.seconds:5.1f} s"
            f"  {verdict.reason if verdict else ''}",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
