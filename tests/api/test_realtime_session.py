"""Whatever a client writes into its session, it is honoured or refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.api.realtime_events import Writer
from aural.api.realtime_session import ENCODINGS, EXTRAS, WireSession
from aural.errors import BadRequest
from aural.insight.settings import InsightSettings
from aural.live.events import SpeechStarted
from aural.live.settings import Manual, SemanticVad, ServerVad

SESSION = WireSession("sess_1", "whisper-tiny.en")

odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def some(**fields: st.SearchStrategy) -> st.SearchStrategy:
    """Objects with some of the fields, each as it should be or odd."""
    return odd | st.fixed_dictionaries({}, optional={name: value | odd for name, value in fields.items()})


formats = some(type=st.sampled_from(sorted(ENCODINGS)), rate=st.sampled_from([8000, 16_000, 24_000]))
detections = some(
    type=st.sampled_from(["server_vad", "semantic_vad"]),
    threshold=st.floats(0, 1),
    silence_duration_ms=st.integers(0, 5000),
    eagerness=st.sampled_from(["low", "high"]),
)
transcriptions = some(language=st.sampled_from(["en", "zh-TW", "xx"]), prompt=st.text(max_size=5), keywords=odd)
inputs = some(format=formats, turn_detection=detections, transcription=transcriptions, noise_reduction=odd)
patches = some(audio=some(input=inputs), include=st.lists(st.sampled_from(EXTRAS)), type=st.just("transcription"))
flat = some(input_audio_format=st.sampled_from(["pcm16", "g711_alaw"]), turn_detection=detections, include=odd)


@given(patches, flat)
def test_any_patch_gives_a_session_or_a_refusal(ga, beta):
    for patch, dialect in ((ga, "ga"), (beta, "beta")):
        try:
            updated = SESSION.updated(patch, dialect)
            updated.live()
        except BadRequest:
            continue
        assert updated.wire("ga")["audio"]["input"]["transcription"]["model"] == updated.model
        assert updated.wire("beta")["input_audio_format"]


def test_an_update_is_partial_and_null_clears():
    slow = SESSION.updated({"audio": {"input": {"turn_detection": {"silence_duration_ms": 900}}}}, "ga")
    both = slow.updated({"audio": {"input": {"turn_detection": {"threshold": 0.7}}}}, "ga")
    assert both.live().turns == ServerVad(threshold=0.7, silence_duration_ms=900)
    assert both.updated({"audio": {"input": {"turn_detection": None}}}, "ga").live().turns == Manual()


@pytest.mark.parametrize(("eagerness", "most_ms"), [("low", 8000), ("medium", 4000), ("auto", 4000), ("high", 2000)])
def test_eagerness_is_how_long_more_is_waited_for(eagerness, most_ms):
    asked = {"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}
    assert SESSION.updated(asked, "beta").live().turns == SemanticVad(max_silence_ms=most_ms)


def test_words_are_asked_of_the_engine_when_the_client_asks():
    assert SESSION.live().options.timestamps == "none"
    assert SESSION.updated({"include": ["aural.words"]}, "ga").live().options.timestamps == "word"


def test_who_commits_is_not_told_of_speech_that_starts():
    """As at OpenAI: without turn detection there is none."""
    started = SpeechStarted("item_1", 0)
    assert [wire["type"] for wire in Writer("ga").of(started, SESSION)] == ["input_audio_buffer.speech_started"]
    manual = SESSION.updated({"audio": {"input": {"turn_detection": None}}}, "ga")
    assert list(Writer("ga").of(started, manual)) == []


def test_null_resets_what_is_heard_to_the_usual():
    asked = {"model": "auto", "language": "de", "prompt": "Guten Tag", "keywords": ["Hummer"]}
    asking = SESSION.updated({"audio": {"input": {"transcription": asked}}}, "ga")
    assert asking.live().model == "auto"
    assert asking.updated({"audio": {"input": {"transcription": None}}}, "ga") == SESSION
    assert asking.updated({"input_audio_transcription": None}, "beta") == SESSION


def test_what_is_ours_is_merged_and_null_takes_it_away():
    private = SESSION.updated({"aural": {"redact": True, "channel": 1}}, "ga")
    both = private.updated({"aural": {"role": "customer"}}, "ga")
    assert both.aural == {"redact": True, "channel": 1, "role": "CUSTOMER"}
    assert both.wish(InsightSettings()).wish.redact
    assert both.updated({"aural": {"redact": None}}, "ga").aural == {"channel": 1, "role": "CUSTOMER"}
    assert both.updated({"aural": {}}, "ga").aural == both.aural
    assert both.updated({"aural": None}, "ga").aural == {}
    with pytest.raises(BadRequest, match=r"session\.aural"):
        both.updated({"aural": []}, "ga")


def test_roles_of_channels_say_nothing_of_a_session_without_one():
    session = SESSION.updated({"aural": {"insights": {"roles": ["AGENT", "CUSTOMER"]}}}, "ga")
    assert session.wish(InsightSettings()).speaker is None
    assert session.updated({"aural": {"channel": 1}}, "ga").wish(InsightSettings()).speaker == "CUSTOMER"
