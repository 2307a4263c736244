"""Mean and covariance of features: computed as a stream in float64 on the features' device, saved as `.npz`."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan.errors import InputError, NotFinite, TooFew
from gan.storage.storage import write_atomically

_MEASURED = "evaluation"  # pytorch-fid reads only `mu` and `sigma`.

_ROUNDING = 1e-5
"""Tolerance for a covariance to be symmetric and positive, relative to its largest entry: some files are float32."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """The first two moments of a set's features.

    Attributes:
        mean: float64 [D].
        covariance: float64 [D, D], unbiased (ddof=1).
        count: number of rows; None for a file of another program without it.
    """

    mean: Tensor
    covariance: Tensor
    count: int | None

    def to(self, device: torch.device | str) -> Statistics:
        return Statistics(self.mean.to(device), self.covariance.to(device), self.count)


class Accumulator:
    """Streaming mean and covariance, which do not depend on how rows are split into batches.

    Sums are relative to the first row. Without this shift, Σxxᵀ − nμμᵀ loses digits if the mean is large
    compared with the spread (Chan, Golub & LeVeque 1983).
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift = self._sum = self._products = torch.empty(0, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Add features [N, D] of any floating type.

        Raises:
            InputError: another number of dimensions than in earlier batches.
        """
        if len(features) == 0:
            return
        rows = features.double()
        if self._count == 0:
            self._shift = rows[0].clone()
            self._sum = torch.zeros_like(self._shift)
            self._products = self._shift.new_zeros(rows.shape[1], rows.shape[1])
        if rows.shape[1] != len(self._shift):
            raise InputError(f"features of {rows.shape[1]} dimensions follow features of {len(self._shift)}")
        rows = rows - self._shift
        self._count += len(rows)
        self._sum += rows.sum(0)
        self._products.addmm_(rows.T, rows)

    def finish(self) -> Statistics:
        """Return the statistics of all rows so far.

        Raises:
            TooFew: fewer than two rows.
            NotFinite: a row held NaN or infinity.
        """
        if self._count < 2:
            raise TooFew(f"a covariance needs at least 2 samples, got {self._count}")
        # One check at the end suffices: NaN or infinity in any row stays in the sums.
        if not bool(torch.isfinite(self._sum).all()):
            raise NotFinite("features are not finite (NaN or infinity)")
        offset = self._sum / self._count
        covariance = (self._products - torch.outer(self._sum, offset)) / (self._count - 1)
        return Statistics(self._shift + offset, (covariance + covariance.T) / 2, self._count)


_UNREADABLE = (OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""Errors of NumPy for a file that is not its own, is cut short, or claims an absurd size."""


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an `.npz` file completely or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read every array of an `.npz` file; pickled objects are refused.

    Raises:
        InputError: the file is missing, is not an `.npz`, is truncated, or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not readable as an .npz file ({reason})") from error


def as_arrays(statistics: Statistics) -> dict[str, np.ndarray]:
    """Return the parts under the names of pytorch-fid, `mu` and `sigma`, and `count`, which it ignores."""
    arrays = {"mu": statistics.mean.cpu().numpy(), "sigma": statistics.covariance.cpu().numpy()}
    return arrays if statistics.count is None else arrays | {"count": np.asarray(statistics.count)}


def from_arrays(arrays: dict[str, np.ndarray], origin: str) -> Statistics:
    """Convert the result of `as_arrays` back, and check it.

    Raises:
        InputError: a part is missing, not numeric, not finite or of the wrong shape; the message names `origin`.
    """
    if "mu" not in arrays or "sigma" not in arrays:
        raise InputError(f"{origin}: has no 'mu' and 'sigma', so these are not FID statistics")
    mean, covariance, count = arrays["mu"], arrays["sigma"], arrays.get("count")
    if mean.dtype.kind not in "fiu" or covariance.dtype.kind not in "fiu":
        raise InputError(f"{origin}: 'mu' and 'sigma' must hold real numbers")
    if mean.ndim != 1 or len(mean) == 0 or covariance.shape != (len(mean), len(mean)):
        raise InputError(f"{origin}: {mean.shape} and {covariance.shape} are not shapes of mean and covariance")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InputError(f"{origin}: the statistics are not finite")
    if count is not None and (count.shape != () or count.dtype.kind not in "iu" or count < 2):
        raise InputError(f"{origin}: 'count' is not a number of images, which must be 2 or more")
    if not np.allclose(covariance, covariance.T, rtol=0, atol=_ROUNDING * float(np.abs(covariance).max())):
        raise InputError(f"{origin}: 'sigma' is not symmetric, so it is not a covariance")
    return Statistics(
        torch.from_numpy(mean.astype(np.float64)),
        torch.from_numpy(covariance.astype(np.float64)),
        None if count is None else int(count),
    )


def save_statistics(path: Path, statistics: Statistics, measured: Mapping[str, Any] | None = None) -> None:
    """Write statistics as an `.npz` that pytorch-fid reads too, with a description of how they were measured."""
    arrays = as_arrays(statistics)
    write_npz(path, arrays if measured is None else arrays | {_MEASURED: np.asarray(json.dumps(dict(measured)))})


def load_statistics(path: Path) -> tuple[Statistics, dict[str, Any] | None]:
    """Read statistics and the description of how they were measured, which files of pytorch-fid lack (None).

    Raises:
        InputError: not such a file; the message names it.
    """
    arrays = read_npz(path)
    statistics = from_arrays(arrays, str(path))
    values = torch.linalg.eigvalsh(statistics.covariance)
    if float(values[0]) < -_ROUNDING * float(values.abs().max()):
        raise InputError(f"{path}: 'sigma' has negative eigenvalues, so it is not a covariance")
    if _MEASURED not in arrays:
        return statistics, None
    try:
        measured = json.loads(str(arrays[_MEASURED]))
        shape = measured["shape"]
        if not isinstance(shape, list) or not all(type(side) is int for side in shape):
            raise ValueError("shape")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: '{_MEASURED}' in it does not say how the statistics were made") from error
    return statistics, measured
