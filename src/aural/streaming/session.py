"""One live session with a server, over OpenAI's Realtime transcription protocol.

async with connect("http://127.0.0.1:8080", Wish(language="en")) as session:
    await session.send(pcm16)                 # 16 kHz, mono, little endian, any size
    await session.finish()                    # no more will come
    async for event in session: ...           # ends after the last utterance

A server that ends a session after an hour, or because it stops, says where another one goes on. That one is opened
here, at the same address, and what the first had not heard is sent to it: whoever reads sees one session, on one clock.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from aural.errors import Overloaded, SessionLost, SettingsError
from aural.streaming.events import Event, parse
from aural.streaming.kept import Kept
from aural.types import SAMPLE_RATE

DRAFTS, WORDS, DETAILS = "aural.drafts", "aural.words", "aural.details"
"""What may be asked for beyond OpenAI's events."""
MOST_BYTES = 16 * 2**20
WAIT_S = 10.0
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
BYTES_PER_MS = SAMPLE_RATE * 2 // 1000
MOST_KEPT_BYTES = 300 * 1000 * BYTES_PER_MS
"""Of audio that was not heard to its end: far more than a server may owe."""
MOVE_S = 60.0
"""How long a session that was sent away looks for its next server."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a session is asked for."""

    model: str | None = None
    language: str | None = None
    silence_ms: int = 500
    """Silence that ends an utterance."""
    drafts: bool = True
    words: bool = False
    """Words with their times."""
    aural: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """`insights`, `redact`, `call`, `channel`, `role`: what OpenAI has no name for."""


@asynccontextmanager
async def connect(url: str, wish: Wish = Wish(), api_key: str = "") -> AsyncIterator[LiveSession]:
    """A configured session. Raises SettingsError for an address that is none, Overloaded when the server refuses for
    now, and SessionLost when it refuses for good or cannot be reached."""
    session = LiveSession(url, wish, api_key)
    await session.open()
    try:
        yield session
    finally:
        await session.close()


class LiveSession:
    """A session, on one connection after the other. One task may send while another reads."""

    def __init__(self, url: str, wish: Wish, api_key: str) -> None:
        self.id = ""
        self._url = url
        self._wish = wish
        self._api_key = api_key
        self._socket: ClientConnection
        self._kept = Kept()
        self._sent = 0
        """The place up to which the audio was sent on this connection."""
        self._is_finishing = self._told_finish = False
        self._turn = asyncio.Lock()
        self._sending_again: asyncio.Task[None] | None = None
        self._ledgers: list[Mapping[str, int]] = []

    async def open(self) -> None:
        self._socket = await self._opened(None)

    async def close(self) -> None:
        if self._sending_again:
            self._sending_again.cancel()
        await self._socket.close()

    async def send(self, pcm16: bytes) -> None:
        """Audio: PCM16, 16 kHz, mono. Waits while the network has too much of it; kept while there is no connection.
        Raises SessionLost when more is kept than fits."""
        if self._kept.end - self._sent > MOST_KEPT_BYTES:
            raise SessionLost("the connection is gone, and too much audio waits for another one")
        self._kept.append(pcm16)
        await self._deliver()
        self._kept.forget(min(self._sent, self._kept.end - MOST_KEPT_BYTES))

    async def finish(self) -> None:
        """No more audio will come; the events end once all of it is heard."""
        self._is_finishing = True
        await self._deliver()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events until everything is heard after `finish`. Raises Overloaded and SessionLost."""
        away: Mapping[str, Any] | None = None
        while True:
            raw = await _receive(self._socket)
            match raw["type"]:
                case "aural.going_away":
                    away = raw
                case "aural.ended":
                    self._ledgers.append(raw["totals_ms"])
                    if away is None or self._is_all_heard(away):
                        return
                    await self._move(away)
                    away = None
                case _:
                    self._forget_what_is_heard(raw)
                    yield parse(raw)

    @property
    def totals_ms(self) -> dict[str, int]:
        """Where the audio went, once the events have ended."""
        names = {name: None for ledger in self._ledgers for name in ledger}
        return {name: sum(ledger.get(name, 0) for ledger in self._ledgers) for name in names}

    @property
    def ledger_closed(self) -> bool:
        """Whether all audio that was received has come to something, but for rounding."""
        return bool(self._ledgers) and all(map(_is_closed, self._ledgers))

    async def _deliver(self) -> None:
        """Send what was not sent on this connection yet, and that it was all. Where the connection is closed nothing is
        sent: whoever reads learns why, and what to do about it."""
        async with self._turn:
            with suppress(ConnectionClosed):
                while frame := self._kept.at(self._sent):
                    await self._send_frame(frame)
                if self._is_finishing and not self._told_finish:
                    await self._socket.send(_order("aural.finish"))
                    self._told_finish = True

    async def _send_frame(self, frame: bytes) -> None:
        self._sent += len(frame)  # before it is: who is cancelled while the network is slow has sent it
        try:
            await self._socket.send(_order("input_audio_buffer.append", audio=base64.b64encode(frame).decode()))
        except ConnectionClosed:
            self._sent -= len(frame)
            raise

    def _forget_what_is_heard(self, raw: Mapping[str, Any]) -> None:
        if raw["type"].endswith((".completed", ".suppressed")) and "end_ms" in raw:
            self._kept.forget(min(self._sent, raw["end_ms"] * BYTES_PER_MS))

    def _is_all_heard(self, away: Mapping[str, Any]) -> bool:
        return self._is_finishing and (away["audio_end_ms"] + 1) * BYTES_PER_MS > self._kept.end

    async def _move(self, away: Mapping[str, Any]) -> None:
        """Go on where the server says that another one may."""
        place = away["audio_end_ms"] * BYTES_PER_MS
        if place < self._kept.start:
            raise SessionLost(f"the server heard {away['audio_end_ms']} ms; not all of what followed is kept")
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self._socket.wait_closed()  # its place is free again
        await self._socket.close()
        socket = await self._opened_again(away["resume"])
        async with self._turn:
            self._socket, self._sent, self._told_finish = socket, place, False
        self._sending_again = asyncio.create_task(self._deliver())

    async def _opened_again(self, resume: str) -> ClientConnection:
        """Tried until it was tried for long enough: the next server may have to start first."""
        deadline, pause_s = time.monotonic() + MOVE_S, FIRST_PAUSE_S
        while True:
            try:
                return await self._opened(resume)
            except (Overloaded, SessionLost):
                if time.monotonic() + pause_s > deadline:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _opened(self, resume: str | None) -> ClientConnection:
        """A connection on which the session is configured."""
        async with AsyncExitStack() as stack:
            socket = await _dial(self._url, self._api_key, resume)
            stack.push_async_callback(socket.close)
            self.id = await _configured(socket, self._wish)
            stack.pop_all()
            return socket


async def _configured(socket: ClientConnection, wish: Wish) -> str:
    """The id of the session, once it is what was wished for."""
    created = await _receive(socket)
    try:
        await socket.send(_order("session.update", session=_session(wish)))
    except ConnectionClosed as error:
        raise _lost(error) from error
    while (await _receive(socket))["type"] != "session.updated":
        pass
    name: str = created.get("session", {}).get("id", "")
    return name


async def _dial(url: str, api_key: str, resume: str | None) -> ClientConnection:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        return await connect_socket(
            _address(url, resume), additional_headers=headers, max_size=MOST_BYTES, open_timeout=WAIT_S, proxy=None
        )
    except InvalidStatus as error:
        raise _refusal(error) from error
    except (InvalidHandshake, OSError, TimeoutError) as error:
        raise SessionLost(f"{url} cannot be reached: {error}") from error


def _order(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


async def _receive(socket: ClientConnection) -> dict[str, Any]:
    """The next event; raises for an error."""
    try:
        raw: dict[str, Any] = json.loads(await socket.recv())
    except ConnectionClosed as error:
        raise _lost(error) from error
    if raw["type"] == "error":
        raise _error(raw["error"])
    return raw


def _is_closed(ledger: Mapping[str, int]) -> bool:
    parts = sum(ms for name, ms in ledger.items() if name != "received")
    return bool(ledger) and abs(ledger["received"] - parts) < len(ledger)


def _session(wish: Wish) -> dict[str, Any]:
    chosen = {name: value for name, value in (("model", wish.model), ("language", wish.language)) if value}
    return {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": SAMPLE_RATE},
                "transcription": chosen,
                "turn_detection": {"type": "server_vad", "silence_duration_ms": wish.silence_ms},
            }
        },
        **({"aural": dict(wish.aural)} if wish.aural else {}),
        "include": [DETAILS, *([DRAFTS] if wish.drafts else []), *([WORDS] if wish.words else [])],
    }


def _address(url: str, resume: str | None) -> str:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise SettingsError(f"expected an address such as http://127.0.0.1:8080, got {url!r}")
    path = parts.path.rstrip("/") + "/v1/realtime"
    query = "intent=transcription" + (f"&resume={quote(resume)}" if resume else "")
    return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, query, ""))


def _refusal(error: InvalidStatus) -> SessionLost | Overloaded:
    response = error.response
    retry_after = response.headers.get("Retry-After")
    message = f"the server answered {response.status_code}"
    with suppress(ValueError, KeyError, TypeError):
        message = json.loads(response.body or b"")["error"]["message"]
    return Overloaded(message, float(retry_after)) if retry_after else SessionLost(message)


def _error(detail: dict[str, Any]) -> SessionLost | Overloaded:
    message = detail.get("message", "no reason given")
    if detail.get("type") == Overloaded.type:
        return Overloaded(message, float(detail.get("retry_after_s") or 1))
    return SessionLost(message)


def _lost(error: ConnectionClosed) -> SessionLost:
    close = error.rcvd
    return SessionLost(f"the server closed the session: {close.code} {close.reason}" if close else "connection broken")
