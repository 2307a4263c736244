"""Convolutions that train faster on a CPU; results are equal up to rounding.

One matrix product replaces PyTorch's CPU kernels in two slow cases. The gradient of a kernel with millions of weights,
which do not fit into the processor's cache, takes PyTorch three times as long. A kernel with a single position in each
image (a latent becomes b×b, or b×b becomes a score) takes five times as long, forward and backward. In all other cases
these layers are PyTorch's own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

LARGE_KERNEL = 2**20
"""Number of weights from which the matrix product is faster: measured with `benchmarks/train_step.py`, it doubles the
speed at 2²¹ (256 to 512 channels, 4×4) and is level at 2¹⁹."""


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` for square kernels and zero padding, without dilation or groups."""

    def forward(self, input: Tensor) -> Tensor:
        return convolve(input, self.weight, self.bias, self.stride[0], int(self.padding[0]))


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` for square kernels, without dilation, groups or output padding."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None:
            return super().forward(input, output_size)
        return convolve_transposed(input, self.weight, self.bias, self.stride[0], int(self.padding[0]))


def convolve(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve images N×A×H×W by a kernel B×A×k×k; see `torch.nn.functional.conv2d`."""
    if padding == 0 and images.shape[2:] == weight.shape[2:]:
        return with_bias(_contract(images, weight), bias)
    if _product_is_faster(weight, images):
        return with_bias(_Convolve.apply(images, weight, stride, padding), bias)
    return F.conv2d(images, weight, bias, stride, padding)


def convolve_transposed(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Convolve images N×A×H×W by a transposed kernel A×B×k×k; see `torch.nn.functional.conv_transpose2d`."""
    if padding == 0 and images.shape[2:] == (1, 1):
        return with_bias(_project(images, weight), bias)
    if _product_is_faster(weight, images):
        return with_bias(_Transpose.apply(images, weight, stride, padding), bias)
    return F.conv_transpose2d(images, weight, bias, stride, padding)


def _contract(images: Tensor, weight: Tensor) -> Tensor:
    """Convolve images of the kernel's size: N×A×k×k by B×A×k×k gives N×B×1×1."""
    rows, kernels = (tensor.permute(0, 2, 3, 1).flatten(1) for tensor in (images, weight))
    return (rows @ kernels.T)[:, :, None, None]


def _project(latents: Tensor, weight: Tensor) -> Tensor:
    """Convolve images of one pixel by a transposed kernel: N×A×1×1 by A×B×k×k gives N×B×k×k, in channels_last."""
    channels, height, width = weight.shape[1:]
    rows = latents.flatten(1) @ weight.permute(0, 2, 3, 1).flatten(1)
    return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)


def with_bias(images: Tensor, bias: Tensor | None) -> Tensor:
    return images if bias is None else images + bias[:, None, None]


def _product_is_faster(weight: Tensor, images: Tensor) -> bool:
    """Tell whether the kernel's gradient will be needed, and the matrix product computes it faster."""
    return (
        weight.requires_grad
        and torch.is_grad_enabled()
        and weight.numel() >= LARGE_KERNEL
        and images.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )


class _Convolve(torch.autograd.Function):
    """Convolution. Its backward pass consists of differentiable operations, so it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = stride, padding
        return F.conv2d(images, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        images, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        images_gradient = None
        if ctx.needs_input_grad[0]:
            images_gradient = conv2d_input(images.shape, weight, grad, stride, padding)
        return images_gradient, _kernel_gradient(grad, images, weight, stride, padding), None, None


class _Transpose(torch.autograd.Function):
    """Transposed convolution, differentiable twice as well."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = stride, padding
        return F.conv_transpose2d(images, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        images, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        images_gradient = F.conv2d(grad, weight, None, stride, padding) if ctx.needs_input_grad[0] else None
        return images_gradient, _kernel_gradient(images, grad, weight, stride, padding), None, None


def _kernel_gradient(small: Tensor, large: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return the sum over positions of (channels of `small`) × (patch of `large`), in the shape of `weight`.

    Args:
        small, large: N×A×h×w and N×B×H×W; each position of `small` belongs to one patch of `large`.
        weight: A×B×k×k.
        stride, padding: stride of the patches, padding of `large`.
    """
    side = weight.shape[-1]
    rows = F.pad(large.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    windows = rows.unfold(1, side, stride).unfold(2, side, stride)  # N, h, w, B, k, k
    patches = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side * large.shape[1])
    positions = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1])
    return (positions.T @ patches).view(-1, side, side, large.shape[1]).permute(0, 3, 1, 2)
