"""A number that is read out while it is captioned never shows, and deltas still add up to the final text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.insight import live_redaction
from aural.insight.live_redaction import Growing
from aural.insight.tags import PRIVATE
from aural.types import Word

SAID = "well my card is four one one one one one one one one one one one one one one one and that's it for 2 weeks"


def told(words: list[str], pieces: list[int]) -> tuple[list[str], list[str], Growing]:
    """Deltas and drafts of a text that is committed in pieces of so many words."""
    growing, deltas, drafts, at = Growing(PRIVATE), [], [], 0
    for count in pieces:
        deltas.append(growing.grow("".join(f" {word}" for word in words[at : at + count])).text)
        at += count
        drafts.append(growing.draft("".join(f" {word}" for word in words[at : at + 3])))
    deltas.append(growing.grow("".join(f" {word}" for word in words[at:])).text)
    deltas.append(growing.end().text)
    return deltas, drafts, growing


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=12))
def test_no_digit_shows_however_it_is_cut(pieces: list[int]) -> None:
    deltas, drafts, growing = told(SAID.split(), pieces)
    assert "".join(deltas) == growing.told == " well my card is [CARD_NUMBER] and that's it for 2 weeks"
    for shown in drafts:
        assert not {"four", "one"} & set(shown.split())


def test_words_of_a_number_become_one() -> None:
    growing = Growing(PRIVATE)
    said = ["call", "four", "one", "one", "one", "one", "one", "one", "now"]
    words = tuple(Word(f" {word}", i * 100, i * 100 + 90, 1.0) for i, word in enumerate(said))
    first = growing.grow("".join(word.text for word in words[:5]), words[:5])
    rest = growing.grow("".join(word.text for word in words[5:]), words[5:])
    assert [word.text for word in first.words + rest.words] == [" call", " [PHONE_NUMBER]", " now"]
    assert (rest.words[0].start, rest.words[0].end) == (100, 790)
    assert first.text + rest.text == growing.told


def test_a_number_at_the_end_of_an_utterance_may_go_on_in_the_next() -> None:
    growing = Growing(PRIVATE)
    assert growing.grow(" my card is 4111 1111").text == " my card is"
    assert growing.end().text == " [ACCOUNT_NUMBER]"


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([" call me on oh seven seven double", " oh nine hundred one two three"], " call me on [PHONE_NUMBER]"),
        ([" it's 4111, um", " 1111 1111", " 1111"], " it's [CARD_NUMBER]"),
        ([" it's 4111, and", " 1111 1111 1111 thanks"], " it's [CARD_NUMBER] thanks"),
        (["六二二二，嗯", "零二一二三四五六七八九零"], "[PHONE_NUMBER]"),
        (
            [" it's 4111 got", " that 1111", " go on 1111", " yes and 1111 thank you"],
            " it's [CARD_NUMBER] got that [CARD_NUMBER] go on [CARD_NUMBER] thank you",
        ),
    ],
)
def test_a_number_that_may_go_on_is_held_back(pieces: list[str], whole: str) -> None:
    growing = Growing(PRIVATE)
    deltas = [growing.grow(piece).text for piece in pieces]
    deltas.append(growing.end().text)
    assert "".join(deltas) == growing.told == whole


def test_what_turns_out_to_be_no_group_is_told_after_a_few_words() -> None:
    growing = Growing(PRIVATE)
    assert growing.grow(" there were 350 people").text == " there were"
    assert growing.grow(" at the concert").text == " 350 people at the concert"


def test_what_is_no_number_is_told_at_once() -> None:
    growing = Growing(PRIVATE)
    assert growing.grow(" see you on friday").text == " see you on friday"
    assert growing.draft(" at half past two") == " at half past two"


def test_a_text_without_end_is_not_looked_through_from_its_beginning(monkeypatch) -> None:
    longest = 0
    looked = live_redaction.private

    def private(text: str, *args: object, **named: object) -> list:
        nonlocal longest
        longest = max(longest, len(text))
        return looked(text, *args, **named)

    monkeypatch.setattr(live_redaction, "private", private)
    growing = Growing(PRIVATE)
    said = SAID.split() * 25
    told = [growing.grow(f" {word}", (Word(f" {word}", at, at + 1, 1.0),)) for at, word in enumerate(said)]
    told.append(growing.end())
    part = " well my card is [CARD_NUMBER] and that's it for 2 weeks"
    assert "".join(piece.text for piece in told) == growing.told == part * 25
    assert "".join(word.text for piece in told for word in piece.words) == growing.told
    assert longest < 4 * live_redaction.CONTEXT_CHARACTERS
