"""Small networks for vectors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan.errors import InputError
from gan.networks.base import trainable_parameters
from gan.networks.fully_connected import FullyConnected


@pytest.mark.parametrize("length", [1, 15, 100])
def test_shapes_and_range(length: int) -> None:
    torch.manual_seed(0)
    family = FullyConnected(width_g=8, width_d=8, depth=3, dropout=0.1)
    rows = family.generator((length,), 4)(torch.randn(64, 4))
    assert rows.shape == (64, length) and rows.min() >= -1 and rows.max() <= 1 and rows.std() > 0
    scores = family.discriminator((length,))(rows)
    assert scores.shape == (64,) and scores.std() > 0


def test_size_is_as_declared() -> None:
    family = FullyConnected(width_g=16, width_d=32, depth=2)
    generator, discriminator = family.generator((15,), 8), family.discriminator((15,))
    assert trainable_parameters(generator) == (8 + 1) * 16 + (16 + 1) * 16 + (16 + 1) * 15
    assert trainable_parameters(discriminator) == (15 + 1) * 32 + (32 + 1) * 32 + 32 + 1
    assert sum(isinstance(m, nn.Linear) for m in discriminator.modules()) == 3
    assert family.shape(15, 3) == (15,)


def test_images_are_refused() -> None:
    for make in (lambda shape: FullyConnected().generator(shape, 8), FullyConnected().discriminator):
        with pytest.raises(InputError, match="makes vectors, not data of shape 32×32×3"):
            make((32, 32, 3))
