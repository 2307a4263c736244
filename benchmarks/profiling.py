"""Where the time goes, in a training cycle, an evaluation and a sweep's driver: `python benchmarks/profiling.py`

    python benchmarks/profiling.py training --size 64 --width 64
    python benchmarks/profiling.py evaluation --samples 5000
    python benchmarks/profiling.py driver --trials 1000 --slots 100

Training and evaluation are watched by torch.profiler, and each operator counts for the phase in which it ran. The
device is waited for at both ends of a phase, and the cycle is not replayed as a CUDA graph: read shares, not rates.
The driver is watched by cProfile while it hands out and judges simulated trials (see `simulate_scale.py`). This file is
not called profile.py: that would hide Python's own module of this name from cProfile, and so from PyTorch.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import cProfile
import json
import math
import pstats
import tempfile
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from train_step import Noise, machine

import gan
from gan.data.packed.packing import pack
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import load_recipe
from gan.tensors.latents import draw_latents
from gan.training import trainer as loop
from gan.training.trainer import Trainer

ROOT = Path(gan.__file__).resolve().parent.parent
PARTS = ("training", "evaluation", "driver")
OPERATORS = 3
FUNCTIONS = 12


class Phases:
    """Names stretches of time, one after the other, and tells which operators ran in each."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: Counter[str] = Counter()
        self._spans: list[tuple[float, float, str]] = []
        self._open = False

    def watch(self, owner: Any, method: str, phase: str) -> None:
        """Count what a method does for a phase, unless it is called within another."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._open:
                return inner(*arguments, **options)
            self._open, start = True, self._now()
            try:
                return inner(*arguments, **options)
            finally:
                end, self._open = self._now(), False
                self.seconds[phase] += (end - start) / 1e9
                self._spans.append((start / 1e3, end / 1e3, phase))

        setattr(owner, method, timed)

    def operators(self, profiler: profile, began: float) -> dict[str, Counter[str]]:
        """Return the seconds of each operator, without those that it calls, by phase."""
        starts = [start - began for start, _, _ in self._spans]
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for event in profiler.events() or ():
            index = bisect_right(starts, event.time_range.start) - 1
            inside = index >= 0 and event.time_range.start < self._spans[index][1] - began
            own = event.self_cpu_time_total if self._device.type == "cpu" else event.self_device_time_total
            found[self._spans[index][2] if inside else "other"][event.name] += own / 1e6
        return found

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.time_ns()


def watched(work: Callable[[], object], phases: Phases, device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each phase: seconds a round, its share, its slowest operators."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        whole = time.perf_counter() - start
    operators = phases.operators(profiler, profiler.profiler.kineto_results.trace_start_ns() / 1e3)  # type: ignore[union-attr]
    times = {**phases.seconds, "other": whole - sum(phases.seconds.values())}
    return [
        {
            "phase": phase,
            "seconds": seconds / rounds,
            "share": seconds / whole,
            "operators": {name: own / rounds for name, own in operators[phase].most_common(OPERATORS) if own > 0},
        }
        for phase, seconds in sorted(times.items(), key=lambda item: -item[1])
    ]


@contextmanager
def trainer_of(args: argparse.Namespace) -> Iterator[tuple[Trainer, Any]]:
    """Yield a warm trainer and its data: noise, whose drawing is not what is measured."""
    settings = {"batch": args.batch, "width_g": args.width, "width_d": args.width, "ema_kimg": 10.0}
    with tempfile.TemporaryDirectory() as folder:
        data = pack(Noise(args.size), Path(folder) / "noise.arrow")
        recipe = load_recipe(args.recipe).with_settings(settings)
        trainer = Trainer(recipe, data, device=args.device, precision=args.precision, graphs=False)
        trainer.advance(3 * args.batch * recipe.objective.n_critic)
        yield trainer, data


def training(args: argparse.Namespace) -> dict[str, Any]:
    with trainer_of(args) as (trainer, _):
        phases = Phases(trainer.device)
        phases.watch(trainer.batches, "next", "data")
        draw, scale = loop.draw_latents, loop.to_unit
        phases.watch(loop, "draw_latents", "data")
        phases.watch(loop, "to_unit", "data")
        phases.watch(trainer.generator, "forward", "generator forward")
        phases.watch(trainer.discriminator, "forward", "discriminator forward")
        phases.watch(trainer.optimizer_g, "step", "optimiser")
        phases.watch(trainer.optimizer_d, "step", "optimiser")
        phases.watch(trainer, "_update_average", "EMA")
        backward = torch.Tensor.backward
        phases.watch(torch.Tensor, "backward", "backward")
        images = args.cycles * args.batch * trainer.recipe.objective.n_critic
        try:
            rows = watched(lambda: trainer.advance(images), phases, trainer.device, args.cycles)
        finally:
            torch.Tensor.backward = backward  # type: ignore[method-assign]
            loop.draw_latents, loop.to_unit = draw, scale  # type: ignore[attr-defined]
        return {"title": f"a cycle of {args.recipe}, {args.size}×{args.size}, batch {args.batch}", "rows": rows}


class Watched:
    """A feature extractor whose calls can be watched."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return self.extract(rows)

    def extract(self, rows: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._inner(rows)
        return out


def evaluation(args: argparse.Namespace) -> dict[str, Any]:
    with trainer_of(args) as (trainer, data):
        evaluator = Evaluator.prepare(data, samples=args.samples, device=trainer.device).to(trainer.device)
        settings = trainer.recipe.training
        evaluator.features = Watched(evaluator.features)  # type: ignore[assignment]

        def sample(_: int, count: int) -> torch.Tensor:
            return trainer.sample(draw_latents(settings.latent, count, settings.latent_dim, trainer.latents))

        evaluator.evaluate(sample)
        phases = Phases(trainer.device)
        phases.watch(trainer, "sample", "generator")
        phases.watch(evaluator.features, "extract", "features")
        # A slotted object's method is watched through a stand-in.
        reference, evaluator.reference = evaluator.reference, Distance(evaluator.reference)  # type: ignore[assignment]
        phases.watch(evaluator.reference, "distance", "Fréchet distance")
        rows = watched(lambda: evaluator.evaluate(sample), phases, trainer.device, 1)
        evaluator.reference = reference
        return {"title": f"an evaluation of {args.samples:,} samples, {args.size}×{args.size}", "rows": rows}


class Distance:
    """A reference whose distance can be watched."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def distance(self, statistics: Any) -> float:
        return float(self._inner.distance(statistics))


def driver(args: argparse.Namespace) -> dict[str, Any]:
    from replay import simulate
    from simulate_scale import Billed
    from traces import read_joined

    contender = Billed(read_joined("faces+faces-2+faces-near"), 0, trials=args.trials)
    profiler = cProfile.Profile()
    for method in ("suggest", "on_trial_complete"):
        watch_calls(profiler, contender.searcher, method)
    watch_calls(profiler, contender, "report")
    simulate(contender, args.slots, math.inf)
    statistics = pstats.Stats(profiler)
    whole = statistics.total_tt  # type: ignore[attr-defined]
    rows = []
    for (file, _, function), (_, calls, own, total, _) in statistics.stats.items():  # type: ignore[attr-defined]
        path = Path(file)
        if path.is_relative_to(ROOT) and path.parts[len(ROOT.parts)] in ("search", "gan"):
            name = f"{path.relative_to(ROOT)}: {function}"
            rows.append({"function": name, "calls": calls, "own": own, "seconds": total, "share": total / whole})
    rows.sort(key=lambda row: -row["seconds"])
    title = f"a driver of {args.trials:,} trials on {args.slots} slots: {whole / args.trials * 1000:.1f} ms a trial"
    return {"title": title, "rows": rows[:FUNCTIONS], "seconds": whole}


def watch_calls(profiler: cProfile.Profile, owner: Any, method: str) -> None:
    """Let the profiler see what a method does: the simulation itself is not the driver's work."""
    inner = getattr(owner, method, None)
    if inner is None:
        return
    depth = [0]

    def seen(*arguments: Any, **options: Any) -> Any:
        depth[0] += 1
        if depth[0] == 1:
            profiler.enable()
        try:
            return inner(*arguments, **options)
        finally:
            depth[0] -= 1
            if depth[0] == 0:
                profiler.disable()

    setattr(owner, method, seen)


def show(result: dict[str, Any]) -> None:
    print(f"\n{result['title']}")
    for row in result["rows"]:
        if "phase" in row:
            top = ", ".join(f"{name} {1000 * own:.2f}" for name, own in row["operators"].items())
            print(f"  {row['phase']:<22} {1000 * row['seconds']:>9.2f} ms {row['share']:>6.1%}  {top}")
        else:
            print(f"  {row['function']:<66} {row['calls']:>8,} {row['seconds']:>8.2f} s {row['share']:>6.1%}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="training, evaluation, driver; default: all")
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cycles", type=int, default=8, help="training cycles that are watched")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--slots", type=int, default=30)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = parse()
    results = {part: globals()[part](args) for part in args.parts or PARTS}
    place = machine(torch.device("cuda" if torch.cuda.is_available() and args.device != "cpu" else "cpu"))
    if args.json:
        print(json.dumps({"machine": place, "torch": torch.__version__, **results}))
        return
    print(f"{place['gpu'] or place['cpu']}, {place['threads']} threads; torch {torch.__version__}")
    for result in results.values():
        show(result)


if __name__ == "__main__":
    main()
