"""Batches on the device: an endless shuffled stream whose whole state is one integer."""

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
"""Of the device's free memory: what a data set may take there; other trials share the device."""
_AHEAD = 8
_PIECE_BYTES = 64 << 20


@lru_cache(maxsize=4)
def _epoch_order(seed: int, count: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order in which an epoch draws `count` rows, and which of its draws are mirrored."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    flips = np.random.default_rng([seed, epoch, 1]).random(count) < 0.5
    return order, flips


class Batches:
    """Draws whole batches of training rows, each row once an epoch, in an order fixed by the seed.

    Epochs follow one another without a gap: a batch at an epoch's end is filled from the next one.
    What a batch holds depends on (`seed`, `position`) alone, so resuming replays nothing.

    Args:
        rows: what to draw from.
        batch: rows a batch.
        seed: fixes the order, and which rows are flipped.
        device: where the batches are wanted.
        flip: mirror each image left to right with probability one half.
        resident: whether to keep all rows on the device; "auto" does where the device is a GPU and
            they take no more than a quarter of its free memory.

    Raises:
        InputError: there are no rows, or a batch of none is asked for.
        ValueError: `flip` for rows that are not images.
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

    @property
    def resident(self) -> bool:
        """Whether all rows live on the device."""
        return self._all is not None

    def next(self) -> Tensor:
        """Return the next rows, on the device: uint8 batch×H×W×C, or float32 batch×features."""
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
        """Go on from a saved position, of a stream over the same rows with the same seed."""
        self.position = int(state["position"])

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        return _epoch_order(self._seed, len(self._rows), epoch)

    def _epoch_on_device(self, epoch: int) -> tuple[Tensor, Tensor]:
        if epoch not in self._sent:
            self._sent = {old: sent for old, sent in self._sent.items() if old == epoch - 1}
            order, flips = self._epoch(epoch)
            self._sent[epoch] = (
                torch.tensor(order, device=self._device),
                torch.tensor(flips, device=self._device),
            )
        return self._sent[epoch]

    def _pieces(self, position: int) -> list[tuple[int, slice]]:
        """Return which parts of which epochs make up the batch at a position."""
        pieces = []
        wanted = self._batch
        while wanted:
            epoch, start = divmod(position, len(self._rows))
            taken = min(wanted, len(self._rows) - start)
            pieces.append((epoch, slice(start, start + taken)))
            position, wanted = position + taken, wanted - taken
        return pieces

    def _from_device(self, rows: Tensor) -> Tensor:
        # The order of a whole epoch is sent at its start, so that a step copies nothing to the device.
        parts = [(self._epoch_on_device(epoch), part) for epoch, part in self._pieces(self.position)]
        drawn = rows.index_select(0, _joined([order[part] for (order, _), part in parts]))
        if not self._flip:
            return drawn
        flips = _joined([flips[part] for (_, flips), part in parts])
        return torch.where(flips[:, None, None, None], drawn.flip(2), drawn)

    def _gather(self, position: int) -> Tensor:
        """Copy the batch at a position out of the mapped file."""
        parts = [(self._epoch(epoch), part) for epoch, part in self._pieces(position)]
        drawn = self._rows.gather(np.concatenate([order[part] for (order, _), part in parts]))
        if self._flip:
            flips = np.concatenate([flips[part] for (_, flips), part in parts])
            drawn[flips] = drawn[flips, :, ::-1]
        return torch.from_numpy(drawn)

    def _gather_pinned(self, position: int) -> Tensor:
        return self._gather(position).pin_memory()

    def _prefetched(self) -> Tensor:
        """Take the batch at the position from those that a thread gathers ahead of time."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "batches")
        if self._ahead and self._ahead[0][0] != self.position:
            self._ahead.clear()  # The position was set anew.
        while len(self._ahead) < _AHEAD:
            position = self.position + len(self._ahead) * self._batch
            self._ahead.append((position, self._pool.submit(self._gather_pinned, position)))
        return self._ahead.popleft()[1].result().to(self._device, non_blocking=True)

    def _fits(self) -> bool:
        free = free_memory(self._device) if self._device.type == "cuda" else 0
        return len(self._rows) * self._rows.row_bytes <= (free or 0) * RESIDENT_SHARE

    def _load(self) -> Tensor:
        """Copy all rows to the device, a piece at a time."""
        first = torch.from_numpy(self._rows.gather(np.arange(1)))
        kept = torch.empty((len(self._rows), *first.shape[1:]), dtype=first.dtype, device=self._device)
        step = max(1, _PIECE_BYTES // self._rows.row_bytes)
        for start in range(0, len(kept), step):
            stop = min(start + step, len(kept))
            kept[start:stop] = torch.from_numpy(self._rows.gather(np.arange(start, stop)))
        return kept


def _joined(parts: list[Tensor]) -> Tensor:
    # Most batches are of one part, which need not be copied.
    return parts[0] if len(parts) == 1 else torch.cat(parts)
