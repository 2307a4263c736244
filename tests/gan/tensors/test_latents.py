"""Latents: their distributions, and fixed ones that can be repeated anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan.tensors.latents import LATENTS, between, draw_latents, fixed_latents, round_trip


def both(kind: str, count: int, dim: int) -> list[torch.Tensor]:
    return [
        draw_latents(kind, count, dim, torch.Generator().manual_seed(0)),
        fixed_latents(kind, count, dim, seed=0),
    ]


@pytest.mark.parametrize("kind", LATENTS)
def test_shape_type_and_centre(kind: str) -> None:
    for latents in both(kind, 4000, 10):
        assert latents.shape == (4000, 10) and latents.dtype == torch.float32
        assert float(latents.mean()) == pytest.approx(0, abs=0.02)


def test_the_distributions_are_what_they_are_called() -> None:
    for latents in both("gaussian", 20_000, 5):
        assert float(latents.std()) == pytest.approx(1, rel=0.02)
        assert float((latents.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.01)
    for latents in both("uniform", 20_000, 5):
        assert -1 <= float(latents.min()) < -0.99 and 0.99 < float(latents.max()) <= 1
        assert float(latents.std()) == pytest.approx(1 / 3**0.5, rel=0.02)
    for latents in both("spherical", 2000, 50):
        torch.testing.assert_close(latents.norm(dim=1), torch.full((2000,), 50**0.5))
        assert float(latents.std()) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("kind", LATENTS)
def test_fixed_latents_depend_on_the_seed_alone_and_begin_alike(kind: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    many = fixed_latents(kind, 1000, 7, seed=3)
    torch.manual_seed(2)
    np.random.seed(2)
    for count in (1, 2, 999, 1000):
        assert torch.equal(fixed_latents(kind, count, 7, seed=3), many[:count])
    assert not torch.equal(fixed_latents(kind, 1000, 7, seed=4), many)


def test_fixed_latents_never_change() -> None:
    """Written down once: bundles that people already have must go on giving the same images."""
    found = fixed_latents("gaussian", 2, 3, seed=0).flatten().tolist()
    expected = np.random.default_rng(0).standard_normal(6, dtype=np.float32)
    assert found == expected.tolist()
    assert found[0] == pytest.approx(1.117622, abs=1e-6)


@pytest.mark.parametrize("kind", LATENTS)
def test_drawing_uses_its_own_stream_alone(kind: str) -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    stream = torch.Generator().manual_seed(9)
    first, second = draw_latents(kind, 4, 3, stream), draw_latents(kind, 4, 3, stream)
    assert torch.equal(torch.rand(2), expected)
    assert not torch.equal(first, second)
    stream.manual_seed(9)
    assert torch.equal(draw_latents(kind, 4, 3, stream), first)


# ---- ways through the latent space


@pytest.mark.parametrize("kind", ["gaussian", "spherical"])
def test_between_keeps_to_the_sphere(kind: str) -> None:
    first, last = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    way = between(kind, first, last, torch.linspace(0, 1, 4))
    torch.testing.assert_close(way.norm(dim=1), torch.full((4,), 3.0))
    # Equal angles for equal steps: 0, 30, 60 and 90 degrees.
    torch.testing.assert_close(torch.atan2(way[:, 1], way[:, 0]).rad2deg(), torch.tensor([0.0, 30, 60, 90]))
    torch.testing.assert_close(between(kind, first, 2 * first, torch.tensor([0.5]))[0], 1.5 * first)


def test_a_gaussian_way_keeps_the_norm_that_a_straight_one_loses() -> None:
    first, last = fixed_latents("gaussian", 2, 512, seed=0)
    middle = torch.tensor([0.5])
    assert float(between("gaussian", first, last, middle).norm()) == pytest.approx(512**0.5, rel=0.1)
    assert float(between("uniform", first, last, middle).norm()) == pytest.approx((512 / 2) ** 0.5, rel=0.1)


def test_a_uniform_way_is_straight_and_stays_in_the_cube() -> None:
    first, last = fixed_latents("uniform", 2, 9, seed=0)
    way = between("uniform", first, last, torch.linspace(0, 1, 5))
    torch.testing.assert_close(way.diff(dim=0), ((last - first) / 4).expand(4, 9))
    assert float(way.abs().max()) <= 1


@pytest.mark.parametrize("kind", LATENTS)
@pytest.mark.parametrize(("legs", "steps"), [(2, 8), (3, 12), (5, 12), (4, 3), (1, 4)])
def test_a_round_trip_passes_every_corner_and_comes_back(kind: str, legs: int, steps: int) -> None:
    corners = fixed_latents(kind, legs, 6, seed=1)
    way = round_trip(kind, corners, steps)
    assert way.shape == (steps, 6)
    torch.testing.assert_close(way[0], corners[0])
    if steps % legs == 0:
        torch.testing.assert_close(way[:: steps // legs], corners)
    if legs > 1 and steps > legs:
        # The step from the last back to the first is one like the others.
        closed = torch.cat([way, way[:1]]).diff(dim=0).norm(dim=1)
        assert float(closed[-1]) <= 1.5 * float(closed[:-1].max())
