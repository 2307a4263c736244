"""The moving average: of every weight and buffer, once, however the network holds them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gan.training.ema import EMA


class Odd(nn.Module):
    """Layers that share a weight; a buffer that is saved, one that is not, and one that is replaced at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.zeros(2))
        self.register_buffer("unsaved", torch.tensor([0.0, -math.inf]), persistent=False)
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("none", None)
        self.register_buffer("count", torch.tensor(0))

    def train_a_step(self) -> None:
        with torch.no_grad():
            for tensor in (*self.parameters(), self.scale, self.unsaved, self.count):
                tensor += 1
        self.replaced: Tensor = self.replaced + 1


def test_each_tensor_moves_once_by_its_share() -> None:
    network = Odd()
    averaging = EMA(network)
    begun = [weight.detach().clone() for weight in network.parameters()]
    network.train_a_step()
    averaging.step(0.25)
    average = averaging.average
    assert isinstance(average, Odd) and average.second.weight is average.first.weight
    for mean, start in zip(average.parameters(), begun, strict=True):
        torch.testing.assert_close(mean, start + 0.25)
    for name in ("scale", "replaced"):
        assert torch.equal(average.get_buffer(name), torch.full((2,), 0.25)), name
    assert average.count.item() == 1
    # What is not saved is no statistic: a mask of infinities has no average.
    assert torch.equal(average.get_buffer("unsaved"), torch.tensor([1.0, -math.inf]))


def test_a_buffer_that_is_replaced_is_followed() -> None:
    network = Odd()
    averaging = EMA(network)
    for _ in range(3):
        network.train_a_step()
        # As a layer may also do when images are sampled.
        averaging.average.replaced = torch.zeros(2)
        averaging.step(1.0)
    assert torch.equal(averaging.average.get_buffer("replaced"), torch.full((2,), 3.0))


def test_the_average_is_for_evaluation_and_leaves_the_network_alone() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    averaging = EMA(network)
    before = [value.clone() for value in network.state_dict().values()]
    averaging.step(0.5)
    assert network.training and not averaging.average.training
    assert all(torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True))
