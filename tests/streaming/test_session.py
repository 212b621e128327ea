"""A client's session across servers: what one has not heard, the next one is sent."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

import httpx
import numpy as np
import pytest

from aural.audio.decode import decode
from aural.errors import SessionLost, SessionRefused
from aural.streaming import patience
from aural.streaming import session as sessions
from aural.streaming.events import Done, Grown, Lost
from aural.streaming.kept import Kept
from aural.streaming.pace import paced
from aural.streaming.session import LiveSession, Wish, connect
from aural.types import SAMPLE_RATE
from tests.api.test_captions import CUE
from tests.conftest import START_S, Recording, Server, _pings, wait_until, word_errors
from tests.streaming.standin import Line, standing_in

PATIENCE_S = 120.0
LIMIT_S = 40.0
QUESTION = "when is a lobster not a lobster when it is a crayfish"
AUDIO = np.arange(32_000, dtype="<i2").tobytes()
"""Two seconds in which each sample says its place."""


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))  # type: ignore[arg-type]


def test_frames_are_found_by_their_place_until_they_are_forgotten() -> None:
    kept = Kept()
    for frame in (b"abcd", b"", b"ef", b"ghi"):
        kept.append(frame)
    assert [kept.at(place) for place in (0, 3, 4, 5, 6, 9)] == [b"abcd", b"d", b"ef", b"f", b"ghi", b""]
    kept.forget(5)
    assert (kept.start, kept.end, kept.at(4)) == (4, 9, b"ef")


async def send_all(session: LiveSession, audio: bytes) -> None:
    for start in range(0, len(audio), 1600):
        await session.send(audio[start : start + 1600])
        await asyncio.sleep(0)
    await session.finish()


def test_what_came_after_the_place_of_leaving_is_sent_again() -> None:
    """Audio that was on its way, and that it was all, reach the next server, which is not there at first."""

    async def first(line: Line) -> None:
        await line.listen(32_000)
        await line.say("item_1", "one", 0, 300)
        await line.go_away(500, "token=")

    async def second(line: Line) -> None:
        await line.listen()
        await line.say("item_2", "two", 600, 2000)
        await line.end(received=1500, final=1500)

    async def scenario() -> None:
        async with standing_in(first, HTTPStatus.SERVICE_UNAVAILABLE, second) as server, connect(server.url) as session:
            sending = asyncio.create_task(send_all(session, AUDIO))
            said = [event.text async for event in session if isinstance(event, Done)]
            await sending
            assert said == ["one", "two"]
            assert [line.resume for line in server.lines] == [None, "token="]
            assert bytes(server.lines[1].heard) == AUDIO[500 * 32 :]
            assert session.totals_ms == {"received": 2000, "suppressed": 500, "final": 1500}
            assert session.ledger_closed

    run(scenario)


def test_who_has_heard_all_needs_no_other_server() -> None:
    async def heard_it_all(line: Line) -> None:
        await line.listen()
        await line.go_away(2000, "token")

    async def scenario() -> None:
        async with standing_in(heard_it_all) as server, connect(server.url) as session:
            await send_all(session, AUDIO)
            assert [event async for event in session] == []
            assert len(server.lines) == 1

    run(scenario)


def test_what_is_not_kept_is_not_passed_over_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_KEPT_BYTES", 16_000)

    async def forgetful(line: Line) -> None:
        await line.listen()
        await line.go_away(500, "token")

    async def scenario() -> None:
        async with standing_in(forgetful) as server, connect(server.url) as session:
            await send_all(session, AUDIO)
            with pytest.raises(SessionLost, match="500 ms"):
                [event async for event in session]

    run(scenario)


def test_without_a_connection_no_more_is_kept_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_KEPT_BYTES", 16_000)
    monkeypatch.setattr(sessions, "RECONNECT_S", 0.0)

    async def hang_up(line: Line) -> None:
        await line.socket.close(1008)

    async def scenario() -> None:
        async with standing_in(hang_up) as server, connect(server.url) as session:
            with pytest.raises(SessionRefused, match="1008"):
                [event async for event in session]
            with pytest.raises(SessionLost, match="too much audio"):
                await send_all(session, AUDIO)

    run(scenario)


def test_the_search_for_another_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RECONNECT_S", 0.0)

    async def leave(line: Line) -> None:
        await line.listen(32_000)
        await line.go_away(0, "token")

    async def scenario() -> None:
        refusal = HTTPStatus.SERVICE_UNAVAILABLE
        async with standing_in(leave, refusal) as server, connect(server.url) as session:
            await send_all(session, AUDIO)
            with pytest.raises(SessionLost, match="503"):
                [event async for event in session]

    run(scenario)


SHORT_LIVED = """
from aural.api import realtime
realtime.TERM = realtime.Term(longest_s=2.0)
"""
CLI = "from aural.cli import main; main()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving_at(port: int, before: str = "") -> Iterator[Server]:
    """A small server, once it is ready."""
    flags = ["--model", "whisper-tiny.en", "--replicas", "1", "--max-batch", "1", "--log-format", "text"]
    process = subprocess.Popen([sys.executable, "-c", before + CLI, "serve", "--port", str(port), *flags])
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        wait_until(lambda: _pings(server), START_S)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT_S)


@pytest.fixture(scope="module")
def lobsters(clips: dict[str, Recording]) -> bytes:
    """The question three times, 16 s."""
    speech = decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples
    return (np.tile(np.pad(speech, (0, SAMPLE_RATE)), 3) * 32_767).astype("<i2").tobytes()


async def speak(session: LiveSession, audio: bytes, speed: float) -> None:
    async for frame in paced(audio, speed=speed):
        await session.send(frame)
    await session.finish()


def test_sessions_outlive_their_term_word_for_word(lobsters: bytes) -> None:
    async def scenario(server: Server) -> None:
        async with (
            connect(server.url, Wish(language="en")) as session,
            httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as http,
        ):
            name, address = session.id, f"/v1/captions/{session.id}.vtt"
            following = asyncio.create_task(http.get(address, params={"follow": "true"}))
            speaking = asyncio.create_task(speak(session, lobsters, 1.5))
            done = [event async for event in session if isinstance(event, Done) and event.text]
            await speaking
            assert word_errors([" ".join([QUESTION] * 3)], [" ".join(one.text for one in done)]) < 0.06
            assert session.ledger_closed
            assert session.totals_ms["received"] == pytest.approx(len(lobsters) / 32, abs=10)
            assert [one.start_s for one in done] == sorted(one.start_s or 0.0 for one in done)
            assert (session.id, server.metric("aural_refused_total") >= 2) == (name, True)
            cues = CUE.findall((await http.get(address)).text)
            assert word_errors([" ".join(one.text for one in done)], [" ".join(cue[2] for cue in cues)]) == 0
            assert CUE.findall((await following).text) == cues

    with serving_at(free_port(), SHORT_LIVED) as server:
        asyncio.run(asyncio.wait_for(scenario(server), PATIENCE_S))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_sessions_outlive_their_server_word_for_word(lobsters: bytes, how: signal.Signals) -> None:
    """The server is stopped, or dies, in mid-sentence, and another one is started in its place."""
    port = free_port()
    audio = lobsters[: len(lobsters) * 2 // 3]

    async def restart(old: Server, is_mid_sentence: asyncio.Event) -> None:
        await is_mid_sentence.wait()
        old.process.send_signal(how)
        assert await asyncio.to_thread(old.process.wait, LIMIT_S) == (0 if how == signal.SIGTERM else -how)
        await asyncio.to_thread(servers.enter_context, serving_at(port))

    async def scenario(old: Server) -> None:
        async with connect(old.url, Wish(language="en")) as session:
            is_mid_sentence = asyncio.Event()
            restarting = asyncio.create_task(restart(old, is_mid_sentence))
            speaking = asyncio.create_task(speak(session, audio, 1.0))
            said, lost = [], []
            async for event in session:
                match event:
                    case Grown() if said or how == signal.SIGTERM:
                        is_mid_sentence.set()
                    case Done(_, text) if text:
                        said.append(event)
                    case Lost():
                        lost.append(event)
            await asyncio.gather(speaking, restarting)
            assert len(lost) == (0 if how == signal.SIGTERM else 1)
            assert word_errors([" ".join([QUESTION] * 2)], [" ".join(one.text for one in said)]) < 0.06
            times = [place for one in said for place in (one.start_s or 0.0, one.end_s or 0.0)]
            assert times == sorted(times)
            assert len(audio) / 32_000 - 3 < times[-1] <= len(audio) / 32_000
            assert session.ledger_closed

    with ExitStack() as servers:
        old = servers.enter_context(serving_at(port))
        asyncio.run(asyncio.wait_for(scenario(old), PATIENCE_S))
