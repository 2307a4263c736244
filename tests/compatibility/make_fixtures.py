"""Makes the stored files of one version, for later versions to read: python tests/compatibility/make_fixtures.py NAME

Run it with the code of the version that is to be stored (PYTHONPATH=its checkout), on a CPU. The files lie in
tests/compatibility/NAME/:

recipe.yaml, spec.yaml   settings, as a user writes them
train/                   a training, stopped half way, with its checkpoint and best bundle
run/                     a sweep with a finished trial, interrupted in its second one
packed.arrow             a packed set
statistics.npz           saved statistics, compressed
expected.json            what this version computes when it goes on, and on which machine

Everything inside is relative, and pictures, plots and event files are left out: all of it can be made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
DATA, PACKED = "faces?limit=620", "faces?limit=20"
FULL_KIMG = 1.0
TRAIN = ["--recipe", "recipe.yaml", "--data", DATA, "--size", "16", "--samples", "64", "--interval-kimg", "0.2"]
TRAIN += ["--seed", "3", "--device", "cpu"]
COMPARED = ("kimg", "fid", "best_fid", "g_loss", "d_loss", "spread", "grad_norm_g", "grad_norm_d")
"""What of a report is the same, to the bit, wherever the training was interrupted."""
RECIPE = """\
name: small
source: a test
settings: {network: dcgan, objective: non-saturating, width_g: 2, width_d: 2, latent_dim: 4, batch: 16, ema_kimg: 1.0}
"""
SPEC = f"""\
name: run
recipes: [recipe.yaml, wgan]
settings: {{width_g: 2, width_d: 2, latent_dim: 4, batch: 16}}
data: {DATA}
size: 16
trials: 4
kimg: {FULL_KIMG}
interval_kimg: 0.1
samples: 64
seed: 3
concurrent: 1
device: cpu
storage: .
"""


def run(folder: Path, *arguments: str) -> str:
    """Run `gan-search` in a folder; return its standard output.

    Raises:
        CalledProcessError: it failed; its messages are on standard error.
    """
    command = [sys.executable, "-m", "search", *arguments]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, timeout=600).stdout


def machine() -> dict[str, Any]:
    """Return what the bits of a training depend on, beside the code and its settings."""
    import torch

    cpu = Path("/proc/cpuinfo")
    models = [line for line in cpu.read_text().splitlines() if line.startswith("model name")] if cpu.exists() else []
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def reports(file: Path) -> dict[str, list[list[Any]]]:
    """Return the compared numbers of each trial's reports, in order of kimg; a training is the trial "train"."""
    latest: dict[str, dict[float, list[Any]]] = {}
    for line in file.read_text().splitlines():
        event = json.loads(line)
        if event.get("event", "report") == "report":
            numbers = [event.get(name) for name in COMPARED]
            latest.setdefault(event.get("trial", "train"), {})[event["kimg"]] = numbers
    return {trial: [numbers for _, numbers in sorted(found.items())] for trial, found in latest.items()}


def evaluations(folder: Path) -> dict[str, Any]:
    """Return what a folder of stored files gives when its bundle and sets are used."""
    bundle = str(next(folder.glob("train/best-*")))
    run(folder, "sample", bundle, "-n", "4", "--seed", "1", "--device", "cpu", "--out", "samples.npy")
    judged = run(
        folder, "evaluate", bundle, "--data", DATA, "--samples", "64", "--repeats", "2", "--device", "cpu", "--json"
    )
    distance = run(folder, "fid", "packed:packed.arrow", "statistics.npz", "--device", "cpu", "--json")
    return {
        "samples": hashlib.sha256((folder / "samples.npy").read_bytes()).hexdigest(),
        "evaluate": {name: value for name, value in json.loads(judged).items() if name not in ("bundle", "seconds")},
        "fid": json.loads(distance)["fid"],
    }


def finish(folder: Path) -> dict[str, Any]:
    """Continue what is stored in a folder to its end; return all numbers."""
    numbers = evaluations(folder)
    run(folder, "train", *TRAIN, "--kimg", str(FULL_KIMG), "--out", "train")
    run(folder, "resume", "./run")
    return {**numbers, "train": reports(folder / "train/reports.jsonl"), "run": reports(folder / "run/journal.jsonl")}


def interrupt_a_sweep(folder: Path) -> None:
    """Start the sweep of spec.yaml, and press Ctrl-C when its second trial has reported three times."""
    command = [sys.executable, "-m", "search", "sweep", "spec.yaml"]
    driver = subprocess.Popen(command, cwd=folder)
    journal = folder / "run" / "journal.jsonl"
    while driver.poll() is None:
        if journal.exists() and len(reports(journal).get("t0001", ())) >= 3:
            driver.send_signal(signal.SIGINT)
            driver.wait(60)
        time.sleep(0.05)
    if driver.returncode != 130:
        raise SystemExit(f"the sweep was not interrupted: it ended with {driver.returncode}")


def make(folder: Path) -> None:
    """Make all files in an empty folder."""
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "spec.yaml").write_text(SPEC)
    run(folder, "train", *TRAIN, "--kimg", "0.4", "--out", "train")
    interrupt_a_sweep(folder)
    run(folder, "data", "pack", PACKED, "packed.arrow", "--size", "16")
    make_statistics(folder)


def make_statistics(folder: Path) -> None:
    """Save statistics of one grey image many times over: their covariance is zero, and compresses to nothing."""
    grey = folder / "grey"
    grey.mkdir()
    for number in range(16):
        Image.new("RGB", (16, 16), (90, 90, 90)).save(grey / f"{number}.png")
    run(folder, "fid", "--save-stats", "--device", "cpu", "--features", "random-conv", "grey", "statistics.npz")
    with np.load(folder / "statistics.npz", allow_pickle=False) as arrays:
        np.savez_compressed(folder / "statistics.npz", **arrays)
    shutil.rmtree(grey)


def keep(made: Path, target: Path) -> None:
    """Copy what cannot be made again: of checkpoints the latest, no pictures, plots and event files."""
    for path in sorted(made.rglob("*")):
        place = path.relative_to(made)
        drawn = path.suffix in (".png", ".html", ".csv", ".parquet") or {"tensorboard", "generator"} & set(place.parts)
        older = path.parent.name == "checkpoints" and path.stem < max(file.stem for file in path.parent.glob("*.pt"))
        if path.is_file() and not drawn and not older:
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            (target / place).write_bytes(path.read_bytes().replace(f"{made}/".encode(), b""))


def main() -> None:
    target = HERE / sys.argv[1]
    os.environ.update(OMP_NUM_THREADS="1", GAN_SEARCH_OFFLINE="1")
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "made"
        made.mkdir()
        os.environ["GAN_SEARCH_CACHE"] = f"{place}/cache"
        make(made)
        keep(made, target)
        shutil.copytree(target, Path(place) / "finished")
        expected = {"machine": machine(), **finish(Path(place) / "finished")}
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
