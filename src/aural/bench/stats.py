"""Percentiles that the sample can carry, and intervals by bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aural.bench.scoring import NOTHING, Estimate

LEAST = {50.0: 1, 90.0: 100, 95.0: 200, 99.0: 1_000}
"""A percentile is printed from so many samples on: ten of them must lie beyond it."""
LEAST_GROUPS = {95.0: 5, 99.0: 20}
"""And where samples come in groups that are alike, from so many groups on."""
MOST_DRAWN, MOST_AT_ONCE = 20_000_000, 2_000_000
INTERVAL = (2.5, 97.5)
RESAMPLES = 1_000
FEWEST_RESAMPLES = 200
FEWEST_GROUPS = 5

Floats = NDArray[np.float64]
Statistic = Callable[..., Floats]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds, from all raw samples; a percentile that the sample cannot carry is not a number."""

    n: int
    mean: Estimate
    p50: Estimate
    p95: Estimate
    p99: Estimate
    highest: float


def latency(seconds: Sequence[float], block: int = 1) -> Latency:
    return Latency(
        len(seconds),
        bootstrap(seconds, np.mean, block),
        quantile(seconds, 50, block),
        quantile(seconds, 95, block),
        quantile(seconds, 99, block),
        max(seconds, default=math.nan),
    )


def quantile(values: Sequence[float], q: float, block: int = 1) -> Estimate:
    """The exact percentile with its interval, or nothing when there are too few samples for it."""
    if len(values) < LEAST.get(q, 1):
        return NOTHING
    return bootstrap(values, lambda drawn, axis: np.percentile(drawn, q, axis=axis), block)


def quantile_of_groups(groups: Sequence[Sequence[float]], q: float) -> Estimate:
    """The same of samples that come in groups: neighbours in a group share what befell it, so the interval resamples
    groups (cluster bootstrap), and there is none of fewer than five."""
    filled = [np.asarray(group, float) for group in groups if len(group)]
    values = np.concatenate(filled) if filled else np.empty(0)
    if len(values) < LEAST.get(q, 1) or len(filled) < LEAST_GROUPS.get(q, 1):
        return NOTHING
    value = float(np.percentile(values, q))
    if len(filled) < FEWEST_GROUPS:
        return Estimate(value, math.nan, math.nan)
    rng = np.random.default_rng(1)
    picks = rng.integers(0, len(filled), (FEWEST_RESAMPLES, len(filled)))
    drawn = [np.percentile(np.concatenate([filled[i] for i in row]), q) for row in picks]
    low, high = np.percentile(drawn, INTERVAL)
    return Estimate(value, float(low), float(high))


def at_least(count: int, of: int, share: float) -> float:
    """Chance that so many or more of `of` are what a `share` of all are (binomial)."""
    log = (
        math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        + k * math.log(share) + (of - k) * math.log1p(-share)
        for k in range(count)
    )  # fmt: skip
    return 1 - math.fsum(map(math.exp, log))


def bootstrap(values: Sequence[float], statistic: Statistic, block: int = 1, seed: int = 1) -> Estimate:
    """A figure and its 95 % interval from resampled blocks of neighbours: requests that waited in one queue are alike,
    and drawing them one by one would make the interval too narrow (circular blocks, Politis and Romano 1992)."""
    table = np.asarray(values, float)
    if not len(table):
        return NOTHING
    drawn = np.concatenate([statistic(table[rows], axis=1) for rows in draws(len(table), block, seed)])
    low, high = np.percentile(drawn, INTERVAL)
    return Estimate(float(statistic(table, axis=0)), float(low), float(high))


def draws(count: int, block: int = 1, seed: int = 1) -> list[NDArray[np.int64]]:
    """Resampled positions, shape (resamples, count), in parts that fit into memory."""
    rng = np.random.default_rng(seed)
    block = max(1, min(block, count // 2))
    blocks = math.ceil(count / block)
    resamples = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWN // count))
    part = max(1, MOST_AT_ONCE // count)
    found = []
    for at in range(0, resamples, part):
        starts = rng.integers(0, count, (min(part, resamples - at), blocks))
        rows = (starts[:, :, None] + np.arange(block)).reshape(len(starts), -1)[:, :count] % count
        found.append(rows)
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float], statistic: Statistic, block: int = 1) -> Estimate:
    """A figure of ours over theirs; the two were drawn independently."""
    if not len(ours) or not len(theirs):
        return NOTHING
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    drawn_a, drawn_b = (
        np.concatenate([statistic(table[rows], axis=1) for rows in draws(len(table), block, seed)])
        for table, seed in ((a, 1), (b, 2))
    )
    size = min(len(drawn_a), len(drawn_b))
    low, high = np.percentile(drawn_a[:size] / drawn_b[:size], INTERVAL)
    return Estimate(float(statistic(a, axis=0) / statistic(b, axis=0)), float(low), float(high))
