"""Streaming statistics against NumPy, and the files they are kept in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gan.errors import InputError, NotFinite
from gan.evaluation.statistics import Accumulator, Statistics, load_statistics, save_statistics


def accumulated(rows: torch.Tensor, batch: int) -> Statistics:
    accumulator = Accumulator()
    for part in rows.split(batch):
        accumulator.add(part)
    return accumulator.finish()


@pytest.fixture
def rows() -> torch.Tensor:
    # A mean of a million standard deviations: without a shift, float64 keeps four digits of the covariance.
    return torch.from_numpy(np.random.default_rng(0).normal(1e6, 1.0, (1003, 12)))


@pytest.mark.parametrize("batch", [1, 7, 250, 1003])
def test_equals_numpy_however_the_rows_are_cut(rows: torch.Tensor, batch: int) -> None:
    statistics = accumulated(rows, batch)
    np.testing.assert_allclose(statistics.mean, rows.numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(statistics.covariance, np.cov(rows.numpy(), rowvar=False), atol=1e-9)
    assert statistics.count == 1003


def test_one_row_has_no_covariance() -> None:
    with pytest.raises(InputError, match="at least 2 samples, got 1"):
        accumulated(torch.zeros(1, 3), 1)
    with pytest.raises(InputError, match="got 0"):
        Accumulator().finish()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 3, 9])
def test_what_is_not_finite_is_refused_wherever_it_is(value: float, place: int) -> None:
    rows = torch.zeros(10, 2)
    rows[place, 1] = value
    with pytest.raises(NotFinite):
        accumulated(rows, 4)


def test_dimensions_must_agree() -> None:
    accumulator = Accumulator()
    accumulator.add(torch.zeros(2, 3))
    with pytest.raises(InputError, match="4 dimensions follow features of 3"):
        accumulator.add(torch.zeros(2, 4))


def test_file_comes_back_the_same_and_reads_as_pytorch_fid_reads(tmp_path: Path, rows: torch.Tensor) -> None:
    statistics, path = accumulated(rows, 100), tmp_path / "set.npz"
    save_statistics(path, statistics)
    back = load_statistics(path)[0]
    assert torch.equal(back.mean, statistics.mean) and torch.equal(back.covariance, statistics.covariance)
    assert back.count == 1003
    with np.load(path) as archive:
        assert archive["mu"].shape == (12,) and archive["sigma"].shape == (12, 12)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.npz"]


def test_a_file_of_pytorch_fid_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "theirs.npz", mu=np.zeros(3, np.float32), sigma=np.eye(3, dtype=np.float32))
    statistics = load_statistics(tmp_path / "theirs.npz")[0]
    assert statistics.count is None and statistics.mean.dtype == torch.float64


class Payload:
    """Pickled code: unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickled_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    payload = np.array([Payload(tmp_path / "ran")], dtype=object)
    np.savez(tmp_path / "evil.npz", mu=payload, sigma=payload)
    with pytest.raises(InputError, match=r"evil\.npz"):
        load_statistics(tmp_path / "evil.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"mu": np.zeros(3)},
        {"mu": np.zeros(3), "sigma": np.eye(4)},
        {"mu": np.zeros(()), "sigma": np.zeros(())},
        {"mu": np.zeros(2), "sigma": np.full((2, 2), np.nan)},
        {"mu": np.array(["a", "b"]), "sigma": np.eye(2)},
        {"mu": np.zeros(2), "sigma": np.eye(2), "count": np.array([1, 2])},
    ],
    ids=["no sigma", "other size", "scalars", "nan", "text", "counts"],
)
def test_other_archives_are_refused_by_name(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(InputError, match=r"odd\.npz"):
        load_statistics(tmp_path / "odd.npz")


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_truncated_and_missing_files_are_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.npz"
    save_statistics(path, Statistics(torch.zeros(20).double(), torch.eye(20).double(), 9))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"cut\.npz"):
        load_statistics(path)
    path.unlink()
    with pytest.raises(InputError, match=r"cut\.npz"):
        load_statistics(path)
