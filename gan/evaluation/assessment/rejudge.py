"""Judging an exported generator on further draws of latents.

A training takes its best moment by one fixed draw of latents, the lowest of many distances: on other draws the
same generator does a little worse, and differently from draw to draw.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gan.bundle.bundle import Bundle, load_bundle
from gan.evaluation.evaluator import Evaluation, Evaluator


def fresh_seed(evaluator: Evaluator) -> int:
    """Return the seed of the first draw of latents by which no training that this evaluator judges chose anything."""
    return evaluator.identity.latent_seed + 1


def judge(
    bundle: Bundle,
    evaluator: Evaluator,
    seed: int,
    *,
    keep: list[Tensor] | None = None,
    count: Callable[[int], None] = lambda images: None,
) -> Evaluation:
    """Score the samples of the draw of latents that belongs to `seed`.

    Args:
        keep: their features are appended to it.
        count: told of images as they are made.
    """
    latents = bundle.latents(evaluator.samples, seed)

    def sample(start: int, number: int) -> Tensor:
        count(number)
        return torch.from_numpy(bundle.generate(latents[start : start + number]))

    return evaluator.evaluate(sample, keep=keep)


def rejudge_bundle(uri: str, evaluator: Evaluator, seeds: list[int], device: str, threads: int) -> list[float | None]:
    """Return the FID of a bundle on the draws of several seeds; None where its samples are not finite.

    Args:
        uri: the bundle's folder.
        evaluator: what judges it; moved to the device.
        device: as `load_bundle` takes it.
        threads: that PyTorch may use on the CPU.

    Raises:
        InputError: the bundle cannot be loaded.
    """
    torch.set_num_threads(threads)
    bundle = load_bundle(uri, device)
    evaluator.to(bundle.device)
    return [judge(bundle, evaluator, seed).fid for seed in seeds]
