"""Private numbers, however they are said, leave nowhere; what is no private number stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.insight.entities import find
from aural.insight.redaction import redact, redacted
from aural.insight.tags import CATEGORIES, PRIVATE, TAGS
from aural.insight.words import folded, tokens
from aural.types import SAMPLE_RATE, Reason, Segment, Suppressed, Transcript, Word

CARD = "4111 1111 1111 1111"
SAID = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"my card is {CARD} thanks", "my card is [CARD_NUMBER] thanks"),
        ("4111-1111-1111-1111", "[CARD_NUMBER]"),
        ("the card number is 4 1 1 1, 1 1 1 1, um 1 1 1 1 and 1 1 1 1", "the card number is [CARD_NUMBER]"),
        ("four one one one one one one one one one one one one one one one dollars", "[CARD_NUMBER] dollars"),
        ("call me on oh seven seven double oh nine hundred one two three", "call me on [PHONE_NUMBER]"),
        ("call 1-800-555-0199 or 555.0123.4567", "call [PHONE_NUMBER] or [PHONE_NUMBER]"),
        ("+44 (0)20 7946 0958", "+[PHONE_NUMBER]"),
        ("手机号是一三八零零一三八零零零", "手机号是[PHONE_NUMBER]"),
        ("我的卡号是6222 0212 3456 7890 123", "我的卡号是[CARD_NUMBER]"),
        ("我的账号是四四一九二七", "我的账号是[ACCOUNT_NUMBER]"),
        ("email me at john dot smith at gmail dot com please", "email me at [EMAIL] please"),
        ("john.smith@example.com", "[EMAIL]"),
        ("write to bob at gmail.com", "write to [EMAIL]"),
        ("it's 4111 okay 1111 yeah 1111 right 1111", "it's [CARD_NUMBER]"),
        (
            "4111, got that, 1111 go on 1111 and then 1111",
            "[CARD_NUMBER], got that, [CARD_NUMBER] go on [CARD_NUMBER]",
        ),
        ("06.12.34.56.78", "[PHONE_NUMBER]"),
        ("+33.6.12.34.56.78", "+[PHONE_NUMBER]"),
        ("1.800.555.0199", "[PHONE_NUMBER]"),
        (f"charge 20 pounds {CARD}", "charge 20 pounds [CARD_NUMBER]"),
        ("twenty pounds four one one one one one one one", "twenty pounds [PHONE_NUMBER]"),
        ("４１１１－１１１１－１１１１－１１１１", "[CARD_NUMBER]"),
        ("卡号 6222（0212）3456（7890）123", "卡号 [CARD_NUMBER]"),
        ("my account number is 441,927", "my account number is [ACCOUNT_NUMBER]"),
        ("the cvv is 123", "the cvv is [ACCOUNT_NUMBER]"),
        ("it is FR14 2004 1010 0505 0001 3M02 606 there", "it is [ACCOUNT_NUMBER] there"),
        ("11010519491231002X", "[ACCOUNT_NUMBER]"),
        ("六二二二，嗯，零二一二，好的，三四五六，对，七八九零", "[PHONE_NUMBER]"),
        ("call eight hundred five five five one two three four", "call [PHONE_NUMBER]"),
    ],
)
def test_private_numbers_go(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "I paid $1,500.50 on March 3rd at 5 pm",
        "January 5, 2024 and 2024-10-12",
        "i'd like two or three of those between eight and ten on the twenty first of may",
        "at 10:30 on 12/10/2024 I paid 20 pounds",
        "五百块钱 明天上午八点",
        "I have 1,234,567 reasons",
        "i paid one thousand five hundred dollars on my account",
        "two hundred and fifty thousand customers",
        "it was 12500.50 dollars and then 12,500.50 dollars",
        "I am a customer since 2019, my order is from 2023",
        "on my card it is 99.99 a month at 4.25 percent",
        "$5 million and 2.5 million dollars",
        "which one am I to look at on amazon.com, look at amazon.com",
    ],
)
def test_dates_amounts_and_counts_stay(text: str) -> None:
    assert redacted(text) == text


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=13, max_size=16), st.sampled_from([" ", "-", ", ", ""]), st.booleans())
def test_no_digit_of_a_long_number_is_left(digits: list[int], between: str, in_words: bool) -> None:
    said = (between.strip("-") or " ").join(SAID[d] for d in digits) if in_words else between.join(map(str, digits))
    left = redacted(f"well it is {said} you see")
    assert not re.search(r"\d", left)
    assert not set(re.findall(r"\w+", left)) & set(SAID)


def test_entities_are_named_with_their_places() -> None:
    text = "fifteen pounds on friday at half past two"
    assert [(one.category, text[one.begin : one.end]) for one in find(text)] == [
        ("MONEY", "fifteen pounds"),
        ("DATE", "friday"),
        ("TIME", "half past two"),
    ]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("it made $5 million", "$5 million"),
        ("$5 more", "$5"),
        ("2.5 million dollars", "2.5 million dollars"),
        ("two point five million pounds", "two point five million pounds"),
        ("twenty pounds fifty please", "twenty pounds fifty"),
        ("一共￥500", "￥500"),
        ("要五百美金", "五百美金"),
        ("one thousand five hundred dollars", "one thousand five hundred dollars"),
    ],
)
def test_an_amount_is_all_of_it(text: str, amount: str) -> None:
    assert [(one.category, text[one.begin : one.end]) for one in find(text)] == [("MONEY", amount)]


def _words(text: str) -> tuple[Word, ...]:
    return tuple(Word(" " + word, i * SAMPLE_RATE, (i + 1) * SAMPLE_RATE, 0.9) for i, word in enumerate(text.split()))


def test_a_number_goes_from_text_words_tokens_and_suppressed_text() -> None:
    first, second = " my card is 4111 1111", " 1111 1111 thank you"
    segments = (
        Segment(first, 0, 5 * SAMPLE_RATE, tokens=(1, 2, 3), words=_words(first)),
        Segment(second, 5 * SAMPLE_RATE, 9 * SAMPLE_RATE, tokens=(4, 5), words=_words(second)),
    )
    gap = Suppressed(0, 10, Reason.LOW_CONFIDENCE, "it is 4111 1111")
    left = redact(Transcript(segments, (gap,)), PRIVATE)
    everything = repr(left)
    assert "1111" not in everything
    assert "".join(segment.text for segment in left.segments) == " my card is [CARD_NUMBER] thank you"
    assert [word.text for word in left.segments[0].words] == [" my", " card", " is", " [CARD_NUMBER]"]
    assert left.segments[0].words[-1].end == 5 * SAMPLE_RATE
    assert left.segments[0].tokens == ()


def test_a_piece_of_a_number_at_the_edge_of_an_utterance_goes() -> None:
    assert "11" not in redacted("my card is 4111 11", edges=True)
    assert redacted("one one one", edges=True) == "[NUMBER]"
    assert redacted("42", edges=True) == "[NUMBER]"
    assert redacted("I have 2 of them", edges=True) == "I have 2 of them"
    assert redacted("it's four one one one um", edges=True) == "it's [NUMBER] um"
    assert redacted("so 4111 right", edges=True) == "so [NUMBER] right"


def test_no_tag_is_a_word() -> None:
    said = {
        "CARD_NUMBER": CARD,
        "PHONE_NUMBER": "1-800-555-0199",
        "ACCOUNT_NUMBER": "11010519491231002X",
        "EMAIL": "john.smith@example.com",
        "MONEY": "$20",
        "DATE": "tomorrow",
        "TIME": "10:30",
        "NUMBER": "42",
    }
    assert {category: redacted(text, CATEGORIES, edges=True) for category, text in said.items()} == TAGS
    for category, tag in TAGS.items():
        assert tokens(folded(f"it's {tag}.")) == tokens(folded("it's"))
        assert [found.category for found in find(f"it's {tag}.")] == [category] * (category in CATEGORIES)


def test_a_date_before_a_number_is_not_its_beginning() -> None:
    left = redacted(f"valid to march 25 {CARD}")
    assert "1" not in left
    assert left.startswith("valid to march")
