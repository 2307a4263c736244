"""Tests that compare two samples only by rank, without assumptions about scale or distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tail:
    """How much of one sample is in the lower tail of another.

    Attributes:
        share: the share of the first sample below the order statistic of the second that bounds its tail.
        expected: the expected share if both samples have one distribution.
        p_value: probability of this share or a greater one in that case.
    """

    share: float
    expected: float
    p_value: float


def tail(values: np.ndarray, against: np.ndarray, few: float = 0.01) -> Tail:
    """Test whether more of `values` than of `against` are small; the test is exact for any sample size.

    If both samples have one distribution, the number of values of the first below the r-th smallest of the
    second is beta-binomial with parameters r and m + 1 − r (a negative hypergeometric, as every order of the
    two is equally likely).

    Args:
        values, against: the two samples, [N] and [M].
        few: the share of the second sample that is its tail, which has at least one value.
    """
    from scipy.stats import betabinom

    ordered = np.sort(against)
    rank = max(1, round(few * len(against)))
    tied = int(np.searchsorted(ordered, ordered[rank - 1], side="right"))
    if tied > rank:  # Equal values have no order; the next greater value bounds them all.
        rank = tied + 1
    if rank > len(ordered):  # All values are equal, so the test says nothing.
        return Tail(1.0, 1.0, 1.0)
    below = int((values < ordered[rank - 1]).sum())
    p_value = float(betabinom.sf(below - 1, len(values), rank, len(ordered) + 1 - rank))
    return Tail(below / len(values), rank / (len(ordered) + 1), min(1.0, max(0.0, p_value)))


def rank_z(values: np.ndarray, against: np.ndarray) -> float:
    """Return the standardised Mann–Whitney statistic, below 0 if `values` tend to be smaller.

    It is about standard normal if both samples have one distribution. Ties are taken into account.
    """
    from scipy.stats import rankdata

    n, m = len(values), len(against)
    ranks = rankdata(np.concatenate([values, against]))
    excess = ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2
    ties = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    total = n + m
    variance = n * m / 12 * (total + 1 - ((ties**3 - ties).sum() / (total * (total - 1))))
    return float(excess / np.sqrt(variance)) if variance > 0 else 0.0
