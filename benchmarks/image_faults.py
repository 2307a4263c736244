"""Whether the distance ranks what it should: faults of known strength, on any data set.

    python benchmarks/image_faults.py faces --size 32
    python benchmarks/image_faults.py fashion-mnist:DIR --size 28 --json

Real images are given noise, blur, or lose modes (kinds of images, as they lie together in feature
space), each in several strengths. The distance to other real images must rise with the strength. The
peer is the set without a fault. `tests/gan/evaluation/test_random_conv.py` checks the same on faces,
with more kinds of faults.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gan.data.packed.opening import open_data
from gan.evaluation.assessment.neighbours import nearest
from gan.evaluation.evaluator import reference_rows, statistics_of
from gan.evaluation.features import FeatureExtractor, make_features
from gan.evaluation.frechet import Reference

MODES = 10
ORDERS = 8
Fault = Callable[[Tensor, float], Tensor]
BATCH = 250


def quantised(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def noisy(rows: Tensor, sigma: float) -> Tensor:
    normal = np.random.default_rng(1).normal(size=rows.shape).astype(np.float32)
    return quantised(rows + sigma * torch.from_numpy(normal))


def blurred(rows: Tensor, sigma: float) -> Tensor:
    """Convolve with a Gaussian of that many pixels."""
    if sigma == 0:
        return rows
    radius = int(3 * sigma) + 1
    line = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    images = F.pad(rows.permute(0, 3, 1, 2).float(), (radius,) * 4, mode="replicate")
    channels = images.shape[1]
    return quantised(F.conv2d(images, kernel.expand(channels, 1, -1, -1), groups=channels).permute(0, 2, 3, 1))


class DroppedModes:
    """Leaves only some of `MODES` kinds of images; as many images stay, as the distance depends on that.

    Which kinds go is drawn: a single order can end on a kind that lies nearer to the middle of all than
    the two before it did together, and so lower the distance between Gaussians.
    """

    def __init__(self, rows: Tensor, features: FeatureExtractor, seed: int) -> None:
        found = torch.cat([features(part) for part in rows.split(BATCH)])
        spread = torch.linspace(0, len(rows) - 1, MODES).long()
        order = torch.from_numpy(np.random.default_rng(seed).permutation(MODES))
        self._kind = order[nearest(found, found[spread])[1]]

    def __call__(self, rows: Tensor, dropped: float) -> Tensor:
        kept = torch.nonzero(self._kind < MODES - int(dropped)).flatten()
        return rows[kept[torch.arange(len(rows)) % len(kept)]]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    data = open_data(args.data, args.size)
    weights = None if args.inception_weights is None else Path(args.inception_weights)
    features = make_features(args.features or "random-conv", shape=data.shape, inception_weights=weights)
    chosen = reference_rows(len(data.train), 2 * args.images, 0)
    np.random.default_rng(0).shuffle(chosen)
    reference, rows = (torch.from_numpy(data.train.gather(part)) for part in np.array_split(chosen, 2))
    real = Reference.of(statistics_of(reference.split(BATCH), features))

    def distance(rows: Tensor) -> float:
        return real.distance(statistics_of(rows.split(BATCH), features))

    orders: list[Fault] = [DroppedModes(rows, features, seed) for seed in range(ORDERS)]
    faults: dict[str, tuple[list[Fault], tuple[float, ...]]] = {
        "noise (sigma, of 255)": ([noisy], (0, 4, 8, 16, 32, 64)),
        "blur (sigma, pixels)": ([blurred], (0, 0.45, 0.6, 0.9, 1.5, 3)),
        f"modes dropped (of {MODES}, mean of {ORDERS} orders)": (orders, (0, 2, 5, 8, 9)),
    }
    found = {
        name: {str(strength): fmean(distance(fault(rows, strength)) for fault in alike) for strength in strengths}
        for name, (alike, strengths) in faults.items()
    }
    return {
        "data": args.data,
        "size": data.shape[0],
        "features": features.name,
        "images": len(rows),
        "identical": real.distance(statistics_of(reference.split(BATCH), features)),
        "distances": found,
        "monotone": {name: all(a < b for a, b in pairwise(each.values())) for name, each in found.items()},
    }


def show(result: dict[str, Any]) -> None:
    print(f"{result['data']} at {result['size']}, {result['images']:,} images, {result['features']} features")
    print(f"identical sets: {result['identical']:.2e}")
    for name, distances in result["distances"].items():
        print(f"{name}: {'rises' if result['monotone'][name] else 'DOES NOT RISE'}")
        print("  " + "  ".join(f"{strength}: {value:.4g}" for strength, value in distances.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", help="a data URI, as gan-search takes it")
    parser.add_argument("--size", type=int)
    parser.add_argument("--images", type=int, default=2000, help="of a set")
    parser.add_argument("--features", help="random-conv (the default), inception or exported:PATH")
    parser.add_argument("--inception-weights")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args)
    if args.json:
        print(json.dumps(result))
    else:
        show(result)
    sys.exit(not all(result["monotone"].values()))


if __name__ == "__main__":
    main()
