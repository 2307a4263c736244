"""Choose settings to be recorded on many image sets: `python benchmarks/propose_settings.py --best 12 --random 8`.

Adds lines to `traces/settings.jsonl`: for each recipe its published settings (the first time), those that did best on
the sets given, and random ones. The same numbers of the same recordings give the same lines.

A setting is as good as its worst rank over the sets, among all settings of its recipe that were recorded there; one
that was recorded on a single set counts by that rank, and no more than half of the best are such. `--near` varies the
best instead.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections import defaultdict
from itertools import zip_longest
from typing import Any

import numpy as np
from record_trials import SETTINGS, draw
from scipy.stats import rankdata
from traces import TraceSet, read_joined

from gan.recipe.recipe import Recipe
from search.algorithm.sampler import draw_params

DATA = ["faces+faces-2+faces-near", "fashion-mnist+fashion-mnist-2+fashion-mnist-near"]
RANDOM_FROM = 900_000
"""Number of the first random settings; no recordings of other kinds have such numbers."""


def key(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def ranks(traces: TraceSet, recipe: str) -> dict[str, tuple[float, dict[str, Any]]]:
    """Return the share of a recipe's settings that are as good or better, by their parameters."""
    found = [trace for trace in traces.traces if trace.recipe == recipe and trace.source != "published"]
    scores = [math.inf if trace.best_fid is None else trace.best_fid for trace in found]
    shares = rankdata(scores) / len(scores)
    return {key(trace.params): (float(share), trace.params) for trace, share in zip(found, shares, strict=True)}


def best(recordings: list[TraceSet], recipe: str, count: int) -> list[dict[str, Any]]:
    """Return the best settings of a recipe: half of them, or more, recorded on every set."""
    places: dict[str, list[float]] = defaultdict(list)
    params: dict[str, dict[str, Any]] = {}
    for traces in recordings:
        for name, (share, found) in ranks(traces, recipe).items():
            places[name].append(share)
            params[name] = found
    order = sorted(places, key=lambda name: max(places[name]))
    everywhere = [name for name in order if len(places[name]) == len(recordings)][:count]
    single = [name for name in order if len(places[name]) < len(recordings)][: count // 2]
    chosen = everywhere[: count - len(single)] + single
    return [params[name] for name in chosen]


def selection(recordings: list[TraceSet], recipe: Recipe, count: int, near: int, seed: int) -> list[dict[str, Any]]:
    """Return the best settings of a recipe, or variations of them, `near` in all."""
    found = best(recordings, recipe.name, count)
    random = np.random.default_rng(seed)
    varied = (draw_params(recipe.searchable(), recipe.settings, random, model) for model in itertools.cycle(found))
    return list(itertools.islice(varied, near)) if near else found


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", default=DATA, help="as `faces+faces-2`, or files; one set each")
    parser.add_argument("--best", type=int, default=0, metavar="N", help="of each recipe")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="of each recipe")
    parser.add_argument("--near", type=int, default=0, metavar="N", help="of each recipe: the `--best`, varied")
    return parser.parse_args()


def main() -> None:
    args = parse()
    recordings = [read_joined(names) for names in args.recordings]
    recipes = recordings[0].recipes
    lines = SETTINGS.read_text().splitlines() if SETTINGS.exists() else []
    known = set(lines)
    chosen = [(name, "published", {}) for name in recipes]
    found = [
        [(name, "near", params) for params in selection(recordings, recipe, args.best, args.near, len(lines) + number)]
        for number, (name, recipe) in enumerate(recipes.items())
    ]
    # The recipes take turns, so that the first lines alone make a small recording of all.
    chosen += [entry for turn in zip_longest(*found) for entry in turn if entry is not None]
    first = RANDOM_FROM + len(lines)
    chosen += [draw(first + index, recipes, 0) for index in range(args.random * len(recipes))]
    for name, source, params in chosen:
        short = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in params.items()}
        line = json.dumps({"recipe": name, "source": source, "params": short})
        if line not in known:
            lines.append(line)
            known.add(line)
    SETTINGS.write_text("".join(line + "\n" for line in lines))


if __name__ == "__main__":
    main()
