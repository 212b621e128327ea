"""How often chance alone would show so large a loss: permutation tests, exact for samples of any size.

Under the null two runs are alike, so whatever was measured might as well have been measured in the other one. Labels
are dealt anew many times, and the share of deals that look at least as bad is the chance (Fisher 1935). Requests that
waited in one queue are alike, so blocks of neighbours are dealt, not requests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DEALS = 10_000
MOST_BLOCKS = 40
"""Per run; blocks become longer beyond it, which costs little power and saves much time."""

Floats = NDArray[np.float64]
Rows = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chance:
    """`value` of so large a loss among equals; `least` is what the largest loss would have, at samples so small."""

    value: float
    least: float


def of_means(ours: Sequence[float], theirs: Sequence[float], block: int, factor: float) -> Chance:
    """That the mean of `ours` is more than `factor` times that of `theirs`; both in order of time."""
    return of_rates([(value / factor, 1.0) for value in ours], [(value, 1.0) for value in theirs], block)


def of_rates(ours: Rows, theirs: Rows, block: int = 1) -> Chance:
    """That sum over sum is larger in `ours`: each row is a numerator and a denominator."""
    mine, other = _blocks(np.array(ours), block), _blocks(np.array(theirs), block)
    pooled = np.concatenate([mine, other])
    dealt, whole = pooled[_deals(len(pooled))[:, : len(mine)]].sum(axis=1), pooled.sum(axis=0)
    seen = float(_excess(mine.sum(axis=0), whole))
    return _share(_excess(dealt, whole), seen, math.comb(len(pooled), len(mine)))


def of_differences(differences: Sequence[float]) -> Chance:
    """That the sum of paired differences is above 0: their signs are dealt."""
    table = _blocks(np.array(differences)[:, None])[:, 0]
    signs = np.random.default_rng(1).choice(np.array([-1.0, 1.0]), (DEALS, len(table)))
    return _share(signs @ table, float(table.sum()), 2 ** len(table))


def of_counts(ours: int, n: int, theirs: int, m: int) -> Chance:
    """That of `ours` out of `n` and `theirs` out of `m` so many fall to us (Fisher's exact test)."""
    both, ways = ours + theirs, math.comb(n + m, n)
    as_bad = sum(math.comb(both, k) * math.comb(n + m - both, n - k) for k in range(ours, min(both, n) + 1))
    return Chance(as_bad / ways, 1 / ways)


@lru_cache(8)
def _deals(count: int) -> NDArray[np.intp]:
    """Orders of so many blocks, one a row."""
    return np.random.default_rng(1).permuted(np.tile(np.arange(count), (DEALS, 1)), axis=1)


def _blocks(rows: Floats, block: int = 1) -> Floats:
    """Sums of stretches of at least `block` neighbours."""
    count = max(1, min(len(rows) // block, MOST_BLOCKS))
    return np.array([part.sum(axis=0) for part in np.array_split(rows, count)])


def _excess(ours: Floats, whole: Floats) -> Floats:
    """Rate of ours less rate of the rest of the whole."""
    rest = whole - ours
    return ours[..., 0] / ours[..., 1] - rest[..., 0] / rest[..., 1]


def _share(dealt: Floats, seen: float, ways: int) -> Chance:
    """What was seen is one of the deals, so no chance is 0."""
    as_bad = int((dealt >= seen - 1e-12 * abs(seen)).sum())
    return Chance((1 + as_bad) / (1 + len(dealt)), max(1 / ways, 1 / (1 + len(dealt))))
