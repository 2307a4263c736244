"""Convolutions that train faster on a CPU; the same numbers, up to rounding.

Two things PyTorch's CPU kernels do slowly that one matrix product does at full speed: the gradient of
a kernel of millions of weights, which does not stay in the processor's cache, takes three times as
long; and a kernel that meets each image in one place alone (a latent that becomes b×b, b×b that become
a score), forward and back, five times. These layers are PyTorch's own but for that.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

LARGE_KERNEL = 2**20
"""Weights from which the product wins: measured with `benchmarks/train_step.py`, it doubles the speed
at 2²¹ (256 to 512 channels, 4×4), and is level at 2¹⁹."""


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
    if _pays(weight, images):
        return with_bias(_Convolve.apply(images, weight, stride, padding), bias)
    return F.conv2d(images, weight, bias, stride, padding)


def convolve_transposed(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Spread images N×A×H×W by a kernel A×B×k×k; see `torch.nn.functional.conv_transpose2d`."""
    if padding == 0 and images.shape[2:] == (1, 1):
        return with_bias(_project(images, weight), bias)
    if _pays(weight, images):
        return with_bias(_Transpose.apply(images, weight, stride, padding), bias)
    return F.conv_transpose2d(images, weight, bias, stride, padding)


def _contract(images: Tensor, weight: Tensor) -> Tensor:
    """Convolve images of the kernel's own size, N×A×k×k by B×A×k×k, to N×B×1×1."""
    rows, kernels = (tensor.permute(0, 2, 3, 1).flatten(1) for tensor in (images, weight))
    return (rows @ kernels.T)[:, :, None, None]


def _project(latents: Tensor, weight: Tensor) -> Tensor:
    """Spread images of one pixel, N×A×1×1 by A×B×k×k, to N×B×k×k in channels_last."""
    channels, height, width = weight.shape[1:]
    rows = latents.flatten(1) @ weight.permute(0, 2, 3, 1).flatten(1)
    return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)


def with_bias(images: Tensor, bias: Tensor | None) -> Tensor:
    return images if bias is None else images + bias[:, None, None]


def _pays(weight: Tensor, images: Tensor) -> bool:
    """Tell whether a gradient of this kernel will be wanted, and the matrix product is the way to it."""
    return (
        weight.requires_grad
        and torch.is_grad_enabled()
        and weight.numel() >= LARGE_KERNEL
        and images.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )


class _Convolve(torch.autograd.Function):
    """Convolution; its backward pass is made of differentiable parts, so it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = stride, padding
        return F.conv2d(images, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        images, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        towards_images = None
        if ctx.needs_input_grad[0]:
            towards_images = conv2d_input(images.shape, weight, grad, stride, padding)
        return towards_images, _kernel_gradient(grad, images, weight, stride, padding), None, None


class _Transpose(torch.autograd.Function):
    """Transposed convolution, likewise."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = stride, padding
        return F.conv_transpose2d(images, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        images, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        towards_images = F.conv2d(grad, weight, None, stride, padding) if ctx.needs_input_grad[0] else None
        return towards_images, _kernel_gradient(images, grad, weight, stride, padding), None, None


def _kernel_gradient(small: Tensor, large: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return Σ over places of (a place's channels in `small`) × (its patch of `large`), shaped as `weight`.

    Args:
        small, large: N×A×h×w and N×B×H×W, one place of `small` for each patch of `large`.
        weight: A×B×k×k.
        stride, padding: of the patches.
    """
    side = weight.shape[-1]
    rows = F.pad(large.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    windows = rows.unfold(1, side, stride).unfold(2, side, stride)  # N, h, w, B, k, k
    patches = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side * large.shape[1])
    places = small.permute(0, 2, 3, 1).reshape(-1, small.shape[1])
    return (places.T @ patches).view(-1, side, side, large.shape[1]).permute(0, 3, 1, 2)
