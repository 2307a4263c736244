"""A generator for programs that know nothing of this one: ONNX, and `torch.export`.

generator.onnx   for ONNX Runtime and whatever else reads ONNX; input "latents", output "images"
generator.pt2    a program of `torch.export`, loaded with `torch.export.load`

Both take a batch of any length, hold their weights, and are compared with PyTorch before they are
written. They are made for others: nothing here loads one that it has not just made.
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
"""Largest difference from PyTorch that is let pass, for images in [-1, 1]: a hundredth of a grey level."""

_BATCHES = (1, 5)
"""Lengths at which a file is compared: not the length of the example that it was traced with."""
_EXAMPLE = 2


class ConversionFailed(Exception):
    """A generator cannot be expressed in a format, or gives other images there; the message says why."""


@dataclass(frozen=True)
class Converted:
    """A file that holds a bundle's generator.

    Attributes:
        name: of the file.
        content: what is in it.
        difference: the largest from PyTorch, over a few images in [-1, 1].
    """

    name: str
    content: bytes
    difference: float


@dataclass(frozen=True)
class _Format:
    file: str
    needs: tuple[str, ...]
    encode: Callable[[ExportedProgram, dict[str, str]], bytes]
    open: Callable[[bytes], Callable[[Tensor], np.ndarray]]


def require(formats: Iterable[str]) -> None:
    """Check, before anything is written, that the packages which these formats need are there.

    Raises:
        InputError: one is missing.
    """
    for name in formats:
        missing = [package for package in FORMATS[name].needs if find_spec(package) is None]
        if missing:
            raise InputError(f"--{name} needs {', '.join(missing)}: install 'gan-search[onnx]'")


def convert(bundle: Bundle, formats: Iterable[str]) -> list[Converted]:
    """Express a bundle's generator in some of `FORMATS`, and compare each with PyTorch.

    Raises:
        InputError: a package that a format needs is missing.
        ConversionFailed: PyTorch cannot express this generator so, or the images differ.
    """
    formats = list(formats)
    require(formats)
    program = _trace(bundle)
    return [_converted(name, program, bundle) for name in formats]


class _FromLatents(nn.Module):
    """A generator whose argument is called `latents`, whatever its own calls it."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.generator(latents)
        return images


def _trace(bundle: Bundle) -> ExportedProgram:
    """Return the generator as a program for any number of latents."""
    # A file keeps weights in plain order, whatever order this processor likes.
    generator = copy.deepcopy(bundle.generator).cpu().to(memory_format=torch.contiguous_format)
    sizes = {"latents": {0: torch.export.Dim("batch")}}
    with _failing(bundle, "torch.export"), _quietly():
        program = torch.export.export(_FromLatents(generator).eval(), (bundle.latents(_EXAMPLE),), dynamic_shapes=sizes)
    _forget_paths(program)
    return program


def _forget_paths(program: ExportedProgram) -> None:
    """Remove where in the source each operation came from: paths of this machine are not for others."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)


def _converted(name: str, program: ExportedProgram, bundle: Bundle) -> Converted:
    form = FORMATS[name]
    with _failing(bundle, form.file), _quietly():
        content = form.encode(program, _about(bundle))
        difference = _difference(form.open(content), bundle)
    # Written so that NaN fails too.
    if not difference <= TOLERANCE:
        raise ConversionFailed(f"{form.file}: its images differ from PyTorch's by {difference:.2g}, over {TOLERANCE:g}")
    return Converted(form.file, content, difference)


def _difference(run: Callable[[Tensor], np.ndarray], bundle: Bundle) -> float:
    largest = 0.0
    for seed, count in enumerate(_BATCHES):
        latents = bundle.latents(count, seed)
        with torch.no_grad():
            wanted = bundle.generator(latents.to(bundle.device)).float().cpu().numpy()
        # np.maximum keeps NaN, where max() would lose it.
        largest = float(np.maximum(largest, np.abs(run(latents) - wanted).max()))
    return largest


def _about(bundle: Bundle) -> dict[str, str]:
    """Return what a program needs to know to use the file, for the file itself."""
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
    made = torch.onnx.export(
        program,
        (),
        dynamo=True,
        input_names=["latents"],
        output_names=["images"],
        dynamic_shapes={"latents": {0: "batch"}},
        verbose=False,
    )
    assert made is not None
    model = made.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString()
    return content


def _open_onnx(content: bytes) -> Callable[[Tensor], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(latents: Tensor) -> np.ndarray:
        images: np.ndarray = session.run(None, {"latents": latents.numpy()})[0]
        return images

    return run


def _encode_program(program: ExportedProgram, about: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"about.json": json.dumps(about)})
    return buffer.getvalue()


def _open_program(content: bytes) -> Callable[[Tensor], np.ndarray]:
    module: Any = torch.export.load(io.BytesIO(content)).module()

    def run(latents: Tensor) -> np.ndarray:
        with torch.no_grad():
            images: np.ndarray = module(latents).numpy()
        return images

    return run


FORMATS = {
    "onnx": _Format("generator.onnx", ("onnx", "onnxscript", "onnxruntime"), _encode_onnx, _open_onnx),
    "pt2": _Format("generator.pt2", (), _encode_program, _open_program),
}


# ---- what PyTorch says on the way


@contextmanager
def _failing(bundle: Bundle, what: str) -> Iterator[None]:
    """Turn whatever PyTorch's exporters raise into one kind of error, with its first line."""
    try:
        yield
    except Exception as error:  # they raise nearly anything
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConversionFailed(f"network {bundle.config['network']} cannot be written as {what}: {said}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the exporters tell their developers from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
