"""How sessions begin and end where something is wrong: limits, faults, servers that are full or loading."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
import urllib.error
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from aural.errors import Overloaded
from aural.streaming.session import Wish
from aural.streaming.session import connect as open_session
from tests.api.realtime import Client, client
from tests.conftest import Server, serving, wait_until

REALTIME = "/v1/realtime?intent=transcription"
STREAM = "/invocations-bidirectional-stream"
LISTEN = "/v1/listen?encoding=linear16&sample_rate=16000"
MIB = 2**20
SOON_S = 60

FRAGILE = """
from aural.api import bidirectional, sockets
from aural.api.realtime import Term
from aural.live.session import Session
from aural.serving.stream import Stream

def broken(self, *_):
    raise RuntimeError("broken on purpose")

sockets.WRITE_S = 0.5
bidirectional.TERM = Term(idle_s=0.2)
Session.clear = broken
Stream.commit = broken
from aural.cli import main
main()
"""
LOADING = """
import asyncio
from aural.serving.fleet import Fleet

async def start(self):
    self._is_starting = True
    await asyncio.Event().wait()

Fleet.start = start
from aural.cli import main
main()
"""


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


@pytest.fixture(scope="module")
def fragile() -> Iterator[Server]:
    """Two models with one place each; short limits, and sessions that break when they are cleared or committed."""
    flags = ("--model", "first=fake", "--model", "second=fake", "--replicas", "1", "--max-streams", "1")
    with serving(*flags, program=("-c", FRAGILE)) as server:
        yield server


@pytest.fixture(autouse=True)
def _vacant(request: pytest.FixtureRequest) -> None:
    if "fragile" in request.fixturenames:
        server: Server = request.getfixturevalue("fragile")
        wait_until(lambda: server.metric("aural_live_sessions") == 0, SOON_S)


def deaf(server: Server, path: str, message: dict[str, Any]) -> None:
    """A client that says the same over and over, reads nothing of the answers, and is cut off."""
    address = urlsplit(server.url)
    head = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n\r\n"
    frame = Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=True)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(SOON_S)
        connection.connect((str(address.hostname), address.port))
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 101"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            _repeat(connection, frame)


def _repeat(connection: socket.socket, frame: bytes) -> None:
    while True:
        connection.sendall(frame)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{REALTIME}&model=first", {"type": "session.update", "session": {"include": ["x" * 1000]}}),
        (LISTEN, {"type": "Configure", "keyterms": ["x" * 1000]}),
    ],
    ids=["realtime", "deepgram"],
)
def test_a_client_that_reads_nothing_loses_its_place(fragile: Server, path: str, message: dict[str, Any]) -> None:
    deaf(fragile, path, message)
    wait_until(lambda: fragile.metric("aural_live_sessions") == 0, SOON_S)


def test_a_client_that_says_nothing_for_too_long(fragile: Server) -> None:
    async def scenario() -> None:
        async with client(fragile, f"{STREAM}?model=first") as one:
            _, error = await one.rest()
            assert (error["error"]["code"], one.socket.close_code) == ("session_expired", 1000)
            assert error["event_id"] != one.events[0]["event_id"]

    run(scenario)


@pytest.mark.parametrize(("order", "code"), [("clear", "engine_failed"), ("commit", "internal_error")])
def test_a_session_that_breaks_says_so_and_is_no_success(fragile: Server, order: str, code: str) -> None:
    async def scenario() -> None:
        async with client(fragile, f"{REALTIME}&model=first") as one:
            await one.tell(f"input_audio_buffer.{order}")
            _, error = await one.rest()
            assert (error["error"]["code"], one.socket.close_code) == (code, 1011)

    run(scenario)


def told_until_closed(connection: ClientConnection) -> None:
    while True:
        connection.recv(SOON_S)


def test_a_message_that_is_too_long_is_refused_so_that_its_sender_reads_why(fragile: Server) -> None:
    with connect(fragile.url.replace("http", "ws") + REALTIME, proxy=None) as connection:
        with suppress(ConnectionClosed):
            connection.send("x" * (25 * MIB))
        with pytest.raises(ConnectionClosed):
            told_until_closed(connection)
    assert connection.close_code == 1009


def named(model: str) -> dict[str, Any]:
    return {"transcription": {"model": model}}


async def refused(server: Server) -> None:
    """At once, before anything is asked."""
    async with client(server) as one:
        [refusal] = await one.rest()
        assert (refusal["error"]["code"], one.socket.close_code) == ("overloaded", 1013)


async def overloaded(server: Server, wish: Wish) -> None:
    """Our own client is told before it sends audio."""
    with pytest.raises(Overloaded):
        async with open_session(server.url, wish):
            raise AssertionError("it got a place")


def test_a_place_is_taken_at_the_model_that_is_named(fragile: Server) -> None:
    async def scenario() -> None:
        async with client(fragile, f"{REALTIME}&model=first"):
            async with client(fragile) as late:
                assert (await late.ask(input=named("first")))["error"]["code"] == "overloaded"
                await late.rest()
                assert late.socket.close_code == 1013
            await overloaded(fragile, Wish(model="first"))
            async with client(fragile) as other:
                assert (await other.ask(input=named("second")))["type"] == "session.updated"
                await refused(fragile)
                await overloaded(fragile, Wish())

    run(scenario)


def test_a_first_update_that_cannot_be_honoured_may_be_followed_by_another(fragile: Server) -> None:
    async def scenario() -> None:
        async with client(fragile) as one:
            assert (await one.ask(input=named("third")))["error"]["code"] == "model_not_found"
            assert fragile.metric("aural_live_sessions") == 0
            assert (await one.ask(input=named("second")))["type"] == "session.updated"
            assert fragile.metric("aural_live_sessions") == 1

    run(scenario)


def test_a_client_that_says_nothing_has_a_place_all_the_same(fragile: Server) -> None:
    async def scenario() -> None:
        async with client(fragile):
            await asyncio.to_thread(wait_until, lambda: fragile.metric("aural_live_sessions") == 1, SOON_S)

    run(scenario)


def test_auto_stays_the_servers_choice(fragile: Server) -> None:
    async def scenario() -> None:
        async with client(fragile, f"{REALTIME}&model=auto") as one:
            assert one.events[0]["session"]["audio"]["input"]["transcription"]["model"] == "auto"

    run(scenario)


def test_a_session_says_when_it_expires(fragile: Server) -> None:
    async def lifetime_s(path: str) -> float:
        async with client(fragile, path) as one:
            return float(one.events[0]["session"]["expires_at"]) - time.time()

    async def scenario() -> None:
        assert 3000 < await lifetime_s(REALTIME) <= 3600

    run(scenario)


def test_long_names_are_not_said_back(fragile: Server) -> None:
    async def scenario() -> None:
        async with client(fragile) as one:
            await one.tell("session.update", event_id="x" * MIB, session={"y" * MIB: "z" * MIB})
            answer = await one.next()
            assert answer["error"]["event_id"] is None
            assert len(json.dumps(answer)) < 4000

    run(scenario)


def _listens(server: Server) -> bool:
    try:
        return server.get("/ping")[0] == 503
    except urllib.error.URLError:
        return False


@pytest.mark.parametrize("path", [STREAM, f"{REALTIME}&model=fake"])
def test_a_server_that_is_loading_takes_the_handshake_and_says_so(path: str) -> None:
    async def scenario(server: Server) -> Client:
        async with client(server, path) as one:
            await one.rest()
        return one

    with serving("--model", "fake", ready=False, program=("-c", LOADING)) as server:
        wait_until(lambda: _listens(server), SOON_S)
        one = asyncio.run(scenario(server))
    [refusal] = one.events
    assert (refusal["error"]["code"], one.socket.close_code) == ("not_ready", 1013)
