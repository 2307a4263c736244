"""Initial weights have the moments and the tails of their distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gan.networks import FAMILIES
from gan.networks.base import kernels
from gan.networks.initialise import INITIALISATIONS, initialise

# Layer, fan-in and fan-out as Keras counts them.
LAYERS = [
    (lambda: nn.Conv2d(64, 96, 5), 25 * 64, 25 * 96),
    (lambda: nn.ConvTranspose2d(64, 96, 3), 9 * 96, 9 * 64),
    (lambda: nn.Linear(300, 200), 300, 200),
]


def drawn(kind: str, layer: nn.Module) -> Tensor:
    torch.manual_seed(0)
    initialise(layer, kind)
    assert isinstance(layer.bias, Tensor) and not layer.bias.any()
    (weight,) = kernels(layer)
    assert abs(float(weight.detach().mean())) < 0.02 * float(weight.detach().std())
    return weight.detach()


@pytest.mark.parametrize(("make", "fan_in", "fan_out"), LAYERS)
def test_kernels_have_the_variance_they_should(make: type[nn.Module], fan_in: int, fan_out: int) -> None:
    assert float(drawn("normal-0.02", make()).std()) == pytest.approx(0.02, rel=0.02)
    he = drawn("he-normal", make())
    assert float(he.std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
    # Cut off at two standard deviations of the wider normal distribution.
    assert float(he.abs().max() / he.std()) == pytest.approx(2 / 0.8796, rel=0.02)
    limit = math.sqrt(6 / (fan_in + fan_out))
    glorot = drawn("glorot-uniform", make())
    assert 0.995 * limit < float(glorot.abs().max()) <= limit
    assert float(glorot.std()) == pytest.approx(limit / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("kind", INITIALISATIONS)
def test_normalisation_starts_neutral_but_for_radfords(kind: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(4000), nn.BatchNorm1d(1), nn.GroupNorm(1, 8))
    initialise(network, kind)
    batch, _, group = network
    assert float(batch.weight.detach().std()) == pytest.approx(0.02 if kind == "normal-0.02" else 0, rel=0.05)
    assert float(batch.weight.detach().mean()) == pytest.approx(1, abs=0.005)
    assert (group.weight == 1).all() and not batch.bias.any() and not group.bias.any()


@pytest.mark.parametrize("name", list(FAMILIES))
def test_an_outline_on_the_meta_device_draws_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing would load PyTorch's tracing machinery, which costs every command that reads a recipe seconds."""
    family = FAMILIES[name]()
    monkeypatch.setitem(INITIALISATIONS, family.init, lambda network: pytest.fail("drew weights"))
    with torch.device("meta"):
        family.generator(family.shape(16, 3), 8)
        family.discriminator(family.shape(16, 3))


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_draws_its_weights_as_told(name: str) -> None:
    family = FAMILIES[name](init="glorot-uniform", width_g=4, width_d=4)
    for network in (family.generator(family.shape(16, 3), 8), family.discriminator(family.shape(16, 3))):
        assert kernels(network)
        for weight in kernels(network):
            fans = (weight[0].numel(), weight[:, 0].numel())
            assert float(weight.detach().abs().max()) <= math.sqrt(6 / sum(fans)) * (1 + 1e-6)


def test_kernels_are_those_of_convolutions_and_dense_layers_whatever_their_dimensions() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 6, 6]), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(2, 1)
    )
    assert network[1].weight.ndim == 3  # a choice by number of dimensions would take it for a kernel
    assert [id(weight) for weight in kernels(network)] == [id(network[0].weight), id(network[4].weight)]
