"""The family of Noe & Thapa: the published layers and counts, and TensorFlow's padding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan.errors import InputError
from gan.networks.base import trainable_parameters
from gan.networks.transposed import Transposed

SHAPE = (128, 128, 3)


def kinds(network: nn.Module) -> list[str]:
    """Return the kinds of a network's layers in order, those with a size with it."""
    found = []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            found.append(f"{type(module).__name__} {module.kernel_size[0]} s{module.stride[0]} {module.out_channels}")
        elif isinstance(module, nn.BatchNorm2d):
            found.append(f"norm {module.num_features}")
        elif isinstance(module, nn.Linear):
            found.append(f"dense {module.out_features}")
        elif not list(module.children()) and not isinstance(module, nn.Flatten):
            found.append(type(module).__name__)
    return found


def test_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        networks = Transposed().generator(SHAPE, 100), Transposed().discriminator(SHAPE)
    assert [trainable_parameters(network) for network in networks] == [4_740_611, 4_340_097]
    # Keras counts a batch norm's running mean and variance too.
    running = [
        sum(buffer.numel() for name, buffer in network.named_buffers() if not name.endswith("num_batches_tracked"))
        for network in networks
    ]
    assert running == [2_944, 768]


def test_layers_are_in_the_published_order() -> None:
    up = "SameConvTranspose2d 3 s2"
    with torch.device("meta"):
        generator, discriminator = Transposed().generator(SHAPE, 100), Transposed().discriminator(SHAPE)
    assert kinds(generator) == [
        *("dense 8192", "norm 512"),
        *(f"{up} 512", "LeakyReLU", "norm 512"),
        *(f"{up} 256", "LeakyReLU", "norm 256", "LeakyReLU"),
        *(f"{up} 128", "norm 128", "LeakyReLU"),
        *(f"{up} 64", "norm 64", "LeakyReLU"),
        *(f"{up} 3", "Tanh"),
    ]
    assert kinds(discriminator) == [
        *("SameConv2d 5 s2 64", "LeakyReLU"),
        *("SameConv2d 5 s2 128", "norm 128", "LeakyReLU"),
        *("SameConv2d 5 s2 256", "norm 256", "LeakyReLU"),
        *("SameConv2d 5 s2 512", "dense 1"),
    ]
    leaky = [module for network in (generator, discriminator) for module in network.modules()]
    assert {module.negative_slope for module in leaky if isinstance(module, nn.LeakyReLU)} == {0.3}
    norms = [module for module in leaky if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


@pytest.mark.parametrize("size", [16, 20, 28, 32, 48, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_has_its_shape_and_range(size: int, channels: int) -> None:
    family = Transposed(width_g=2, width_d=2, dropout=0.1)
    torch.manual_seed(0)
    images = family.generator((size, size, channels), 10)(50 * torch.randn(3, 10))
    assert images.shape == (3, channels, size, size)
    assert images.min() >= -1 and images.max() <= 1 and images.std() > 0
    scores = family.discriminator((size, size, channels))(images)
    assert scores.shape == (3,) and scores.std() > 0


@pytest.mark.parametrize("size", [8, 17, 33, 36, 100])
def test_an_impossible_size_names_what_is_possible(size: int) -> None:
    for make in (lambda shape: Transposed().generator(shape, 8), Transposed().discriminator):
        with pytest.raises(InputError, match=rf"transposed cannot make {size}×{size}: .*28, 32, .*64, .*96, .*128"):
            make((size, size, 3))
    with pytest.raises(InputError, match="not data of shape 15"):
        Transposed().discriminator((15,))


def test_norm_and_dropout_are_as_set() -> None:
    layers = list(Transposed(norm_d="layer", dropout=0.2).discriminator((16, 16, 3)).modules())
    assert [m.num_groups for m in layers if isinstance(m, nn.GroupNorm)] == [1, 1]
    assert [m.p for m in layers if isinstance(m, nn.Dropout)] == [0.2] * 3
    plain = list(Transposed(norm_d="none").discriminator((16, 16, 3)).modules())
    assert not any(isinstance(m, (nn.GroupNorm, nn.BatchNorm2d, nn.Dropout)) for m in plain)
