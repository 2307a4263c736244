"""The family of Cheng: the published layers and counts, its range, and the trap of a batch norm on the logit."""

from __future__ import annotations

import math

import pytest
import torch
from judged import judged
from torch import Tensor, nn

from gan.errors import InputError
from gan.networks.base import trainable_parameters
from gan.networks.upsampling import Upsampling
from gan.objectives.non_saturating import NonSaturating
from gan.objectives.wgan import WGAN

SHAPE = (96, 96, 3)


@pytest.mark.parametrize(
    ("settings", "discriminator"),
    [
        ({}, 1_575_171),
        ({"logit_norm": False}, 1_575_169),
        ({"logit_norm": False, "norm_d": "layer"}, 1_575_169),
    ],
)
def test_parameters_are_the_published_ones(settings: dict[str, bool | str], discriminator: int) -> None:
    family = Upsampling(**settings)  # type: ignore[arg-type]
    with torch.device("meta"):
        assert trainable_parameters(family.generator(SHAPE, 200)) == 4_070_793
        assert trainable_parameters(family.discriminator(SHAPE)) == discriminator


def test_layers_are_the_published_ones() -> None:
    with torch.device("meta"):
        generator = list(Upsampling().generator(SHAPE, 200).modules())
        discriminator = list(Upsampling().discriminator(SHAPE).modules())
    convolutions = [[m for m in layers if isinstance(m, nn.Conv2d)] for layers in (generator, discriminator)]
    assert [m.out_channels for m in convolutions[0]] == [256, 256, 256, 128, 128, 3]
    assert [(m.out_channels, m.stride) for m in convolutions[1]] == [(32 * 2**k, (2, 2)) for k in range(5)]
    assert {m.kernel_size for found in convolutions for m in found} == {(3, 3)}
    norms = [[m.num_features for m in layers if isinstance(m, nn.BatchNorm2d)] for layers in (generator, discriminator)]
    assert norms == [[256, 256, 256, 128, 128, 3], [32, 64, 128, 256, 512]]
    assert isinstance(discriminator[-1], nn.BatchNorm1d)
    assert {m.negative_slope for m in discriminator if isinstance(m, nn.LeakyReLU)} == {0.1}
    every = [m for m in (*generator, *discriminator) if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert {(norm.eps, norm.momentum) for norm in every} == {(1e-3, 0.01)}


def as_printed(family: Upsampling, generator: nn.Module, latents: Tensor) -> Tensor:
    """Compute the report's generator layer by layer, with the weights of ours; return its images in [0, 1]."""
    layers = [m for m in generator.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
    x = generator.dense(latents).view(-1, *generator.first)  # type: ignore[operator,arg-type]
    for depth, (convolution, norm) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
        x = nn.functional.conv2d(x, convolution.weight, convolution.bias, padding=1)  # type: ignore[arg-type]
        x = nn.functional.interpolate(x, scale_factor=2, mode="nearest") if depth < 4 else x
        x = nn.functional.batch_norm(x, None, None, norm.weight, norm.bias, True, 0.0, 1e-3)  # type: ignore[arg-type]
        x = x.relu() if depth < 5 else x.sigmoid()
    return x


def test_the_generator_computes_what_the_report_prints_and_maps_it_to_our_range() -> None:
    family = Upsampling(width_g=4)
    torch.manual_seed(0)
    generator = family.generator((32, 32, 3), 10).double()
    for norm in generator.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight, 1, 0.3)
            nn.init.normal_(norm.bias, 0, 0.3)
    latents = torch.randn(6, 10, dtype=torch.double)
    torch.testing.assert_close(generator(latents), 2 * as_printed(family, generator, latents) - 1)


def test_the_discriminator_sees_the_reports_range() -> None:
    network = Upsampling(width_d=2).discriminator((16, 16, 3))
    seen = []
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.cat([torch.full((1, 3, 16, 16), -1.0), torch.full((1, 3, 16, 16), 1.0)]))
    assert (seen[0][0].unique().tolist(), seen[0][1].unique().tolist()) == ([0.0], [1.0])


@pytest.mark.parametrize("size", [16, 32, 48, 64, 96, 112])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_has_its_shape_and_range(size: int, channels: int) -> None:
    family = Upsampling(width_g=2, width_d=2, dropout=0.1)
    torch.manual_seed(0)
    images = family.generator((size, size, channels), 10)(50 * torch.randn(3, 10))
    assert images.shape == (3, channels, size, size)
    assert images.min() >= -1 and images.max() <= 1 and images.std() > 0
    scores = family.discriminator((size, size, channels))(images)
    assert scores.shape == (3,) and scores.std() > 0


@pytest.mark.parametrize("size", [1, 8, 17, 28, 40, 100])
def test_an_impossible_size_names_what_is_possible(size: int) -> None:
    for make in (lambda shape: Upsampling().generator(shape, 8), Upsampling().discriminator):
        with pytest.raises(InputError, match=rf"upsampling cannot make {size}×{size}: .*multiples of 16 .*32, .*96"):
            make((size, size, 3))
    with pytest.raises(InputError, match="not data of shape 32×64×3"):
        Upsampling().discriminator((32, 64, 3))


# ---- the trap


def learn(joint: bool, steps: int = 60) -> float:
    """Train the discriminator alone to tell bright images from dark ones; return its last loss."""
    torch.manual_seed(0)
    network = Upsampling(width_d=4).discriminator((16, 16, 3))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    objective = NonSaturating()
    loss = torch.zeros(())
    for _ in range(steps):
        real, fake = (0.1 * torch.randn(16, 3, 16, 16) + shift for shift in (0.5, -0.5))
        both = network(torch.cat([real, fake])).split(16) if joint else (network(real), network(fake))
        loss = objective.discriminator_loss(judged(*both))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_with_a_batch_norm_on_the_logit_it_learns_from_joint_batches_alone() -> None:
    """The means of both separate batches are one number β, and softplus is convex: the loss is at least
    softplus(−β) + softplus(β), and that at least 2 ln 2."""
    assert learn(joint=True) < 0.7
    assert learn(joint=False) >= 2 * math.log(2) - 1e-5


def test_a_critic_with_a_batch_norm_on_the_score_would_see_no_distance_at_all() -> None:
    torch.manual_seed(0)
    network = Upsampling(width_d=4).discriminator((16, 16, 3))
    real, fake = torch.rand(16, 3, 16, 16), -torch.rand(16, 3, 16, 16)
    assert float(WGAN().discriminator_loss(judged(network(real), network(fake))).detach()) == pytest.approx(0, abs=1e-6)
    critic = Upsampling(width_d=4, logit_norm=False).discriminator((16, 16, 3))
    both = critic(torch.cat([real, fake])).detach().split(16)
    assert abs(float(WGAN().discriminator_loss(judged(*both)))) > 0.01
