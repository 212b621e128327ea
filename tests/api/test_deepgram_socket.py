"""WS /v1/listen by hand: what Deepgram's SDK would not send, and what it would not show."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.conftest import KEY
from tests.audio.build import encoded, int16
from tests.conftest import START_S, Recording, Server, _pings, serving, wait_until, word_errors

PATIENCE_S = 120.0
FRAME_BYTES = 6400
LOBSTERS = "when is a lobster not a lobster when it is a crayfish"
RAW = "encoding=linear16&sample_rate=16000"
CLOSE = '{"type":"CloseStream"}'
FINALIZE = '{"type":"Finalize"}'
Message = dict[str, Any]
Result = TypeVar("Result")


@asynccontextmanager
async def listening(server: Server, query: str = RAW, **named: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"{server.url.replace('http', 'ws')}/v1/listen?{query}", proxy=None, **named) as connection:
        yield connection


async def all_of(connection: ClientConnection) -> list[Message]:
    messages: list[Message] = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(await connection.recv()))
    return messages


async def until(connection: ClientConnection, is_it: Callable[[Message], bool]) -> list[Message]:
    messages = [json.loads(await connection.recv())]
    while not is_it(messages[-1]):
        messages.append(json.loads(await connection.recv()))
    return messages


async def play(connection: ClientConnection, audio: bytes) -> None:
    for start in range(0, len(audio), FRAME_BYTES):
        await connection.send(audio[start : start + FRAME_BYTES])


def run(scenario: Callable[[], Awaitable[Result]]) -> Result:
    async def patient() -> Result:
        return await asyncio.wait_for(scenario(), PATIENCE_S)

    return asyncio.run(patient())


def heard(server: Server, audio: bytes, query: str = RAW, closing: str | bytes = CLOSE) -> list[Message]:
    """What comes of the audio, sent at once, to the close of the socket."""

    async def scenario() -> list[Message]:
        async with listening(server, query) as connection:
            await play(connection, audio)
            await connection.send(closing)
            return await all_of(connection)

    return run(scenario)


def finals(messages: list[Message]) -> list[Message]:
    return [one for one in messages if one.get("is_final")]


def text(messages: list[Message]) -> str:
    return " ".join(filter(None, (one["channel"]["alternatives"][0]["transcript"] for one in finals(messages))))


def kinds(messages: list[Message]) -> list[str]:
    return [one["type"] for one in messages]


def pcm16(samples: Samples) -> bytes:
    return int16(samples).astype("<i2").tobytes()


def resampled(samples: Samples, rate: int, form: str = "flt") -> bytes:
    """Mono samples of FFmpeg's format `form`, or its codec's if there is one of that name."""
    import av

    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    resampler = av.AudioResampler(format=form, layout="mono", rate=rate)
    return b"".join(one.to_ndarray().tobytes() for part in (frame, None) for one in resampler.resample(part))


@pytest.fixture(scope="module")
def lobster(clips: dict[str, Recording]) -> Samples:
    """A question and its answer, 4 s, with the silence that ends an utterance."""
    return np.pad(decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples, (0, 3 * SAMPLE_RATE // 2))


@pytest.mark.parametrize("closing", [CLOSE, CLOSE.encode(), b""])
def test_a_stream_ends_in_three_ways(fake: Server, closing: str | bytes) -> None:
    async def scenario() -> tuple[list[Message], int | None]:
        async with listening(fake) as connection:
            await connection.send(bytes(3200))
            await connection.send(closing)
            return await all_of(connection), connection.close_code

    messages, code = run(scenario)
    assert messages[-1]["type"] == "Metadata"
    assert (messages[-1]["duration"], code) == (0.1, 1000)


@pytest.mark.parametrize("said", ["hello", "[1]", '{"kind":"KeepAlive"}', '{"type":"Sing"}'])
def test_text_that_is_no_order_is_told_and_ends_the_stream(fake: Server, said: str) -> None:
    async def scenario() -> tuple[list[Message], int | None]:
        async with listening(fake) as connection:
            await connection.send(said)
            return await all_of(connection), connection.close_code

    (error,), code = run(scenario)
    assert (error["type"], error["variant"], code) == ("Error", "invalid_request", 1008)


async def refused(server: Server, query: str = RAW, **named: Any) -> Any:
    """The answer to a handshake that is refused, with its body as JSON."""
    with pytest.raises(InvalidStatus) as caught:
        async with listening(server, query, **named):
            pass
    response = caught.value.response
    return response, json.loads(response.body or b"")


def assert_deepgrams(response: Any, body: Message) -> None:
    assert body["request_id"] == response.headers["dg-request-id"]
    assert body["err_code"]
    assert body["err_msg"]
    assert response.headers["dg-error"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("&sentiment=true", 400), ("&model=nobody", 404), ("&sample_rate=12", 400), (f"&sample_rate={'9' * 4400}", 400)],
)
def test_refusals_come_before_the_handshake(fake: Server, query: str, status: int) -> None:
    response, body = run(lambda: refused(fake, RAW + query))
    assert response.status_code == status
    assert_deepgrams(response, body)


def test_browsers_show_their_key_as_a_subprotocol(guarded: Server) -> None:
    async def scenario() -> str | None:
        async with listening(guarded, subprotocols=["token", KEY]) as connection:
            await connection.send(CLOSE)
            await all_of(connection)
            return connection.subprotocol

    assert run(scenario) == "token"
    response, _ = run(lambda: refused(guarded, subprotocols=["token", "wrong"]))
    assert response.status_code == 401


def test_a_key_is_a_token_and_its_refusal_is_deepgrams(guarded: Server) -> None:
    async def scenario() -> list[Message]:
        async with listening(guarded, additional_headers={"Authorization": f"Token {KEY}"}) as connection:
            await connection.send(CLOSE)
            return await all_of(connection)

    assert kinds(run(scenario)) == ["Metadata"]
    response, body = run(lambda: refused(guarded, additional_headers={"Authorization": "Token wrong"}))
    assert response.status_code == 401
    assert_deepgrams(response, body)
    status, body = guarded.post("/v1/listen", b"audio")
    assert (status, sorted(body)) == (401, ["err_code", "err_msg", "request_id"])
    status, body = guarded.post("/v1/audio/transcriptions", b"audio")
    assert (status, sorted(body)) == (401, ["error"])


def test_a_caller_who_hangs_up_leaves_nothing_behind(fake: Server, clips: dict[str, Recording]) -> None:
    async def scenario() -> None:
        for query, audio in [(RAW, bytes(64_000)), ("", clips["fleurs-en-004"].bytes)] * 3:
            async with listening(fake, query) as connection:
                await connection.send(audio)
                connection.transport.abort()
        async with listening(fake) as connection:
            await connection.send(CLOSE)
            assert (await all_of(connection))[-1]["type"] == "Metadata"

    run(scenario)
    wait_until(lambda: not fake.metric("aural_live_sessions"), PATIENCE_S)
    assert fake.get("/ping")[0] == 200


@pytest.mark.parametrize(
    ("query", "form", "rate"),
    [
        ("encoding=linear16&sample_rate=48000", "s16", 48_000),
        ("encoding=linear16&sample_rate=8000", "s16", 8_000),
        ("encoding=linear32&sample_rate=22050", "flt", 22_050),
    ],
)
def test_rates_and_floats(whisper: Server, lobster: Samples, query: str, form: str, rate: int) -> None:
    messages = heard(whisper, resampled(lobster, rate, form), query)
    assert word_errors([LOBSTERS], [text(messages)]) < 0.2
    assert messages[-1]["duration"] == pytest.approx(len(lobster) / SAMPLE_RATE, abs=0.01)


@pytest.mark.parametrize(("name", "codec"), [("mulaw", "pcm_mulaw"), ("alaw", "pcm_alaw")])
def test_telephones(whisper: Server, lobster: Samples, name: str, codec: str) -> None:
    narrow = np.frombuffer(resampled(lobster, 8000), np.float32)
    audio = encoded(int16(np.clip(narrow, -1, 1)), name, codec, 8000)
    assert word_errors([LOBSTERS], [text(heard(whisper, audio, f"encoding={name}&sample_rate=8000"))]) < 0.2


def test_channels_are_mixed(whisper: Server, lobster: Samples) -> None:
    both = np.stack([lobster, np.zeros_like(lobster)], axis=1)
    messages = heard(whisper, pcm16(both.reshape(-1)), f"{RAW}&channels=2")
    assert word_errors([LOBSTERS], [text(messages)]) < 0.2
    assert messages[-1]["duration"] == pytest.approx(len(lobster) / SAMPLE_RATE)
    assert messages[-1]["channels"] == 1


@pytest.mark.parametrize(
    ("container", "codec", "query"),
    [("webm", "libopus", ""), ("mp3", "libmp3lame", ""), ("wav", "pcm_s16le", ""), ("ogg", "libopus", "encoding=opus")],
)
def test_containers(whisper: Server, lobster: Samples, container: str, codec: str, query: str) -> None:
    rate = 48_000
    wide = np.frombuffer(resampled(lobster, rate), np.float32)
    messages = heard(whisper, encoded(int16(np.clip(wide, -1, 1)), container, codec, rate), query)
    assert word_errors([LOBSTERS], [text(messages)]) < 0.2
    assert messages[-1]["duration"] == pytest.approx(len(lobster) / SAMPLE_RATE, abs=0.1)
    lengths = [one["duration"] for one in finals(messages)]
    assert sum(lengths) == pytest.approx(messages[-1]["duration"], abs=1e-6)


def test_finalize_has_all_that_came_of_a_container(whisper: Server, lobster: Samples) -> None:
    audio = encoded(int16(lobster[: 4 * SAMPLE_RATE]), "wav", "pcm_s16le")

    async def scenario() -> list[Message]:
        async with listening(whisper, "endpointing=false") as connection:
            await play(connection, audio)
            await connection.send(FINALIZE)
            return await until(connection, lambda message: message["from_finalize"])

    assert "crayfish" in text(run(scenario))


@pytest.mark.parametrize("data", [b"\0" * 80_000, b"ID3 is not all", b"some text, with no sound in it at all"])
def test_what_cannot_be_decoded_is_told_and_ends_the_stream(fake: Server, data: bytes) -> None:
    async def scenario() -> tuple[list[Message], int | None, str | None]:
        async with listening(fake, "") as connection:
            await connection.send(data)
            await connection.send(CLOSE)
            return await all_of(connection), connection.close_code, connection.close_reason

    (error,), code, reason = run(scenario)
    assert (error["type"], code, reason) == ("Error", 1008, "DATA-0000")
    assert "expected" in error["description"]


def test_without_endpointing_speech_is_told_and_utterance_end_comes(whisper: Server, lobster: Samples) -> None:
    query = f"{RAW}&endpointing=false&interim_results=true&utterance_end_ms=1000&vad_events=true"

    async def scenario() -> list[Message]:
        async with listening(whisper, query) as connection:
            await play(connection, pcm16(np.pad(lobster, (0, SAMPLE_RATE))))
            messages = await until(connection, lambda message: message["type"] == "UtteranceEnd")
            assert word_errors([LOBSTERS], [text(messages)]) < 0.2
            await connection.send(CLOSE)
            return messages + await all_of(connection)

    messages = run(scenario)
    assert kinds(messages)[0] == "SpeechStarted"
    assert kinds(messages).count("UtteranceEnd") == 1
    (end,) = [one["last_word_end"] for one in messages if one["type"] == "UtteranceEnd"]
    words = [word for one in finals(messages) for word in one["channel"]["alternatives"][0]["words"]]
    assert end == words[-1]["end"]
    assert [one["speech_final"] for one in finals(messages)].count(True) == 1


def test_finalize_of_silence_is_answered(fake: Server) -> None:
    async def scenario() -> list[Message]:
        async with listening(fake) as connection:
            await connection.send(bytes(16_000))
            await connection.send(FINALIZE)
            return await until(connection, lambda message: message.get("from_finalize", False))

    (answer,) = run(scenario)
    assert (answer["start"], answer["duration"], answer["is_final"]) == (0, 0.5, True)
    assert text([answer]) == ""


def test_a_language_is_detected(whisper: Server, clips: dict[str, Recording]) -> None:
    speech = decode(clips["fleurs-es-003"].bytes, limit_s=60).samples
    messages = heard(whisper, pcm16(speech), f"{RAW}&model=whisper-base&language=multi")
    languages = [one["channel"]["alternatives"][0].get("languages") for one in finals(messages)]
    assert ["es"] in languages
    assert "tierra" in text(messages)


def test_metadata_brings_back_what_was_given(fake: Server) -> None:
    metadata = heard(fake, b"", f"{RAW}&extra=call:seven&extra=note:a:b")[-1]
    assert metadata["extra"] == {"call": "seven", "note": "a:b"}


TIGHT = """
from aural.api.deepgram import socket
from aural.api.realtime import Term
socket.IDLE_S = 1.0
socket.TERM = Term(longest_s=6.0, idle_s=2.5)
from aural.cli import main
main()
"""


@pytest.fixture(scope="module")
def tight() -> Iterator[Server]:
    """One worker and one session, which is over after six seconds, after one without a word, and after two and a half
    without audio."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    size = ["--replicas", "1", "--max-batch", "1", "--max-streams", "1"]
    flags = ["--model", "whisper-tiny.en", *size, "--log-format", "text"]
    process = subprocess.Popen([sys.executable, "-c", TIGHT, "serve", "--port", str(port), *flags])
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        wait_until(lambda: _pings(server), START_S)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


Closed = tuple[list[Message], int | None, str | None]


def talking(server: Server, *said: str | bytes) -> Closed:
    """Says the first of it, then the last again and again, until the server closes."""

    async def scenario() -> Closed:
        async with listening(server) as connection:
            closed = asyncio.create_task(all_of(connection))
            with suppress(ConnectionClosed):
                for one in said[:-1]:
                    await connection.send(one)
                while not closed.done():
                    await connection.send(said[-1])
                    await asyncio.wait([closed], timeout=0.2)
            return await closed, connection.close_code, connection.close_reason

    wait_until(lambda: not server.metric("aural_live_sessions"), PATIENCE_S)
    return run(scenario)


def test_who_says_nothing_has_gone(tight: Server) -> None:
    async def scenario() -> Closed:
        async with listening(tight) as connection:
            return await all_of(connection), connection.close_code, connection.close_reason

    wait_until(lambda: not tight.metric("aural_live_sessions"), PATIENCE_S)
    assert run(scenario) == ([], 1011, "NET-0001")


def test_keep_alive_keeps_a_place_but_not_for_ever(tight: Server) -> None:
    messages, code, reason = talking(tight, bytes(32_000), '{"type":"KeepAlive"}')
    assert kinds(messages) == ["Results", "Metadata"]
    assert messages[-1]["duration"] == 1.0
    assert (code, reason) == (1000, "session_expired")


def test_no_stream_lasts_for_ever(tight: Server, lobster: Samples) -> None:
    messages, code, reason = talking(tight, pcm16(lobster), bytes(6400))
    assert word_errors([LOBSTERS], [text(messages)]) < 0.1
    assert kinds(messages)[-1] == "Metadata"
    assert (code, reason) == (1000, "session_expired")


def test_a_full_server_says_when_to_come_again(tight: Server) -> None:
    async def scenario() -> Any:
        async with listening(tight):
            return await refused(tight)

    wait_until(lambda: not tight.metric("aural_live_sessions"), PATIENCE_S)
    response, body = run(scenario)
    assert (response.status_code, body["err_code"]) == (503, "OVERLOADED")
    assert int(response.headers["Retry-After"]) > 0
    assert_deepgrams(response, body)


def test_a_worker_that_dies_in_mid_sentence_costs_no_word(tight: Server, lobster: Samples) -> None:
    async def scenario() -> list[Message]:
        async with listening(tight, f"{RAW}&interim_results=true") as connection:
            await play(connection, pcm16(lobster[: 2 * SAMPLE_RATE]))
            before = await until(connection, lambda message: message["type"] == "Results")
            [worker] = tight.health()["models"][0]["replicas"]
            os.kill(worker["pid"], signal.SIGKILL)
            await play(connection, pcm16(lobster[2 * SAMPLE_RATE :]))
            await connection.send(CLOSE)
            return before + await all_of(connection)

    wait_until(lambda: not tight.metric("aural_live_sessions"), PATIENCE_S)
    messages = run(scenario)
    assert word_errors([LOBSTERS], [text(messages)]) < 0.1
    assert kinds(messages)[-1] == "Metadata"


COUNTING = """
from aural.engines.base import Capabilities
from aural.types import SAMPLE_RATE, Segment, Transcript

class Counting:
    capabilities = Capabilities(languages=("en",), longest_clip=30 * SAMPLE_RATE, hotwords=True)

    def transcribe(self, clips):
        return [self._hear(clip) for clip in clips]

    def _hear(self, clip):
        if "fail" in clip.options.hotwords and not clip.is_draft:
            raise RuntimeError("told to")
        return Transcript((Segment("".join(f" w{i}" for i in range(2 * len(clip) // SAMPLE_RATE)), 0, len(clip)),))

def load(spec):
    return Counting()
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Hears a word each half second, and does not know when it was said. With the keyterm `fail` its finals fail."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "counting.py").write_text(COUNTING)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    with serving("--model", "counting=counting:load", "--replicas", "1", PYTHONPATH=path) as server:
        yield server


def test_utterance_end_needs_no_times_of_words_and_no_audio_after_the_words(counting: Server, lobster: Samples) -> None:
    async def scenario() -> list[Message]:
        async with listening(counting, f"{RAW}&interim_results=true&utterance_end_ms=1000") as connection:
            await play(connection, pcm16(np.pad(lobster, (0, SAMPLE_RATE))))
            return await until(connection, lambda message: message["type"] == "UtteranceEnd")

    *results, end = run(scenario)
    words = [word for one in finals(results) for word in one["channel"]["alternatives"][0]["words"]]
    assert [word["word"] for word in words] == [f"w{i}" for i in range(len(words))]
    assert 3 < end["last_word_end"] <= len(lobster) / SAMPLE_RATE
    assert words[-1]["end"] == end["last_word_end"]


def test_what_could_not_be_heard_is_told_and_the_stream_goes_on(counting: Server, lobster: Samples) -> None:
    async def scenario() -> list[Message]:
        async with listening(counting, f"{RAW}&keyterm=fail") as connection:
            await play(connection, pcm16(lobster))
            before = await until(connection, lambda message: message.get("speech_final", False))
            await connection.send('{"type":"Configure","keyterms":["canoe"]}')
            await play(connection, pcm16(lobster))
            await connection.send(CLOSE)
            return before + await all_of(connection)

    messages = run(scenario)
    (error,) = [one for one in messages if one["type"] == "Error"]
    assert (error["variant"], "could not be heard" in error["description"]) == ("engine_failed", True)
    first, second = [one for one in finals(messages) if one["speech_final"]]
    assert first["duration"] > 3
    assert second["start"] >= first["duration"]
    assert second["channel"]["alternatives"][0]["words"]
    assert kinds(messages)[-1] == "Metadata"


def test_a_server_that_loads_takes_nobody_on() -> None:
    with serving("--model", "whisper-tiny.en", "--replicas", "1", ready=False) as server:
        wait_until(lambda: _answers(server), START_S)
        response, body = run(lambda: refused(server))
        assert (response.status_code, body["err_code"]) == (503, "NOT_READY")
        assert_deepgrams(response, body)


def _answers(server: Server) -> bool:
    with suppress(OSError):
        return server.get("/health")[0] in (200, 503)
    return False
