"""uvicorn's WebSocket, with a bound for clients that do not read, patience with those that are not being read, and an
end that conversations come to by themselves when the server stops."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from aural.api.protocol import LINGER_S

WRITE_S = 10.0
"""How long a client may take nothing while more waits for it than the network holds."""
LAST_CALL_S = 0.5
"""Before the time of all requests is over, whoever has not ended is told so: close code 1012."""


class Socket(WebSocketsSansIOProtocol):
    """A connection that cannot be held by not reading it: whoever waits to send is told that the client has gone. And
    one that is not given up because its pong waits behind audio that waits to be heard."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._unread: asyncio.TimerHandle | None = None
        self._parting: asyncio.TimerHandle | None = None
        self._last_call: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        """When something came last, or could have: it was not being read before."""

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._unread, self._parting, self._last_call)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        if not self.handshake_complete or self.close_sent:
            return super().shutdown()
        patience_s = (self.config.timeout_graceful_shutdown or 0) - LAST_CALL_S
        self._last_call = self.loop.call_later(max(0.0, patience_s), self._cut_off)
        return None

    def _cut_off(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        _cancel(self._unread)
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        if self.conn.parser_exc is None:  # else it is read so that its sender can read why it is closed
            super().data_received(data)

    async def receive(self) -> Any:
        message = await super().receive()
        self._heard_at = self.loop.time()
        return message

    def keepalive_timeout(self) -> None:
        """Who was listened to all the time and said nothing at all has gone; anybody else is asked again."""
        assert self.ping_timeout is not None
        if self.read_paused or self.loop.time() - self._heard_at < self.ping_timeout:
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()
            self._part(LINGER_S)

    def handle_parser_exception(self) -> None:
        """What came is too long, or no frame. Closing with unread bytes would reset the connection under the code that
        says so, so the rest is read for a while."""
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)
        assert self.conn.close_sent is not None
        close = self.conn.close_sent
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        if not self.disconnected:
            self._part(self.close_timeout + LINGER_S)

    def _part(self, within_s: float) -> None:
        """A transport that is closed waits for what was sent to be taken: for so long."""
        _cancel(self._parting)
        self._parting = self.loop.call_later(within_s, self.transport.abort)


def _cancel(*handles: asyncio.TimerHandle | None) -> None:
    for handle in handles:
        if handle is not None:
            handle.cancel()
