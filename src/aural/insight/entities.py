"""What analysis needs and its form shows: money, dates, times, phone, card and account numbers, e-mail addresses; in
digits or in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from aural.insight import numbers
from aural.insight.numbers import TEENS, TENS, UNITS, Run
from aural.insight.tags import CATEGORIES, TAG
from aural.insight.types import Entity, Span, Utterance
from aural.insight.words import folded, tokens

CARD_DIGITS = range(13, 20)
PHONE_DIGITS = range(7, 20)
"""A phone number, or what else is this long and nobody should read on."""
ACCOUNT_DIGITS = range(4, 20)
"""Where a word such as "account" stands before it."""
BEFORE_CHARACTERS = 48
"""How far before a number a word may say what it is."""
CODE_DIGITS = 3
"""Of the code on the back of a card."""
GROUP_DIGITS = 3
"""A group of so many digits may be one of a card number's, and has up to MOST_WORDS before the next: "4111, got that,
1111"."""
MOST_WORDS = 3
MANY_DIGITS = 5
"""A date before a number of so many digits may be a piece of it."""
KEPT_TEXTS = 4
"""Redaction asks several things of the same text."""
SURE, LIKELY, MAYBE = 0.98, 0.85, 0.7

_CONTEXT = re.compile(
    r"\b(account|acct|reference|ref|booking|order|policy|member(ship)?|customer|claim|case|ticket|passport|licen[cs]e"
    r"|social security|ssn|national insurance|sort code|routing|iban|pin|cvv|cvc|security code|passcode|code|card"
    r"|ending|digits|tracking|number is|number's)\b|账号|帐号|账户|订单|保单|单号|身份证|卡号|密码|验证码|编号|尾号"
)
_PHONE_CONTEXT = re.compile(
    r"\b(phone|mobile|cell|call|ring|text|whatsapp|reach|landline|telephone)\b|电话|手机|拨打|致电"
)
_CARD_CONTEXT = re.compile(r"\b(card|visa|master ?card|amex|debit|credit)\b|卡号|信用卡|银行卡")

_CODE_CONTEXT = re.compile(r"\b(?:cvv2?|cvc2?|security code)\b|安全码")
_NUMBER_IS = re.compile(r"(?:\bnumber(?:'s)?|\bno\.?|\bcode|号码?|码)(?:\s+(?:is|was))?\s*[:：是为]?\s*$")
"""Right before an amount: it is none."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_YEAR_BEFORE = re.compile(r"\b(?:(?<!ending )(?<!ends )in|since|from|until|till|before|after|by|of|year)\s*$")
_IBAN = re.compile(r"\b[a-z]{2}\d\d(?:\s?[a-z0-9]{4}){2,7}(?:\s?[a-z0-9]{1,4})?\b")
_CHINESE_ID = re.compile(r"(?<!\d)\d{17}x(?![a-z\d])")

_NUMBER = r"(?:\d+(?:[.,]\d+)*)"
_WORDS = "|".join([*UNITS, *TEENS, *TENS])
_SAID = (
    rf"(?:(?:(?:{_WORDS}|a|hundred|thousand|million|and|half|point)(?:\s+|-))*(?:{_WORDS}|hundred|thousand|million))"
)
_SMALL_SAID = rf"(?:(?:{'|'.join(TENS)})(?:[\s-]+(?:{'|'.join(UNITS)}))?|{_WORDS})"
_SCALE = r"(?:million|billion|thousand|hundred|bn|k|m)\b"
_CENTS = (
    rf"(?:\s+(?:and\s+)?(?:\d\d?|{_SMALL_SAID})(?:\s+(?:cents?|pence))?"
    rf"(?![\s,.-]*(?:\d|(?:{_WORDS}|oh|hundred|thousand)\b)))"
)
_HAN_NUMBER = r"[零〇一二三四五六七八九十百千万亿两\d.,]+"
_CURRENCY = r"(?:dollars?|bucks|pounds?|quid|euros?|cents?|pence|yen|yuan|rmb|rupees?|usd|gbp|eur)"
_MONEY = re.compile(
    rf"[$£€¥￥]\s?{_NUMBER}(?:\s?{_SCALE})?"
    rf"|\b(?:{_NUMBER}(?:\s+{_SCALE})?|{_SAID})\s+{_CURRENCY}{_CENTS}?\b"
    rf"|{_HAN_NUMBER}(?:块钱?|元|人民币|美[元金]|英镑|欧元|港[币元]|[日韩]元)"
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
_IN_YEAR = r"(?:19|20)\d\d"
_WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_DATE = re.compile(
    rf"\b{_MONTH}\s+(?:the\s+)?{_DAY}(?:,?\s+{_IN_YEAR})?\b|\b(?:the\s+)?{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_IN_YEAR})?\b"
    rf"|\b(?:19|20)\d\d-\d\d?-\d\d?\b|\b\d\d?/\d\d?/(?:\d\d)?\d\d\b|\b(?:(?:last|next|this)\s+)?{_WEEKDAY}\b"
    r"|\b(?:today|tomorrow|yesterday|(?:last|next|this)\s+(?:week|month|year))\b"
    r"|(?:\d{4}年)?[\d一二三四五六七八九十]{1,3}月[\d一二三四五六七八九十]{1,3}[日号]"
    r"|(?:19|20)\d\d\s?年(?:\s?\d{1,2}\s?月)?"
    r"|(?:上|下|这)?(?:周|星期|礼拜)[一二三四五六日天]|今天|明天|昨天|后天|前天|(?:上|下|这)个?(?:周|月|星期)"
)
_HOUR = r"(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_TIME = re.compile(
    r"(?<![\d.:])(?:[01]?\d|2[0-3]):[0-5]\d(?![.:]?\d)(?:\s?[ap]\.?\s?m\b\.?)?"
    r"|(?<![\d.:])\d\d?\.[0-5]\d\s?[ap]\.?\s?m\b\.?"
    rf"|\b{_HOUR}\s?(?:[ap]\.?\s?m\b(?!\s+i\b)\.?|o'?\s?clock\b)"
    rf"|\b(?:half|quarter)\s+(?:past|to)\s+{_HOUR}\b|\b(?:noon|midnight)\b"
    r"|(?:早上|上午|中午|下午|晚上)?[\d一二三四五六七八九十两]{1,3}点(?:[\d一二三四五六七八九十]{1,3}分|半|一刻|三刻|钟)?"
)
_ENDING = r"(?:com|net|org|edu|gov|info|io|co|ai|uk|us|de|fr|es|it|nl|eu|cn|hk|tw|jp|kr|in|au|ca|br|ru)"
_EMAIL = re.compile(
    r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
    r"|\b(?!(?:at|look\w*|shop\w*|buy|bought|order\w*|work\w*|find|found|check\w*|sign\w*|us|me|site|website|online|is)\s)"
    rf"[\w.]+(?:\s+(?:dot|underscore|dash)\s+[\w.]+)*\s+at\s+\w+(?:\s+dot\s+\w+)*(?:\s+dot\s+|\.){_ENDING}\b"
)
_HYPHEN = re.compile("[-‐‑–－−]")


@dataclass(frozen=True, slots=True)
class Found:
    """An entity in a text, without its times."""

    category: str
    begin: int
    end: int
    score: float


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


@lru_cache(KEPT_TEXTS)
def find(text: str) -> tuple[Found, ...]:
    """All entities of a text, in order, none within another. A number that could be private counts as such before it
    counts as a date or an amount; of what redaction left it is known what stood there."""
    low = _kept_hyphens(text)
    kept: list[Found] = []
    tags = (Found(tag[1], tag.start(), tag.end(), SURE) for tag in TAG.finditer(text) if tag[1] in CATEGORIES)
    private = chain(_by_form(low, _EMAIL, "EMAIL", SURE), _coded(low), _in_groups(low), _numbers(low))
    for found in chain(tags, private, _plain(low)):
        if all(found.end <= other.begin or found.begin >= other.end for other in kept):
            kept.append(found)
    return tuple(sorted(kept, key=lambda found: found.begin))


@lru_cache(KEPT_TEXTS)
def runs(text: str) -> tuple[Run, ...]:
    """Numbers read out digit by digit or in groups, in digits or in words. Dates, times and amounts of money are
    none."""
    return tuple(numbers.runs(_without_public(_kept_hyphens(text))))


def groups(text: str) -> list[Run]:
    """Numbers that are nothing sure by themselves, and may be a group of a longer one with words between."""
    low = _kept_hyphens(text)
    return [run for run in runs(text) if _is_group(run, low)]


def words_between(text: str, begin: int, end: int) -> int:
    """How many words a stretch of a text has."""
    return len(tokens(folded(text[begin:end])))


def _without_public(low: str) -> str:
    """The text with dates, times and amounts blotted out, unless they have more digits than such a thing has or stand
    next to another number: what could be a piece of a card number stays."""
    blotted, taken = low, []
    for pattern, most in ((_DATE, 8), (_TIME, 4), (_MONEY, 6)):
        for match in pattern.finditer(blotted):
            digits = sum(len(run.digits) for run in numbers.runs(match.group()) if not run.is_amount)
            if digits <= (12 if match.group()[0] in "$£€¥￥" else most):
                blotted = blotted[: match.start()] + "|" * len(match.group()) + blotted[match.end() :]
                taken.append(match.span())
    for begin, end in sorted(taken):
        if _follows_a_number(blotted[:begin]) or _precedes_a_long_number(blotted[end:]):
            blotted = blotted[:begin] + low[begin:end] + blotted[end:]
    return blotted


def _follows_a_number(before: str) -> bool:
    near = before[-BEFORE_CHARACTERS:]
    found = numbers.runs(near)
    return bool(found) and numbers.BETWEEN.fullmatch(near, found[-1].end) is not None


def _precedes_a_long_number(after: str) -> bool:
    near = after[:BEFORE_CHARACTERS]
    for run in numbers.runs(near)[:1]:
        return len(run.digits) >= MANY_DIGITS and numbers.BETWEEN.fullmatch(near, 0, run.begin) is not None
    return False


def _plain(text: str) -> Iterator[Found]:
    yield from _by_form(text, _MONEY, "MONEY", LIKELY)
    yield from _by_form(text, _DATE, "DATE", LIKELY)
    yield from _by_form(text, _TIME, "TIME", LIKELY)


def _by_form(text: str, pattern: re.Pattern[str], category: str, score: float) -> Iterator[Found]:
    for match in pattern.finditer(text):
        yield Found(category, match.start(), match.end(), score)


def _coded(text: str) -> Iterator[Found]:
    """Numbers with letters in them whose form says what they are."""
    yield from _by_form(text, _CHINESE_ID, "ACCOUNT_NUMBER", SURE)
    for match in _IBAN.finditer(text):
        ends = [match.end(), *(match.start() + gap.start() for gap in reversed([*re.finditer(r"\s", match.group())]))]
        whole = [end for end in ends if _is_iban("".join(text[match.start() : end].split()))]
        yield from (Found("ACCOUNT_NUMBER", match.start(), end, SURE) for end in whole[:1])


def _is_iban(code: str) -> bool:
    """The check digits of account numbers (ISO 13616: mod 97)."""
    return len(code) >= 15 and int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


def _numbers(text: str) -> Iterator[Found]:
    for run in runs(text):
        kind = _kind(run, text[max(0, run.begin - BEFORE_CHARACTERS) : run.begin])
        if kind:
            yield Found(kind[0], run.begin, run.end, kind[1])


def _in_groups(text: str) -> Iterator[Found]:
    """The groups of card numbers that have words between them, by the check digit of all."""
    loose = groups(text)
    for first in range(len(loose)):
        digits = loose[first].digits
        for last in range(first + 1, len(loose)):
            digits += loose[last].digits
            is_near = words_between(text, loose[last - 1].end, loose[last].begin) <= MOST_WORDS
            if not is_near or len(digits) > max(CARD_DIGITS):
                break
            if len(digits) in CARD_DIGITS and _luhn(digits):
                yield from (Found("CARD_NUMBER", run.begin, run.end, LIKELY) for run in loose[first : last + 1])


def _is_group(run: Run, text: str) -> bool:
    before = text[max(0, run.begin - BEFORE_CHARACTERS) : run.begin]
    if len(run.digits) < GROUP_DIGITS or run.is_amount or _is_year(run, before):
        return False
    kind = _kind(run, before)
    return kind is None or kind[1] <= MAYBE


def _is_year(run: Run, before: str) -> bool:
    return _YEAR.fullmatch(run.digits) is not None and _YEAR_BEFORE.search(before) is not None


def _kind(run: Run, before: str) -> tuple[str, float] | None:
    count = len(run.digits)
    if _is_year(run, before) or (run.is_amount and not _NUMBER_IS.search(before)):
        return None
    if count == CODE_DIGITS and _CODE_CONTEXT.search(before):
        return "ACCOUNT_NUMBER", LIKELY
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


def _kept_hyphens(text: str) -> str:
    """Folded, with the hyphens that dates and numbers have."""
    low = list(folded(text))
    for match in _HYPHEN.finditer(text):
        low[match.start()] = "-"
    return "".join(low)
