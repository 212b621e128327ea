"""The words of an utterance: as they were committed, with the times of its last hearing where that heard the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from aural.types import Word

MOST_ALIGNED = 2000
"""Words of one utterance. Minutes of speech without an end keep the times that they were committed with."""
_TRAILING_MARKS = re.compile(r"[^\w']+$")
_MARKS = re.compile(r"[^\w']+")


def timed(text: str, committed: Sequence[Word], heard: Sequence[Word]) -> list[Word]:
    """The text of an utterance cut into the words that were committed: joined they are the text. Their times are those
    of the last hearing where it has the same word, else of the hypothesis that committed it, and never go back."""
    words = _cut(text, committed or heard)
    latest = 0
    for place, word in enumerate(_moved(words, heard)):
        start = max(word.start, latest)
        latest = max(word.end, start)
        words[place] = replace(word, start=start, end=latest)
    return words


def _cut(text: str, words: Sequence[Word]) -> list[Word]:
    """The words with their share of the text. It may have other marks after a word than the word had when it came."""
    found: list[Word] = []
    starts: list[int] = []
    at = 0
    for word in words:
        bare = _TRAILING_MARKS.sub("", word.text).strip()
        place = text.find(bare, at) if bare else -1
        if place >= 0:
            found.append(word)
            starts.append(place if starts else 0)
            at = place + len(bare)
    ends = [*starts[1:], len(text)]
    return [replace(word, text=text[start:end]) for word, start, end in zip(found, starts, ends, strict=False)]


def _moved(words: Sequence[Word], heard: Sequence[Word]) -> list[Word]:
    """The words at the times at which they were heard last."""
    moved = list(words)
    if max(len(words), len(heard)) > MOST_ALIGNED:
        return moved
    matcher = SequenceMatcher(None, [_key(word) for word in words], [_key(word) for word in heard], autojunk=False)
    for here, there, count in matcher.get_matching_blocks():
        for step in range(count):
            same = heard[there + step]
            moved[here + step] = replace(words[here + step], start=same.start, end=same.end)
    return moved


def _key(word: Word) -> str:
    return _MARKS.sub("", word.text).casefold()
