"""Short trainings of every shipped recipe and one small sweep: do two versions compute the same numbers?

    python benchmarks/same_numbers.py --out before.json                       # in one checkout
    python benchmarks/same_numbers.py --out after.json --against before.json  # in another, on the same machine

Everything goes through the command line, so that any version can be asked. Compared to the last bit: the networks,
moving average and optimiser moments of the last checkpoint, and every number that does not measure time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("generator", "discriminator", "average", "optimizer_g", "optimizer_d")
NUMBERS = ("kimg", "fid", "best_fid", "g_loss", "d_loss", "penalty", "spread", "real_score", "fake_score")
NUMBERS += ("grad_norm_g", "grad_norm_d", "curve", "wasserstein", "diverged", "score")
TINY = ("--set", "batch=8", "--samples", "64", "--features", "random-conv")
VARIANTS = {
    "dcgan-fp32": ("dcgan", "--size", "32", "--precision", "fp32", "--set", "ema_kimg=1", "--set", "dropout=0.2"),
    "dcgan-joint": ("dcgan", "--size", "16", "--set", "d_batch=joint", "--set", "g_step_statistics=running"),
    "wgan-gp": ("dcgan", "--size", "16", "--set", "objective=wgan-gp", "--set", "n_critic=2"),
    "minimax": ("dcgan", "--size", "16", "--set", "objective=minimax", "--set", "optimizer_g=sgd"),
}
SWEEP = ("--data", "faces?limit=1200", "--size", "16", "--set", "width_g=8", "--set", "width_d=8", "--set", "batch=16")
SWEEP += ("--samples", "500", "--features", "random-conv", "--trials", "8", "--kimg", "0.6", "--interval-kimg", "0.1")
SWEEP += ("--seed", "7", "--concurrent", "1", "--name", "same")


def gan(*arguments: str, module: str = "gan") -> str:
    """Run a command of this checkout on one thread; return what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def digest(value: Any) -> str:
    """Return a hash of nested state: tensors by their bytes, all else as text."""
    found = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, dict):
            for key in sorted(part, key=str):
                found.update(str(key).encode())
                add(part[key])
        elif isinstance(part, (list, tuple)):
            for item in part:
                add(item)
        elif isinstance(part, torch.Tensor):
            found.update(part.contiguous().view(torch.uint8).numpy().tobytes() if part.ndim else str(part).encode())
        else:
            found.update(str(part).encode())

    add(value)
    return found.hexdigest()[:16]


def training(name: str, *options: str) -> dict[str, Any]:
    """Train a recipe for six cycles; return hashes of its state, and its reports."""
    recipe = json.loads(gan("recipes", "show", name, "--json"))
    n_critic = int(recipe["settings"].get("n_critic", 1))
    data = "curves" if name == "curves" else "faces?limit=1200"
    size = () if "--size" in options or name == "curves" else ("--size", str(recipe["size"] or 32))
    if "objective=wgan-gp" in options:
        n_critic = 2
    length = 6 * 8 * n_critic / 1000
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/run"
        gan("train", "--recipe", name, "--data", data, *size, *TINY, *options, "--seed", "3", "--out", out,
            "--kimg", f"{length:g}", "--interval-kimg", f"{length / 2:g}", "--json")  # fmt: skip
        newest = max(Path(out, "checkpoints").glob("*.pt"))
        state = torch.load(newest, weights_only=True)["trainer"]
        reports = [json.loads(line) for line in Path(out, "reports.jsonl").read_text().splitlines()]
    hashes = {part: digest(state[part]) for part in PARTS if state.get(part) is not None}
    return hashes | {"reports": [[report[number] for number in NUMBERS] for report in reports]}


def sweep() -> dict[str, Any]:
    """Run a small sweep, one trial after the other; return what each trial was given, and what became of it."""
    with tempfile.TemporaryDirectory() as folder:
        gan("sweep", *SWEEP, "--storage", folder, "--json", module="search")
        events = [json.loads(line) for line in Path(folder, "same", "journal.jsonl").read_text().splitlines()]
    kept = ("event", "trial", "state", "params", *NUMBERS)
    wanted = [{name: event[name] for name in kept if name in event} for event in events]
    return {"events": [event for event in wanted if "trial" in event]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="file that takes what was found")
    parser.add_argument("--against", type=Path, help="such a file of another version: say what differs, exit 1")
    parser.add_argument("--only", nargs="*", help="some of the trainings, and sweep")
    arguments = parser.parse_args()
    names = [line["name"] for line in json.loads(gan("recipes", "list", "--json"))]
    runs = {name: (name,) for name in names} | VARIANTS
    found: dict[str, Any] = {}
    for name, options in runs.items():
        if not arguments.only or name in arguments.only:
            found[name] = training(*options)
            print(name, found[name].get("generator"), flush=True)
    if not arguments.only or "sweep" in arguments.only:
        found["sweep"] = sweep()
    arguments.out.write_text(json.dumps(found, indent=1))
    if arguments.against:
        before = json.loads(arguments.against.read_text())
        differing = [name for name in found if found[name] != before.get(name)]
        print(f"{len(found) - len(differing)} of {len(found)} equal to the bit", *differing)
        raise SystemExit(bool(differing))


if __name__ == "__main__":
    main()
