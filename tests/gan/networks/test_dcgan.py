"""The DCGAN family: published parameter counts, sizes, ranges and initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan.errors import InputError
from gan.networks.base import trainable_parameters
from gan.networks.dcgan import DCGAN


@pytest.mark.parametrize(("width_g", "latent_dim", "generator"), [(64, 100, 3_576_704), (128, 100, 12_658_432)])
def test_parameters_are_the_published_ones(width_g: int, latent_dim: int, generator: int) -> None:
    family = DCGAN(width_g=width_g)
    with torch.device("meta"):
        assert trainable_parameters(family.generator((64, 64, 3), latent_dim)) == generator
        assert trainable_parameters(family.discriminator((64, 64, 3))) == 2_765_568


@pytest.mark.parametrize("size", [16, 20, 24, 28, 32, 56, 64, 96, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_has_its_shape_and_range(size: int, channels: int) -> None:
    family = DCGAN(width_g=2, width_d=2)
    torch.manual_seed(0)
    images = family.generator((size, size, channels), 10)(50 * torch.randn(3, 10))
    assert images.shape == (3, channels, size, size)
    assert images.min() >= -1 and images.max() <= 1 and images.std() > 0
    scores = family.discriminator((size, size, channels))(images)
    assert scores.shape == (3,) and scores.dtype == torch.float32


@pytest.mark.parametrize("size", [1, 4, 8, 12, 17, 18, 30, 33, 36, 44, 100])
def test_an_impossible_size_names_what_is_possible(size: int) -> None:
    for make in (lambda shape: DCGAN().generator(shape, 8), DCGAN().discriminator):
        with pytest.raises(InputError, match=rf"cannot make {size}×{size}: .*28, 32, .*64, .*96, .*128"):
            make((size, size, 3))


def test_what_is_not_a_square_image_is_refused() -> None:
    for shape, shown in (((32, 64, 3), "32×64×3"), ((15,), "15"), ((32, 32), "32×32")):
        with pytest.raises(InputError, match=f"not data of shape {shown}"):
            DCGAN().discriminator(shape)


def test_the_score_is_raw() -> None:
    """A probability would stay in (0, 1): scaling the last kernel scales the score."""
    network = DCGAN(width_d=2).discriminator((16, 16, 3)).eval()
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        before = network(images)
        list(network.parameters())[-1].mul_(1000)
        torch.testing.assert_close(network(images), 1000 * before)


def test_layers_are_where_the_paper_puts_them() -> None:
    family = DCGAN(width_g=2, width_d=2, dropout=0.25)
    generator = list(family.generator((32, 32, 3), 8).modules())
    discriminator = list(family.discriminator((32, 32, 3)).modules())
    norms = [[m.num_features for m in net if isinstance(m, nn.BatchNorm2d)] for net in (generator, discriminator)]
    assert norms == [[8, 4, 2], [4, 8]]  # neither the images' layers nor the score have one
    assert isinstance(generator[-1], nn.Tanh)
    assert all(m.negative_slope == 0.2 for m in discriminator if isinstance(m, nn.LeakyReLU))
    assert [m.p for m in discriminator if isinstance(m, nn.Dropout)] == [0.25] * 3
    plain = DCGAN(width_d=2).discriminator((32, 32, 3))
    assert not any(isinstance(m, nn.Dropout) for m in plain.modules())
    kernels = [m for m in (*generator, *discriminator) if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert all(m.bias is None for m in kernels)


def test_fresh_weights_are_drawn_as_in_the_paper() -> None:
    torch.manual_seed(0)
    networks = (DCGAN().generator((32, 32, 3), 100), DCGAN().discriminator((32, 32, 3)))
    modules = [module for network in networks for module in network.modules()]
    kernels = torch.cat([m.weight.flatten() for m in modules if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))])
    assert float(kernels.detach().mean()) == pytest.approx(0, abs=1e-4)
    assert float(kernels.detach().std()) == pytest.approx(0.02, rel=0.01)
    scales = torch.cat([m.weight for m in modules if isinstance(m, nn.BatchNorm2d)]).detach()
    assert float(scales.mean()) == pytest.approx(1, abs=0.01)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.15)
    assert all(not m.bias.any() for m in modules if isinstance(m, nn.BatchNorm2d))


# ---- options


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_the_discriminators_norm_is_as_set(norm: str) -> None:
    network = DCGAN(width_d=2, norm_d=norm).discriminator((32, 32, 3))
    counts = [sum(isinstance(m, kind) for m in network.modules()) for kind in (nn.BatchNorm2d, nn.GroupNorm)]
    assert counts == {"batch": [2, 0], "layer": [0, 2], "none": [0, 0]}[norm]
    batch, layer = (DCGAN(norm_d=kind).discriminator((64, 64, 3)) for kind in ("batch", "layer"))
    assert trainable_parameters(batch) == trainable_parameters(layer)


def test_layer_norm_is_over_all_of_an_images_features() -> None:
    torch.manual_seed(0)
    network = DCGAN(width_d=2, norm_d="layer").discriminator((16, 16, 3))
    (norm,) = (m for m in network.modules() if isinstance(m, nn.GroupNorm))
    features = 3 * torch.randn(5, norm.num_channels, 6, 6) + 7
    torch.testing.assert_close(norm(features), nn.functional.layer_norm(features, features.shape[1:]))


@pytest.mark.parametrize(("pooling", "layer"), [("average", nn.AvgPool2d), ("max", nn.MaxPool2d)])
@pytest.mark.parametrize("size", [16, 28, 64])
def test_the_hybrid_pools_after_its_first_layer(pooling: str, layer: type[nn.Module], size: int) -> None:
    family = DCGAN(width_d=2, pooling=pooling, dropout=0.1)
    torch.manual_seed(0)
    network = family.discriminator((size, size, 3))
    strides = [m.stride[0] for m in network.modules() if isinstance(m, nn.Conv2d)]
    pools = sum(isinstance(m, layer) for m in network.modules())
    assert pools == len(strides) - 2 > 0  # all but the first layer and the score
    assert strides == [2, *[1] * pools, 1]
    scores = network(torch.rand(3, 3, size, size))
    assert scores.shape == (3,) and scores.std() > 0
    assert not any(isinstance(m, (nn.AvgPool2d, nn.MaxPool2d)) for m in DCGAN().discriminator((16, 16, 3)).modules())
