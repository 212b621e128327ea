"""Numbers as they are read out: digit by digit or in groups, in digits or in words, English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aural.insight.words import Token, tokens

UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
DIGITS: dict[str, str] = {
    **{word: str(value) for value, word in enumerate(UNITS)},
    **{word: str(value) for value, word in enumerate(TEENS, 10)},
    **{word: str(value) for value, word in enumerate(TENS, 2)},
    **dict.fromkeys(("oh", "o", "nought", "naught"), "0"),
    **{char: str(value) for value, char in enumerate("零一二三四五六七八九")},
    **{"〇": "0", "幺": "1", "两": "2", "hundred": "00", "thousand": "000"},
}
"""What a word adds to a number that is read out; "twenty" before "one" is the 2 of 21."""
TIMES = {"double": 2, "triple": 3, "treble": 3}

_MARKS = r"[\s\-.,()（）/+·、，。#*!?！？]"
_FILLERS = (
    r"\b(?:uh|um|er|erm|and|then|space|dash|hyphen|plus|dot|point|okay|ok|yeah|yes|yep|yup|right|sure|mhm|next)\b"
    r"|嗯|呃|好的?|对|然后"
)
BETWEEN = re.compile(rf"(?:{_MARKS}|{_FILLERS})*")
"""What may stand between two parts of a number, of the speaker or of whoever writes it down."""
OPEN = re.compile(rf"(?:{_MARKS}|{_FILLERS}|\b(?:{'|'.join(TIMES)})\b)*")
"""What may follow a number that is not over."""

_SMALL = rf"(?:(?:{'|'.join(TENS)})(?: (?:{'|'.join(UNITS[1:])}))?|{'|'.join((*TEENS, *UNITS[1:]))}|\d{{1,3}})"
_HUNDREDS = rf"(?:(?:{_SMALL} )?hundred(?: {_SMALL})?)"
_CARDINAL = re.compile(rf"(?:(?:{_HUNDREDS}|{_SMALL}) )?thousand(?: (?:{_HUNDREDS}|{_SMALL}))?|{_HUNDREDS}")
_WRITTEN = re.compile(r"\d{1,3}(?:,\d{3}){1,3}(?:\.\d+)?|\d{1,6}\.\d{1,2}")


@dataclass(frozen=True, slots=True)
class Run:
    """A number that is read out: where it stands, its digits, and whether it says how much rather than which."""

    begin: int
    end: int
    digits: str
    is_amount: bool


def runs(low: str) -> list[Run]:
    """The numbers of a folded text, in order."""
    found: list[Run] = []
    current: list[Token] = []
    for token in tokens(low):
        if not _is_numeric(token.text):
            continue
        if current and not BETWEEN.fullmatch(low, current[-1].end, token.begin):
            found += _closed(low, current)
            current = []
        current.append(token)
    return found + list(_closed(low, current))


def _is_numeric(word: str) -> bool:
    return word in DIGITS or word in TIMES or word[0].isdigit()


def _closed(low: str, said: Sequence[Token]) -> Iterator[Run]:
    """The run without a "double" at its end."""
    last = len(said)
    while last and said[last - 1].text in TIMES:
        last -= 1
    if last:
        begin, end = said[0].begin, said[last - 1].end
        words = [token.text for token in said[:last]]
        is_amount = _WRITTEN.fullmatch(low, begin, end) or _CARDINAL.fullmatch(" ".join(words))
        yield Run(begin, end, _digits(words), is_amount is not None)


def _digits(said: Sequence[str]) -> str:
    """ "double five twenty one" is 5521, "twenty oh one" is 2001."""
    digits, repeat = "", 1
    for word, following in zip(said, [*said[1:], ""], strict=True):
        if word in TIMES:
            repeat = TIMES[word]
            continue
        value = DIGITS.get(word) or "".join(char for char in word if char.isdecimal())
        if word in TENS and (following not in UNITS or following == "zero"):
            value += "0"
        digits, repeat = digits + value * repeat, 1
    return "".join(str(int(digit)) for digit in digits)
