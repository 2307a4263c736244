"""`exported:PATH`: the user's own extractor, a program saved by `torch.export.save`.

It takes uint8 images [N, C, H, W] (float32 rows [N, F] for data that is not images) with any N, and returns
floating-point features [N, D]. It scales and resizes images itself.

    program = torch.export.export(model, (pixels,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, "mine.pt2")

A user who names a file trusts it, because the program runs its author's code. TorchScript is not read at all.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from gan.errors import InputError
from gan.evaluation.features import fixed_precision

_HOW = "save one with torch.export.save, its first dimension dynamic"


def make(
    shape: tuple[int, ...], device: torch.device, path: Path, inception_weights: Path | None = None
) -> ExportedFeatures:
    """Load the program and try it on rows of `shape`; `inception_weights` is not used.

    Raises:
        InputError: no such file, not an exported program, or one that does not take these rows.
    """
    return ExportedFeatures(path.expanduser().absolute(), shape).to(device)


class ExportedFeatures:
    """The output of an exported program; see `FeatureExtractor`. The hash, not the name, distinguishes programs."""

    name = "exported"
    resize = "its own"

    def __init__(self, path: Path, shape: tuple[int, ...], expected: str | None = None) -> None:
        self._path, self._shape = path, shape
        self.weights_sha256 = _hash_of(path)
        if expected not in (None, self.weights_sha256):
            raise InputError(f"{path}: another program than the evaluation was prepared with")
        self._program = _load(path)
        self._run = self._program.module()
        self._device = torch.device("cpu")
        self.dimensions = self._try(2)
        if self._try(3) != self.dimensions:
            raise InputError(f"{path}: its features have another length for other counts of rows: {_HOW}")

    def __reduce__(self) -> tuple[object, ...]:
        return ExportedFeatures, (self._path, self._shape, self.weights_sha256)

    def to(self, device: torch.device | str) -> Self:
        from torch.export.passes import move_to_device_pass

        if torch.device(device) != self._device:
            self._device = torch.device(device)
            self._program = move_to_device_pass(self._program, str(self._device))
            self._run = self._program.module()
        return self

    @torch.no_grad()
    def __call__(self, rows: Tensor) -> Tensor:
        rows = rows.to(self._device)
        if len(self._shape) == 3:
            rows = rows.permute(0, 3, 1, 2).contiguous()
        with fixed_precision(self._device):
            features: Tensor = self._run(rows)
        return features.float()

    def _try(self, count: int) -> int:
        """Run the program on `count` black rows, and return the number of features."""
        dtype = torch.uint8 if len(self._shape) == 3 else torch.float32
        where = f"{self._path}: on {count} {dtype} rows of {'×'.join(map(str, self._shape))} the program"
        try:
            features = self(torch.zeros((count, *self._shape), dtype=dtype))
        except Exception as error:  # The user's program may raise anything.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{where} fails ({reason}): {_HOW}") from error
        if features.ndim != 2 or len(features) != count or features.shape[1] == 0:
            raise InputError(f"{where} returns {list(features.shape)}, not {count} rows of features")
        return features.shape[1]


def _hash_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"--features exported:{path}: cannot be read ({error.strerror})") from error


def _load(path: Path) -> Any:
    """Read an exported program, only with `torch.export.load`."""
    _require_program(path)
    try:
        with _silence():
            return torch.export.load(path)
    except Exception as error:  # PyTorch raises many kinds of errors for a damaged file.
        raise InputError(f"{path}: not a readable exported program (damaged, or of another PyTorch): {_HOW}") from error


def _require_program(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: not an exported program: {_HOW}") from error
    if any("/code/" in name for name in names):
        raise InputError(f"{path}: is TorchScript, which is not read here: {_HOW}")
    if not any(name.rpartition("/")[2] in ("archive_format", "serialized_exported_program.json") for name in names):
        raise InputError(f"{path}: not an exported program: {_HOW}")


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress the many lines that PyTorch logs about a file it cannot read; the `InputError` is one line."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
