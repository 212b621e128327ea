"""Words of a transcript, from what was committed and what was heard last."""

from __future__ import annotations

import pytest

from aural.api.realtime_events import Writer
from aural.api.realtime_session import WireSession
from aural.api.realtime_words import timed
from aural.live.events import Committed, Final
from aural.types import SAMPLE_RATE, Segment, Transcript, Word


def said(text: str, start: float = 0.0) -> list[Word]:
    """A word each second."""
    times = [(round((start + i) * SAMPLE_RATE), round((start + i + 1) * SAMPLE_RATE)) for i in range(len(text.split()))]
    return [Word(f" {word}", *time, 1.0) for word, time in zip(text.split(), times, strict=True)]


@pytest.mark.parametrize(
    ("text", "committed", "heard", "starts"),
    [
        ("Ice cream for all.", "Ice cream for all.", "I scream for all.", [0, 1, 12, 13]),
        ("We came, we saw", "We came we saw", "We came we saw", [10, 11, 12, 13]),
        ("On [DATE], then.", "On [DATE] then", "On [DATE], then.", [10, 11, 12]),
        ("no one", "no one", "", [0, 1]),
        ("as heard", "", "as heard", [10, 11]),
        ("", "", "gone", []),
        ("你好，吗？", "你好 吗", "你好， 吗？", [10, 11]),
    ],
)
def test_they_are_the_transcript_at_the_times_of_the_last_hearing(
    text: str, committed: str, heard: str, starts: list[int]
) -> None:
    found = timed(text, said(committed), said(heard, 10))
    assert "".join(word.text for word in found) == text
    assert [word.start // SAMPLE_RATE for word in found] == starts


def test_times_never_go_back() -> None:
    found = timed("a b c", said("a b c", 5), said("b x"))
    times = [time for word in found for time in (word.start, word.end)]
    assert times == sorted(times)


def test_completed_has_the_words_that_its_deltas_had() -> None:
    writer = Writer("ga")
    session = WireSession("s", "m").updated({"include": ["aural.words"]}, "ga")
    growth = [(" I scream", "I scream"), (" for all.", " for all.")]
    for words, text in growth:
        list(writer.of(Committed("u", text, tuple(said(words))), session))
    heard = Transcript((Segment("Ice cream for all.", 0, SAMPLE_RATE, words=tuple(said("Ice cream for all."))),))
    [done] = writer.of(Final("u", 0, 4 * SAMPLE_RATE, heard, "I scream for all."), session)
    assert [word["word"] for word in done["words"]] == ["I", "scream", "for", "all."]
    assert " ".join(word["word"] for word in done["words"]) == done["transcript"]
    assert done["words"][2]["start"] == 2.0
