"""The training step of the standard DCGAN, against the loop of the PyTorch DCGAN tutorial.

    python benchmarks/train_step.py                        # 64×64, width 64, batch 64
    python benchmarks/train_step.py --size 32 --threads 1
    python benchmarks/train_step.py --precision bf16 --json

Both train the same networks on the same images in one process. They take turns, a few steps each,
and every ratio is of two neighbouring turns, so that what else the machine does hits both.

The peer is the tutorial's loop, written out: contiguous float32 images that already are in memory,
sigmoid and BCELoss, losses read with `.item()` at every step, all of the discriminator's gradients
computed in the generator's step, Adam as it comes. Ours is `gan.training.trainer.Trainer` as users run it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gan.data.dataset import DataSet
from gan.data.packed.packing import pack
from gan.recipe.recipe import load_recipe
from gan.tensors.device import choose_device, has_bf16
from gan.tensors.images import to_unit
from gan.training.trainer import Trainer

LATENT = 100
IMAGES = 1024
TARGETS = {"fp32": 1.2, "bf16": 1.8}


# ---- the peer


def hidden_widths(size: int, width: int) -> list[int]:
    """Return the channels of the hidden layers, from the image inwards."""
    return [width * 2**step for step in range(size.bit_length() - 3)]


def tutorial_generator(size: int, width: int) -> nn.Sequential:
    """4×4 from the latent, then doubled up to `size`."""
    widths = hidden_widths(size, width)[::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, widths[0], 4, 1, 0, bias=False)]
    for inner, outer in pairwise([*widths, 3]):
        layers += [nn.BatchNorm2d(inner), nn.ReLU(True), nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh())


def tutorial_discriminator(size: int, width: int) -> nn.Sequential:
    """Halved down to 4×4, then one probability."""
    widths = hidden_widths(size, width)
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for inner, outer in pairwise(widths):
        layers += [nn.Conv2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer)]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid())


def initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def tutorial(images: Tensor, size: int, width: int, batch: int, device: torch.device) -> Iterator[None]:
    """Train as the tutorial does: one step at every `next`."""
    generator = tutorial_generator(size, width).apply(initialise).to(device)
    discriminator = tutorial_discriminator(size, width).apply(initialise).to(device)
    criterion = nn.BCELoss()
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    history: list[tuple[float, ...]] = []
    start = 0
    while True:
        real = images[start : start + batch].to(device)
        start = (start + batch) % (len(images) - batch + 1)

        discriminator.zero_grad()
        label = torch.full((batch,), 1.0, dtype=torch.float, device=device)
        output = discriminator(real).view(-1)
        loss_real = criterion(output, label)
        loss_real.backward()
        score_real = output.mean().item()
        fake = generator(torch.randn(batch, LATENT, 1, 1, device=device))
        label.fill_(0.0)
        output = discriminator(fake.detach()).view(-1)
        loss_fake = criterion(output, label)
        loss_fake.backward()
        score_before = output.mean().item()
        optimizer_d.step()

        generator.zero_grad()
        label.fill_(1.0)
        output = discriminator(fake).view(-1)
        loss_g = criterion(output, label)
        loss_g.backward()
        score_after = output.mean().item()
        optimizer_g.step()

        loss_d = (loss_real + loss_fake).item()
        history.append((loss_d, loss_g.item(), score_real, score_before, score_after))
        yield


# ---- ours


class Noise:
    """Random images, as a source to pack."""

    uri = "noise"
    dtype = np.dtype(np.uint8)
    default_features = "random-conv"
    held_out = None

    def __init__(self, size: int) -> None:
        self.shape = (size, size, 3)

    def fingerprint(self) -> str:
        return "noise"

    def __len__(self) -> int:
        return IMAGES

    def __iter__(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng(0)
        for _ in range(IMAGES):
            yield random.integers(0, 256, self.shape, dtype=np.uint8)


def make_trainer(data: DataSet, args: argparse.Namespace) -> Trainer:
    """Return what users run: the recipe `dcgan` at this batch and width."""
    settings = {"batch": args.batch, "width_g": args.width, "width_d": args.width}
    recipe = load_recipe("dcgan").with_settings(settings)
    return Trainer(recipe, data, device=args.device, precision=args.precision)


# ---- the measurement


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long `work` takes, what it left running on the device included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let both take turns; return seconds per step of every turn."""
    data = pack(Noise(args.size), folder / "noise.arrow")
    trainer = make_trainer(data, args)
    images = to_unit(torch.from_numpy(data.train.gather(np.arange(len(data.train))))).contiguous()
    peer = tutorial(images, args.size, args.width, args.batch, trainer.device)

    def run_ours() -> None:
        trainer.advance(args.steps * args.batch)

    def run_peer() -> None:
        for _ in range(args.steps):
            next(peer)

    run_ours(), run_peer()  # the first steps allocate and choose algorithms
    turns: dict[str, list[float]] = {"ours": [], "tutorial": []}
    for _ in range(args.repeats):
        turns["tutorial"].append(seconds(run_peer, trainer.device) / args.steps)
        turns["ours"].append(seconds(run_ours, trainer.device) / args.steps)
    return {"precision": trainer.precision, "turns": turns}


def summarise(args: argparse.Namespace, measured: dict[str, Any]) -> dict[str, Any]:
    device, turns, precision = choose_device(args.device), measured["turns"], measured["precision"]
    ratios = [peer / ours for peer, ours in zip(turns["tutorial"], turns["ours"], strict=True)]
    return {
        "machine": machine(device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": args.size,
        "batch": args.batch,
        "width": args.width,
        "precision": precision,
        "native_bf16": has_bf16(device),
        "steps": args.steps,
        "repeats": args.repeats,
        "seconds_per_step": {name: median(times) for name, times in turns.items()},
        "images_per_second": {name: args.batch / median(times) for name, times in turns.items()},
        "ratio": {"min": min(ratios), "median": median(ratios), "max": max(ratios)},
        "target": TARGETS[precision],
    }


def machine(device: torch.device) -> dict[str, Any]:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"cpu": cpu, "threads": torch.get_num_threads(), "gpu": gpu}


def show(result: dict[str, Any]) -> None:
    place = result["machine"]
    where = place["gpu"] or f"{place['cpu']}, {place['threads']} threads"
    print(f"{where}; torch {result['torch']}; {result['date']}")
    print(f"DCGAN {result['size']}×{result['size']}, width {result['width']}, batch {result['batch']}")
    print(f"{'':10}{'ms/step':>10}{'images/s':>10}")
    for name, duration in result["seconds_per_step"].items():
        precision = result["precision"] if name == "ours" else "fp32"
        rate = result["images_per_second"][name]
        print(f"{name:10}{duration * 1000:10.1f}{rate:10.1f}  {precision}")
    ratio = result["ratio"]
    print(
        f"ratio {ratio['median']:.2f}× (min {ratio['min']:.2f}, max {ratio['max']:.2f} of "
        f"{result['repeats']} pairs); target {result['target']:.2f}×"
    )
    if not result["native_bf16"]:
        print("this device has no native bfloat16 (AVX512-BF16, AMX or a GPU): the bf16 target needs it")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64, choices=(16, 32, 64, 128), help="pixels a side")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3, help="steps in one turn")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as PyTorch takes")
    parser.add_argument("--precision", default="fp32", choices=("auto", "fp32", "bf16"), help="of ours")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse(sys.argv[1:])
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        result = summarise(args, measure(args, Path(folder)))
    if args.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
