"""Texts as words with their places, in a form that compares: lower case, one apostrophe, no accents, simplified
Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

from aural.insight.tags import TAG
from aural.types import Word

Placed = tuple[int, int, Word]
"""A word with the characters of a text that it is."""
_ACCENTED = {
    char: plain[0] for char in map(chr, range(0xC0, 0x250)) if len(plain := unicodedata.normalize("NFD", char)) > 1
}
_SAME = str.maketrans({**dict.fromkeys("’‘", "'"), **dict.fromkeys("‐‑–—－−-_", " "), **_ACCENTED})
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,:]\d+)*")
_SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text; a character where words are not spaced."""

    text: str
    begin: int
    end: int


def folded(text: str) -> str:
    """The text in a form that compares, character by character in the same places. A tag of redaction is blank: nothing
    that was said."""
    text = TAG.sub(lambda tag: " " * len(tag.group()), text)
    if text.isascii():
        return text.lower().translate(_SAME)
    lower = "".join(low if len(low := char.lower()) == 1 else char for char in text).translate(_SAME)
    if not _HAN.search(lower):
        return lower
    simple = _converter().convert(lower)
    return simple if len(simple) == len(lower) else lower


def tokens(text: str) -> list[Token]:
    """The words of a folded text, with their places; Chinese and Japanese by characters."""
    found: list[Token] = []
    for match in _WORD.finditer(text):
        if _SPACELESS.search(match.group()):
            found += [Token(text[at], at, at + 1) for at in range(match.start(), match.end())]
        else:
            found.append(Token(match.group(), match.start(), match.end()))
    return found


def placed(words: Iterable[Word], text: str, at: int = 0) -> Iterator[Placed]:
    """The words at their places, where the text begins at character `at` of a longer one. A word that is not in the
    text where it should be is left out: it cannot be told what it says."""
    end = 0
    for word in words:
        bare = word.text.strip()
        begin = text.find(bare, end)
        if bare and begin >= 0:
            end = begin + len(bare)
            yield at + begin, at + end, word


def is_spaceless(text: str) -> bool:
    return _SPACELESS.search(text) is not None


def language_of(text: str) -> str:
    """A guess from the script, for text that came without its language: zh, ja, ko, ru or en."""
    for language, pattern in _SCRIPTS.items():
        if pattern.search(text):
            return language
    return "en"


def written_in(text: str, told: str) -> str:
    """The language that was told, unless the script is that of another."""
    script = language_of(text)
    return told if script == "en" and told not in _SCRIPTS else script


def shares_script(text: str, language: str) -> bool:
    """Whether a text is Chinese if the language is, and is not if it is not."""
    return (language_of(text) == "zh") == (language == "zh")


@cache
def background() -> dict[str, int]:
    """How often words come in ordinary English conversation, the most frequent first."""
    lines = (files("aural.insight") / "data" / "background_en.tsv").read_text(encoding="utf-8").splitlines()
    return {word: int(count) for word, count in (line.split("\t") for line in lines)}


_SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "zh": _HAN,
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
}


class _Converter(Protocol):
    def convert(self, text: str) -> str: ...


@cache
def _converter() -> _Converter:
    import opencc

    converter: _Converter = opencc.OpenCC("t2s")
    return converter
