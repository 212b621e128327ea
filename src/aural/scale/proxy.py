"""A middleware for Ray's HTTP proxies: what Ray says itself, or leaves unsaid, comes in the form of our errors.

A proxy lives on each machine and outlives the ingress that it sends a request to. When that ingress is lost Ray says
nothing at all: callers would see a bare 500, and sockets that close without a reason. Set on every machine before Ray
starts:

    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=aural.scale.proxy:middlewares
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aural.api.errors import response_to
from aural.errors import AuralError, NotReady, Overloaded, ServerLost

log = logging.getLogger("aural.scale")

OURS = b"x-request-id"
"""Every response of the application bears it; Ray's own bear it too, but are plain text."""
PATIENCE_S = 2.0


def middlewares() -> list[Middleware]:
    """What Ray asks for."""
    return [Middleware(Typed)]


class Typed:
    """Passes on what the application says. What Ray says instead becomes an error with a type: `overloaded` when too
    many are being served, `not_ready` while there is no application, `server_lost` when the ingress is gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        reply = _Reply(send)
        await self._app(scope, reply.noting(receive), reply.send)
        if error := reply.error:
            log.warning("answered for the application", extra={"path": scope["path"], "code": error.code})
            if scope["type"] == "http":
                return await response_to(error)(scope, receive, send)
            return await _close(error, reply, send)
        if scope["type"] == "websocket" and not reply.is_over:
            await _close(ServerLost("this session"), reply, send)
        return None


class _Reply:
    """What was said so far, on one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status: int | None = None
        self._is_rays = False
        self.has_begun = False
        """Something reached the caller."""
        self.is_accepted = self.is_over = False

    def noting(self, receive: Receive) -> Receive:
        async def wrapped() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.is_over = True
            return message

        return wrapped

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_rays(message):
            self._status, self._is_rays = message["status"], True
        if self._is_rays:
            return
        self.has_begun = True
        self.is_accepted |= message["type"] == "websocket.accept"
        self.is_over |= message["type"] == "websocket.close"
        await self._send(message)

    @property
    def error(self) -> AuralError | None:
        """What is to be said in place of Ray's words or silence; None when the application has spoken."""
        if self.has_begun or self.is_over:
            return None
        if self._status is None:
            return ServerLost("this request")
        if self._status == 503:
            return Overloaded("too many requests are being answered already", PATIENCE_S)
        return NotReady("the application", "not running here")


async def _close(error: AuralError, reply: _Reply, send: Send) -> None:
    if not reply.is_accepted:  # a code can only be told on an open socket
        await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": error.close_code, "reason": error.code})


def _is_rays(message: Message) -> bool:
    """Ray's own answers of 404, 408, 500 and 503 are plain text; the application's errors are JSON."""
    if message["status"] not in (404, 408, 500, 503):
        return False
    return _header(message.get("headers", ()), b"content-type").startswith(b"text/plain")


def _header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    return next((value for name, value in headers if bytes(name).lower() == wanted), b"")
