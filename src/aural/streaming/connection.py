"""One connection to a server, on which a live session is configured: orders out, events in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from aural.errors import BadRequest, Forbidden, Overloaded, SessionLost, SessionRefused, SettingsError, Unauthorized
from aural.streaming.events import NO_REASON
from aural.types import SAMPLE_RATE

DRAFTS, WORDS, DETAILS = "aural.drafts", "aural.words", "aural.details"
"""What may be asked for beyond OpenAI's events."""
MOST_BYTES = 16 * 2**20
WAIT_S = 10.0
PONG_S = 60.0
"""How long a server may be silent to a ping, which waits behind audio that is sent again."""
CLOSING_S = 1.0
"""How long the end of a connection may take: an error after which it does not end within that is about an order."""
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
PASSING_CODES = frozenset({1001, 1005, 1006, 1011, 1012, 1013, 1014})
"""Of closes after which another connection may do better."""
PASSING_STATUSES = frozenset({408, 425, 429})
"""Beside those from 500 on."""
MENDABLE = frozenset({BadRequest.type, Unauthorized.type, Forbidden.type})
"""Types of errors that the caller has to mend."""


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


USUAL = Wish()


async def open_connection(url: str, wish: Wish, api_key: str, resume: str | None = None) -> Connection:
    """A connection on which the session is configured. Raises SettingsError for an address that is none, Overloaded
    when the server refuses for now, SessionRefused when it refuses for good, and SessionLost when it cannot be
    reached."""
    async with AsyncExitStack() as stack:
        connection = Connection(await _dial(url, api_key, resume))
        stack.push_async_callback(connection.close)
        await connection.configure(wish)
        stack.pop_all()
        return connection


class Connection:
    """See the module. Whatever waits for the server raises, when the connection has ended, Overloaded or SessionLost
    where another one may do better, and SessionRefused where it would not."""

    def __init__(self, socket: ClientConnection) -> None:
        self.id = ""
        """Of the session."""
        self._socket = socket
        self._ahead: dict[str, Any] | None = None
        """Was received already."""
        self._error: Mapping[str, Any] = {}
        """The server's last word, when that was an error."""

    async def configure(self, wish: Wish) -> None:
        created = await self._answer()
        self.id = created.get("session", {}).get("id", "")
        with suppress(ConnectionClosed):  # the reason can be read
            await self.send("session.update", session=_session(wish))
        while (await self._answer())["type"] != "session.updated":
            pass

    async def send(self, kind: str, **fields: Any) -> None:
        """An order; waits while the network has too much. Raises ConnectionClosed."""
        await self._socket.send(json.dumps({"type": kind, **fields}))

    async def receive(self) -> dict[str, Any]:
        """The next event; of type error only where the session goes on after it."""
        raw = self._ahead or await self._read()
        self._ahead = None
        if raw["type"] == "error":
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    self._ahead = await self._read()
        return raw

    async def ended(self) -> None:
        """Until the server has closed it, and our place there is free; not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self._socket.wait_closed()

    async def close(self) -> None:
        await self._socket.close()

    async def _answer(self) -> dict[str, Any]:
        """The next event while nothing else can come: an error is the end."""
        raw = await self._read()
        if raw["type"] == "error":
            raise _error(raw["error"], is_final=raw["error"].get("type") in MENDABLE)
        return raw

    async def _read(self) -> dict[str, Any]:
        try:
            raw: dict[str, Any] = json.loads(await self._socket.recv())
        except ConnectionClosed as error:
            raise _end(error, self._error) from error
        self._error = raw["error"] if raw["type"] == "error" else {}
        return raw


async def _dial(url: str, api_key: str, resume: str | None) -> ClientConnection:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        return await connect_socket(
            _address(url, resume),
            additional_headers=headers,
            max_size=MOST_BYTES,
            open_timeout=WAIT_S,
            ping_timeout=PONG_S,
            close_timeout=CLOSING_S,
            proxy=None,
        )
    except InvalidStatus as error:
        raise _refusal(error) from error
    except (InvalidHandshake, OSError, TimeoutError) as error:
        raise SessionLost(f"{url} cannot be reached: {error}") from error


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
    status, retry_after = response.status_code, response.headers.get("Retry-After", "")
    message = f"the server answered {status}"
    with suppress(ValueError, KeyError, TypeError):
        message = json.loads(response.body or b"")["error"]["message"]
    if retry_after.isdecimal():  # it may be a date
        return Overloaded(message, float(retry_after))
    is_passing = status >= 500 or status in PASSING_STATUSES
    return SessionLost(message) if is_passing else SessionRefused(message)


def _end(error: ConnectionClosed, said: Mapping[str, Any]) -> SessionLost | Overloaded:
    """What the end of a connection comes to, after the server's last word."""
    close = error.rcvd
    is_final = close is not None and close.code not in PASSING_CODES
    if said:
        return _error(said, is_final=is_final)
    message = f"the server closed the session: {close.code} {close.reason}" if close else "connection broken"
    return SessionRefused(message) if is_final else SessionLost(message)


def _error(said: Mapping[str, Any], *, is_final: bool) -> SessionLost | Overloaded:
    message = said.get("message", NO_REASON)
    if said.get("type") == Overloaded.type:
        return Overloaded(message, float(said.get("retry_after_s") or 1))
    return SessionRefused(message) if is_final else SessionLost(message)
