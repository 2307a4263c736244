"""Trainings that are lost are ended soon; those that are healthy never are. Real runs, at reduced size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gan.data.dataset import DataSet
from gan.data.packed.opening import open_data
from gan.data.packed.packing import pack
from gan.data.sources.faces import Faces
from gan.evaluation.evaluator import Evaluator
from gan.networks import FAMILIES
from gan.networks.dcgan import DCGAN
from gan.objectives.minimax import Minimax
from gan.objectives.non_saturating import NonSaturating
from gan.objectives.wgan import WGAN
from gan.recipe.recipe import load_recipe
from gan.storage.storage import Storage
from gan.training.divergence import FailureDetector
from gan.training.report import DIVERGED_SCORE, Report
from gan.training.run import TrainingRun
from gan.training.trainer import COLUMNS, CycleStats, Trainer

SHAPE = (32, 32, 3)


class FourThousandFaces:
    uri = "faces"
    shape = SHAPE
    dtype: np.dtype[Any] = np.dtype(np.uint8)
    default_features = "random-conv"
    held_out = range(3_800, 4_000)

    def fingerprint(self) -> str:
        return "four thousand"

    def __len__(self) -> int:
        return 4_000

    def __iter__(self) -> Iterator[np.ndarray]:
        return itertools.islice(iter(Faces(32)), len(self))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return open_data(pack(FourThousandFaces(), tmp_path_factory.mktemp("faces") / "faces.arrow").uri)


@pytest.fixture(scope="module")
def evaluator(data: DataSet) -> Evaluator:
    return Evaluator.prepare(data, samples=500)


@pytest.fixture
def train(data: DataSet, evaluator: Evaluator, tmp_path: Path) -> Any:
    """Train a recipe at reduced size; return its reports."""

    def run(recipe: str, kimg: float, interval: float, seed: int = 0, **settings: Any) -> list[Report]:
        chosen = load_recipe(recipe).with_settings({"width_g": 8, "width_d": 8, **settings})
        storage = Storage(str(tmp_path / f"{recipe}-{seed}-{len(list(tmp_path.iterdir()))}"))
        training = TrainingRun(
            Trainer(chosen, data, seed=seed), evaluator, storage, total_kimg=kimg, interval_kimg=interval
        )
        return list(training.reports())

    return run


class DeafGenerator(nn.Module):
    """Learns, but draws the same image whatever the latents."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.generator(torch.zeros_like(latents))
        return images


class Deaf(DCGAN):
    def generator(self, shape: tuple[int, ...], latent_dim: int) -> nn.Module:
        return DeafGenerator(super().generator(shape, latent_dim))


LOST: dict[str, tuple[str, dict[str, Any], str]] = {
    # Settings, and what is said; each shows its sign in the first report and must end by the third.
    "a critic with a huge clip and learning rate": ("wgan", {"clip": 100.0, "lr_d": 0.05, "lr_g": 0.05}, "exploding"),
    "a discriminator 1,000 times faster": ("dcgan", {"batch": 32, "lr_g": 5e-6, "lr_d": 5e-3}, "dominated"),
    "the same under minimax": (
        "dcgan",
        {"objective": "minimax", "batch": 32, "lr_g": 5e-6, "lr_d": 5e-3},
        "dominated",
    ),
    "the same under l2": ("l2", {"batch": 32, "lr_g": 5e-6, "lr_d": 5e-3, "l2_lambda": 1e-6}, "dominated"),
    "learning rates that end in NaN": ("dcgan", {"optimizer_d": "sgd", "lr_d": 1e30}, "not finite|exploding"),
    "a generator that cannot hear its latents": ("dcgan", {"network": "deaf"}, "collapsed"),
}


@pytest.mark.parametrize("case", LOST)
def test_lost_trainings_end_within_two_reports_of_the_first_sign(
    train: Any, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAMILIES._entries, "deaf", f"{__name__}:Deaf")
    recipe, settings, reason = LOST[case]
    reports = train(recipe, 12.0, 1.5, **settings)
    assert reports[-1].diverged == 1
    assert reports[-1].reason is not None
    assert any(reports[-1].reason.startswith(word) for word in reason.split("|")), reports[-1].reason
    assert len(reports) <= 3
    assert all(report.diverged == 0 for report in reports[:-1])
    # Finite, worse than any FID; and what was good before stays known.
    assert reports[-1].score == DIVERGED_SCORE
    if len(reports) > 1:
        assert reports[-1].best_fid is not None


# The published recipes that are healthy in their authors' hands, and two that are by their papers; at 32×32.
HEALTHY: dict[str, tuple[str, dict[str, Any]]] = {
    "wang-mnist": ("wang-mnist", {"width_g": 16}),
    "wang-celeba": ("wang-celeba", {"width_g": 16}),
    "zhang-zhao-64": ("zhang-zhao-64", {"width_g": 16}),
    "zhang-zhao-64 minimax": ("zhang-zhao-64", {"width_g": 16, "objective": "minimax"}),
    "beauregard-64": ("beauregard-64", {}),
    "cheng-96-plain": ("cheng-96-plain", {"width_g": 16}),
    "cheng-96-l2": ("cheng-96-l2", {"width_g": 16}),
    "cheng-96-wgan-gp": ("cheng-96-wgan-gp", {"width_g": 16}),
    "wgan": ("wgan", {}),
}

# Those that were lost in their authors' hands may be here as well; they must end without an error.
DOUBTFUL = ("noe-thapa-128", "cheng-96-wgan")


def never_flagged(reports: list[Report], kimg: float) -> None:
    assert [report.reason for report in reports if report.diverged] == []
    assert reports[-1].kimg == kimg


@pytest.mark.parametrize("case", ["beauregard-64", "cheng-96-l2", "wgan"])
def test_healthy_trainings_are_not_flagged(train: Any, case: str) -> None:
    recipe, settings = HEALTHY[case]
    never_flagged(train(recipe, 4.0, 1.0, **settings), 4.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("case", HEALTHY)
def test_healthy_trainings_are_never_flagged_over_seeds_and_intervals(train: Any, case: str, seed: int) -> None:
    recipe, settings = HEALTHY[case]
    never_flagged(train(recipe, 20.0, 2.0, seed, **settings), 20.0)
    never_flagged(train(recipe, 4.0, 0.5, seed + 10, **settings), 4.0)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", DOUBTFUL)
def test_the_other_recipes_train_or_are_said_to_be_lost(train: Any, recipe: str) -> None:
    reports = train(recipe, 20.0, 2.0, width_g=16)
    assert reports[-1].kimg == 20.0 or reports[-1].diverged
    assert all(report.fid is not None for report in reports if not report.diverged)


# ---- the rules by themselves

SINGLE = 200.0


def stats(d_loss: float, g_loss: float, finite: bool = True) -> CycleStats:
    row = dict.fromkeys(COLUMNS, 0.0) | {"d_loss": d_loss, "g_loss": g_loss}
    return CycleStats(np.array([[row[name] for name in COLUMNS]]), 100, None, finite, 1.0, 1.0)


def test_a_weight_that_is_not_finite_ends_at_once() -> None:
    assert str(FailureDetector(NonSaturating(), SHAPE, SINGLE).check_losses(stats(1.0, 1.0, finite=False))).startswith(
        "not finite"
    )


@pytest.mark.parametrize(("d_loss", "lost"), [(-1.1e3, False), (-1.2e3, True), (3e6, True)])
def test_a_critic_explodes_beyond_ten_diameters_of_the_image_space(d_loss: float, lost: bool) -> None:
    assert 10 * 2 * math.sqrt(32 * 32 * 3) == pytest.approx(1108.5, abs=0.1)
    assert (FailureDetector(WGAN(), SHAPE, SINGLE).check_losses(stats(d_loss, 0.0)) is not None) == lost


@pytest.mark.parametrize(("objective", "g_loss"), [(NonSaturating(), 9.0), (Minimax(), -1e-4)])
def test_a_winning_discriminator_is_no_loss_while_fid_falls_or_has_fallen(objective: Any, g_loss: float) -> None:
    learning, stuck, learnt = (FailureDetector(objective, SHAPE, SINGLE) for _ in range(3))
    said = []
    for report in range(4):
        for detector in (learning, stuck, learnt):
            assert all(detector.check_losses(stats(1e-3, g_loss)) is None for _ in range(4))
        assert learning.check_samples(1.0, 300.0 * 0.9**report, 0.5) is None
        assert learnt.check_samples(1.0, 190.0 if report == 0 else 250.0, 0.5) is None
        said.append(stuck.check_samples(1.0, 300.0, 0.5))
    # The second report is the first without progress.
    assert said[0] is None
    assert str(said[1]).startswith("dominated")


def test_a_short_lead_of_the_discriminator_is_no_loss() -> None:
    detector = FailureDetector(NonSaturating(), SHAPE, SINGLE)
    for _ in range(10):
        for d_loss in (1e-3, 1e-3, 1e-3, 0.3):
            assert detector.check_losses(stats(d_loss, 9.0)) is None
        assert detector.check_samples(1.0, 300.0, 0.5) is None


@pytest.mark.parametrize(("interval", "lost_at"), [(0.1, 4.0), (0.5, 4.0), (4.0, 8.0)])
def test_collapse_must_persist_and_spread_must_not_grow(interval: float, lost_at: float) -> None:
    growing, stuck = FailureDetector(NonSaturating(), SHAPE, SINGLE), FailureDetector(NonSaturating(), SHAPE, SINGLE)
    said = []
    for report in range(1, 60):
        kimg = report * interval
        assert growing.check_samples(kimg, 400.0, 0.004 * 1.5 ** min(kimg, 19)) is None
        said.append((kimg, stuck.check_samples(kimg, 400.0, 0.004)))
    first = next(kimg for kimg, reason in said if reason)
    assert first == pytest.approx(lost_at)


def test_what_a_monitor_has_seen_survives_a_restart() -> None:
    first = FailureDetector(NonSaturating(), SHAPE, SINGLE)
    first.check_samples(3.0, 400.0, 0.004)
    second = FailureDetector(NonSaturating(), SHAPE, SINGLE)
    second.load_state_dict(first.state_dict())
    assert str(second.check_samples(4.0, 400.0, 0.004)).startswith("collapsed")
