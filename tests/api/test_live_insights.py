"""Insights of a live stream through the front door: a real voice, two channels of one call, and redaction."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.wire import form
from tests.conftest import Recording, Server, serving, wait_until
from tests.insight.conform import conforming_events, conforms
from tests.serving.test_webhook import receiver

LOBSTER = "libri-367-130732-0001"
PATIENCE_S = 240.0
FRAME = SAMPLE_RATE // 10
TIMES = ("begin_offset_ms", "end_offset_ms")


async def streamed(server: Server, samples: Samples, session: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """All events of a session that hears these samples."""
    url = server.url.replace("http", "ws") + f"/v1/realtime?intent=transcription&model={model}"
    heard: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S), connect(url, max_size=None) as socket:
        audio = {"input": {"format": {"type": "audio/pcm", "rate": SAMPLE_RATE}}}
        update = {"type": "session.update", "session": {"type": "transcription", "audio": audio, **session}}
        await socket.send(json.dumps(update))
        for start in range(0, len(samples), FRAME):
            pcm = (samples[start : start + FRAME] * 32767).astype("<i2").tobytes()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(pcm).decode()}))
        await socket.send(json.dumps({"type": "aural.finish"}))
        async for frame in socket:
            heard.append(json.loads(frame))
            if heard[-1]["type"] in ("aural.ended", "error"):
                break
    return heard


def of_type(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


def test_a_voice_is_understood_while_it_is_captioned(whisper: Server, clips: dict[str, Recording]) -> None:
    voice = np.pad(decode(clips[LOBSTER].bytes, limit_s=60).samples, (0, SAMPLE_RATE))
    asked = {"insights": {"skills": ["keywords", "emotion", "talk"], "keywords": ["lobster"]}, "role": "CUSTOMER"}
    events = asyncio.run(streamed(whisper, voice, {"aural": asked}, "whisper-tiny.en"))
    finals = of_type(events, "conversation.item.input_audio_transcription.completed")
    found = of_type(events, "aural.utterance_insights")
    assert {one["item_id"] for one in found} == {one["item_id"] for one in finals if one["transcript"].strip()}
    assert {word["phrase"] for one in found for word in one["keywords"]} == {"lobster"}
    assert found[0]["participant_role"] == "CUSTOMER"
    assert conforming_events(events) == len(found) + 1
    assert found[0]["emotion"]["label"]
    [call] = of_type(events, "aural.call_insights")
    assert call["is_final"] is True
    assert call["keywords"][0]["phrase"] == "lobster"
    assert [event["type"] for event in events][-1] == "aural.ended"
    assert of_type(events, "session.updated")[0]["session"]["aural"]["role"] == "CUSTOMER"


@pytest.mark.slow  # quick enough only where nothing else runs
def test_keywords_have_the_times_that_words_would_have(whisper: Server, clips: dict[str, Recording]) -> None:
    voice = np.pad(decode(clips[LOBSTER].bytes, limit_s=60).samples, (0, SAMPLE_RATE))
    session = {"aural": {"insights": {"skills": ["keywords"], "keywords": ["lobster", "crayfish"]}}}

    def times(**more: Any) -> list[float]:
        events = asyncio.run(streamed(whisper, voice, session | more, "whisper-tiny.en"))
        found = of_type(events, "aural.utterance_insights")
        return [keyword[key] for one in found for keyword in one["keywords"] for key in TIMES]

    exact = times(include=["aural.words"])
    assert exact
    assert times() == pytest.approx(exact, abs=100)


def test_what_is_redacted_leaves_nowhere(whisper: Server, clips: dict[str, Recording]) -> None:
    voice = np.pad(decode(clips["fleurs_zh_1883_clip5"].bytes, limit_s=60).samples, (0, SAMPLE_RATE))
    session = {"aural": {"insights": ["terms", "entities"], "redact": ["DATE"]}, "include": ["aural.drafts"]}
    events = asyncio.run(streamed(whisper, voice, session, "whisper-base"))
    told = json.dumps(events, ensure_ascii=False)
    assert "[DATE]" in told
    assert "2011" not in told
    finals = of_type(events, "conversation.item.input_audio_transcription.completed")
    deltas = of_type(events, "conversation.item.input_audio_transcription.delta")
    assert "".join(one["delta"] for one in deltas) == "".join(one["transcript"] for one in finals)
    session_id = of_type(events, "session.created")[0]["session"]["id"]
    status, track = whisper.send("GET", f"/v1/captions/{session_id}.vtt")
    assert status == 200
    assert b"2011" not in track
    assert b"[DATE]" in track


RULES = """
redact = ["DATE"]
keywords = { animals = ["lobster"] }

[alert.lobster-said]
role = "CUSTOMER"
any = [{ category = "animals" }]

[alert.dead-air]
any = [{ silence_s = 8 }]

[alert.threat]
any = [{ safety = "VIOLENCE_OR_THREAT" }]

[webhook]
url = "URL"
secret = "s3cret"
"""


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[tuple[dict[str, str], bytes]]]]:
    """A server with rules, and what its webhook was sent."""
    with receiver(200) as (url, got):
        path = tmp_path_factory.mktemp("insights") / "insights.toml"
        path.write_text(RULES.replace("URL", url))
        flags = ("--model", "whisper-base", "--replicas", "1", "--max-batch", "2", "--max-streams", "8")
        with serving(*flags, "--insights", str(path)) as server:
            yield server, got


def test_two_channels_of_a_call_give_its_alerts(
    ruled: tuple[Server, list[tuple[dict[str, str], bytes]]], clips: dict[str, Recording]
) -> None:
    server, got = ruled
    sides = {"AGENT": "LJ001-0002", "CUSTOMER": LOBSTER}

    def side(role: str, clip: str) -> Any:
        voice = np.pad(decode(clips[clip].bytes, limit_s=60).samples, (0, SAMPLE_RATE))
        looked_for = {"skills": ["talk"], "keywords": ["boat"]}  # the rules look for their own words beside that
        asked = {"insights": looked_for, "call": "call-7", "role": role, "channel": int(role == "CUSTOMER")}
        return streamed(server, voice, {"aural": asked}, "whisper-base")

    async def call() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(side(role, clip) for role, clip in sides.items()))

    agent, customer = asyncio.run(call())
    assert conforming_events(customer)
    assert "lobster-said" in [alert["name"] for alert in of_type(customer, "aural.alert")]
    assert {one["participant_role"] for one in of_type(agent, "aural.utterance_insights")} == {"AGENT"}
    wait_until(lambda: any(b"lobster-said" in body for _, body in got), PATIENCE_S)
    [(headers, told)] = [(headers, json.loads(body)) for headers, body in got if b"lobster-said" in body]
    assert told["call"] == "call-7"
    assert told["session"] == of_type(customer, "session.created")[0]["session"]["id"]
    assert told["points_of_interest"][0]["text"].lower() == "lobster"
    ends = [event["is_final"] for side in (agent, customer) for event in of_type(side, "aural.call_insights")]
    assert sorted(ends) == [False, True]
    assert headers["X-Aural-Signature"].startswith("t=")
    assert server.metric(r'aural_alerts_total\{rule="lobster-said"\}') == 1


def test_dead_air_is_told_of_a_live_call(
    ruled: tuple[Server, list[tuple[dict[str, str], bytes]]], clips: dict[str, Recording]
) -> None:
    voice = decode(clips["LJ001-0002"].bytes, limit_s=60).samples
    quiet = np.zeros(10 * SAMPLE_RATE, np.float32)
    session = {"aural": {"insights": "talk"}}
    events = asyncio.run(streamed(ruled[0], np.concatenate([voice, quiet, voice]), session, "whisper-base"))
    [alert] = of_type(events, "aural.alert")
    assert alert["name"] == "dead-air"
    [point] = alert["points_of_interest"]
    begins, ends = (point[f"{edge}_offset_ms"] * SAMPLE_RATE / 1000 for edge in ("begin", "end"))
    assert begins <= len(voice) + SAMPLE_RATE
    assert len(voice) + 8 * SAMPLE_RATE <= ends <= len(voice) + 11 * SAMPLE_RATE


def test_an_alert_of_a_text_names_its_request_and_hides_what_is_private(
    ruled: tuple[Server, list[tuple[dict[str, str], bytes]]],
) -> None:
    server, got = ruled
    body = json.dumps({"text": "on the 4th of may 2011 i will kill you", "insights": "terms"}).encode()
    status, answer = server.post("/v1/insights", body, Content_Type="application/json", X_Request_Id="case-9")
    assert status == 200
    conforms(answer)
    [alert] = answer["alerts"]
    assert (alert["name"], alert["request_id"], alert["call"]) == ("threat", "case-9", None)
    assert alert["points_of_interest"][0]["text"] == "on [DATE] i will kill you"
    wait_until(lambda: any(json.loads(told) == alert for _, told in got), PATIENCE_S)


def test_what_the_server_redacts_leaves_by_no_door(
    ruled: tuple[Server, list[tuple[dict[str, str], bytes]]], clips: dict[str, Recording]
) -> None:
    server, _ = ruled
    chinese = clips["fleurs_zh_1883_clip5"]
    voice = np.pad(decode(chinese.bytes, limit_s=60).samples, (0, SAMPLE_RATE))
    pcm = (voice * 32767).astype("<i2").tobytes()
    query = f"model=whisper-base&language=zh&encoding=linear16&sample_rate={SAMPLE_RATE}"
    query += "&interim_results=true&punctuate=true"

    async def deepgram() -> str:
        heard = ""
        url = server.url.replace("http", "ws") + f"/v1/listen?{query}"
        async with asyncio.timeout(PATIENCE_S), connect(url, max_size=None) as socket:
            for start in range(0, len(pcm), 2 * FRAME):
                await socket.send(pcm[start : start + 2 * FRAME])
            await socket.send(json.dumps({"type": "CloseStream"}))
            async for frame in socket:
                heard += str(frame)
        return heard

    told = [asyncio.run(deepgram())]
    for response_format in ("verbose_json", "srt"):
        words = {"timestamp_granularities": ["word", "segment"]} if response_format == "verbose_json" else {}
        body, kind = form(chinese.bytes, model="whisper-base", response_format=response_format, **words)
        told.append(server.send("POST", "/v1/audio/transcriptions", body, Content_Type=kind)[1].decode())
    listen = "/v1/listen?model=whisper-base&language=zh&punctuate=true"
    paths = (listen, "/invocations?model=whisper-base")
    told += [server.send("POST", path, chinese.bytes, Content_Type="audio/flac")[1].decode() for path in paths]
    for text in told:
        assert "[DATE]" in text
        assert "2011" not in text


@pytest.mark.parametrize(
    ("asked", "named"),
    [({"insights": "moods"}, "moods"), ({"role": "boss"}, "CUSTOMER"), ({"moon": 1}, "moon"), ({"channel": -1}, "0")],
)
def test_a_wrong_wish_is_refused_by_name(whisper: Server, asked: dict[str, Any], named: str) -> None:
    events = asyncio.run(streamed(whisper, np.zeros(0, np.float32), {"aural": asked}, "whisper-tiny.en"))
    [error] = of_type(events, "error")
    assert named in error["error"]["message"]
