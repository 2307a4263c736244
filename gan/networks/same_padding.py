"""Convolutions with TensorFlow's "same" padding, which at a stride is not the same on both sides.

A convolution of stride s turns n pixels into ⌈n/s⌉. The zeros that this takes are split evenly between
both sides, and an odd one goes to the end: right and below. PyTorch pads evenly alone, so that its
features sit one pixel beside TensorFlow's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gan.networks.convolution import (
    Conv2d,
    ConvTranspose2d,
    convolve,
    convolve_transposed,
    with_bias,
)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after `size` pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(Conv2d):
    """Images N×A×H×W → N×B×⌈H/s⌉×⌈W/s⌉."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        (top, bottom), (left, right) = (same_padding(side, kernel, stride) for side in input.shape[2:])
        if input.shape[2:] == (1, 1):
            # The pixel meets one weight of each kernel. PyTorch (2.14, in bfloat16 on a CPU) would leave the
            # gradients of all others as it found them in memory, instead of making them zero.
            return convolve(input, self.weight[:, :, top : top + 1, left : left + 1], self.bias, 1, 0)
        if top == bottom == left == right:
            return convolve(input, self.weight, self.bias, stride, top)
        return convolve(F.pad(input, (left, right, top, bottom)), self.weight, self.bias, stride, 0)


class SameConvTranspose2d(ConvTranspose2d):
    """Images N×A×H×W → N×B×sH×sW: the transpose of a `SameConv2d` from there to here. Kernels not below s."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        # Whatever the number of pixels, as there are `stride` times as many in the end.
        before, after = same_padding(input.shape[2] * stride, kernel, stride)
        spread = _cropped if input.device.type == "cpu" else _cut_alike
        return spread(input, self.weight, self.bias, stride, before, after)


def _cropped(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, before: int, after: int) -> Tensor:
    """Spread, then cut both sides: on a CPU the cheapest, where a larger kernel would be slower."""
    height, width = (side * stride for side in images.shape[2:])
    spread = convolve_transposed(images, weight, None, stride, 0)
    return with_bias(spread[:, :, before : before + height, before : before + width], bias)


def _cut_alike(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, before: int, after: int) -> Tensor:
    """Have the convolution cut both sides alike, by a kernel that begins with the zeros which make them so.

    To cut one side more afterwards would copy the images, which costs a GPU more.
    """
    further = after - before
    return convolve_transposed(images, F.pad(weight, (further, 0, further, 0)), bias, stride, after)
