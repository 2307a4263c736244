"""Evaluations of whole generators, stood in for by functions that look rows up."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gan.data.dataset import DataSet, Rows
from gan.errors import InputError
from gan.evaluation import evaluator as evaluator_module
from gan.evaluation.evaluator import Evaluator, Sampler, reference_rows, statistics_of
from gan.evaluation.features import make_features
from gan.evaluation.statistics import Statistics

SHAPE = (16, 16, 3)


def dataset(rows: np.ndarray, uri: str = "stand-in") -> DataSet:
    # Two chunks, and a training part that is not simply the first rows.
    chunks, middle = [rows[:100], rows[100:]], len(rows) - len(rows) // 10
    train, held_out = (Rows(chunks, part) for part in (np.arange(middle), np.arange(middle, len(rows))))
    return DataSet(uri, rows.shape[1:], rows.dtype, "hash", "random-conv", train, held_out)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    flat = rng.integers(40, 216, (600, 1, 1, 3))
    return (flat + rng.integers(-40, 40, (600, *SHAPE))).astype(np.uint8)


@pytest.fixture(scope="module")
def evaluator(rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    return Evaluator.prepare(dataset(rows), samples=300, cache_dir=tmp_path_factory.mktemp("cache"))


def lookup(rows: np.ndarray) -> Sampler:
    def sample(start: int, count: int) -> Tensor:
        return torch.from_numpy(rows[np.arange(start, start + count) % len(rows)])

    return sample


def test_the_reference_itself_scores_zero(evaluator: Evaluator, rows: np.ndarray) -> None:
    chosen = rows[reference_rows(540, 300, seed=0)]
    result = evaluator.evaluate(lookup(chosen))
    assert result.fid == pytest.approx(0, abs=1e-3)
    assert result.pixel_spread == pytest.approx(1, rel=1e-12)


def test_a_single_image_is_as_far_as_the_evaluator_says(evaluator: Evaluator) -> None:
    """One with the mean features of the real ones: no other could be nearer."""
    mean = evaluator.reference.mean
    point = Statistics(mean, torch.zeros(len(mean), len(mean), dtype=mean.dtype), 300)
    assert evaluator.reference.distance(point) == pytest.approx(evaluator.single_image_fid, rel=1e-9)
    elsewhere = Statistics(mean + 0.1, point.covariance, 300)
    assert evaluator.reference.distance(elsewhere) > evaluator.single_image_fid > 0


def test_batches_do_not_matter_and_come_in_order(evaluator: Evaluator, rows: np.ndarray) -> None:
    asked: list[tuple[int, int]] = []

    def sample(start: int, count: int) -> Tensor:
        asked.append((start, count))
        return lookup(rows[::-1].copy())(start, count)

    results = [evaluator.evaluate(sample, batch=batch) for batch in (300, 128, 50)]
    assert asked[:4] == [(0, 300), (0, 128), (128, 128), (256, 44)]
    for result in results[1:]:
        assert result.fid == pytest.approx(results[0].fid, rel=1e-4)
        assert result.pixel_spread == pytest.approx(results[0].pixel_spread, rel=1e-12)


def test_one_image_is_exposed(evaluator: Evaluator, rows: np.ndarray) -> None:
    good, stuck = evaluator.evaluate(lookup(rows[300:])), evaluator.evaluate(lookup(rows[:1]))
    assert stuck.pixel_spread == 0
    assert good.fid is not None and stuck.fid is not None and stuck.fid > 3 * good.fid
    assert good.pixel_spread == pytest.approx(1, abs=0.1)


def test_spread_is_the_mean_of_the_pixels_standard_deviations(evaluator: Evaluator, rows: np.ndarray) -> None:
    chosen, samples = rows[reference_rows(540, 300, seed=0)], rows[:300] // 3
    expected = samples.std(0, ddof=1).mean() / chosen.std(0, ddof=1).mean()
    assert evaluator.evaluate(lookup(samples)).pixel_spread == pytest.approx(expected, rel=1e-9)


def test_travels_by_pickle(evaluator: Evaluator, rows: np.ndarray) -> None:
    arrived = pickle.loads(pickle.dumps(evaluator)).to("cpu")
    assert arrived.identity == evaluator.identity and arrived.samples == 300
    first, second = (each.evaluate(lookup(rows)) for each in (evaluator, arrived))
    assert (first.fid, first.pixel_spread) == (second.fid, second.pixel_spread)


def test_training_state_is_untouched(evaluator: Evaluator, rows: np.ndarray) -> None:
    stream, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    evaluator.evaluate(lookup(rows))
    assert torch.equal(torch.get_rng_state(), stream)
    assert (np.random.get_state()[1] == numpys).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_score_nothing(tmp_path: Path, value: float) -> None:
    curves = np.random.default_rng(0).uniform(-1, 1, (400, 15)).astype(np.float32)
    evaluator = Evaluator.prepare(dataset(curves), samples=100, cache_dir=tmp_path)
    assert evaluator.evaluate(lookup(curves)).fid is not None
    broken = curves.copy()
    broken[50, 3] = value
    assert evaluator.evaluate(lookup(broken)).fid is None


def test_identity_says_what_was_compared(evaluator: Evaluator, rows: np.ndarray, tmp_path: Path) -> None:
    identity = evaluator.identity
    assert (identity.samples, identity.reference_samples, identity.size) == (300, 300, 16)
    assert (identity.data, identity.data_hash, identity.features) == ("stand-in", "hash", "random-conv")
    short = Evaluator.prepare(dataset(rows), samples=5000, seed=3, cache_dir=tmp_path).identity
    assert (short.samples, short.reference_samples) == (5000, 540)
    assert (short.reference_seed, short.latent_seed) == (3, 3)


def ask(rows: np.ndarray, folder: Path, barrier: object, patch: pytest.MonkeyPatch) -> None:
    measure = evaluator_module._measure

    def watched(*arguments: Any) -> Any:
        (folder / f"measured-by-{os.getpid()}").touch()
        time.sleep(0.2)  # leave the others time to come in
        return measure(*arguments)

    patch.setattr(evaluator_module, "_measure", watched)
    barrier.wait()  # type: ignore[attr-defined]
    prepared = Evaluator.prepare(dataset(rows), samples=200, cache_dir=folder / "cache")
    (folder / f"{prepared.reference.trace!r}.got-{os.getpid()}").touch()


def test_eight_processes_that_ask_at_once_measure_the_reference_once(rows: np.ndarray, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, patch = context.Barrier(8), pytest.MonkeyPatch()
    processes = [context.Process(target=ask, args=(rows, tmp_path, barrier, patch)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert len(list(tmp_path.glob("measured-by-*"))) == 1
    got = [path.name.partition(".got-")[0] for path in tmp_path.glob("*.got-*")]
    assert len(got) == 8 and len(set(got)) == 1


def test_features_are_kept_where_they_are_wanted(evaluator: Evaluator, rows: np.ndarray) -> None:
    kept: list[Tensor] = []
    evaluator.evaluate(lookup(rows), batch=128, keep=kept)
    assert [len(part) for part in kept] == [128, 128, 44]
    torch.testing.assert_close(torch.cat(kept), evaluator.features(torch.from_numpy(rows[:300])))


def test_too_few_samples_for_so_many_features_are_spoken_of(rows: np.ndarray, tmp_path: Path) -> None:
    few, enough = (Evaluator.prepare(dataset(rows), samples=n, cache_dir=tmp_path) for n in (416, 417))
    assert "416 samples for 416 features" in str(few.caveat())
    assert enough.caveat() is None


def test_the_cached_reference_is_used_and_gives_the_same(rows: np.ndarray, tmp_path: Path) -> None:
    fresh = Evaluator.prepare(dataset(rows), samples=200, cache_dir=tmp_path)
    # Other rows under the same content hash can only score as the first if they were not looked at.
    again = Evaluator.prepare(dataset(255 - rows, "renamed"), samples=200, cache_dir=tmp_path)
    assert again.evaluate(lookup(rows)).fid == fresh.evaluate(lookup(rows)).fid
    other = Evaluator.prepare(dataset(255 - rows), samples=200, seed=1, cache_dir=tmp_path)
    assert other.evaluate(lookup(rows)).fid != fresh.evaluate(lookup(rows)).fid
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_reference_rows_are_fixed_by_seed() -> None:
    chosen = reference_rows(1000, 10, seed=0)
    assert len(set(chosen.tolist())) == 10 and (np.diff(chosen) > 0).all() and chosen.max() < 1000
    assert (chosen == reference_rows(1000, 10, seed=0)).all()
    assert (chosen != reference_rows(1000, 10, seed=1)).any()
    assert (reference_rows(5, 10, seed=0) == np.arange(5)).all()


def test_statistics_of_a_part_and_of_batches_agree(rows: np.ndarray) -> None:
    extractor, data = make_features("random-conv", shape=SHAPE), dataset(rows)
    first = statistics_of(data.train, extractor)
    second = statistics_of((rows[start : start + 90] for start in range(0, 540, 90)), extractor)
    assert first.count == second.count == 540
    torch.testing.assert_close(first.covariance, second.covariance, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("samples", "real"), [(1, 600), (300, 2)])
def test_too_few_are_refused_before_anything_is_written(
    rows: np.ndarray, tmp_path: Path, samples: int, real: int
) -> None:
    train = Rows([rows], np.arange(1 if real == 2 else real))
    data = DataSet("few", SHAPE, rows.dtype, "hash", "random-conv", train, train)
    with pytest.raises(InputError, match="2 samples and 2 real images"):
        Evaluator.prepare(data, samples=samples, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_misspelt_extractor_is_named(rows: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'random-conv'"):
        Evaluator.prepare(dataset(rows), features="random_conv", cache_dir=tmp_path)
