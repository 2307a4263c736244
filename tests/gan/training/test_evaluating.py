"""A training with evaluations in it is, to the bit, the training without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_fixtures import one_thread, pictures, scratch, small_trainer, state_digest

from gan.evaluation.evaluator import Evaluator
from gan.tensors.latents import fixed_latents
from gan.training.trainer import Trainer

__all__ = ["one_thread"]

LENGTHS = (96, 64, 128)


def trained(evaluator: Evaluator | None, ema_kimg: float) -> tuple[Trainer, list[float | None]]:
    """Train in stretches, judging the samples after each if there is a judge."""
    trainer = small_trainer(ema_kimg=ema_kimg, dropout=0.3, flip=True)
    latents = fixed_latents("gaussian", 100, 8, 0)
    fids: list[float | None] = []
    for images in LENGTHS:
        trainer.advance(images)
        if evaluator is not None:
            found = evaluator.evaluate(lambda start, count: trainer.sample(latents[start : start + count]), batch=30)
            fids.append(found.fid)
    return trainer, fids


@pytest.mark.parametrize("ema_kimg", [0.0, 1.0])
def test_evaluating_leaves_no_trace(ema_kimg: float) -> None:
    evaluator = Evaluator.prepare(pictures(), samples=100, cache_dir=scratch() / "cache")
    stream = torch.get_rng_state()
    with_it, fids = trained(evaluator, ema_kimg)
    without, _ = trained(None, ema_kimg)
    assert len({*fids}) == len(LENGTHS), "the samples did not change, so nothing was trained"
    assert state_digest(with_it) == state_digest(without)
    assert torch.equal(torch.get_rng_state(), stream)
    for network in (with_it.generator, with_it.discriminator):
        assert network.training
    with_it.advance(64), without.advance(64)
    assert state_digest(with_it) == state_digest(without)


def test_nor_does_making_the_judge_under_way(tmp_path: Path) -> None:
    trainer, other = small_trainer(dropout=0.3), small_trainer(dropout=0.3)
    for each in (trainer, other):
        each.advance(96)
        if each is trainer:
            Evaluator.prepare(pictures(), samples=50, seed=3, cache_dir=tmp_path)
        each.advance(96)
    assert state_digest(trainer) == state_digest(other)
