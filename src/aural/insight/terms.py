"""Words and phrases that stand out, without a list: runs without stop words, rare in ordinary conversation; the shorter
of two that always come together is dropped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from aural.insight.numbers import DIGITS
from aural.insight.types import Span, Term, Utterance
from aural.insight.words import Token, background, folded, is_spaceless, tokens

LONGEST = 3
"""Words of a term."""
LONGEST_SPACELESS = 4
"""Characters of a term where words are not spaced."""
MOST_TERMS = 10
MOST_SPANS = 20
COMMON = 300
"""So many of the most frequent words of conversation make no term."""
SHORTEST = 3
"""Letters of a term."""
SURE_SPACELESS = 2
"""Times that a run of Chinese characters must come before it counts as a word."""


@dataclass(slots=True)
class _Found:
    count: int = 0
    places: list[tuple[Utterance, int, int]] = field(default_factory=list)


def terms(utterances: Sequence[Utterance], most: int = MOST_TERMS) -> tuple[Term, ...]:
    """The terms of one or several utterances, the best first."""
    found: dict[tuple[str, ...], _Found] = {}
    for utterance in utterances:
        for run in _grams(utterance.text):
            entry = found.setdefault(tuple(token.text for token in run), _Found())
            entry.count += 1
            entry.places.append((utterance, run[0].begin, run[-1].end))
    kept = {gram: entry for gram, entry in found.items() if not _is_chance(gram, entry.count)}
    whole = _without_parts(kept)
    weighed = ((_weight(gram, entry.count), gram) for gram, entry in whole.items())
    ranked = sorted(weighed, key=lambda one: (-one[0], one[1]))
    best: list[tuple[float, tuple[str, ...]]] = []
    for weight, gram in ranked:
        if len(best) < most and not any(set(gram) <= set(other) or set(gram) >= set(other) for _, other in best):
            best.append((weight, gram))
    return tuple(_term(whole[gram], weight / best[0][0]) for weight, gram in best)


def _term(found: _Found, score: float) -> Term:
    utterance, begin, end = found.places[0]
    spans = tuple(Span(b, e, *said.times(b, e)) for said, b, e in found.places[:MOST_SPANS])
    return Term(utterance.text[begin:end], round(score, 3), found.count, spans)


def _grams(text: str) -> Iterator[Sequence[Token]]:
    low = folded(text)
    for run in _runs(low):
        longest = LONGEST_SPACELESS if is_spaceless(run[0].text) else LONGEST
        for first in range(len(run)):
            for last in range(first + 1, min(first + longest, len(run)) + 1):
                yield run[first:last]


def _runs(low: str) -> list[list[Token]]:
    """Words with nothing but a space between them, none of them a stop word or a number."""
    runs: list[list[Token]] = []
    before: Token | None = None
    for token in tokens(low):
        if _is_stop(token.text):
            before = None
            continue
        joined = before is not None and low[before.end : token.begin] in ("", " ")
        same = before is not None and is_spaceless(before.text) == is_spaceless(token.text)
        if not (joined and same):
            runs.append([])
        runs[-1].append(token)
        before = token
    return runs


def _is_stop(word: str) -> bool:
    if is_spaceless(word):
        return word in _stop_words()
    return len(word) < SHORTEST or not word[0].isalpha() or "'" in word or word in _stop_words()


def _is_chance(gram: tuple[str, ...], count: int) -> bool:
    """Whether Chinese characters stand together once only, or one stands alone."""
    return is_spaceless(gram[0]) and (len(gram) < 2 or count < SURE_SPACELESS)


def _without_parts(found: Mapping[tuple[str, ...], _Found]) -> dict[tuple[str, ...], _Found]:
    """Without those that always come as a part of a longer one."""
    parts = {
        gram[first:last]: max(entry.count, 0)
        for gram, entry in sorted(found.items(), key=lambda one: one[1].count)
        for first in range(len(gram))
        for last in range(first + 1, len(gram) + 1)
        if last - first < len(gram)
    }
    return {gram: entry for gram, entry in found.items() if parts.get(gram, 0) < entry.count}


def _weight(gram: tuple[str, ...], count: int) -> float:
    if is_spaceless(gram[0]):
        return count * math.sqrt(len(gram))
    rarity = sum(_rarity(word) for word in gram) / math.sqrt(len(gram))
    return (1 + math.log(count)) * rarity


def _rarity(word: str) -> float:
    """In nats: how much rarer than the most frequent word of conversation."""
    counts = background()
    most = next(iter(counts.values()))
    return math.log((1 + most) / (1 + counts.get(word, 0)))


@cache
def _stop_words() -> frozenset[str]:
    listed = (files("aural.insight") / "data" / "stopwords.txt").read_text(encoding="utf-8").splitlines()[1:]
    return frozenset(" ".join(listed).split()) | DIGITS.keys() | frozenset(list(background())[:COMMON])
