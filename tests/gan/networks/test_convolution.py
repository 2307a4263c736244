"""The faster gradient is the same gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gan.networks import convolution
from gan.networks.convolution import Conv2d, ConvTranspose2d
from gan.networks.dcgan import DCGAN

GEOMETRIES = [(4, 2, 1, 8), (4, 1, 0, 5), (3, 2, 1, 7), (5, 2, 2, 9)]


@pytest.fixture(autouse=True)
def for_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "LARGE_KERNEL", 1)


def gradients(layer: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Return output, gradients, and gradients of the gradients' length, as a gradient penalty needs."""
    out = layer(images)
    weights = [images, *layer.parameters()]
    grads = torch.autograd.grad(out.square().sum(), weights, create_graph=True)
    length = torch.stack([grad.square().sum() for grad in grads]).sum()
    return [out, *grads, *torch.autograd.grad(length, weights)]


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), GEOMETRIES)
@pytest.mark.parametrize(("mine", "plain"), [(Conv2d, nn.Conv2d), (ConvTranspose2d, nn.ConvTranspose2d)])
@pytest.mark.parametrize("bias", [False, True])
def test_same_numbers_in_double_precision(
    mine: Any, plain: Any, kernel: int, stride: int, padding: int, size: int, bias: bool
) -> None:
    torch.manual_seed(0)
    fast, slow = (made(3, 5, kernel, stride, padding, bias=bias).double() for made in (mine, plain))
    slow.load_state_dict(fast.state_dict())
    images = torch.randn(2, 3, size, size, dtype=torch.double, requires_grad=True)
    assert type(fast(images).grad_fn).__name__ != type(slow(images).grad_fn).__name__
    for one, other in zip(gradients(fast, images), gradients(slow, images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), GEOMETRIES)
@pytest.mark.parametrize("convolve", [convolution.convolve, convolution.convolve_transposed])
def test_gradients_of_gradients_are_right_by_finite_differences(
    convolve: Any, kernel: int, stride: int, padding: int, size: int
) -> None:
    """With respect to images and kernel, as a gradient penalty needs."""
    torch.manual_seed(0)
    shape = (3, 2) if convolve is convolution.convolve else (2, 3)
    images = torch.randn(2, 2, size, size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(*shape, kernel, kernel, dtype=torch.double, requires_grad=True)

    def run(images: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = convolve(images, weight, None, stride, padding)
        return out

    assert "Convolve" in str(run(images, weight).grad_fn) or "Transpose" in str(run(images, weight).grad_fn)
    assert torch.autograd.gradcheck(run, (images, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (images, weight), fast_mode=True)


def test_whole_networks_have_the_same_gradients_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    family = DCGAN(width_g=4, width_d=4)
    torch.manual_seed(0)
    network = nn.Sequential(family.generator((32, 32, 3), 8), family.discriminator((32, 32, 3))).double()
    network.to(memory_format=torch.channels_last)
    latents = torch.randn(6, 8, dtype=torch.double)

    def grads() -> list[torch.Tensor]:
        return list(torch.autograd.grad(network(latents).square().sum(), list(network.parameters())))

    fast = grads()
    monkeypatch.setattr(convolution, "LARGE_KERNEL", 2**60)
    for one, other in zip(fast, grads(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_a_pixel_becomes_an_image_and_an_image_a_score(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel with one position in each image is applied by a matrix product, of any size and on any device."""
    monkeypatch.setattr(convolution, "LARGE_KERNEL", 2**40)
    torch.manual_seed(0)
    for mine, plain, side in ((ConvTranspose2d, nn.ConvTranspose2d, 1), (Conv2d, nn.Conv2d, 4)):
        fast, slow = (made(3, 5, 4, bias=bias).double() for made in (mine, plain))
        slow.load_state_dict(fast.state_dict())
        images = torch.randn(2, 3, side, side, dtype=torch.double, requires_grad=True)
        monkeypatch.setattr(torch.nn.functional, "conv2d", None)
        monkeypatch.setattr(torch.nn.functional, "conv_transpose2d", None)
        found = gradients(fast, images)
        monkeypatch.undo()
        for one, other in zip(found, gradients(slow, images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_gradient_has_the_memory_format_of_its_kernel() -> None:
    for made, shape in ((Conv2d, (4, 8, 4, 4)), (ConvTranspose2d, (4, 8, 4, 4))):
        layer = made(8, 4, 4, 2, 1, bias=False) if made is Conv2d else made(4, 8, 4, 2, 1, bias=False)
        layer.to(memory_format=torch.channels_last)
        layer(torch.randn(2, layer.in_channels, 8, 8)).sum().backward()
        assert layer.weight.shape == shape
        assert layer.weight.grad is not None
        assert layer.weight.grad.stride() == layer.weight.stride()


def test_pytorchs_own_layer_runs_where_no_gradient_is_wanted_or_the_device_has_better() -> None:
    layer = Conv2d(3, 5, 4, 2, 1, bias=False)
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    assert "Convolve" in type(layer(images).grad_fn).__name__
    with torch.autocast("cpu", torch.bfloat16):
        assert "Convolve" not in str(layer(images).grad_fn) and layer(images).dtype == torch.bfloat16
    layer.requires_grad_(False)
    assert "Convolve" not in type(layer(images).grad_fn).__name__
