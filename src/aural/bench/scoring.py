"""Word error rates, intervals and percentiles: pure functions over texts and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import jiwer
import numpy as np
from numpy.typing import NDArray
from whisper_normalizer.basic import BasicTextNormalizer  # type: ignore[import-untyped]
from whisper_normalizer.english import EnglishTextNormalizer  # type: ignore[import-untyped]

from aural.bench.records import Answer, Asked

RESAMPLES = 2_000
FAR_FROM_OWN = 0.8
CLOSE_TO_OTHER = 0.3
LEAST_FOR_P95 = 200

Floats = NDArray[np.float64]

UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my"})
"""Languages written without spaces: their figure is the character error rate."""


def rate_name(language: str) -> str:
    """What the error rate of a language is called."""
    return "CER" if language in UNSPACED else "WER"


def normaliser(language: str) -> str:
    """What `normalise` is called in a report."""
    return f"Whisper's {'English' if language == 'en' else 'basic'} normaliser (whisper-normalizer)"


@cache
def normalise(text: str, language: str = "en") -> str:
    """Text as Whisper's own evaluation compares it; without spaces in languages that have none."""
    plain = str(_normaliser(language)(text))
    return "".join(plain.split()) if language in UNSPACED else plain


@cache
def _normaliser(language: str) -> Any:
    return EnglishTextNormalizer() if language == "en" else BasicTextNormalizer()


def tokens(text: str, language: str = "en") -> list[str]:
    """What error rates count: words, or characters in languages without spaces."""
    plain = normalise(text, language)
    return list(plain) if language in UNSPACED else plain.split()


def letters(text: str, language: str = "en") -> list[str]:
    """What character error rates count, spaces included."""
    return list(normalise(text, language))


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
def word_errors(reference: str, heard: str, language: str = "en") -> Errors:
    """Substitutions, deletions and insertions after Whisper's normaliser; of characters where there are no spaces."""
    return _errors(tokens(reference, language), tokens(heard, language))


def _errors(expected: list[str], got: list[str]) -> Errors:
    if not expected:
        return Errors(len(got), 0)
    result = _aligned(expected, got)
    return Errors(result.substitutions + result.deletions + result.insertions, len(expected))


def _aligned(expected: list[str], got: list[str]) -> Any:
    """jiwer splits at spaces, so a space that is itself a token goes by another name."""
    reference, heard = (" ".join(token if token != " " else "_" for token in side) for side in (expected, got))
    return jiwer.process_words(reference, heard)


def matches(expected: list[str], got: list[str]) -> list[tuple[int, int]]:
    """Pairs of positions in `expected` and `got` that are the same token in the best alignment."""
    if not expected or not got:
        return []
    chunks = _aligned(expected, got).alignments[0]
    return [
        (chunk.ref_start_idx + i, chunk.hyp_start_idx + i)
        for chunk in chunks
        if chunk.type == "equal"
        for i in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]


Split = Callable[[str, str], list[str]]


@cache
def misses(reference: str, heard: str, language: str = "en", split: Split = tokens) -> tuple[int, ...]:
    """Errors at each token of the reference; what was put in counts at the token before."""
    expected, got = split(reference, language), split(heard, language)
    found = [0 if got else 1] * len(expected)
    for chunk in _aligned(expected, got).alignments[0] if expected and got else ():
        if chunk.type == "insert":
            found[max(chunk.ref_start_idx - 1, 0)] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            for i in range(chunk.ref_start_idx, chunk.ref_end_idx):
                found[i] += 1
    return tuple(found)


def by_recording(heard: Sequence[tuple[Asked, str]], language: str = "en", split: Split = tokens) -> dict[str, Errors]:
    """Errors of each recording over all texts: an item is recordings that were joined, and they recur in others."""
    found: dict[str, Errors] = {}
    for item, text in heard:
        missed = misses(item.text, text, language, split)
        for name, first, end in _shares(item, len(missed), language, split):
            before = found.get(name, Errors(0, 0))
            found[name] = Errors(before.errors + sum(missed[first:end]), before.words + end - first)
    return found


def _shares(item: Asked, size: int, language: str, split: Split) -> Iterator[tuple[str, int, int]]:
    """Which tokens of an item's text are those of which recording; all are the item's where its names do not tell."""
    names = item.name.split("+")
    if len(names) != len(item.spans):
        names, texts = [item.name], [item.text]
    else:
        texts = [text for _, _, text in item.spans]
    edges = list(accumulate((len(split(text, language)) for text in texts), initial=0))
    places = [round(edge * size / max(edges[-1], 1)) for edge in edges]
    yield from ((name, first, end) for name, (first, end) in zip(names, pairwise(places), strict=True))


def rate(reference: str, heard: str, language: str = "en") -> float:
    scored = word_errors(reference, heard, language)
    return scored.errors / max(scored.words, 1)


def by_item(answers: Sequence[Answer], texts: Sequence[str], language: str = "en") -> dict[int, Errors]:
    """Errors per item, the mean where an item was asked more than once. A failed request has no text to score."""
    heard: dict[int, list[float]] = {}
    for answer in answers:
        if answer.ok:
            heard.setdefault(answer.item, []).append(word_errors(texts[answer.item], answer.text, language).errors)
    return {
        item: Errors(sum(errors) / len(errors), word_errors(texts[item], "", language).words)
        for item, errors in heard.items()
    }


def corpus_rate(scored: Mapping[Any, Errors]) -> Estimate:
    """Word error rate over all words, in percent; the interval resamples what they are scored by: items, recordings."""
    table = np.array([(one.errors, one.words) for one in scored.values()], float)
    if not len(table):
        return NOTHING
    drawn = table[_draws(len(table))].sum(axis=1)
    return _estimate(100 * _ratio(table.sum(axis=0)), 100 * drawn[:, 0] / drawn[:, 1])


def rate_difference(ours: Mapping[Any, Errors], theirs: Mapping[Any, Errors]) -> Estimate:
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


def wrong_texts(answers: Sequence[Answer], texts: Sequence[str], language: str = "en") -> list[Answer]:
    """Answers that are far from what was said to them and close to what was said to another request in flight."""
    heard = [answer for answer in answers if answer.ok and answer.text]
    return [
        answer
        for answer in heard
        if rate(texts[answer.item], answer.text, language) > FAR_FROM_OWN
        and any(
            rate(texts[other.item], answer.text, language) < CLOSE_TO_OTHER
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
