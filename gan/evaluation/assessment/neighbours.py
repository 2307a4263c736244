"""Nearest neighbours in feature space, exact, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_ROWS = 1000  # Queries at a time; their distances to the whole pool are in memory at once.


def nearest(queries: Tensor, pool: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return each query's Euclidean distance to its nearest row of the pool, and which row that is.

    Args:
        queries: float32 [N, D].
        pool: float32 [M, D].
        own: int64 [N], the rows of the pool that the queries are, if they are. No row is its own neighbour.

    Returns:
        float32 [N] and int64 [N].
    """
    index = torch.cat([squares.argmin(1) for squares in _squares(queries, pool, own)])
    # The search subtracts large numbers; the distances are therefore computed again directly.
    parts = zip(queries.split(_ROWS), pool[index].split(_ROWS), strict=True)
    return torch.cat([(query - neighbour).norm(dim=1) for query, neighbour in parts]), index


def radii(pool: Tensor, neighbour: int, rows: Tensor | None = None) -> Tensor:
    """Return the Euclidean distance of rows of a pool to their `neighbour`-th nearest other row.

    Args:
        pool: float32 [M, D].
        neighbour: 1 for the nearest.
        rows: int64 [N], the rows; all if None.

    Returns:
        float32 [N].
    """
    own = torch.arange(len(pool), device=pool.device) if rows is None else rows
    parts = [squares.kthvalue(neighbour, 1).values for squares in _squares(pool[own], pool, own)]
    return torch.cat(parts).clamp(min=0).sqrt()


def _squares(queries: Tensor, pool: Tensor, own: Tensor | None) -> Iterator[Tensor]:
    """Yield the squared distances of some queries at a time to the whole pool."""
    # |a|² + |b|² − 2ab loses digits far from the origin, so the origin is moved to the pool's mean.
    centre = pool.mean(0)
    pool = pool - centre
    lengths = pool.square().sum(1)
    for start in range(0, len(queries), _ROWS):
        part = queries[start : start + _ROWS] - centre
        squares = torch.addmm(lengths, part, pool.T, alpha=-2).add_(part.square().sum(1, keepdim=True))
        if own is not None:
            squares.scatter_(1, own[start : start + _ROWS, None], torch.inf)
        yield squares
