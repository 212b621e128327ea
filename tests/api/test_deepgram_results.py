"""Deepgram's rules for results, over events without a socket: they tile the stream, finals stay, drafts do not."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import QueryParams

from aural.api.deepgram.query import Wish, parse
from aural.api.deepgram.results import FINALIZE, Results
from aural.errors import BadRequest, EngineFailed, UnsupportedParameter
from aural.live.events import Closed, Committed, Draft, Event, Failed, Final, SpeechStarted, SpeechStopped
from aural.live.settings import Format, Manual, ServerVad
from aural.types import SAMPLE_RATE, Transcript, Word

RAW = "encoding=linear16&sample_rate=16000"


def asked(query: str = "") -> Wish:
    return parse(QueryParams(f"{RAW}&{query}"), ["whisper-base", "whisper-tiny.en"])


def at(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE)


def word(text: str, start_s: float, end_s: float) -> Word:
    return Word(text, at(start_s), at(end_s), 0.5)


def grown(*words: Word, utterance: str = "u1") -> Committed:
    return Committed(utterance, "".join(word.text for word in words), words)


def ended(end_s: float, utterance: str = "u1") -> list[Event]:
    stop = at(end_s)
    return [
        SpeechStopped(utterance, stop),
        Closed(utterance, 0, stop),
        Final(utterance, 0, stop, Transcript(), ""),
    ]


def told(wish: Wish, *events: Event, received_s: float = 2.0) -> list[dict[str, Any]]:
    results = Results(wish, "id", "whisper-base")
    return [message for event in events for message in results.on(event, at(received_s))]


def text(message: dict[str, Any]) -> str:
    return message["channel"]["alternatives"][0]["transcript"]


HELLO = (word(" Hello,", 0.2, 0.5), word(" World.", 0.6, 0.9))


def test_interim_results_hold_the_draft_and_final_ones_the_committed_text() -> None:
    wish = asked("interim_results=true&punctuate=true")
    messages = told(wish, SpeechStarted("u1", 0), grown(HELLO[0]), Draft("u1", " World"), grown(HELLO[1]), *ended(1.5))
    assert [text(one) for one in messages] == ["Hello,", "Hello, World", "Hello, World.", "Hello, World."]
    assert [(one["is_final"], one["speech_final"]) for one in messages] == [(False, False)] * 3 + [(True, True)]
    assert messages[-1]["channel"]["alternatives"][0]["words"] == [
        {"word": "hello", "start": 0.2, "end": 0.5, "confidence": 0.5, "punctuated_word": "Hello,"},
        {"word": "world", "start": 0.6, "end": 0.9, "confidence": 0.5, "punctuated_word": "World."},
    ]


def test_without_interim_results_there_are_finals_only_and_without_punctuation_bare_words() -> None:
    (message,) = told(asked(), SpeechStarted("u1", 0), grown(*HELLO), Draft("u1", "and"), *ended(1.5))
    assert text(message) == "hello world"
    assert "punctuated_word" not in message["channel"]["alternatives"][0]["words"][0]
    assert (message["start"], message["duration"]) == (0, 1.5)


def test_final_results_tile_the_stream() -> None:
    long = [word(f" w{i}", i, i + 0.5) for i in range(8)]
    events: list[Event] = [SpeechStarted("u1", 0), *(grown(one) for one in long), *ended(9)]
    events += [SpeechStarted("u2", at(12)), grown(word(" x", 12, 13), utterance="u2"), *ended(14, "u2")]
    finals = [one for one in told(asked(), *events, received_s=14) if one["is_final"]]
    assert len(finals) > 2
    assert " ".join(text(one) for one in finals if text(one)) == "w0 w1 w2 w3 w4 w5 w6 w7 x"
    ends = [0.0, *(one["start"] + one["duration"] for one in finals)]
    assert [one["start"] for one in finals] == ends[:-1]
    assert [one["speech_final"] for one in finals] == [False] * (len(finals) - 2) + [True, True]


def test_a_draft_that_is_taken_back_is_replaced() -> None:
    messages = told(asked("interim_results=true"), SpeechStarted("u1", 0), Draft("u1", "You"), Draft("u1", ""))
    assert [text(one) for one in messages] == ["you", ""]


def test_words_of_a_draft_are_spread_over_the_sound() -> None:
    (message,) = told(asked("interim_results=true"), Draft("u1", "ab abcdef"), received_s=4)
    spans = [(one["start"], one["end"]) for one in message["channel"]["alternatives"][0]["words"]]
    assert spans == [(0, 1), (1, 4)]


def test_finalize_is_answered_with_text_and_without() -> None:
    results = Results(asked(), "id", "whisper-base")
    results.finalize()
    events = [SpeechStarted("u1", 0), grown(*HELLO), Closed("u1", 0, at(1)), Final("u1", 0, at(1), Transcript(), "")]
    (message,) = [message for event in events for message in results.on(event, at(1))]
    assert (text(message), message["from_finalize"], message["is_final"]) == ("hello world", True, True)
    results.finalize()
    (empty,) = results.on(Failed(None, BadRequest("too little"), FINALIZE), at(1))
    assert (text(empty), empty["from_finalize"]) == ("", True)


def test_a_failed_utterance_leaves_no_hole() -> None:
    messages = told(asked(), SpeechStarted("u1", 0), Failed("u1", EngineFailed("broken")), received_s=2)
    assert [(text(one), one["start"], one["duration"], one["speech_final"]) for one in messages] == [("", 0, 2, True)]


def test_speech_started_only_when_asked() -> None:
    start = SpeechStarted("u1", at(1.25))
    assert told(asked(), start) == []
    assert told(asked("vad_events=true"), start) == [{"type": "SpeechStarted", "channel": [0, 1], "timestamp": 1.25}]


def test_utterance_end_comes_once_after_the_gap() -> None:
    results = Results(asked("interim_results=true&utterance_end_ms=1000"), "id", "whisper-base")
    for event in [SpeechStarted("u1", 0), grown(*HELLO), *ended(1.5)]:
        list(results.on(event, at(1.5)))
    assert list(results.on_time(at(1.8))) == []
    assert list(results.on_time(at(1.9))) == [{"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.9}]
    assert list(results.on_time(at(5))) == []


def test_the_query_becomes_settings() -> None:
    wish = asked("language=zh-TW&endpointing=300&model=whisper-tiny.en&keyterm=canoe&keywords=birch:2")
    assert (wish.live.model, wish.live.options.language, wish.live.script) == ("whisper-tiny.en", "zh", "s2tw")
    assert wish.live.options.hotwords == "canoe birch"
    assert (wish.live.format, wish.live.turns) == (Format("pcm_s16le", 16_000, 1), ServerVad(silence_duration_ms=300))
    assert asked("endpointing=false").live.turns == Manual()
    assert asked("model=nova-3&language=multi").live.model is None
    assert asked("language=multi").live.options.language is None
    assert asked().live.options.language == "en"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("encoding=opus&sample_rate=16000", "encoding"),
        ("encoding=linear16", "sample_rate"),
        (f"{RAW}&sample_rate=1", "sample_rate"),
        (f"{RAW}&channels=2", "channels"),
        (f"{RAW}&interim_results=yes", "interim_results"),
        (f"{RAW}&utterance_end_ms=1000", "utterance_end_ms"),
        (f"{RAW}&endpointing=soon", "endpointing"),
        (f"{RAW}&language=klingon", "language"),
        (f"{RAW}&sentiment=true", "sentiment"),
        (f"{RAW}&diarize=true", "diarize"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(query: str, param: str) -> None:
    with pytest.raises((BadRequest, UnsupportedParameter)) as caught:
        parse(QueryParams(query), ["whisper-base"])
    assert caught.value.param == param
