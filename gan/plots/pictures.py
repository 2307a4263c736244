"""Pictures of the training images, to be compared with generated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan.storage.storage import Storage

if TYPE_CHECKING:
    from gan.data.dataset import DataSet

REAL = "real.png"
REAL_COUNT, REAL_SEED = 64, 0


def write_real(folder: Storage, data: DataSet) -> None:
    """Write `real.png`, a grid of 64 training images chosen by a fixed seed, unless it exists already.

    Its layout is that of sample grids. Nothing is written for data that is not images.
    """
    # Imported here, so that code which only reads the picture does not import PyTorch.
    from gan.evaluation.evaluator import reference_rows
    from gan.tensors.images import encode_png, grid

    if data.is_image and not folder.exists(REAL):
        rows = reference_rows(len(data.train), REAL_COUNT, REAL_SEED)
        folder.write_bytes(REAL, encode_png(grid(data.train.gather(rows), columns=8)))
