"""Judging an exported generator on fresh draws of latents.

A training chooses its best moment as the lowest of many distances, all on one fixed draw of latents. On other draws
the same generator scores a little worse, and its score varies.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gan.bundle.bundle import Bundle, load_bundle
from gan.evaluation.evaluator import Evaluation, Evaluator


def fresh_seed(evaluator: Evaluator) -> int:
    """Return the seed of the first draw of latents that no training with this evaluator has used to choose."""
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
        keep: if given, the features of the samples are appended to it.
        count: called with the number of images of each batch.
    """
    latents = bundle.latents(evaluator.samples, seed)

    def sample(start: int, number: int) -> Tensor:
        count(number)
        return torch.from_numpy(bundle.generate(latents[start : start + number]))

    return evaluator.evaluate(sample, keep=keep)


def rejudge_bundle(uri: str, evaluator: Evaluator, seeds: list[int], device: str, threads: int) -> list[float | None]:
    """Return the FID of a bundle on the draws of several seeds; None if its samples are not finite.

    Args:
        uri: the bundle's folder.
        evaluator: the evaluator; it is moved to the device.
        device: a device name; see `load_bundle`.
        threads: number of CPU threads for PyTorch.

    Raises:
        InputError: the bundle cannot be loaded.
    """
    torch.set_num_threads(threads)
    bundle = load_bundle(uri, device)
    evaluator.to(bundle.device)
    return [judge(bundle, evaluator, seed).fid for seed in seeds]
