"""Latents: their distributions, and fixed ones that can be repeated anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan.latents import LATENTS, draw_latents, fixed_latents


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
