"""Words and texts as Deepgram writes them. A text is always that of its words, letter for letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from aural.engines.guard import SPACELESS_SCRIPTS
from aural.text import spread as spread_texts
from aural.types import Word, seconds

Message = dict[str, Any]

_EDGE = re.compile(r"^\W+|\W+$")
_LETTER = re.compile(r"\w")
_SPACELESS_MARKS = re.compile(f"(?<=[{SPACELESS_SCRIPTS}])[^\\w\\s]+|[^\\w\\s]+(?=[{SPACELESS_SCRIPTS}])")
"""Marks beside a character of a script that puts no spaces between words: there they stand between sentences."""


def alternative(words: Sequence[Word], *, punctuated: bool, language: str | None) -> Message:
    """A transcript with its words."""
    text = written(words)
    return {
        "transcript": text.strip() if punctuated else _bare(text),
        "confidence": round(fmean(word.probability for word in words), 4) if words else 0.0,
        "words": [_word(word, punctuated=punctuated) for word in words],
    } | ({"languages": [language]} if language else {})


def written(words: Sequence[Word]) -> str:
    return "".join(word.text for word in words)


def extended(words: Sequence[Word], text: str, more: Sequence[Word]) -> list[Word]:
    """The words, with those of the text after them. Each is spelt as the text has it, whose first marks belong to the
    last word before it; without one they are dropped, unless they touch the first word."""
    marks, following = _spelt(text, more)
    if words:
        return [*words[:-1], replace(words[-1], text=words[-1].text + marks), *following]
    if following and (_LETTER.search(marks) or not following[0].text[0].isspace()):
        following[0] = replace(following[0], text=marks + following[0].text)
    return following


def spread(text: str, start: int, end: int) -> list[Word]:
    """The words of a text that came without times, over a stretch of sound."""
    return [replace(word, text=" " + word.text) for word in spread_texts(text.split(), start, end)]


def _spelt(text: str, words: Sequence[Word]) -> tuple[str, list[Word]]:
    """The marks before the first word, and the words that the text has, each with the marks after it."""
    begins: list[int] = []
    found: list[Word] = []
    place = 0
    for word in words:
        core = _EDGE.sub("", word.text)
        at = text.find(core, place) if core else -1
        if at >= 0:
            begins.append(_parting(text, place, at))
            found.append(word)
            place = at + len(core)
    if not found:
        return text.strip(), []
    ends = [*begins[1:], len(text)]
    spelt = [replace(word, text=text[begin:end]) for word, begin, end in zip(found, begins, ends, strict=True)]
    return text[: begins[0]], spelt


def _parting(text: str, end: int, start: int) -> int:
    """Where the word after a gap begins: at the last space of the gap, or after its marks."""
    return next((at for at in reversed(range(end, start)) if text[at].isspace()), start)


def _word(word: Word, *, punctuated: bool) -> Message:
    written = word.text.strip()
    message = {
        "word": _bare(written) or written,
        "start": seconds(word.start),
        "end": seconds(word.end),
        "confidence": round(word.probability, 4),
    }
    return message | ({"punctuated_word": written} if punctuated else {})


def _bare(text: str) -> str:
    """Lower case, without punctuation at the edges of words."""
    spaced = _SPACELESS_MARKS.sub(" ", text)
    return " ".join(bare for word in spaced.split() if (bare := _EDGE.sub("", word).lower()))
