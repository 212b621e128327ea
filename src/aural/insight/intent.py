"""What a speaker wants: labels that the caller defines with a few examples each, or ready ones for customer service."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from aural.insight.embed import DIMENSIONS, Embedder
from aural.insight.heads import Floats, Heads, Softmax, centred, fitting, leaning
from aural.insight.spelling import Speller
from aural.insight.types import Intent
from aural.insight.words import language_of, shares_script
from aural.insight.work import Work

OTHER = "other"
"""None of the labels: always an answer."""
THRESHOLD = 0.25
"""Score below which it is `other`; with six labels, some 95 % of what means one of them is above it and 90 % of what
means none is below."""
ALTERNATIVES = 3
STEP_TEXTS = 4
"""Examples embedded in one step of learning."""
LEANING = 10.0
"""How much prototypes weigh beside the regression, where no example is in the speaker's script. xSID in Chinese from
English examples, four folds: 0.848 without and 0.883 with them."""
FARNESS = 1.25
"""Cosines between a text and what means the same in another language are smaller: with this, four fifths of what means
one of the labels is named so and three quarters of what means none is `other`."""


@dataclass(frozen=True, slots=True)
class IntentSpec:
    """A label and what people say who mean it. A label without examples stands for itself."""

    label: str
    examples: tuple[str, ...] = ()


class Intents:
    """A set of labels, learnt from the vectors and the letters of their examples.

    The score is the probability of the best label times the cosine to the nearest example: the first tells labels
    apart, the second tells all of them from something else.
    """

    def __init__(
        self, embedder: Embedder, head: Softmax, examples: Floats, speller: Speller | None, *, is_foreign: bool
    ) -> None:
        """`examples` are their centred vectors, shape (n, 384)."""
        self._embedder = embedder
        self._head = head
        self._examples = examples
        self._speller = speller
        self._is_foreign = is_foreign
        """Whether no example is in the speaker's script: then letters tell nothing, and vectors less."""

    def find(self, texts: Sequence[str], threshold: float = THRESHOLD) -> list[Intent]:
        """The intent of each text."""
        texts = [self._speller.mended(text) for text in texts] if self._speller else texts
        vectors = self._embedder.embed(texts)
        shares = self._head.probabilities(vectors, () if self._is_foreign else texts)
        nearest = (centred(vectors, self._head.mean) @ self._examples.T).max(axis=1)
        nearest = (nearest * (FARNESS if self._is_foreign else 1)).clip(0, 1)
        return [self._intent(row * near, threshold) for row, near in zip(shares, nearest, strict=True)]

    def _intent(self, scores: Floats, threshold: float) -> Intent:
        best = [int(k) for k in scores.argsort()[::-1][: ALTERNATIVES + 1]]
        ranked = [(self._head.labels[k], round(float(scores[k]), 3)) for k in best]
        if ranked[0][1] < threshold:
            return Intent(OTHER, round(1 - ranked[0][1], 3), tuple(ranked[:ALTERNATIVES]))
        return Intent(*ranked[0], tuple(ranked[1:]))


def learning(said: Sequence[tuple[str, str]], embedder: Embedder, heads: Heads, language: str = "en") -> Work[Intents]:
    """The labels from pairs of label and example; `heads` are those of the embedder."""
    texts, labels = [text for _, text in said], [label for label, _ in said]
    vectors = np.empty((len(texts), DIMENSIONS), np.float32)
    for first in range(0, len(texts), STEP_TEXTS):
        vectors[first : first + STEP_TEXTS] = embedder.embed(texts[first : first + STEP_TEXTS])
        yield
    is_foreign = not any(shares_script(text, language) for text in texts)
    middle, theirs = heads.middles(vectors, language, is_foreign=is_foreign)
    head = yield from fitting(vectors, labels, texts=() if is_foreign else texts, mean=middle)
    if is_foreign:
        head = replace(leaning(head, vectors, labels, LEANING), mean=theirs)
    speller = Speller(texts) if language == "en" else None
    return Intents(embedder, head, centred(vectors, middle), speller, is_foreign=is_foreign)


def spoken(specs: Sequence[IntentSpec], *, english: bool) -> list[tuple[str, str]]:
    """Pairs of label and example, for an English embedder without those that it cannot read."""
    pairs = [(spec.label, text) for spec in specs for text in spec.examples or (spec.label.replace("_", " "),)]
    return [(label, text) for label, text in pairs if not english or language_of(text) == "en"]


@cache
def ready() -> tuple[IntentSpec, ...]:
    """The ready labels of customer service."""
    table = tomllib.loads((files("aural.insight") / "data" / "intents.toml").read_text(encoding="utf-8"))
    return tuple(IntentSpec(label, tuple(entry["examples"])) for label, entry in table.items())
