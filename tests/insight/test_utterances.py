"""Transcripts and texts as what the skills are given."""

from __future__ import annotations

import pytest

from aural.insight.request import Asked
from aural.insight.types import Role
from aural.insight.utterances import LONGEST_SENTENCE, of_transcripts, sentences
from aural.types import Segment, Transcript

BOTH = Asked(roles=(Role.AGENT, Role.CUSTOMER))


def heard(text: str, start: int) -> Transcript:
    return Transcript((Segment(text, start, start + 100),))


def test_who_speaks_is_known_where_channels_are_apart() -> None:
    apart = of_transcripts([heard(" hello", 0), heard(" good morning", 50)], BOTH)
    assert [(one.id, one.channel, one.role) for one in apart] == [("u0", 0, Role.AGENT), ("u1", 1, Role.CUSTOMER)]
    [mixed] = of_transcripts([heard(" hello", 0)], BOTH)
    assert (mixed.channel, mixed.role) == (0, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("one line\nanother line\n\n", ["one line", "another line"]),
        ("My line is down. Mr. Smith came! Did he? Yes", ["My line is down.", "Mr. Smith came!", "Did he?", "Yes"]),
        ("我的网断了。怎么办？谢谢", ["我的网断了。", "怎么办？", "谢谢"]),
        ("it costs 3.50 today", ["it costs 3.50 today"]),
    ],
)
def test_a_text_is_taken_by_its_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_what_has_no_end_is_cut_between_words() -> None:
    spaced, spaceless = "word " * 400, "字" * 2_000
    for text in (spaced, spaceless):
        parts = sentences(text)
        assert max(map(len, parts)) <= LONGEST_SENTENCE
        assert "".join(parts).replace(" ", "") == text.replace(" ", "")
    assert set(" ".join(sentences(spaced)).split()) == {"word"}
