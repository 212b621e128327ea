"""Word error rates, intervals and percentiles: pure functions over texts and numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import jiwer
import numpy as np
from numpy.typing import NDArray
from whisper_normalizer.english import EnglishTextNormalizer  # type: ignore[import-untyped]

from benchmarks.records import Answer

RESAMPLES = 2_000
FAR_FROM_OWN = 0.8
CLOSE_TO_OTHER = 0.3
LEAST_FOR_P95 = 200

Floats = NDArray[np.float64]

_normalise = cache(EnglishTextNormalizer())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its bootstrap 95 % interval."""

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Errors:
    """Word errors of one text. A mean over several answers is fractional."""

    errors: float
    words: int


@cache
def word_errors(reference: str, heard: str) -> Errors:
    """Substitutions, deletions and insertions after Whisper's English normaliser."""
    expected, got = _normalise(reference), _normalise(heard)
    words = len(expected.split())
    if not words:
        return Errors(len(got.split()), 0)
    result = jiwer.process_words(expected, got)
    return Errors(result.substitutions + result.deletions + result.insertions, words)


def rate(reference: str, heard: str) -> float:
    scored = word_errors(reference, heard)
    return scored.errors / max(scored.words, 1)


def by_item(answers: Sequence[Answer], texts: Sequence[str]) -> dict[int, Errors]:
    """Errors per item, the mean where an item was asked more than once. A failed request has no text to score."""
    heard: dict[int, list[float]] = {}
    for answer in answers:
        if answer.ok:
            heard.setdefault(answer.item, []).append(word_errors(texts[answer.item], answer.text).errors)
    return {
        item: Errors(sum(errors) / len(errors), word_errors(texts[item], "").words) for item, errors in heard.items()
    }


def corpus_rate(scored: Mapping[int, Errors]) -> Estimate:
    """Word error rate over all words, in percent; the interval resamples items."""
    table = np.array([(one.errors, one.words) for one in scored.values()], float)
    if not len(table):
        return NOTHING
    drawn = table[_draws(len(table))].sum(axis=1)
    return _estimate(100 * _ratio(table.sum(axis=0)), 100 * drawn[:, 0] / drawn[:, 1])


def rate_difference(ours: Mapping[int, Errors], theirs: Mapping[int, Errors]) -> Estimate:
    """Our word error rate less theirs, in points, over the items that both heard; items are resampled in pairs."""
    items = sorted(ours.keys() & theirs.keys())
    table = np.array([(ours[i].errors - theirs[i].errors, ours[i].words) for i in items], float)
    if not len(table):
        return NOTHING
    drawn = table[_draws(len(table))].sum(axis=1)
    return _estimate(100 * _ratio(table.sum(axis=0)), 100 * drawn[:, 0] / drawn[:, 1])


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Median over median; rounds are resampled in pairs when both sides have as many, for they ran side by side."""
    a, b = np.array(ours, float), np.array(theirs, float)
    if not len(a) or not len(b):
        return NOTHING
    drawn_a = _draws(len(a))
    drawn_b = drawn_a if len(a) == len(b) else _draws(len(b))
    drawn = np.median(a[drawn_a], axis=1) / np.median(b[drawn_b], axis=1)
    return _estimate(float(np.median(a) / np.median(b)), drawn)


def median(values: Sequence[float]) -> Estimate:
    table = np.array(values, float)
    if not len(table):
        return NOTHING
    return _estimate(float(np.median(table)), np.median(table[_draws(len(table))], axis=1))


def percentile(values: Sequence[float], q: float) -> float:
    return float(np.percentile(values, q)) if len(values) else math.nan


def wrong_texts(answers: Sequence[Answer], texts: Sequence[str]) -> list[Answer]:
    """Answers that are far from what was said to them and close to what was said to another request in flight."""
    heard = [answer for answer in answers if answer.ok and answer.text]
    return [
        answer
        for answer in heard
        if rate(texts[answer.item], answer.text) > FAR_FROM_OWN
        and any(
            rate(texts[other.item], answer.text) < CLOSE_TO_OTHER
            for other in answers
            if other.item != answer.item and other.start < answer.end and answer.start < other.end
        )
    ]


def same_text_share(ours: Sequence[Answer], theirs: Sequence[Answer]) -> float:
    """Share of the items that both heard for which every text of both is the same, letter by letter."""
    texts = [_texts(ours), _texts(theirs)]
    items = texts[0].keys() & texts[1].keys()
    same = [len(texts[0][item] | texts[1][item]) == 1 for item in items]
    return sum(same) / len(same) if same else math.nan


def unsteady_items(answers: Sequence[Answer]) -> int:
    """Items that were not given the same text every time."""
    return sum(len(texts) > 1 for texts in _texts(answers).values())


def _texts(answers: Sequence[Answer]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for answer in answers:
        if answer.ok:
            found.setdefault(answer.item, set()).add(" ".join(answer.text.split()))
    return found


def _ratio(sums: Floats) -> float:
    return float(sums[0] / sums[1]) if sums[1] else math.nan


def _draws(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(count).integers(0, count, (RESAMPLES, count))


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))
