"""Whisper's tokens as text with times: passages between timestamp tokens, and words by cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from aural.types import SAMPLE_RATE, Word

SAMPLES_PER_TIMESTAMP = SAMPLE_RATE // 50
"""A timestamp token, and one encoder position, stands for 20 ms."""
OPENING_MARKS = frozenset("\"'“¿([{-「『《（")


@dataclass(slots=True)
class Passage:
    """Text tokens between two timestamps, in samples of the clip."""

    tokens: list[int]
    text: str
    start: int
    end: int


def split_passages(tokens: Sequence[int], tokenizer: Tokenizer, clip_samples: int) -> list[Passage]:
    """Cut decoded tokens at their timestamps; without any, one passage spans the clip. Times are clamped to the clip
    and never run backwards."""
    passages: list[Passage] = []
    pending: list[int] = []
    start = 0
    for token in tokens:
        if token < tokenizer.eot:
            pending.append(token)
        elif token >= tokenizer.timestamp_begin:
            now = min((token - tokenizer.timestamp_begin) * SAMPLES_PER_TIMESTAMP, clip_samples)
            if pending:
                end = max(now, start)
                passages.append(Passage(pending, tokenizer.decode(pending), start, end))
                pending, start = [], end
            else:
                start = max(now, start)
    if pending:
        passages.append(Passage(pending, tokenizer.decode(pending), start, clip_samples))
    return passages


def align_words(
    alignment: Any, passages: list[Passage], tokenizer: Tokenizer, clip_samples: int
) -> dict[int, tuple[Word, ...]]:
    """Words of each passage, by its index.

    `alignment` is CTranslate2's WhisperAlignmentResult: dynamic time warping over the cross-attention of the model's
    alignment heads, as in OpenAI's whisper/timing.py.
    """
    tokens = [token for passage in passages for token in passage.tokens]
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    ends = np.cumsum([len(group) for group in groups[:-1]])
    starts_of = token_starts(alignment.alignments, len(tokens) + 1)
    words = []
    for text, first, last in zip(texts, [0, *ends], ends, strict=False):
        probability = float(np.mean(alignment.text_token_probs[first:last]))
        start, end = (min(int(starts_of[i]), clip_samples) for i in (first, last))
        words.append((int(first), Word(text, start, max(end, start), probability)))
    return _by_passage(_join_marks(words), passages)


def token_starts(path: Sequence[tuple[int, int]], count: int) -> NDArray[np.int64]:
    """First sample of each of `count` text tokens on the warping path of (token, encoder position)."""
    times = np.zeros(count, np.int64)
    seen = -1
    for token, position in path:
        if token > seen and token < count:
            times[seen + 1 : token + 1] = position * SAMPLES_PER_TIMESTAMP
            seen = token
    times[seen + 1 :] = times[seen] if seen >= 0 else 0
    return times


def _join_marks(words: list[tuple[int, Word]]) -> list[tuple[int, Word]]:
    """Punctuation belongs to the word before it, an opening mark to the word after it."""
    joined: list[tuple[int, Word]] = []
    opening: tuple[int, Word] | None = None
    for index, word in words:
        mark = word.text.strip()
        if opening is not None:
            index, word = opening[0], _merge(opening[1], word, word)
            opening = None
        elif mark in OPENING_MARKS and word.text.startswith(" "):
            opening = (index, word)
            continue
        elif joined and mark and not any(character.isalnum() for character in mark):
            joined[-1] = (joined[-1][0], _merge(joined[-1][1], word, joined[-1][1]))
            continue
        joined.append((index, word))
    return [*joined, opening] if opening else joined


def _merge(left: Word, right: Word, spoken: Word) -> Word:
    return Word(left.text + right.text, spoken.start, spoken.end, spoken.probability)


def _by_passage(words: list[tuple[int, Word]], passages: list[Passage]) -> dict[int, tuple[Word, ...]]:
    bounds = np.cumsum([len(passage.tokens) for passage in passages])
    shares: dict[int, list[Word]] = {}
    for index, word in words:
        shares.setdefault(int(np.searchsorted(bounds, index, side="right")), []).append(word)
    return {i: tuple(share) for i, share in shares.items()}
