"""Generators in formats for other programs: ONNX and `torch.export`.

generator.onnx   for ONNX Runtime and other programs that read ONNX; input "latents", output "images"
generator.pt2    a program of `torch.export`, loaded with `torch.export.load`

Both take a batch of any length and contain their weights. They are compared with PyTorch before they are
written. This program never loads one that it has not just made.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from gan.bundle.bundle import Bundle
from gan.errors import InputError

TOLERANCE = 1e-4
"""Largest difference from PyTorch that is allowed, for images in [-1, 1]: a hundredth of a grey level."""

_BATCHES = (1, 5)
"""Batch sizes at which a file is compared; they differ from the size of the traced example."""
_EXAMPLE = 2


class ConversionFailed(Exception):
    """A generator cannot be converted to a format, or gives other images in it; the message says why."""


@dataclass(frozen=True)
class _Format:
    file: str
    needs: tuple[str, ...]
    encode: Callable[[ExportedProgram, dict[str, str]], bytes]
    open: Callable[[bytes], Callable[[Tensor], np.ndarray]]


def require(formats: Iterable[str]) -> None:
    """Check, before anything is written, that the packages of these formats are installed.

    Raises:
        InputError: one is missing.
    """
    for name in formats:
        missing = [package for package in FORMATS[name].needs if find_spec(package) is None]
        if missing:
            raise InputError(f"--{name} needs {', '.join(missing)}: install 'gan-search[onnx]'")


def convert(bundle: Bundle, formats: Iterable[str]) -> dict[str, bytes]:
    """Convert a bundle's generator to some of `FORMATS`, and compare each file with PyTorch.

    Returns:
        File name → content.

    Raises:
        InputError: a package that a format needs is missing.
        ConversionFailed: PyTorch cannot convert this generator, or the images differ.
    """
    formats = list(formats)
    require(formats)
    program = _trace(bundle)
    return {FORMATS[name].file: _converted(FORMATS[name], program, bundle) for name in formats}


class _FromLatents(nn.Module):
    """A generator whose argument is called `latents`."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.generator(latents)
        return images


def _trace(bundle: Bundle) -> ExportedProgram:
    """Return the generator as a program for any number of latents."""
    # Files store weights in contiguous order; in memory they are channels_last.
    generator = copy.deepcopy(bundle.generator).cpu().to(memory_format=torch.contiguous_format)
    sizes = {"latents": {0: torch.export.Dim("batch")}}
    with _failing(bundle, "torch.export"), _quietly():
        program = torch.export.export(_FromLatents(generator).eval(), (bundle.latents(_EXAMPLE),), dynamic_shapes=sizes)
    _forget_paths(program)
    return program


def _forget_paths(program: ExportedProgram) -> None:
    """Remove the source location of each operation, so that paths of this machine are not published."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)


def _converted(form: _Format, program: ExportedProgram, bundle: Bundle) -> bytes:
    with _failing(bundle, form.file), _quietly():
        content = form.encode(program, _about(bundle))
        difference = _difference(form.open(content), bundle)
    # This form of the condition also fails for NaN.
    if not difference <= TOLERANCE:
        raise ConversionFailed(f"{form.file}: its images differ from PyTorch's by {difference:.2g}, over {TOLERANCE:g}")
    return content


def _difference(run: Callable[[Tensor], np.ndarray], bundle: Bundle) -> float:
    """Return the largest difference from PyTorch, over a few images in [-1, 1]."""
    largest = 0.0
    for seed, count in enumerate(_BATCHES):
        latents = bundle.latents(count, seed)
        with torch.no_grad():
            expected = bundle.generator(latents.to(bundle.device)).float().cpu().numpy()
        # np.maximum keeps NaN, which max() would lose.
        largest = float(np.maximum(largest, np.abs(run(latents) - expected).max()))
    return largest


def _about(bundle: Bundle) -> dict[str, str]:
    """Return the metadata of a file: what a program must know to use it."""
    config = bundle.config
    return {
        "latent": config["latent"],
        "latent_dim": str(config["latent_dim"]),
        "shape": json.dumps(config["shape"]),
        "range": "[-1, 1]",
        "generator_sha256": str(config.get("generator_sha256")),
    }


# ---- formats


def _encode_onnx(program: ExportedProgram, about: dict[str, str]) -> bytes:
    exported = torch.onnx.export(
        program,
        (),
        dynamo=True,
        input_names=["latents"],
        output_names=["images"],
        dynamic_shapes={"latents": {0: "batch"}},
        verbose=False,
    )
    assert exported is not None
    model = exported.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString()
    return content


def _open_onnx(content: bytes) -> Callable[[Tensor], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda latents: np.asarray(session.run(None, {"latents": latents.numpy()})[0])


def _encode_program(program: ExportedProgram, about: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"about.json": json.dumps(about)})
    return buffer.getvalue()


def _open_program(content: bytes) -> Callable[[Tensor], np.ndarray]:
    module: Any = torch.export.load(io.BytesIO(content)).module()
    return lambda latents: np.asarray(module(latents).detach())


FORMATS = {
    "onnx": _Format("generator.onnx", ("onnx", "onnxscript", "onnxruntime"), _encode_onnx, _open_onnx),
    "pt2": _Format("generator.pt2", (), _encode_program, _open_program),
}


# ---- errors and warnings of the exporters


@contextmanager
def _failing(bundle: Bundle, target: str) -> Iterator[None]:
    """Turn any error of PyTorch's exporters into `ConversionFailed`, with the first line of its message."""
    try:
        yield
    except Exception as error:  # The exporters raise nearly anything.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConversionFailed(f"network {bundle.config['network']} cannot be written as {target}: {reason}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress warnings of the exporters that are meant for their developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
