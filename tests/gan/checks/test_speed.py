"""How fast a machine is: that it is measured, and what follows from the figures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from gan.checks.speed import Speed, measure
from gan.data import workers
from gan.recipe.recipe import load_recipe

SETTINGS = {"width_g": 4, "width_d": 4, "batch": 8}


def test_a_training_and_its_evaluations_are_measured() -> None:
    threads = torch.get_num_threads()
    recipe = load_recipe("dcgan").with_settings(SETTINGS)
    try:
        speed = measure(recipe, (16, 16, 3), device="cpu", seconds=0.05, samples=(20, 60), threads=1)
    finally:
        torch.set_num_threads(threads)
    assert speed.rate > 0 and speed.evaluation >= 0 and speed.sample >= 0
    assert 0 < speed.seconds(1.0, 0, 100) < speed.seconds(2.0, 0, 100)


def test_what_a_training_takes() -> None:
    assert Speed(500.0, 1.0, 0.01).seconds(3.0, 4, 100) == 3000 / 500 + 4 * (1.0 + 1.0)
    assert Speed(0.0, 0.0, 0.0).seconds(1.0, 1, 1) == math.inf


def test_a_recipe_that_does_not_fit_has_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr("gan.checks.speed.Trainer", fails)
    assert measure(load_recipe("dcgan"), (16, 16, 3)) == Speed(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        (["150000 100000"], 1),
        (["400000 100000"], 4),
        (["max 100000"], 8),
        (["-1", "100000"], 8),
        (["200000", "100000"], 2),
        (["50000 100000"], 1),
        ([], 8),
    ],
)
def test_cores_are_no_more_than_the_share_of_a_container(
    files: list[str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(tmp_path / f"file{place}") for place in range(max(1, len(files)))]
    for name, content in zip(names, files, strict=False):
        Path(name).write_text(content + "\n")
    monkeypatch.setattr(workers, "_QUOTAS", (tuple(names),))
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda pid: set(range(8)))
    assert workers.usable_cores() == cores
