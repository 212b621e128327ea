"""Figures of labels and scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def accuracy(found: Sequence[str], truth: Sequence[str]) -> float:
    return float(np.mean([one == other for one, other in zip(found, truth, strict=True)]))


def f1(hits: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (hits & truth).sum() / max(hits.sum() + truth.sum(), 1))


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the curve, ties counted half."""
    order = np.unique(scores, return_inverse=True)[1]
    ranks = (np.cumsum(np.bincount(order)) - (np.bincount(order) - 1) / 2)[order]
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / max(count * (len(scores) - count), 1))
