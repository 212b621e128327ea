"""Words that were heard or typed a little wrong: the letters they share with others, and the words they stand for."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from aural.insight.words import background, folded, tokens

PIECES = 512
"""Buckets of words and their pieces."""
LENGTHS = (3, 4)
"""Letters of a piece, spaces before and after the word among them."""
SHORTEST = 4
"""Letters: shorter words are too near to each other."""


def pieces(texts: Sequence[str]) -> NDArray[np.float32]:
    """The words of each text and their pieces, counted in signed buckets (Weinberger et al. 2009): float32, shape
    (len(texts), PIECES), each of length 1 or, where there are no words, 0."""
    counted = np.zeros((len(texts), PIECES), np.float32)
    for row, text in zip(counted, texts, strict=True):
        for piece, count in Counter(_pieces(text)).items():
            place = zlib.crc32(piece.encode())
            row[(place >> 1) % PIECES] += (1 + math.log(count)) * (1 if place & 1 else -1)
    unit: NDArray[np.float32] = counted / np.maximum(np.linalg.norm(counted, axis=1, keepdims=True), 1e-9)
    return unit


def _pieces(text: str) -> Iterator[str]:
    for token in tokens(folded(text)):
        yield token.text
        padded = f" {token.text} "
        for length in LENGTHS:
            yield from (padded[at : at + length] for at in range(max(len(padded) - length + 1, 1)))


class Speller:
    """Knows the words of some English texts, and sets them in place of words that are in no vocabulary and one letter
    away: "acount" is "account" where accounts are talked about."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._words = sorted({token.text for text in texts for token in tokens(folded(text))})
        self._known = background().keys() | set(self._words)

    def mended(self, text: str) -> str:
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        out, at = "", 0
        for token in tokens(folded(text)):
            if len(token.text) < SHORTEST or token.text in self._known:
                continue
            hit = process.extractOne(token.text, self._words, scorer=OSA.distance, score_cutoff=1)
            if hit:
                out, at = out + text[at : token.begin] + hit[0], token.end
        return out + text[at:]
