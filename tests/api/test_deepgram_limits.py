"""WS /v1/listen on a small server: full, idle, too long, or without its worker."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from aural.types import SAMPLE_RATE, Samples
from tests.api.listen import (
    CLOSE,
    LOBSTERS,
    PATIENCE_S,
    RAW,
    Message,
    all_of,
    assert_deepgrams,
    kinds,
    listening,
    pcm16,
    play,
    refused,
    run,
    text,
    until,
)
from tests.conftest import START_S, Server, _pings, wait_until, word_errors

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


def test_no_stream_lasts_for_ever(tight: Server, spoken: Samples) -> None:
    messages, code, reason = talking(tight, pcm16(spoken), bytes(6400))
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


def test_a_worker_that_dies_in_mid_sentence_costs_no_word(tight: Server, spoken: Samples) -> None:
    async def scenario() -> list[Message]:
        async with listening(tight, f"{RAW}&interim_results=true") as connection:
            await play(connection, pcm16(spoken[: 2 * SAMPLE_RATE]))
            before = await until(connection, lambda message: message["type"] == "Results")
            [worker] = tight.health()["models"][0]["replicas"]
            os.kill(worker["pid"], signal.SIGKILL)
            await play(connection, pcm16(spoken[2 * SAMPLE_RATE :]))
            await connection.send(CLOSE)
            return before + await all_of(connection)

    wait_until(lambda: not tight.metric("aural_live_sessions"), PATIENCE_S)
    messages = run(scenario)
    assert word_errors([LOBSTERS], [text(messages)]) < 0.1
    assert kinds(messages)[-1] == "Metadata"
