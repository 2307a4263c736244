"""What a GPU makes of trials: `python benchmarks/gpu.py`, each part with its go or no-go.

    python benchmarks/gpu.py                              # all parts, on the GPU
    python benchmarks/gpu.py --parts packing --small
    python benchmarks/gpu.py --device cpu --quick         # that the script runs; its figures mean nothing

step      (a) one trial: PyTorch's tutorial loop, this trainer, and this trainer as a CUDA graph. Graphs: from 1.3 times
          the trainer without on.
packing   (b) several small trials on one GPU, in sum: processes without graphs, as a sweep's trials are; with graphs;
          with MPS, where that is installed; and graphs on streams of one process. Packing: from 1.5 times one graph on.
fusing    (c) whether arrays of trials (grouped convolutions) could pay: a graph at eight times the batch, per image,
          which no fused array of eight trials can beat. Worth building: from 1.3 times (b) on.
ceilings  what the device reaches in plain multiplication and copying, and what share of each a graph does. Traffic is
          estimated operator by operator, as if nothing stayed in a cache.
fid       seconds that a report's distance takes: 5,000 samples, generated and scored (random-conv).
tuning    what Noe & Thapa's tuning, as if each of its 35 trainings were 3 epochs of CelebA at 128×128, costs here: from
          their network's rate, alone and in processes with MPS, and the time of a report's distance (random-conv).

All rates are real images a second. Turns of what is compared follow one another, and the best turn counts: what else a
machine does only slows. Sums of processes are of one turn each. A part that fails says so, and the others go on.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode
from train_step import Noise, machine, seconds, tutorial

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.data.packed.packing import pack
from gan.evaluation.evaluator import Evaluator
from gan.recipe.recipe import Recipe, load_recipe
from gan.tensors.device import choose_device
from gan.tensors.images import to_unit
from gan.tensors.latents import fixed_latents
from gan.training.cuda_graph import WARM_UP
from gan.training.trainer import Trainer
from search.cluster.mps import runs, service

GRAPH, PACK, FUSE = 1.3, 1.5, 1.3
"""From which ratio on each is worth it."""
NOE_THAPA = 35, 3 * 202_599
"""Trainings, and real images in each."""
REPORTS = 12
"""In each training, as sweeps make them."""
PATIENCE = 120.0
"""Seconds that processes are given to begin."""


@dataclass(frozen=True)
class Case:
    """A trial's geometry.

    Attributes:
        loop, packed: targets against the tutorial's loop, of one trial and in sum; None: no target.
        network: a recipe that names it.
    """

    name: str
    size: int
    width: int
    batch: int
    loop: float
    packed: float | None = None
    network: str = "dcgan"

    @property
    def recipe(self) -> Recipe:
        settings = {"batch": self.batch, "width_g": self.width, "width_d": self.width}
        return load_recipe(self.network).with_settings(settings)


STANDARD = Case("standard", 64, 64, 128, loop=2.0)
SMALL = Case("small", 32, 32, 64, loop=3.0, packed=8.0)
QUICK = Case("quick", 16, 8, 8, loop=1.0, packed=1.0)


class Bench:
    """What all parts share: the device, noise of each size as packed data, and how long a turn is."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.device = choose_device(asked.device)
        self.folder = folder
        self.turn = 0.2 if asked.quick else asked.seconds
        self.repeats = 1 if asked.quick else asked.repeats
        self.cases = [QUICK] if asked.quick else [SMALL] if asked.small else [STANDARD, SMALL]
        self.counts = [2] if asked.quick else asked.counts
        self.samples = 200 if asked.quick else 5000
        self.search_share = asked.search_share
        self.quick = asked.quick

    @property
    def smallest(self) -> Case:
        return self.cases[-1]

    def data(self, size: int) -> DataSet:
        path = self.folder / f"noise-{size}.arrow"
        return open_data(f"packed:{path}") if path.exists() else pack(Noise(size), path)

    def trainer(self, case: Case, *, graphs: bool, seed: int = 0) -> Trainer:
        return Trainer(case.recipe, self.data(case.size), seed=seed, device=str(self.device), graphs=graphs)

    def rate(self, work: Callable[[], int]) -> float:
        """Return images a second of work that tells how many it showed; the first calls warm up."""
        for _ in range(WARM_UP + 2):
            work()
        spent = 0.0
        counts: list[int] = []
        while spent < self.turn:
            # Long enough a stretch that waiting for the device at its end is nothing.
            spent += seconds(lambda: counts.extend(work() for _ in range(10)), self.device)
        return sum(counts) / spent

    def best(self, rates: dict[str, Callable[[], float]]) -> dict[str, float]:
        """Let all take turns; return the best of each."""
        found: dict[str, list[float]] = {name: [] for name in rates}
        for _ in range(self.repeats):
            for name, measure in rates.items():
                found[name].append(measure())
        return {name: max(values) for name, values in found.items()}


@dataclass
class Cycles:
    """Training, a cycle at a call, launched without waiting for it: what `Trainer.advance` does between two reads."""

    trainer: Trainer

    def __call__(self) -> int:
        self.trainer._cycle()
        return self.size

    @property
    def size(self) -> int:
        return self.trainer.recipe.training.batch * self.trainer.recipe.objective.n_critic


@dataclass
class Loop:
    """The tutorial's loop, a step at a call."""

    steps: Iterator[None]
    size: int

    def __call__(self) -> int:
        next(self.steps)
        return self.size


# ---- (a) one trial


def step(bench: Bench) -> dict[str, Any]:
    found = {}
    for case in bench.cases:
        memory = {name: memory_of(bench, case, graphs) for name, graphs in (("trainer", False), ("graph", True))}
        eager, graph = (bench.trainer(case, graphs=graphs) for graphs in (False, True))
        works = {"tutorial": tutorial_loop(bench, case), "trainer": Cycles(eager), "graph": Cycles(graph)}
        rates = bench.best({name: partial(bench.rate, work) for name, work in works.items()})
        found[case.name] = {
            **asdict(case),
            # The tutorial's is fp32.
            "precision": eager.precision,
            "rates": rates,
            "graph_over_trainer": rates["graph"] / rates["trainer"],
            "graph_over_tutorial": rates["graph"] / rates["tutorial"],
            "go": rates["graph"] >= GRAPH * rates["trainer"],
            "reached": rates["graph"] >= case.loop * rates["tutorial"],
            "mib": memory,
        }
    return found


def tutorial_loop(bench: Bench, case: Case) -> Loop:
    rows = bench.data(case.size).train
    images = to_unit(torch.from_numpy(rows.gather(np.arange(len(rows))))).contiguous()
    return Loop(tutorial(images, case.size, case.width, case.batch, bench.device), case.batch)


def memory_of(bench: Bench, case: Case, graphs: bool) -> float | None:
    """Return the MiB that PyTorch holds at most for a trial; the driver's own for each process comes on top."""
    if bench.device.type != "cuda":
        return None
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(bench.device)
    before = torch.cuda.memory_reserved(bench.device)
    work = Cycles(bench.trainer(case, graphs=graphs))
    for _ in range(WARM_UP + 2):
        work()
    return (torch.cuda.max_memory_reserved(bench.device) - before) / 2**20


# ---- (b) several trials


def process(
    number: int, case: Case, graphs: bool, asked: argparse.Namespace, folder: Path, start: Barrier, rates: Any
) -> None:
    """Train one trial, beginning when all others do; tell its rate, or why there is none."""
    try:
        torch.set_num_threads(1)
        bench = Bench(asked, folder)
        work = Cycles(bench.trainer(case, graphs=graphs, seed=number))
        for _ in range(WARM_UP + 2):
            work()
        start.wait(timeout=PATIENCE)
        rates.put(bench.rate(work))
    except Exception as error:
        start.abort()
        rates.put(f"{type(error).__name__}: {error}")


def processes(bench: Bench, case: Case, count: int, graphs: bool, asked: argparse.Namespace) -> float:
    """Return the sum of the rates of trials in processes of their own.

    Raises:
        RuntimeError: one of them failed.
    """
    bench.data(case.size)  # before they would all write it
    context = multiprocessing.get_context("spawn")
    start, rates = context.Barrier(count), context.Queue()
    started = [
        context.Process(target=process, args=(number, case, graphs, asked, bench.folder, start, rates), daemon=True)
        for number in range(count)
    ]
    for worker in started:
        worker.start()
    try:
        # They have to begin before they wait for each other.
        found = [rates.get(timeout=2 * PATIENCE + 2 * bench.turn) for _ in started]
    except queue.Empty:
        raise RuntimeError(f"one of {count} processes did not answer") from None
    finally:
        for worker in started:
            worker.join(timeout=5)
            worker.kill()
    failed = [each for each in found if isinstance(each, str)]
    if failed:
        raise RuntimeError(next((each for each in failed if "BrokenBarrier" not in each), failed[0]))
    return float(sum(found))


def streams(bench: Bench, case: Case, count: int) -> float:
    """Return the sum of the rates of graphs on streams of one process, launched in turns."""
    works = [Cycles(bench.trainer(case, graphs=True, seed=number)) for number in range(count)]
    on_gpu = bench.device.type == "cuda"
    places = [torch.cuda.Stream(bench.device) if on_gpu else None for _ in works]
    if on_gpu:
        torch.cuda.synchronize(bench.device)

    def all_of_them() -> int:
        for place, work in zip(places, works, strict=True):
            with torch.cuda.stream(place):
                work()
        return sum(work.size for work in works)

    return bench.rate(all_of_them)


def packing(bench: Bench, asked: argparse.Namespace) -> dict[str, Any]:
    case = bench.smallest
    works = {"tutorial": tutorial_loop(bench, case), "graph": Cycles(bench.trainer(case, graphs=True))}
    alone = bench.best({name: partial(bench.rate, work) for name, work in works.items()})
    del works
    ways: dict[str, Callable[[int], float]] = {
        "processes without graphs": lambda count: processes(bench, case, count, False, asked),
        "processes": lambda count: processes(bench, case, count, True, asked),
        "streams": lambda count: streams(bench, case, count),
    }
    sums: dict[str, dict[int, float]] = {}
    failed: dict[str, str] = {}

    def try_out(way: str, measure: Callable[[int], float]) -> None:
        for count in bench.counts:
            try:
                sums.setdefault(way, {})[count] = measure(count)
            except RuntimeError as error:
                failed[f"{way}, {count}"] = str(error)

    for way, measure in ways.items():
        try_out(way, measure)
    with service():
        if bench.device.type == "cuda" and runs():
            try_out("processes with MPS", ways["processes"])
    way, count = max(((way, count) for way in sums for count in sums[way]), key=lambda at: sums[at[0]][at[1]])
    most = sums[way][count]
    return {
        "case": case.name,
        "one_graph": alone["graph"],
        "one_tutorial": alone["tutorial"],
        "sums": sums,
        "failed": failed,
        "best": {
            "way": way,
            "trials": count,
            "over_one_graph": most / alone["graph"],
            "over_tutorial": most / alone["tutorial"],
        },
        "go": most >= PACK * alone["graph"],
        "reached": case.packed is not None and most >= case.packed * alone["tutorial"],
    }


# ---- (c) fused arrays of trials


def fusing(bench: Bench, packed: dict[str, Any]) -> dict[str, Any]:
    case = bench.smallest
    wide = Case(case.name, case.size, case.width, 8 * case.batch, case.loop)
    rates = bench.best(
        {
            "batch": partial(bench.rate, Cycles(bench.trainer(case, graphs=True))),
            "eight_batches": partial(bench.rate, Cycles(bench.trainer(wide, graphs=True))),
        }
    )
    ceiling = rates["eight_batches"] / rates["batch"]
    gain = packed["best"]["over_one_graph"]
    return {"case": case.name, **rates, "ceiling": ceiling, "packed": gain, "go": ceiling >= FUSE * gain}


# ---- the device's ceilings


class Traffic(TorchDispatchMode):
    """Counts the bytes that operators read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [value for value in tree_flatten((args, kwargs, result))[0] if isinstance(value, Tensor)]
            self.bytes += sum(value.numel() * value.element_size() for value in tensors)
        return result


def multiplication(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Return the FLOP/s of multiplying two square matrices."""
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = [seconds(lambda: one @ other, device) for _ in range(10)]
    return 2.0 * side**3 / min(times[2:])


def copying(device: torch.device, count: int) -> float:
    """Return the bytes per second that are read and written in copying."""
    source = torch.zeros(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2.0 * count / min(seconds(lambda: target.copy_(source), device) for _ in range(10))


def ceilings(bench: Bench) -> dict[str, Any]:
    side, count = (256, 1 << 20) if bench.quick else (8192, 1 << 30)
    found: dict[str, Any] = {
        "bf16_flops": multiplication(bench.device, torch.bfloat16, side),
        "copy_bytes": copying(bench.device, count),
    }
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    found["tf32_flops"] = multiplication(bench.device, torch.float32, side)
    torch.backends.cuda.matmul.allow_tf32 = allowed
    for case in bench.cases:
        trainer = bench.trainer(case, graphs=False)
        work = Cycles(trainer)
        work()
        with FlopCounterMode(display=False) as counter:
            work()
        with Traffic() as traffic:
            work()
        cycles = bench.rate(Cycles(bench.trainer(case, graphs=True))) / work.size
        arithmetic = found["bf16_flops" if trainer.precision == "bf16" else "tf32_flops"]
        found[case.name] = {
            "flops_per_cycle": counter.get_total_flops(),
            "bytes_per_cycle": traffic.bytes,
            "arithmetic_share": counter.get_total_flops() * cycles / arithmetic,
            "bandwidth_share": traffic.bytes * cycles / found["copy_bytes"],
        }
    return found


# ---- evaluation, and what a published tuning costs


def fid(bench: Bench) -> dict[str, Any]:
    case = bench.cases[0]
    took = report_seconds(bench, bench.trainer(case, graphs=False))
    return {"case": case.name, "samples": bench.samples, "seconds": took, "reached": took < 3.0}


def report_seconds(bench: Bench, trainer: Trainer) -> float:
    """Return how long a report's distance takes, the samples included."""
    evaluator = Evaluator.prepare(
        trainer.data, features="random-conv", samples=bench.samples, device=trainer.device, cache_dir=bench.folder
    )
    latents = fixed_latents("gaussian", bench.samples, trainer.recipe.training.latent_dim, 0)
    times = [
        seconds(lambda: evaluator.evaluate(lambda at, count: trainer.sample(latents[at : at + count])), bench.device)
        for _ in range(1 + bench.repeats)
    ]
    return min(times[1:])


def tuning(bench: Bench, asked: argparse.Namespace) -> dict[str, Any]:
    """Return what 35 trainings cost in full, and as a search that spends a share of that."""
    size = 32 if bench.quick else 128
    case = Case("noe-thapa-128", size, 8 if bench.quick else 64, 4 if bench.quick else 64, 1.0, network="noe-thapa-128")
    trainer = bench.trainer(case, graphs=True)
    rates = {1: bench.rate(Cycles(trainer))}
    with service():
        if bench.device.type == "cuda" and runs():
            rates |= {count: processes(bench, case, count, True, asked) for count in (2, 4)}
    flops = FlopCounterMode(display=False)
    plain = Cycles(bench.trainer(case, graphs=False))
    with flops:
        plain()
    best = max(rates.values())
    trainings, images = NOE_THAPA
    evaluation = trainings * REPORTS * report_seconds(bench, trainer) / 60
    minutes = trainings * images / best / 60 + evaluation
    return {
        "images_per_second": rates,
        "tflops": flops.get_total_flops() * best / plain.size / 1e12,
        "one_alone_minutes": images / rates[1] / 60,
        "evaluation_minutes": evaluation,
        "all_in_full_minutes": minutes,
        "search_share": bench.search_share,
        "as_search_minutes": minutes * bench.search_share,
        "reached": minutes < 40 and minutes * bench.search_share < 15,
    }


PARTS = ("step", "packing", "fusing", "ceilings", "fid", "tuning")


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    bench = Bench(asked, folder)
    found: dict[str, Any] = {
        "machine": machine(bench.device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "step": partial(step, bench),
        "packing": partial(packing, bench, asked),
        "fusing": lambda: fusing(bench, found["packing"]),
        "ceilings": partial(ceilings, bench),
        "fid": partial(fid, bench),
        "tuning": partial(tuning, bench, asked),
    }
    wanted = [name for name in PARTS if name in asked.parts or (name == "packing" and "fusing" in asked.parts)]
    for name in wanted:
        begun = time.perf_counter()
        try:
            found[name] = parts[name]()
        except Exception as error:
            if asked.quick:
                raise
            found[name] = {"error": f"{type(error).__name__}: {error}"}
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        if asked.out is not None:
            asked.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn")
    parser.add_argument("--repeats", type=int, default=3, help="turns")
    parser.add_argument("--counts", type=int, nargs="+", default=[4, 8, 16], help="trials on one GPU")
    parser.add_argument("--small", action="store_true", help="the small network alone")
    parser.add_argument("--out", type=Path, help="where the figures are written as well, after each part")
    parser.add_argument("--quick", action="store_true", help="tiny networks and turns: to see that all runs")
    parser.add_argument(
        "--search-share",
        type=float,
        default=0.45,
        help="of the training in full that a search spends (`simulate_scale.py --trials 35 --slots 1` tells it)",
    )
    return parser.parse_args()


def main() -> None:
    asked = parse()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        print(json.dumps(measure(asked, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
