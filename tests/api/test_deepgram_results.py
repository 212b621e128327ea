"""Deepgram's rules for results, over events without a socket: they tile the stream, finals stay, drafts do not."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import QueryParams

from aural.api.deepgram.query import Wish, parse
from aural.api.deepgram.results import FINALIZE, Results
from aural.errors import BadRequest, EngineFailed, UnsupportedParameter
from aural.live.events import (
    Closed,
    Committed,
    Draft,
    Ended,
    Event,
    Failed,
    Final,
    Heard,
    Ledger,
    SpeechStarted,
    SpeechStopped,
)
from aural.live.settings import Format, Manual, ServerVad
from aural.serving.unpacker import UNPACKED
from aural.types import SAMPLE_RATE, Transcript, Word

RAW = "encoding=linear16&sample_rate=16000"
ENDING = "interim_results=true&utterance_end_ms=1000"
Message = dict[str, Any]


def asked(query: str = "", form: str = RAW) -> Wish:
    return parse(QueryParams(f"{form}&{query}"), ["whisper-base", "whisper-tiny.en"])


def at(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE)


def word(text: str, start_s: float, end_s: float) -> Word:
    return Word(text, at(start_s), at(end_s), 0.5)


def grown(*words: Word, utterance: str = "u1", text: str | None = None) -> Committed:
    return Committed(utterance, "".join(word.text for word in words) if text is None else text, words, words[-1].end)


def drafted(text: str, end_s: float, utterance: str = "u1") -> Draft:
    return Draft(utterance, text, at(end_s))


def closed(end_s: float, utterance: str = "u1", start_s: float = 0.0) -> list[Event]:
    return [SpeechStopped(utterance, at(end_s)), Closed(utterance, at(start_s), at(end_s))]


def ended(end_s: float, utterance: str = "u1") -> list[Event]:
    return [*closed(end_s, utterance), Final(utterance, 0, at(end_s), Transcript(), "")]


def told(wish: Wish, *events: Event) -> list[Message]:
    results = Results(wish, "id", "whisper-base")
    return [message for event in events for message in results.on(event)]


def text(message: Message) -> str:
    return message["channel"]["alternatives"][0]["transcript"]


def words(message: Message) -> list[Message]:
    return message["channel"]["alternatives"][0]["words"]


def span(message: Message) -> tuple[float, float]:
    return message["start"], round(message["start"] + message["duration"], 3)


def finals(messages: list[Message]) -> list[Message]:
    return [one for one in messages if one.get("is_final")]


def of(kind: str, messages: list[Message]) -> list[Message]:
    return [one for one in messages if one["type"] == kind]


HELLO = (word(" Hello,", 0.2, 0.5), word(" World.", 0.6, 0.9))


def test_interim_results_hold_the_draft_and_final_ones_the_committed_text() -> None:
    wish = asked("interim_results=true&punctuate=true")
    said = [SpeechStarted("u1", 0), grown(HELLO[0]), drafted(" World", 0.9), grown(HELLO[1]), *ended(1.5)]
    messages = told(wish, *said)
    assert [text(one) for one in messages] == ["Hello,", "Hello, World", "Hello, World.", "Hello, World."]
    assert [(one["is_final"], one["speech_final"]) for one in messages] == [(False, False)] * 3 + [(True, True)]
    assert words(messages[-1]) == [
        {"word": "hello", "start": 0.2, "end": 0.5, "confidence": 0.5, "punctuated_word": "Hello,"},
        {"word": "world", "start": 0.6, "end": 0.9, "confidence": 0.5, "punctuated_word": "World."},
    ]


def test_without_interim_results_there_are_finals_only_and_without_punctuation_bare_words() -> None:
    (message,) = told(asked(), SpeechStarted("u1", 0), grown(*HELLO), drafted("and", 1.0), *ended(1.5))
    assert text(message) == "hello world"
    assert "punctuated_word" not in words(message)[0]
    assert span(message) == (0, 1.5)


def test_chinese_without_punctuation_has_no_marks_within() -> None:
    spoken = (word("今天，", 0.2, 0.5), word("很好。", 0.6, 0.9), word("5%，", 1.0, 1.2), word("是。", 1.2, 1.5))
    (bare,) = told(asked("language=zh"), SpeechStarted("u1", 0), grown(*spoken), *ended(2))
    assert text(bare) == "今天 很好 5 是"
    assert [one["word"] for one in words(bare)] == ["今天", "很好", "5", "是"]
    (written,) = told(asked("language=zh&punctuate=true"), SpeechStarted("u1", 0), grown(*spoken), *ended(2))
    assert text(written) == "今天，很好。5%，是。"


def test_final_results_tile_the_stream() -> None:
    long = [word(f" w{i}", i, i + 0.5) for i in range(8)]
    events: list[Event] = [SpeechStarted("u1", 0), *(grown(one) for one in long), *ended(9)]
    events += [SpeechStarted("u2", at(12)), grown(word(" x", 12, 13), utterance="u2"), *ended(14, "u2")]
    told_finals = finals(told(asked(), *events))
    assert len(told_finals) > 2
    assert " ".join(text(one) for one in told_finals if text(one)) == "w0 w1 w2 w3 w4 w5 w6 w7 x"
    ends = [0.0, *(span(one)[1] for one in told_finals)]
    assert [one["start"] for one in told_finals] == ends[:-1]
    assert [one["speech_final"] for one in told_finals] == [False] * (len(told_finals) - 2) + [True, True]


def test_marks_stay_with_their_word_wherever_results_part() -> None:
    """The mark of the last committed word comes with the growth after it: a comma, or the stop at the very end."""
    long = [word(" The,", 0, 0.5), word(" quick", 1, 1.5), word(" fox,", 2, 2.5), word(" jumped", 3, 3.5)]
    growths = [
        grown(*long, text="The, quick fox, jumped"),
        grown(word(" over", 4, 4.5), text=", over"),
        grown(word(" it.", 5, 5.5), text=" it"),
        Committed("u1", ".", (), at(6)),
    ]
    results = told(asked("punctuate=true"), SpeechStarted("u1", 0), *growths, *ended(6.5))
    assert [text(one) for one in results] == ["The, quick fox,", "jumped, over it."]
    for one in results:
        assert " ".join(word["punctuated_word"] for word in words(one)) == text(one)


def test_marks_alone_are_not_told() -> None:
    messages = told(asked("punctuate=true"), SpeechStarted("u1", 0), Committed("u1", "...", (), at(1)), *ended(2))
    assert [(text(one), words(one)) for one in messages] == [("", [])]


def test_opening_marks_stay_with_the_word_after_them() -> None:
    said = [word(' "Yes,"', 0, 0.5), word(" he", 1, 1.5), word(' "said"', 2, 2.5)]
    (message,) = told(asked("punctuate=true"), grown(*said, text='"Yes," he "said"'), *ended(3))
    assert [word["punctuated_word"] for word in words(message)] == ['"Yes,"', "he", '"said"']
    assert text(message) == '"Yes," he "said"'


def test_a_text_that_its_words_do_not_all_have_is_told_whole() -> None:
    growth = grown(word(" card", 0, 1), word(" is", 1, 2), text="My card is [NUMBER] yes")
    (message,) = told(asked("punctuate=true"), growth, *ended(3))
    assert text(message) == "My card is [NUMBER] yes"


def test_a_draft_that_is_taken_back_is_replaced() -> None:
    wish = asked("interim_results=true")
    messages = told(wish, SpeechStarted("u1", 0), drafted("You", 1), drafted("", 2))
    assert [text(one) for one in messages] == ["you", ""]


def test_words_without_times_are_spread_over_the_sound_of_their_utterance() -> None:
    """Not over the silence before it, nor over what has not been heard yet."""
    wish = asked("interim_results=true")
    events = [*ended(5, "u0"), SpeechStarted("u1", at(60)), drafted("ab abcdef", 64)]
    message = told(wish, *events)[-1]
    assert [(one["start"], one["end"]) for one in words(message)] == [(60, 61), (61, 64)]
    stopped, close, final_event = ended(68)
    final = told(wish, *events, stopped, close, Committed("u1", "ab abcdef", (), at(68)), final_event)[-1]
    assert [(one["start"], one["end"]) for one in words(final)] == [(60, 62), (62, 68)]


def test_finalize_is_answered_with_text_and_without() -> None:
    results = Results(asked(), "id", "whisper-base")
    results.finalize()
    events = [SpeechStarted("u1", 0), grown(*HELLO), Closed("u1", 0, at(1)), Final("u1", 0, at(1), Transcript(), "")]
    (message,) = [message for event in events for message in results.on(event)]
    assert (text(message), message["from_finalize"], message["is_final"]) == ("hello world", True, True)
    results.finalize()
    (empty,) = results.on(Failed(None, BadRequest("too little"), FINALIZE))
    assert (text(empty), empty["from_finalize"]) == ("", True)


def test_a_failed_utterance_is_told_and_leaves_no_hole() -> None:
    events = [SpeechStarted("u1", at(0.5)), *closed(2, start_s=0.5), Failed("u1", EngineFailed("broken"))]
    events += [SpeechStarted("u2", at(4)), grown(word(" x", 4, 5), utterance="u2"), *ended(6, "u2")]
    error, failed, after = told(asked(), *events)
    assert (error["type"], error["variant"]) == ("Error", "engine_failed")
    assert error["description"] == "the speech from 0.5 to 2.0 s could not be heard: broken"
    assert (text(failed), span(failed), failed["speech_final"]) == ("", (0, 2), True)
    assert (text(after), span(after)) == ("x", (2, 6))


def test_silence_is_told_as_well() -> None:
    events: list[Event] = [Heard(at(one / 4)) for one in range(1, 41)]
    events += [SpeechStarted("u1", at(10)), grown(word(" x", 10.5, 11)), *ended(12)]
    events += [Heard(at(13)), Ended(Ledger(received=at(13.5)))]
    results = told(asked(), *events)
    assert [text(one) for one in results] == ["", "", "", "x", ""]
    assert [span(one) for one in results] == [(0, 3), (3, 6), (6, 9), (9, 12), (12, 13.5)]
    assert [one["speech_final"] for one in results] == [False, False, False, True, False]


def test_a_sentence_before_a_long_silence_is_told_though_nobody_ends_it() -> None:
    """With endpointing=false only Finalize ends an utterance."""
    events = [SpeechStarted("u1", 0), grown(*HELLO), drafted(" and", 1.5), Heard(at(5)), drafted("", 5.5)]
    before, (final,) = finals(told(asked(), *events)), finals(told(asked(), *events, Heard(at(6))))
    assert before == []
    assert (text(final), span(final), final["speech_final"]) == ("hello world", (0, 5), False)


def test_speech_started_only_when_asked() -> None:
    start = SpeechStarted("u1", at(1.25))
    assert told(asked(), start) == []
    assert told(asked("vad_events=true"), start) == [{"type": "SpeechStarted", "channel": [0, 1], "timestamp": 1.25}]


def test_utterance_end_comes_once_after_the_gap() -> None:
    said = [SpeechStarted("u1", 0), grown(*HELLO), *ended(1.5), Heard(at(1.8))]
    assert of("UtteranceEnd", told(asked(ENDING), *said)) == []
    (end,) = of("UtteranceEnd", told(asked(ENDING), *said, Heard(at(1.9)), Heard(at(4)), Heard(at(9))))
    assert end == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.9}


def test_utterance_end_comes_before_the_end_of_the_utterance_with_all_its_words() -> None:
    """As with endpointing=false, with endpointing longer than the gap, and with noise that does not end."""
    events = [SpeechStarted("u1", 0), grown(*HELLO), Heard(at(2)), *ended(6), Heard(at(9))]
    messages = [one for one in told(asked(ENDING), *events) if one["type"] == "UtteranceEnd" or one["is_final"]]
    assert [one["type"] for one in messages[:3]] == ["Results", "UtteranceEnd", "Results"]
    assert (text(messages[0]), messages[0]["speech_final"]) == ("hello world", False)
    assert len(of("UtteranceEnd", messages)) == 1


def test_utterance_end_waits_while_words_come() -> None:
    events = [SpeechStarted("u1", 0), grown(*HELLO), drafted(" and", 1.9), Heard(at(3))]
    assert of("UtteranceEnd", told(asked(ENDING), *events)) == []
    taken_back = [drafted("", 3.1), Heard(at(3.5))]
    assert len(of("UtteranceEnd", told(asked(ENDING), *events, *taken_back))) == 1


def test_utterance_end_needs_no_times_of_words_and_no_audio_after_the_final() -> None:
    """Without them the last word ends where what was heard ends. All that is told comes after the last audio."""
    events = [
        SpeechStarted("u1", 0),
        *closed(1.5),
        Committed("u1", "hello", (), at(1.2)),
        *ended(1.5)[2:],
        Heard(at(4)),
    ]
    (end,) = of("UtteranceEnd", told(asked(ENDING), *events))
    assert end["last_word_end"] == 1.2


def test_utterance_end_of_noise_has_no_last_word() -> None:
    (end,) = of("UtteranceEnd", told(asked(ENDING), SpeechStarted("u1", 0), *ended(1.5), Heard(at(2.5))))
    assert end["last_word_end"] == -1


def test_utterance_end_comes_before_the_stream_ends() -> None:
    events = [SpeechStarted("u1", 0), grown(*HELLO), *ended(1.5), Ended(Ledger(received=at(2)))]
    assert [one["type"] for one in told(asked(ENDING), *events)][-2:] == ["UtteranceEnd", "Results"]


def test_the_query_becomes_settings() -> None:
    wish = asked("language=zh-TW&endpointing=300&model=whisper-tiny.en&keyterm=canoe&keywords=birch:2")
    assert (wish.live.model, wish.live.options.language, wish.live.script) == ("whisper-tiny.en", "zh", "s2tw")
    assert wish.live.options.hotwords == "canoe birch"
    assert (wish.live.format, wish.live.turns) == (Format("pcm_s16le", 16_000, 1), ServerVad(silence_duration_ms=300))
    assert asked("endpointing=false").live.turns == Manual()
    assert asked("language=multi").live.options.language is None
    assert asked().live.options.language == "en"
    assert asked("channels=2").live.format.channels == 2
    assert asked("extra=call:7&extra=agent:a:b").extra == {"call": "7", "agent": "a:b"}


@pytest.mark.parametrize("name", ["nova-3", "nova-2-meeting", "base", "enhanced", "meeting", "phonecall", "general"])
def test_the_names_of_deepgrams_models_are_the_first_here(name: str) -> None:
    assert asked(f"model={name}").live.model is None


@pytest.mark.parametrize(
    "form", ["", "encoding=ogg-opus", "encoding=flac&sample_rate=48000", "encoding=opus&channels=2"]
)
def test_a_container_says_itself_what_it_holds(form: str) -> None:
    wish = asked(form=form)
    assert wish.is_contained
    assert wish.live.format == UNPACKED


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("encoding=speex&sample_rate=16000", "encoding"),
        ("sample_rate=16000", "encoding"),
        ("encoding=linear16", "sample_rate"),
        (f"{RAW}&sample_rate=1", "sample_rate"),
        (f"{RAW}&sample_rate={'1' * 5000}", "sample_rate"),
        (f"{RAW}&channels=9", "channels"),
        (f"{RAW}&interim_results=yes", "interim_results"),
        (f"{RAW}&utterance_end_ms=1000", "utterance_end_ms"),
        (f"{RAW}&endpointing=soon", "endpointing"),
        (f"{RAW}&language=klingon", "language"),
        (f"{RAW}&sentiment=true", "sentiment"),
        (f"{RAW}&diarize=true", "diarize"),
        (f"{RAW}&token=key", "token"),
        (f"{RAW}&extra=nothing", "extra"),
        (f"{RAW}&extra=a:{'b' * 3000}", "extra"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(query: str, param: str) -> None:
    with pytest.raises((BadRequest, UnsupportedParameter)) as caught:
        parse(QueryParams(query), ["whisper-base"])
    assert caught.value.param == param
