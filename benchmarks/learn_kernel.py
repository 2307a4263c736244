"""The constants of the search's model, learnt from recorded trials: `python benchmarks/learn_kernel.py`.

    python benchmarks/learn_kernel.py
    python benchmarks/learn_kernel.py faces+faces-2 --trials 300

For each set of recordings it prints the kernel's length scale of each parameter (`LENGTH_SCALES` of
`search/algorithm/axes.py`) and the variances of `search.algorithm.gaussian_process.Kernel`. Both maximise the posterior
density, given the scores of some of the trials at doubling steps of training. It also prints how much of the variance
of final scores is explained by two predictions from the other trials, with a fifth of all left out at a time: by the
nearest recording, and by the process with the shipped constants.
"""

from __future__ import annotations

import os

# Before NumPy is imported: the sets are learnt from side by side.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import accumulate

import numpy as np
from emulated import NOISE, log_curve
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from search_efficiency import DATA
from traces import Trace, TraceSet, read_joined

from search.algorithm.axes import DEFAULT_LENGTH_SCALE, LENGTH_SCALES, Axes
from search.algorithm.futility import log_score
from search.algorithm.gaussian_process import Kernel, Model, normal_quantiles
from search.algorithm.sampler import Observations

VARIANCES = ("end", "fall", "trial", "noise")
FOLDS = 5


def scores(traces: TraceSet, trace: Trace) -> dict[int, float]:
    """Return reports → logarithm of the best FID so far, as a search would be told; empty where there is none."""
    fids = [math.inf if report.fid is None else report.fid for report in trace.reports]
    best = list(accumulate(fids, min))
    lost = not best or not math.isfinite(best[-1]) or len(best) < round(traces.kimg / traces.interval)
    return {} if lost else {step: log_score(fid) for step, fid in enumerate(best, 1) if math.isfinite(fid)}


def learn(traces: TraceSet, count: int, seed: int) -> dict[str, float]:
    """Return the length of each parameter and the variances, of the highest posterior density."""
    random = np.random.default_rng(seed)
    sampled = [trace for trace in traces.traces if trace.source != "published"]
    some = [sampled[index] for index in random.permutation(len(sampled))[:count]]
    axes = Axes(traces.recipes)
    names = list(dict.fromkeys(axes.names))
    seen = Observations.of([scores(traces, trace) for trace in some])
    places = np.array([axes.place(trace.recipe, trace.params) for trace in some])[seen.trials]
    values = normal_quantiles(seen.scores)
    # [names, N, N]: coordinates of one parameter have one length.
    squares = np.zeros((len(names), len(values), len(values)))
    for coordinate, name in enumerate(axes.names):
        squares[names.index(name)] += np.square(places[:, coordinate, None] - places[None, :, coordinate])
    remaining = np.outer(seen.remaining, seen.remaining)
    same = (seen.trials[:, None] == seen.trials[None]).astype(float)
    mean = np.log([1.5] * len(names) + [1.0, 0.4, 0.1, 0.1])

    def cost(logs: np.ndarray) -> tuple[float, np.ndarray]:
        found, slope = negative_log_likelihood(squares, remaining, same, values, np.exp(logs))
        return found + 0.5 * float(((logs - mean) ** 2).sum()), slope + logs - mean

    best = minimize(cost, mean, jac=True, method="L-BFGS-B", bounds=[(-6.0, 4.0)] * len(mean), options={"maxiter": 60})
    return dict(zip([*names, *VARIANCES], np.exp(best.x).tolist(), strict=True))


def negative_log_likelihood(
    squares: np.ndarray, remaining: np.ndarray, same: np.ndarray, values: np.ndarray, parameters: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the negative log likelihood, and its slope in the logarithms of lengths and variances.

    Rasmussen & Williams 2006, equations 2.30 and 5.9.

    Args:
        squares: squared differences [parameters, N, N].
        remaining, same: products of remaining training, and whether two scores are of one trial [N, N].
        values: [N].
        parameters: lengths, then `VARIANCES`.
    """
    lengths, (end, fall, trial, noise) = parameters[:-4], parameters[-4:]
    distance = np.sqrt(5 * np.maximum(np.tensordot(lengths**-2, squares, axes=1), 1e-12))
    decay = np.exp(-distance)
    alike, scale = (1 + distance + distance**2 / 3) * decay, end + fall * remaining
    factor = cho_factor(alike * scale + trial * same + (noise + 1e-6) * np.eye(len(values)), lower=True)
    weights = cho_solve(factor, values)
    pull = 0.5 * (cho_solve(factor, np.eye(len(values))) - np.outer(weights, weights))
    by_square = pull * scale * 5 / 3 * (1 + distance) * decay
    slope = [*(np.tensordot(squares, by_square, axes=2) * lengths**-2)]
    slope += [end * (pull * alike).sum(), fall * (pull * alike * remaining).sum(), trial * (pull * same).sum()]
    cost = 0.5 * float(values @ weights) + float(np.log(np.diag(factor[0])).sum())
    return cost, np.array([*slope, noise * np.trace(pull)])


def explained(traces: TraceSet, seed: int) -> tuple[float, float]:
    """Return the shares of the variance of the best log FID that the nearest recording and the process explain."""
    sampled = [trace for trace in traces.traces if trace.source != "published"]
    axes = Axes(traces.recipes)
    places = np.array([axes.place(trace.recipe, trace.params) for trace in sampled])
    best = np.array([min(log_curve(traces, trace)) for trace in sampled])
    kernel = Kernel(axes.length_scales, end=1.0, trial=0.0, noise=NOISE)
    nearest, process = np.zeros(len(best)), np.zeros(len(best))
    for out in np.array_split(np.random.default_rng(seed).permutation(len(best)), FOLDS):
        rest = np.setdiff1d(np.arange(len(best)), out)
        apart = np.square(places[out][:, None] - places[rest][None]).sum(2)
        nearest[out] = best[rest][apart.argmin(1)]
        mean = best[rest].mean()
        model = Model(kernel, places[rest], np.zeros(len(rest)), np.arange(len(rest)), best[rest] - mean)
        process[out] = mean + model.mean(places[out])
    return tuple(float(1 - np.square(best - found).mean() / best.var()) for found in (nearest, process))  # type: ignore[return-value]


def study(name: str, trials: int, seed: int) -> tuple[dict[str, float], tuple[float, float]]:
    traces = read_joined(name)
    return learn(traces, trials, seed), explained(traces, seed)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=DATA, help="recordings or files")
    parser.add_argument("--trials", type=int, default=250, help="that constants are learnt from")
    parser.add_argument("--seed", type=int, default=0, help="which trials, and the folds")
    return parser.parse_args()


def main() -> None:
    args = parse()
    with ProcessPoolExecutor(min(len(args.data), os.cpu_count() or 1)) as pool:
        found = list(pool.map(partial(study, trials=args.trials, seed=args.seed), args.data))
    shipped = Kernel(np.ones(1))
    titles = [name.partition("+")[0] for name in args.data]
    print(f"{'':12}" + "".join(f"{title:>16}" for title in titles) + f"{'shipped':>10}")
    for name in found[0][0]:
        ours = getattr(shipped, name) if name in VARIANCES else LENGTH_SCALES.get(name, DEFAULT_LENGTH_SCALE)
        print(f"{name:12}" + "".join(f"{learnt.get(name, math.nan):16.2f}" for learnt, _ in found) + f"{ours:10.2f}")
    for title, (_, (nearest, process)) in zip(titles, found, strict=True):
        print(f"{title}: of a trial's best log FID the nearest other explains {nearest:.0%}, the process {process:.0%}")


if __name__ == "__main__":
    main()
