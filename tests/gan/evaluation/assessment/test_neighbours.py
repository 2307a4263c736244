"""Nearest neighbours against the whole table of distances."""

from __future__ import annotations

import pytest
import torch

from gan.evaluation.assessment import neighbours
from gan.evaluation.assessment.neighbours import nearest, radii


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_ROWS", 7)


def rows(count: int, seed: int) -> torch.Tensor:
    # Far from the origin, where differences of squares lose their digits.
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)) + 1000


def table(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first[:, None].double() - second[None].double()).norm(dim=2)


def test_nearest() -> None:
    queries, pool = rows(20, 0), rows(30, 1)
    distances, index = nearest(queries, pool)
    expected = table(queries, pool).min(1)
    assert torch.equal(index, expected.indices)
    torch.testing.assert_close(distances.double(), expected.values, rtol=1e-4, atol=0)


def test_a_copy_is_at_no_distance_at_all() -> None:
    pool = rows(30, 1)
    distances, index = nearest(pool[[3, 8]], pool)
    assert index.tolist() == [3, 8] and distances.tolist() == [0, 0]


def test_none_is_its_own_neighbour_but_its_double_is() -> None:
    pool = rows(20, 2)
    pool[11] = pool[4]
    chosen = torch.tensor([4, 9, 11])
    distances, index = nearest(pool[chosen], pool, own=chosen)
    assert index.tolist()[::2] == [11, 4] and distances.tolist()[::2] == [0, 0]
    assert index[1] != 9 and distances[1] > 0


def test_radii_are_distances_to_the_kth_other() -> None:
    pool = rows(25, 3)
    expected = table(pool, pool).sort(1).values[:, 3]
    torch.testing.assert_close(radii(pool, 3).double(), expected, rtol=1e-2, atol=0)
    chosen = torch.tensor([20, 3, 7, 8, 9, 1, 0, 2])
    torch.testing.assert_close(radii(pool, 3, chosen).double(), expected[chosen], rtol=1e-2, atol=0)
