"""Small classifiers on sentence vectors: softmax regression, fitted in numpy, and trained heads of the package."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from io import BytesIO
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aural.insight.embed import Vectors
from aural.insight.spelling import pieces
from aural.insight.words import folded, tokens
from aural.insight.work import Work, whole

STEPS = 200
C = 30.0
"""Inverse strength of the L2 penalty, per example, as scikit-learn's LogisticRegression has it."""
SPELLING = 0.5
"""Weight of the letters beside the vector: with a word in ten garbled, banking77 gains one to two points; clean, it
moves by half a point either way."""
MEANS = ("mean/", "same/")
"""What else is packed with the heads."""
BUCKETS = 1 << 14
"""Of hashed words and pairs of words."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """P(label | x) = softmax(W x + b) of x = (v - mean)/|v - mean| and, where it learnt from texts, the pieces of their
    words."""

    labels: tuple[str, ...]
    mean: Floats
    """Shape (384,)."""
    weights: Floats
    """Shape (384, labels), with PIECES more rows where it learnt from texts."""
    bias: Floats

    def probabilities(self, vectors: Vectors, texts: Sequence[str] = ()) -> Floats:
        """Shape (n, labels). `texts` if it learnt from texts."""
        return softmax(_features(vectors, texts, self.mean) @ self.weights + self.bias)


def leaning(head: Softmax, vectors: Vectors, labels: Sequence[str], weight: float) -> Softmax:
    """The head, its weights moved towards the mean directions of its labels' vectors (prototypes: Snell et al. 2017).
    What a regression learns of one language is too fine for another; where the examples of a label lie is not."""
    x, said = centred(vectors, head.mean), np.array(labels)
    means = np.stack([x[said == label].mean(axis=0) for label in head.labels])
    towards = weight * means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    return replace(head, weights=(head.weights + towards.T).astype(np.float32))


def _features(vectors: Vectors, texts: Sequence[str], mean: Floats) -> Floats:
    x = centred(vectors, mean)
    return np.hstack([x, SPELLING * pieces(texts)]) if texts else x


def centred(vectors: Vectors, mean: Floats) -> Floats:
    """Vectors less the mean, of length 1 again: sentence vectors lie in a narrow cone."""
    moved = vectors - mean
    length: Floats = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return moved / length


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def fit(
    vectors: Vectors, labels: Sequence[str], *, texts: Sequence[str] = (), c: float = C, mean: Floats | None = None
) -> Softmax:
    """As `fitting`, at once."""
    return whole(fitting(vectors, labels, texts=texts, c=c, mean=mean))


def fitting(
    vectors: Vectors, labels: Sequence[str], *, texts: Sequence[str] = (), c: float = C, mean: Floats | None = None
) -> Work[Softmax]:
    """Softmax regression by Nesterov's accelerated gradient with the step 1/L, on the vectors and, if given, the
    letters of `texts`; 77 labels with 10 examples each take 0.4 s on one thread. Deterministic."""
    names = tuple(dict.fromkeys(labels))
    mean = vectors.mean(axis=0) if mean is None else mean
    x = _features(vectors, texts, mean)
    y = np.zeros((len(x), len(names)), np.float32)
    y[np.arange(len(x)), [names.index(label) for label in labels]] = 1
    is_wide = x.shape[1] > len(x)  # then weights are sums of examples, and what is learnt is how much of each
    into: Floats = x @ x.T if is_wide else x
    yield
    largest = float(np.linalg.eigvalsh(into if is_wide else x.T @ x)[-1])
    yield
    penalty = np.float32(1.0 / (c * len(x)))
    step = np.float32(1.0) / np.float32(0.5 * largest / len(x) + 0.5 + penalty)
    weights: Floats = np.zeros((into.shape[1], len(names)), np.float32)
    bias: Floats = np.zeros(len(names), np.float32)
    ahead_w: Floats = weights
    ahead_b: Floats = bias
    t = 1.0
    for _ in range(STEPS):
        wrong = (softmax(into @ ahead_w + ahead_b) - y) / np.float32(len(x))
        new_w = np.asarray(ahead_w - step * ((wrong if is_wide else x.T @ wrong) + penalty * ahead_w), np.float32)
        new_b = np.asarray(ahead_b - step * wrong.sum(axis=0), np.float32)
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        push = np.float32((t - 1) / t_next)
        ahead_w = new_w + push * (new_w - weights)
        ahead_b = new_b + push * (new_b - bias)
        weights, bias, t = new_w, new_b, t_next
        yield
    return Softmax(names, mean, x.T @ weights if is_wide else weights, bias)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A trained head: labels from a sentence vector and, for some, hashed words."""

    labels: tuple[str, ...]
    mean: Floats
    weights: Floats
    """Shape (384, labels)."""
    bias: Floats
    words: Floats
    """Shape (BUCKETS, labels), or (0, labels) for a head that goes by the vector alone."""
    idf: Floats
    """Shape (BUCKETS,) or (0,)."""
    thresholds: Floats
    """Shape (labels,): the probability above which a label holds."""
    exclusive: bool
    """Whether exactly one label holds, so that the probabilities add up to 1."""

    def probabilities(self, vectors: Vectors, texts: Sequence[str], mean: Floats | None = None) -> Floats:
        """Shape (n, labels). `mean` is that of the language, where it differs from that of the training set."""
        logits = centred(vectors, self.mean if mean is None else mean) @ self.weights + self.bias
        if len(self.words):
            logits += np.stack([self._by_words(text) for text in texts])
        if self.exclusive:
            return softmax(logits)
        shares: Floats = 1 / (1 + np.exp(-logits))
        return shares

    def _by_words(self, text: str) -> Floats:
        buckets, values = hashed(text, self.idf)
        weight: Floats = values @ self.words[buckets] if len(buckets) else np.zeros(len(self.labels), np.float32)
        return weight


def hashed(text: str, idf: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Words and pairs of words as buckets with TF-IDF values of length 1 (Weinberger et al. 2009, without the sign)."""
    counts: dict[int, float] = {}
    for gram in _grams(text):
        bucket = zlib.crc32(gram.encode()) % BUCKETS
        counts[bucket] = counts.get(bucket, 0.0) + 1.0
    buckets = np.fromiter(counts, np.int64, len(counts))
    values = (1 + np.log(np.fromiter(counts.values(), np.float32, len(counts)))) * idf[buckets]
    return buckets, values / max(float(np.linalg.norm(values)), 1e-9)


def _grams(text: str) -> Iterator[str]:
    words = [token.text for token in tokens(folded(text))]
    yield from words
    yield from (f"{left} {right}" for left, right in pairwise(words))


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """The trained heads of one embedder, by skill, and the mean vectors of languages."""

    by_skill: dict[str, Head]
    means: dict[str, Floats]
    same: dict[str, Floats]
    """Mean vectors of the same sentences in English and in Chinese, of an embedder that reads both."""

    def middles(self, vectors: Vectors, language: str, *, is_foreign: bool) -> tuple[Floats, Floats]:
        """Where to centre the vectors of examples, and those of what is said in a language. They are one, half way from
        the examples' mean to the language's, unless the examples are in another script (`is_foreign`): then they are as
        far apart as the same sentences in both."""
        own: Floats = vectors.mean(axis=0)
        if not is_foreign:
            middle: Floats = (own + self.means.get(language, self.means["en"])) / np.float32(2)
            return middle, middle
        spoken, written = ("zh", "en") if language == "zh" else ("en", "zh")
        middle = (own + self.same[written]) / np.float32(2)
        return middle, middle + self.same[spoken] - self.same[written]

    def probabilities(
        self, skill: str, vectors: Vectors, texts: Sequence[str], language: str
    ) -> list[dict[str, float]]:
        """For each text its labels with their probabilities."""
        head = self.by_skill[skill]
        rows = head.probabilities(vectors, texts, self.means.get(language))
        return [dict(zip(head.labels, map(float, row), strict=True)) for row in rows]

    def thresholds(self, skill: str) -> dict[str, float]:
        head = self.by_skill[skill]
        return dict(zip(head.labels, map(float, head.thresholds), strict=True))


@cache
def heads(embedder: str) -> Heads:
    """The heads that were trained on the vectors of this embedder (scripts/train_insight.py)."""
    packed = (files("aural.insight") / "data" / f"{embedder}.npz").read_bytes()
    with np.load(BytesIO(packed)) as arrays:
        means, same = ({n.partition("/")[2]: _wide(arrays[n]) for n in arrays.files if n.startswith(p)} for p in MEANS)
        skills = sorted({name.partition("/")[0] for name in arrays.files if not name.startswith(MEANS)})
        return Heads({skill: _unpacked(skill, arrays) for skill in skills}, means, same)


def _unpacked(skill: str, arrays: np.lib.npyio.NpzFile) -> Head:
    def get(name: str) -> Floats:
        return _wide(arrays[f"{skill}/{name}"])

    words = get("words") * get("scale") if f"{skill}/words" in arrays.files else np.empty((0, 0), np.float32)
    idf = get("idf") if f"{skill}/words" in arrays.files else np.empty(0, np.float32)
    labels = tuple(str(label) for label in arrays[f"{skill}/labels"])
    exclusive = bool(arrays[f"{skill}/exclusive"])
    return Head(labels, get("mean"), get("weights"), get("bias"), words, idf, get("thresholds"), exclusive)


def _wide(array: NDArray[np.generic]) -> Floats:
    return array.astype(np.float32)
