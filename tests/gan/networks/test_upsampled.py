"""The fused upsampling and convolution equals the two steps in sequence."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan.networks import FAMILIES
from gan.networks.upsampled import UpsampledConv2d, _Interleave, _Separate


def plain(layer: UpsampledConv2d, images: Tensor) -> Tensor:
    return F.conv2d(F.interpolate(images, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (6, 5)])
def test_same_numbers_and_gradients_in_double_precision(height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = UpsampledConv2d(3, 5).double()
    images = torch.randn(2, 3, height, width, dtype=torch.double, requires_grad=True)
    weights = [images, *layer.parameters()]
    found = []
    for out in (layer(images), plain(layer, images)):
        grads = torch.autograd.grad(out.pow(3).sum(), weights, create_graph=True)
        length = torch.stack([grad.square().sum() for grad in grads]).sum()
        found.append([out, *grads, *torch.autograd.grad(length, weights)])
    assert type(layer(images).grad_fn).__name__ != type(plain(layer, images).grad_fn).__name__
    assert found[0][0].shape == (2, 5, 2 * height, 2 * width)
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_gradients_of_gradients() -> None:
    torch.manual_seed(0)
    layer = UpsampledConv2d(2, 3).double()
    images = torch.randn(2, 2, 3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (images,))
    assert torch.autograd.gradgradcheck(layer, (images,))


def test_taking_apart_is_the_transpose_of_putting_together() -> None:
    torch.manual_seed(0)
    fours, images = torch.randn(2, 12, 4, 5).double(), torch.randn(2, 3, 6, 8).double()
    one, other = (_Interleave.apply(fours) * images).sum(), (_Separate.apply(images) * fours).sum()
    torch.testing.assert_close(one, other)


def test_autocast_takes_the_plain_way() -> None:
    layer, images = UpsampledConv2d(3, 5), torch.randn(2, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(images).dtype == torch.bfloat16
    assert layer(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dcgan", "transposed", "upsampling", "fully-connected"])
def test_generators_can_be_exported(name: str) -> None:
    """Exported programs consist of PyTorch's own operations and take any number of latents."""
    torch.manual_seed(0)
    family = FAMILIES[name](width_g=4)
    generator = family.generator(family.shape(16, 3), 8).eval().requires_grad_(False)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(generator, (torch.randn(2, 8),), dynamic_shapes=(batch,)).module()
    latents = torch.randn(5, 8)
    torch.testing.assert_close(program(latents), generator(latents), rtol=1e-4, atol=1e-5)
