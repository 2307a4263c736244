"""A training with everything round it: reports, the best bundle, divergence, resuming."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from training_fixtures import one_thread, small_evaluator, small_trainer

from gan.bundle.bundle import load_bundle
from gan.errors import InputError
from gan.evaluation.evaluator import Evaluation
from gan.storage.storage import Storage
from gan.tensors.latents import fixed_latents
from gan.training.checkpoints import Superseded
from gan.training.report import DIVERGED_SCORE, Report
from gan.training.run import TrainingRun

__all__ = ["one_thread"]

CLOCKS = ("images_per_second", "eval_seconds", "checkpoint_seconds", "train_seconds", "seconds")
TOTAL, INTERVAL = 1.0, 0.25


def make_run(folder: Path, *, total: float = TOTAL, interval: float = INTERVAL, **settings: Any) -> TrainingRun:
    trainer = small_trainer(**{"lr_g": 2e-3, "lr_d": 1e-3, "dropout": 0.1, "ema_kimg": 0.1} | settings)
    return TrainingRun(
        trainer,
        small_evaluator(),
        Storage(folder),
        total_kimg=total,
        interval_kimg=interval,
        provenance={"command": "gan-search train --recipe small"},
    )


def timeless(reports: list[Report]) -> list[dict[str, Any]]:
    """Reports without what depends on the clock."""
    return [{name: value for name, value in r.metrics().items() if name not in CLOCKS} for r in reports]


def scripted(run: TrainingRun, fids: list[float | None]) -> TrainingRun:
    """Let evaluations come out as told."""
    script = iter(fids)

    class Scripted:
        identity, samples = run.evaluator.identity, run.evaluator.samples

        def evaluate(self, sample: Any) -> Evaluation:
            fid = next(script)
            return Evaluation(fid, None if fid is None else 1.0, 0.0)

    run.evaluator = Scripted()  # type: ignore[assignment]
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Report], TrainingRun]:
    """An uninterrupted run: its folder, its reports, itself."""
    folder = tmp_path_factory.mktemp("whole")
    run = make_run(folder)
    return folder, list(run.reports()), run


def test_reports_come_at_every_multiple_and_at_the_end(whole: tuple[Path, list[Report], TrainingRun]) -> None:
    _, reports, run = whole
    assert [report.kimg for report in reports] == [0.25, 0.5, 0.75, 1.0]
    assert run.trainer.images == 1024  # whole batches: the first multiple of 32 from 1,000 on
    for report in reports:
        assert report.fid is not None and report.fid > 0 and report.diverged == 0
        assert report.score == report.best_fid
        assert report.eval_seconds > 0 and report.train_seconds > 0
        assert 1 <= len(report.curve) <= 8
    best = list(itertools.accumulate((r.fid for r in reports), min))  # type: ignore[type-var]
    assert [report.best_fid for report in reports] == best
    seconds = [report.seconds for report in reports]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_every_report_has_the_same_fields(whole: tuple[Path, list[Report], TrainingRun]) -> None:
    wanted = {"kimg", "fid", "best_fid", "score", "g_loss", "d_loss", "penalty", "diverged"}
    wanted |= {"images_per_second", "eval_seconds"}
    for report in whole[1]:
        assert wanted <= set(report.metrics()) == {f.name for f in dataclasses.fields(Report)}
        json.dumps(report.metrics(), allow_nan=False)


def test_an_interval_that_does_not_divide_the_total_ends_at_the_total(tmp_path: Path) -> None:
    run = scripted(make_run(tmp_path, total=0.5, interval=0.2), [9.0, 8.0, 7.0])
    assert [report.kimg for report in run.reports()] == [0.2, 0.4, 0.5]


@pytest.mark.parametrize("total", [0.1, 0.2, 0.5])
def test_a_twelfth_of_any_length_ends(total: float, tmp_path: Path) -> None:
    """The default interval: 200/12 kimg is no whole number of images."""
    run = make_run(tmp_path, total=total, interval=total / 12)
    kimgs = [report.kimg for report in itertools.islice(run.reports(), 20)]
    assert kimgs[-1] == total
    assert len(kimgs) == len(set(kimgs)) <= 13


def test_an_interval_shorter_than_a_cycle_reports_all_the_same(tmp_path: Path) -> None:
    run = scripted(make_run(tmp_path, total=0.05, interval=0.01), [9.0, 8.0, 7.0, 6.0, 5.0])
    reports = list(run.reports())
    assert [report.kimg for report in reports] == [0.01, 0.02, 0.03, 0.04, 0.05]
    assert reports[1].g_loss is None and reports[0].g_loss is not None


def test_the_fid_is_of_the_samples_at_that_moment(whole: tuple[Path, list[Report], TrainingRun]) -> None:
    _, reports, run = whole
    latents = fixed_latents("gaussian", 100, 8, run.evaluator.identity.latent_seed)
    pixels = run.trainer.sample(latents)
    found = run.evaluator.evaluate(lambda start, count: pixels[start : start + count])
    assert found.fid == pytest.approx(reports[-1].fid)
    assert found.pixel_spread == pytest.approx(reports[-1].spread)


# ---- what is on storage


def test_the_folder_holds_one_bundle_two_checkpoints_and_a_grid_of_each_report(
    whole: tuple[Path, list[Report], TrainingRun],
) -> None:
    folder, reports, run = whole
    best_kimg = reports[-1].best_kimg
    assert best_kimg is not None
    assert [path.name for path in folder.glob("best-*")] == [f"best-{round(best_kimg * 1000):09d}"]
    assert len(list((folder / "checkpoints").glob("*.pt"))) == 2
    grids = sorted((folder / "samples").iterdir())
    assert [path.stem for path in grids] == [f"{n:09d}" for n in (250, 500, 750, 1000)]
    with Image.open(grids[0]) as image:
        assert image.size == (8 * 18 + 2, 8 * 18 + 2)
    assert run.bundle == str(folder / f"best-{round(best_kimg * 1000):09d}")


def test_the_bundle_is_the_generator_whose_fid_it_names(whole: tuple[Path, list[Report], TrainingRun]) -> None:
    _, reports, run = whole
    bundle = load_bundle(str(run.bundle))
    assert (bundle.config["fid"], bundle.config["kimg"]) == (reports[-1].best_fid, reports[-1].best_kimg)
    pixels = torch.from_numpy(bundle.sample(100, bundle.config["evaluation"]["latent_seed"]))
    found = run.evaluator.evaluate(lambda start, count: pixels[start : start + count])
    assert found.fid == pytest.approx(reports[-1].best_fid, rel=1e-6)


def test_only_a_better_generator_replaces_the_best(tmp_path: Path) -> None:
    run = scripted(make_run(tmp_path), [50.0, 20.0, 30.0, 20.0])
    names, best = [], []
    for report in run.reports():
        names.append([path.name for path in tmp_path.glob("best-*")])
        best.append((report.best_fid, report.best_kimg, report.score))
        assert json.loads(next(tmp_path.glob("best-*/config.json")).read_text())["fid"] == report.best_fid
    assert best == [(50.0, 0.25, 50.0), (20.0, 0.5, 20.0), (20.0, 0.5, 20.0), (20.0, 0.5, 20.0)]
    assert names == [["best-000000250"], ["best-000000500"], ["best-000000500"], ["best-000000500"]]


# ---- resuming


def assert_resumes_like(whole: tuple[Path, list[Report], TrainingRun], run: TrainingRun, done: int) -> None:
    _, reports, uninterrupted = whole
    assert run.resume() == reports[done - 1].kimg
    # The report of the checkpoint is told once more, in case nobody had heard it.
    assert timeless(list(run.reports())) == timeless(reports[done - 1 :])
    for name, weight in uninterrupted.trainer.generator.state_dict().items():
        assert torch.equal(run.trainer.generator.state_dict()[name], weight)
    assert run.best is not None and uninterrupted.best is not None
    assert (run.best.fid, run.best.kimg) == (uninterrupted.best.fid, uninterrupted.best.kimg)
    images, wanted = (load_bundle(str(one.bundle)).sample(4) for one in (run, uninterrupted))
    assert np.array_equal(images, wanted)


def interrupted(folder: Path, after: int) -> None:
    """Leave a run in the middle of an interval, as a killed process does."""
    run = make_run(folder)
    for _ in itertools.islice(run.reports(), after):
        pass
    run.trainer.advance(100)


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_run_reports_what_an_uninterrupted_one_does(
    after: int, whole: tuple[Path, list[Report], TrainingRun], tmp_path: Path
) -> None:
    interrupted(tmp_path, after)
    run = make_run(tmp_path)
    assert_resumes_like(whole, run, after)
    assert [p.name for p in tmp_path.glob("best-*")] == [p.name for p in whole[0].glob("best-*")]


def test_a_damaged_checkpoint_costs_one_interval(whole: tuple[Path, list[Report], TrainingRun], tmp_path: Path) -> None:
    interrupted(tmp_path, 3)
    last = max((tmp_path / "checkpoints").glob("*.pt"))
    last.write_bytes(last.read_bytes()[:1000])
    assert_resumes_like(whole, make_run(tmp_path), 2)


def test_a_lost_bundle_is_written_anew_from_the_checkpoint(tmp_path: Path) -> None:
    interrupted(tmp_path, 2)
    (before,) = tmp_path.glob("best-*")
    images = load_bundle(str(before)).sample(4)
    shutil.rmtree(before)
    run = make_run(tmp_path)
    run.resume()
    assert np.array_equal(load_bundle(str(before)).sample(4), images)


def test_nothing_to_resume(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert run.resume() is None
    assert run.trainer.images == 0 and list(tmp_path.iterdir()) == []


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_was_taken_over_writes_nothing_more(
    whole: tuple[Path, list[Report], TrainingRun], tmp_path: Path
) -> None:
    """As when a node is cut off, and trains on while its trial has moved to another one."""
    stale = make_run(tmp_path).reports()
    next(stale)
    replacement = make_run(tmp_path)
    assert replacement.resume() == INTERVAL
    reports = list(replacement.reports())
    before = content(tmp_path)
    with pytest.raises(Superseded, match="another process trains this now"):
        next(stale)
    assert content(tmp_path) == before
    assert timeless(reports) == timeless(whole[1])


def test_nor_after_all_of_it_was_cleared_away(tmp_path: Path) -> None:
    stale = make_run(tmp_path).reports()
    next(stale)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(Superseded):
        next(stale)
    assert not (tmp_path / "checkpoints").exists()


def test_a_finished_run_may_be_extended(whole: tuple[Path, list[Report], TrainingRun], tmp_path: Path) -> None:
    longer = make_run(tmp_path, total=0.5)
    assert len(list(longer.reports())) == 2
    again = make_run(tmp_path, total=0.5)
    again.resume()
    assert [report.kimg for report in again.reports()] == [0.5]
    longest = make_run(tmp_path)
    longest.resume()
    assert timeless(list(longest.reports())) == timeless(whole[1][1:])


def test_a_longer_run_elsewhere_begins_with_the_last_checkpoint_of_a_shorter_one(
    whole: tuple[Path, list[Report], TrainingRun], tmp_path: Path
) -> None:
    shorter, longer = tmp_path / "shorter", tmp_path / "longer"
    list(make_run(shorter, total=0.5).reports())
    before = content(shorter)
    run = make_run(longer)
    assert run.resume(Storage(shorter)) == 0.5
    assert timeless(list(run.reports())) == timeless(whole[1][1:])
    assert content(shorter) == before
    # From then on its own checkpoints count.
    again = make_run(longer)
    assert again.resume(Storage(shorter)) == 1.0


def test_a_checkpoint_to_begin_with_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its checkpoint is gone"):
        make_run(tmp_path / "longer").resume(Storage(tmp_path / "shorter"))


# ---- divergence


def test_a_diverged_run_reports_once_more_and_stops(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    reports = run.reports()
    first = next(reports)
    with torch.no_grad():
        next(run.trainer.generator.parameters()).fill_(float("nan"))
    last = next(reports)
    assert list(reports) == []
    assert (last.diverged, last.score, last.fid) == (1, DIVERGED_SCORE, None)
    assert last.reason is not None and "not finite" in last.reason
    assert (last.best_fid, last.best_kimg) == (first.fid, 0.25)  # the best survives
    assert last.g_loss is None
    json.dumps(last.metrics(), allow_nan=False)
    assert np.isfinite(load_bundle(str(run.bundle)).sample(4)).all()
    # What it had come to can be seen, though it was not worth judging.
    grids = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert grids == ["000000250.png", f"{round(last.kimg * 1000):09d}.png"]

    again = make_run(tmp_path)
    assert again.resume() == last.kimg
    assert [(report.kimg, report.reason) for report in again.reports()] == [(last.kimg, last.reason)]


def test_a_run_that_explodes_is_lost_before_its_interval_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path, objective="wgan", clip=1e6, lr_d=100.0, lr_g=100.0, n_critic=1)
    reports = list(run.reports())
    assert [report.diverged for report in reports] == [1]
    assert reports[0].kimg < INTERVAL
    assert reports[0].reason is not None
    assert reports[0].best_fid is None and reports[0].score == DIVERGED_SCORE


def test_samples_that_are_no_images_end_a_run(tmp_path: Path) -> None:
    reports = list(scripted(make_run(tmp_path), [40.0, None]).reports())
    assert [(report.diverged, report.best_fid) for report in reports] == [(0, 40.0), (1, 40.0)]
    assert reports[-1].score == DIVERGED_SCORE


def test_a_generator_stuck_on_one_image_is_found(tmp_path: Path) -> None:
    class Stuck(nn.Module):
        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(latents), 3, 16, 16)

    run = make_run(tmp_path, ema_kimg=0.0, total=6.0, interval=0.5)
    sample = run.trainer.sample
    stuck = Stuck()

    def sample_stuck(latents: torch.Tensor) -> torch.Tensor:
        kept, run.trainer.generator = run.trainer.generator, stuck
        try:
            return sample(latents)
        finally:
            run.trainer.generator = kept

    run.trainer.sample = sample_stuck  # type: ignore[method-assign]
    reports = list(run.reports())
    # Judged by kimg, not by reports: one kimg after a generator is no longer young.
    assert reports[-1].diverged == 1 and reports[-1].kimg == 4.0
    assert reports[-1].reason is not None and "collapsed" in reports[-1].reason
