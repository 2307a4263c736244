"""TensorFlow's "same" padding, against its definition written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan.networks import same_padding as same_padding_module
from gan.networks.same_padding import SameConv2d, SameConvTranspose2d, same_padding

GEOMETRIES = [(3, 1, 5), (3, 2, 8), (3, 2, 7), (5, 2, 8), (5, 2, 9), (4, 2, 6), (5, 2, 1), (3, 2, 1), (2, 2, 4)]


def by_definition(images: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Convolve N×A×H×W as TensorFlow's documentation writes it down, one number at a time.

    Output i sees inputs i·s + k − before, where "before" is half (rounded down) of what the last one lacks.
    """
    count, _, height, width = images.shape
    outputs, _, kernel, _ = weight.shape
    sides = [-(-side // stride) for side in (height, width)]
    lacks = [max((out - 1) * stride + kernel - side, 0) for out, side in zip(sides, (height, width), strict=True)]
    found = np.tile(bias[:, None, None], (count, 1, *sides))
    for row, column, k, m in np.ndindex(*sides, kernel, kernel):
        y, x = row * stride + k - lacks[0] // 2, column * stride + m - lacks[1] // 2
        if 0 <= y < height and 0 <= x < width:
            found[:, :, row, column] += images[:, :, y, x] @ weight[:, :, k, m].T
    assert found.shape[1] == outputs
    return found


@pytest.mark.parametrize(("kernel", "stride", "size"), GEOMETRIES)
def test_a_convolution_is_tensorflows(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    layer = SameConv2d(2, 3, kernel, stride).double()
    images = torch.randn(2, 2, size, size + 1, dtype=torch.double)
    expected = by_definition(images.numpy(), *(w.detach().numpy() for w in layer.parameters()), stride)
    np.testing.assert_allclose(layer(images).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 2, 4), (5, 2, 4), (4, 2, 3), (3, 1, 5), (2, 2, 3)])
def test_a_transposed_convolution_is_the_transpose_of_tensorflows(kernel: int, stride: int, size: int) -> None:
    """⟨T(x), y⟩ = ⟨x, C(y)⟩ for the convolution C with the same kernel, from the large side to the small."""
    torch.manual_seed(0)
    layer = SameConvTranspose2d(3, 2, kernel, stride).double()
    small = torch.randn(2, 3, size, size, dtype=torch.double)
    large = torch.randn(2, 2, size * stride, size * stride, dtype=torch.double)
    assert layer.bias is not None
    torch.nn.init.zeros_(layer.bias)
    back = by_definition(large.numpy(), layer.weight.detach().numpy(), np.zeros(3), stride)
    assert back.shape == small.shape
    np.testing.assert_allclose((layer(small) * large).sum().item(), (small.numpy() * back).sum(), rtol=1e-10)
    torch.nn.init.ones_(layer.bias)
    shifted = layer(small)
    torch.nn.init.zeros_(layer.bias)
    torch.testing.assert_close(shifted, layer(small) + 1)


@pytest.mark.parametrize(("kernel", "stride", "size"), GEOMETRIES)
def test_a_gpu_is_given_the_same_transposed_convolution(kernel: int, stride: int, size: int) -> None:
    """The GPU's variant, with zeros in the kernel, gives the same numbers."""
    torch.manual_seed(0)
    images, weight, bias = torch.randn(2, 3, size, size), torch.randn(3, 2, kernel, kernel), torch.randn(2)
    before, after = same_padding(size * stride, kernel, stride)
    ways = same_padding_module._crop_output, same_padding_module._crop_by_shift
    cropped, cut = (way(images.double(), weight.double(), bias.double(), stride, before, after) for way in ways)
    assert cropped.shape == (2, 2, size * stride, size * stride)
    torch.testing.assert_close(cropped, cut)


@pytest.mark.parametrize(("device", "used"), [("cpu", "_crop_output"), ("meta", "_crop_by_shift")])
def test_what_is_no_cpu_is_given_the_other(device: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("_crop_output", "_crop_by_shift"):
        monkeypatch.setattr(same_padding_module, name, lambda *_, name=name: asked.append(name))
    SameConvTranspose2d(3, 2, 5, 2).to(device)(torch.zeros(1, 3, 4, 4, device=device))
    assert asked == [used]


def test_an_odd_zero_goes_to_the_end() -> None:
    assert [same_padding(*geometry) for geometry in ((128, 5, 2), (128, 3, 2), (127, 3, 2), (8, 3, 1))] == [
        (1, 2),
        (0, 1),
        (1, 1),
        (1, 1),
    ]


@pytest.mark.parametrize("kernel", [3, 5])
def test_weights_that_meet_no_pixel_have_no_gradient(kernel: int) -> None:
    """In bfloat16 too, where PyTorch leaves gradients of weights that meet no pixel uninitialised."""
    layer = SameConv2d(32, 64, kernel, 2).to(memory_format=torch.channels_last)
    pixels = torch.randn(16, 32, 1, 1)
    for _ in range(5):
        rubbish = [torch.full((64 * 32 * kernel * kernel,), torch.nan) for _ in range(20)]
        del rubbish  # For the gradient to find.
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            layer(pixels).float().sum().backward()
        assert layer.weight.grad is not None
        wanted = torch.zeros_like(layer.weight)
        middle = kernel // 2
        wanted[:, :, middle, middle] = pixels.bfloat16().float().sum((0, 2, 3))
        torch.testing.assert_close(layer.weight.grad, wanted, rtol=0.02, atol=0.1)
