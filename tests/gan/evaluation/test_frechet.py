"""The distance against theory and against SciPy's general square root."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from gan.errors import InputError
from gan.evaluation import frechet
from gan.evaluation.frechet import Reference, frechet_distance
from gan.evaluation.statistics import Statistics


def gaussian(seed: int, size: int = 24, rank: int | None = None) -> Statistics:
    """Return a random mean and covariance, singular where `rank` is below `size`."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(size, rank or 4 * size))
    covariance = rows @ rows.T / rows.shape[1]
    return Statistics(torch.from_numpy(rng.normal(size=size)), torch.from_numpy(covariance), None)


def by_square_root(a: Statistics, b: Statistics) -> float:
    """The formula as published: tr (Σa Σb)^½ by a general matrix square root."""
    cross = scipy.linalg.sqrtm(a.covariance.numpy() @ b.covariance.numpy())
    shift = (a.mean - b.mean).square().sum()
    return float(shift + a.covariance.trace() + b.covariance.trace() - 2 * np.trace(cross).real)


@pytest.mark.parametrize("rank", [None, 5])
def test_a_set_against_itself_is_zero(rank: int | None) -> None:
    # Of a singular covariance, rounding of 1e-16 becomes 1e-8 under the root.
    statistics = gaussian(1, rank=rank)
    assert 0 <= frechet_distance(statistics, statistics) < (1e-12 if rank is None else 1e-6)


@pytest.mark.parametrize("rank", [None, 5])
def test_equal_covariances_leave_the_squared_distance_of_means(rank: int | None) -> None:
    a = gaussian(2, rank=rank)
    b = Statistics(a.mean + torch.arange(24), a.covariance, None)
    assert frechet_distance(a, b) == pytest.approx(sum(i * i for i in range(24)), rel=1e-8)


def test_commuting_covariances_leave_the_distance_of_standard_deviations() -> None:
    deviations = torch.arange(1.0, 5.0).double(), torch.arange(4.0, 0.0, -1).double()
    a, b = (Statistics(torch.zeros(4).double(), torch.diag(each**2), None) for each in deviations)
    assert frechet_distance(a, b) == pytest.approx(9 + 1 + 1 + 9, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_published_form_and_is_symmetric(seed: int) -> None:
    a, b = gaussian(seed), gaussian(seed + 10)
    assert frechet_distance(a, b) == pytest.approx(by_square_root(a, b), rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


@pytest.mark.parametrize("block", [1, 7, 24, 100])
@pytest.mark.parametrize("rank", [None, 5])
def test_blocks_and_the_kind_of_factor_do_not_matter(
    block: int, rank: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = gaussian(5, rank=rank), gaussian(6)
    monkeypatch.setattr(frechet, "_BLOCK", block)
    factor = Reference.of(a).factor
    torch.testing.assert_close(factor @ factor.T, a.covariance)
    assert torch.equal(factor, factor.tril())
    whole = factor.T @ b.covariance @ factor
    torch.testing.assert_close(frechet._congruent(b.covariance, factor).tril(), whole.tril())
    # With 19 eigenvalues of 0, rounding of 1e-16 shows as 1e-8 under the root.
    assert frechet_distance(a, b) == pytest.approx(by_square_root(a, b), rel=1e-9 if rank is None else 1e-6)


def test_a_constant_set_is_no_special_case() -> None:
    a = gaussian(3)
    point = Statistics(a.mean, torch.zeros_like(a.covariance), 100)
    assert frechet_distance(a, point) == pytest.approx(float(a.covariance.trace()), rel=1e-9)
    assert frechet_distance(point, a) == pytest.approx(float(a.covariance.trace()), rel=1e-9)


def test_other_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match="5 dimensions cannot be compared with 24"):
        Reference.of(gaussian(4)).distance(gaussian(4, size=5))
