"""uvicorn's HTTP/1.1, with a deadline and a bound for all that is not body: heads, trailers, chunk extensions."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aural.api.errors import body_of
from aural.errors import AuralError, BadRequest, HeadTooLarge, RequestTimeout

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 5.0
"""How long a refused sender is read on: closing with unread bytes resets the connection under the answer."""


class Protocol(HttpToolsProtocol):
    """A connection that cannot be held by sending nothing, or something without end. The head of a request must be
    here `head_s` after the connection, or after its first byte."""

    def __init__(self, *args: Any, head_s: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head_s = head_s
        self._clock: asyncio.TimerHandle | None = None
        self._overhead_bytes = 0
        self._over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._overhead_bytes += len(data)
        super().data_received(data)
        if self._overhead_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(MAX_HEAD_BYTES))
        elif self._clock is None and not self._over and (self.cycle is None or self.cycle.response_complete):
            self._start_clock()

    def on_headers_complete(self) -> None:
        self._stop_clock()
        self._overhead_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes = 0
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        self._over = True
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest(f"expected HTTP/1.1: {msg}"))

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(self._head_s, self._refuse, RequestTimeout(self._head_s))

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, error: AuralError) -> None:
        """Answer in place of the application, and close once the sender has had time to read it."""
        self._stop_clock()
        if self._over or self.transport.is_closing():
            return
        self._over = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_written(error))
        self.transport.write_eof()
        self._clock = self.loop.call_later(LINGER_S, self.transport.close)


def _written(error: AuralError) -> bytes:
    body = orjson.dumps(body_of(error))
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
