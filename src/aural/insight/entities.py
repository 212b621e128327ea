"""What analysis needs and its form shows: money, dates, times, phone, card and account numbers, e-mail addresses; in
digits or in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aural.insight.types import Entity, Span, Utterance
from aural.insight.words import Token, folded, tokens

CATEGORIES = ("CARD_NUMBER", "PHONE_NUMBER", "ACCOUNT_NUMBER", "EMAIL", "MONEY", "DATE", "TIME")
PRIVATE = ("CARD_NUMBER", "PHONE_NUMBER", "ACCOUNT_NUMBER", "EMAIL")
"""What `redact=true` takes out."""

CARD_DIGITS = range(13, 20)
PHONE_DIGITS = range(7, 20)
"""A phone number, or what else is this long and nobody should read on."""
ACCOUNT_DIGITS = range(4, 20)
"""Where a word such as "account" stands before it."""
BEFORE_CHARACTERS = 48
"""How far before a number a word may say what it is."""
SURE, LIKELY, MAYBE = 0.98, 0.85, 0.7

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
DIGITS: dict[str, str] = {
    **{word: str(value) for value, word in enumerate(_UNITS)},
    **{word: str(value) for value, word in enumerate(_TEENS, 10)},
    **{word: str(value) for value, word in enumerate(_TENS, 2)},
    **dict.fromkeys(("oh", "o", "nought", "naught"), "0"),
    **{char: str(value) for value, char in enumerate("零一二三四五六七八九")},
    **{"〇": "0", "幺": "1", "两": "2", "hundred": "00", "thousand": "000"},
}
"""What a word adds to a number that is read out; "twenty" before "one" is the 2 of 21."""
TIMES = {"double": 2, "triple": 3, "treble": 3}
FILLERS = frozenset(
    {"uh", "um", "er", "erm", "and", "then", "space", "dash", "hyphen", "plus", "dot", "point"} | set("嗯呃")
)
"""What people say in the middle of a number."""
_GAP = re.compile(r"[\s\-.,()/+·、，。#*]*")
_CONTEXT = re.compile(
    r"\b(account|acct|reference|ref|booking|order|policy|member(ship)?|customer|claim|case|ticket|passport|licen[cs]e"
    r"|social security|ssn|national insurance|sort code|routing|iban|pin|cvv|cvc|security code|passcode|code|card"
    r"|ending|digits|tracking|number is|number's)\b|账号|帐号|账户|订单|保单|单号|身份证|卡号|密码|验证码|编号|尾号"
)
_PHONE_CONTEXT = re.compile(
    r"\b(phone|mobile|cell|call|ring|text|whatsapp|reach|landline|telephone)\b|电话|手机|拨打|致电"
)
_CARD_CONTEXT = re.compile(r"\b(card|visa|master ?card|amex|debit|credit)\b|卡号|信用卡|银行卡")

_NUMBER = r"(?:\d+(?:[.,]\d+)*)"
_SAID = (
    r"(?:(?:" + "|".join([*_UNITS, *_TEENS, *_TENS]) + r"|a|hundred|thousand|million|and|half)(?:\s+|-))*"
    r"(?:" + "|".join([*_UNITS, *_TEENS, *_TENS]) + r"|hundred|thousand|million)"
)
_HAN_NUMBER = r"[零〇一二三四五六七八九十百千万亿两\d.,]+"
_CURRENCY = r"(?:dollars?|bucks|pounds?|quid|euros?|cents?|pence|yen|yuan|rmb|rupees?|usd|gbp|eur)"
_MONEY = re.compile(
    rf"[$£€¥]\s?{_NUMBER}(?:\s?(?:k|m|bn|million|billion|thousand))?"
    rf"|\b(?:{_NUMBER}|{_SAID})\s+{_CURRENCY}(?:\s+(?:and\s+)?(?:{_NUMBER}|{_SAID})(?:\s+(?:cents?|pence))?)?\b"
    rf"|{_HAN_NUMBER}(?:块钱?|元|人民币|美元|英镑|欧元)"
)
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_DAY = (
    r"(?:\d{1,2}(?:st|nd|rd|th)?|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
    r"|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth"
    r"|(?:twenty|thirty)[ -](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth))"
)
_WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_DATE = re.compile(
    rf"\b{_MONTH}\s+(?:the\s+)?{_DAY}(?:,?\s+\d{{4}})?\b|\b(?:the\s+)?{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}})?\b"
    rf"|\b(?:19|20)\d\d-\d\d?-\d\d?\b|\b\d\d?/\d\d?/(?:\d\d)?\d\d\b|\b(?:(?:last|next|this)\s+)?{_WEEKDAY}\b"
    r"|\b(?:today|tomorrow|yesterday|(?:last|next|this)\s+(?:week|month|year))\b"
    r"|(?:\d{4}年)?[\d一二三四五六七八九十]{1,3}月[\d一二三四五六七八九十]{1,3}[日号]"
    r"|(?:19|20)\d\d\s?年(?:\s?\d{1,2}\s?月)?"
    r"|(?:上|下|这)?(?:周|星期|礼拜)[一二三四五六日天]|今天|明天|昨天|后天|前天|(?:上|下|这)个?(?:周|月|星期)"
)
_HOUR = r"(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_TIME = re.compile(
    rf"\b\d{{1,2}}[:.]\d\d(?:\s?[ap]\.?\s?m\b\.?)?|\b{_HOUR}\s?(?:[ap]\.?\s?m\b\.?|o'?\s?clock\b)"
    rf"|\b(?:half|quarter)\s+(?:past|to)\s+{_HOUR}\b|\b(?:noon|midnight)\b"
    r"|(?:早上|上午|中午|下午|晚上)?[\d一二三四五六七八九十两]{1,3}点(?:[\d一二三四五六七八九十]{1,3}分|半|一刻|三刻|钟)?"
)
_ENDING = r"(?:com|net|org|edu|gov|info|io|co|ai|uk|us|de|fr|es|it|nl|eu|cn|hk|tw|jp|kr|in|au|ca|br|ru)"
_EMAIL = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|\b[\w.]+(?:\s+(?:dot|underscore|dash)\s+[\w.]+)*\s+at\s+\w+(?:\s+dot\s+\w+)*(?:\s+dot\s+|\.){_ENDING}\b"
)
_TAG = re.compile(r"\[(" + "|".join(CATEGORIES) + r")\]")
"""What redaction left: it is known what stood there."""
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3}){1,3}(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Found:
    """An entity in a text, without its times."""

    category: str
    begin: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Run:
    """A number that is read out: where it stands, and its digits."""

    begin: int
    end: int
    digits: str


def entities(utterance: Utterance) -> tuple[Entity, ...]:
    """All entities of an utterance, in order."""
    return tuple(
        Entity(
            found.category,
            utterance.text[found.begin : found.end],
            found.score,
            Span(found.begin, found.end, *utterance.times(found.begin, found.end)),
        )
        for found in find(utterance.text)
    )


def find(text: str) -> list[Found]:
    """All entities of a text, in order, none within another. A number that could be private counts as such before it
    counts as a date or an amount."""
    low = _kept_hyphens(text)
    kept: list[Found] = []
    tags = (Found(match[1], match.start(), match.end(), SURE) for match in _TAG.finditer(text))
    for found in [*tags, *_by_form(low, _EMAIL, "EMAIL", SURE), *_numbers(low), *_plain(low)]:
        if all(found.end <= other.begin or found.begin >= other.end for other in kept):
            kept.append(found)
    return sorted(kept, key=lambda found: found.begin)


def runs(text: str) -> list[Run]:
    """Numbers read out digit by digit or in groups, in digits or in words. Dates, times and amounts are none."""
    low = _without_public(_kept_hyphens(text))
    return [run for run in _runs(low) if not _THOUSANDS.fullmatch(low[run.begin : run.end])]


def _runs(low: str) -> list[Run]:
    found: list[Run] = []
    current: list[Token] = []
    for token in tokens(low):
        joined = not current or _GAP.fullmatch(low[current[-1].end : token.begin]) is not None
        if _is_numeric(token.text) or (current and joined and token.text in FILLERS):
            if not joined:
                found += _closed(current)
                current = []
            current.append(token)
        else:
            found += _closed(current)
            current = []
    return found + list(_closed(current))


def _without_public(low: str) -> str:
    """The text with dates, times and amounts blotted out, unless they have more digits than such a thing has or stand
    behind another digit: what could be a piece of a card number stays."""
    for pattern, most in ((_DATE, 8), (_TIME, 4), (_MONEY, 6)):
        for match in pattern.finditer(low):
            digits = sum(len(run.digits) for run in _runs(match.group()))
            most_here = 12 if match.group()[0] in "$£€¥" else most
            if digits <= most_here and not _follows_a_number(low[: match.start()]):
                low = low[: match.start()] + "|" * len(match.group()) + low[match.end() :]
    return low


def _follows_a_number(before: str) -> bool:
    """Whether a text ends with a number."""
    near = before[-BEFORE_CHARACTERS:]
    found = _runs(near)
    return bool(found) and _GAP.fullmatch(near[found[-1].end :]) is not None


def _plain(text: str) -> Iterator[Found]:
    yield from _by_form(text, _MONEY, "MONEY", LIKELY)
    yield from _by_form(text, _DATE, "DATE", LIKELY)
    yield from _by_form(text, _TIME, "TIME", LIKELY)


def _by_form(text: str, pattern: re.Pattern[str], category: str, score: float) -> Iterator[Found]:
    for match in pattern.finditer(text):
        yield Found(category, match.start(), match.end(), score)


def _numbers(text: str) -> Iterator[Found]:
    for run in runs(text):
        kind = _kind(run, text[max(0, run.begin - BEFORE_CHARACTERS) : run.begin])
        if kind:
            yield Found(kind[0], run.begin, run.end, kind[1])


def _kind(run: Run, before: str) -> tuple[str, float] | None:
    count = len(run.digits)
    if count in CARD_DIGITS and (_luhn(run.digits) or _CARD_CONTEXT.search(before)):
        return "CARD_NUMBER", SURE if _luhn(run.digits) else LIKELY
    if count in PHONE_DIGITS and _PHONE_CONTEXT.search(before):
        return "PHONE_NUMBER", SURE
    if count in ACCOUNT_DIGITS and _CONTEXT.search(before):
        return "ACCOUNT_NUMBER", LIKELY
    if count in PHONE_DIGITS:
        return "PHONE_NUMBER", MAYBE
    if count > max(PHONE_DIGITS):
        return "ACCOUNT_NUMBER", MAYBE
    return None


def _luhn(digits: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _is_numeric(word: str) -> bool:
    return word in DIGITS or word in TIMES or word[0].isdigit()


def _closed(current: Sequence[Token]) -> Iterator[Run]:
    """The run without the fillers at its end."""
    last = len(current)
    while last and not (current[last - 1].text in DIGITS or current[last - 1].text[0].isdigit()):
        last -= 1
    if last:
        yield Run(current[0].begin, current[last - 1].end, _digits([token.text for token in current[:last]]))


def _digits(said: Sequence[str]) -> str:
    """ "double five twenty one" is 5521, "twenty oh one" is 2001."""
    digits, repeat = "", 1
    for word, following in zip(said, [*said[1:], ""], strict=True):
        if word in TIMES:
            repeat = TIMES[word]
            continue
        value = DIGITS.get(word) or "".join(char for char in word if char.isdecimal())
        if word in _TENS and (following not in _UNITS or following == "zero"):
            value += "0"
        digits, repeat = digits + value * repeat, 1
    return "".join(str(int(digit)) for digit in digits)


def _kept_hyphens(text: str) -> str:
    """Folded, with the hyphens that dates and numbers have."""
    low = folded(text)
    return "".join("-" if char == "-" else other for char, other in zip(text, low, strict=True))
