"""Convolutions with TensorFlow's "same" padding, which differs between the two sides if the stride is above 1.

A convolution of stride s turns n pixels into ⌈n/s⌉. The zeros that this needs are split evenly between both sides; an
odd one goes to the right or bottom. PyTorch pads both sides equally, which shifts its features by one pixel against
TensorFlow's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gan.networks.convolution import Conv2d, ConvTranspose2d, convolve, convolve_transposed, with_bias


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after `size` pixels."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(Conv2d):
    """Images N×A×H×W → N×B×⌈H/s⌉×⌈W/s⌉."""

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        (top, bottom), (left, right) = (same_padding(side, kernel, stride) for side in input.shape[2:])
        if input.shape[2:] == (1, 1):
            # The pixel meets one weight of each kernel. PyTorch (2.14, bfloat16 on a CPU) would leave the gradients
            # of all other weights uninitialised instead of zero.
            return convolve(input, self.weight[:, :, top : top + 1, left : left + 1], self.bias, 1, 0)
        if top == bottom == left == right:
            return convolve(input, self.weight, self.bias, stride, top)
        return convolve(F.pad(input, (left, right, top, bottom)), self.weight, self.bias, stride, 0)


class SameConvTranspose2d(ConvTranspose2d):
    """Images N×A×H×W → N×B×sH×sW: the transpose of a `SameConv2d` of stride s. The kernel is not smaller than s."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        # The same for every input size, since the output is `stride` times as large.
        before, after = same_padding(input.shape[2] * stride, kernel, stride)
        transposed = _crop_output if input.device.type == "cpu" else _crop_by_shift
        return transposed(input, self.weight, self.bias, stride, before, after)


def _crop_output(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, before: int, after: int) -> Tensor:
    """Crop the output afterwards. This is fastest on a CPU, where a larger kernel would be slower."""
    height, width = (side * stride for side in images.shape[2:])
    transposed = convolve_transposed(images, weight, None, stride, 0)
    return with_bias(transposed[:, :, before : before + height, before : before + width], bias)


def _crop_by_shift(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, before: int, after: int) -> Tensor:
    """Let the convolution crop both sides equally, after zeros at the kernel's start have shifted the output.

    Cropping one side further afterwards would copy the images, which costs a GPU more.
    """
    shift = after - before
    return convolve_transposed(images, F.pad(weight, (shift, 0, shift, 0)), bias, stride, after)
