"""Training batches on the device: an endless shuffled stream whose state is one integer."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gan.data.dataset import Rows
from gan.errors import InputError
from gan.tensors.device import free_memory

RESIDENT_SHARE = 0.25
"""Largest share of the device's free memory that a resident data set may take; trials may share the device."""
_AHEAD = 8
"""Batches gathered ahead of time."""
_COPIED_BYTES = 64 << 20
"""Bytes copied to the device at a time when a whole data set is loaded."""


@lru_cache(maxsize=4)
def _epoch_order(seed: int, count: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order in which an epoch draws its `count` rows, and which draws are mirrored."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    flips = np.random.default_rng([seed, epoch, 1]).random(count) < 0.5
    return order, flips


class Batches:
    """Draws full batches of training rows, each row once per epoch, in an order fixed by the seed.

    A batch at the end of an epoch is filled from the next epoch. The content of a batch depends only on
    (`seed`, `position`), so a resumed stream replays nothing.

    Args:
        rows: the rows to draw from.
        batch: rows per batch.
        seed: fixes the order, and which rows are flipped.
        device: the device that the batches are returned on.
        flip: mirror each image left to right with probability one half.
        resident: whether to keep all rows on the device. "auto" does so if the device is a GPU and the rows
            take at most a quarter of its free memory.

    Raises:
        InputError: there are no rows, or `batch` is less than 1.
        ValueError: `flip` is set, but the rows are not images.
    """

    def __init__(
        self,
        rows: Rows,
        batch: int,
        seed: int,
        device: torch.device,
        flip: bool = False,
        resident: bool | Literal["auto"] = "auto",
    ) -> None:
        if len(rows) < 1 or batch < 1:
            raise InputError(f"cannot draw batches of {batch} from {len(rows)} rows: both must be at least 1")
        if flip and rows.gather(np.arange(1)).ndim != 4:
            raise ValueError("only images can be flipped")
        self.position = 0
        self._rows, self._batch, self._seed, self._flip = rows, batch, seed, flip
        self._device = torch.device(device)
        keep = self._fits() if resident == "auto" else resident
        self._all = self._load() if keep else None
        self._sent: dict[int, tuple[Tensor, Tensor]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: deque[tuple[int, Future[Tensor]]] = deque()

    def next(self) -> Tensor:
        """Return the next batch on the device: uint8 batch×H×W×C, or float32 batch×features."""
        if self._all is not None:
            rows = self._from_device(self._all)
        elif self._device.type == "cuda":
            rows = self._prefetched()
        else:
            rows = self._gather(self.position).to(self._device)
        self.position += self._batch
        return rows

    def state_dict(self) -> dict[str, int]:
        """Return the position: the number of rows drawn so far."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from the saved position of a stream over the same rows with the same seed."""
        self.position = int(state["position"])

    def _epoch_on_device(self, epoch: int) -> tuple[Tensor, Tensor]:
        if epoch not in self._sent:
            self._sent = {old: sent for old, sent in self._sent.items() if old == epoch - 1}
            order, flips = _epoch_order(self._seed, len(self._rows), epoch)
            self._sent[epoch] = torch.tensor(order, device=self._device), torch.tensor(flips, device=self._device)
        return self._sent[epoch]

    def _spans(self, position: int) -> list[tuple[int, slice]]:
        """Return the epochs that the batch at a position draws from, each with the slice of its order."""
        spans = []
        missing = self._batch
        while missing:
            epoch, start = divmod(position, len(self._rows))
            taken = min(missing, len(self._rows) - start)
            spans.append((epoch, slice(start, start + taken)))
            position, missing = position + taken, missing - taken
        return spans

    def _from_device(self, rows: Tensor) -> Tensor:
        # The order of an epoch is sent to the device at its start. A step then copies nothing.
        spans = [(self._epoch_on_device(epoch), span) for epoch, span in self._spans(self.position)]
        drawn = rows.index_select(0, _joined([order[span] for (order, _), span in spans]))
        if not self._flip:
            return drawn
        flips = _joined([flips[span] for (_, flips), span in spans])
        return torch.where(flips[:, None, None, None], drawn.flip(2), drawn)

    def _gather(self, position: int) -> Tensor:
        """Copy the batch at a position out of the mapped file."""
        spans = [(_epoch_order(self._seed, len(self._rows), epoch), span) for epoch, span in self._spans(position)]
        drawn = self._rows.gather(np.concatenate([order[span] for (order, _), span in spans]))
        if self._flip:
            flips = np.concatenate([flips[span] for (_, flips), span in spans])
            drawn[flips] = drawn[flips, :, ::-1]
        return torch.from_numpy(drawn)

    def _prefetched(self) -> Tensor:
        """Return the current batch, which a thread has gathered ahead of time."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "batches")
        if self._ahead and self._ahead[0][0] != self.position:
            self._ahead.clear()  # The position was changed.
        while len(self._ahead) < _AHEAD:
            position = self.position + len(self._ahead) * self._batch
            self._ahead.append((position, self._pool.submit(lambda at: self._gather(at).pin_memory(), position)))
        return self._ahead.popleft()[1].result().to(self._device, non_blocking=True)

    def _fits(self) -> bool:
        free = free_memory(self._device) if self._device.type == "cuda" else 0
        return len(self._rows) * self._rows.row_bytes <= (free or 0) * RESIDENT_SHARE

    def _load(self) -> Tensor:
        """Copy all rows to the device, some at a time."""
        first = torch.from_numpy(self._rows.gather(np.arange(1)))
        loaded = torch.empty((len(self._rows), *first.shape[1:]), dtype=first.dtype, device=self._device)
        count = max(1, _COPIED_BYTES // self._rows.row_bytes)
        for target, rows in zip(loaded.split(count), self._rows.batches(count=count), strict=True):
            target.copy_(torch.from_numpy(rows))
        return loaded


def _joined(parts: list[Tensor]) -> Tensor:
    # Most batches come from one epoch; their part need not be copied.
    return parts[0] if len(parts) == 1 else torch.cat(parts)
