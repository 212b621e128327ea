"""Around every request: its id, its log line, its metrics, the key, the number of requests at once, and the manners of
refusing an upload."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aural.api.deepgram.refusal import PATH, refusal
from aural.api.errors import response_to
from aural.api.protocol import LINGER_S
from aural.errors import AuralError, Forbidden, Overloaded, Unauthorized
from aural.metrics import Metrics
from aural.serving.understanding import REQUEST

log = logging.getLogger("aural.access")

REQUEST_ID = "x-request-id"
OPEN_PATHS = frozenset({"/ping"})
"""Answered to anybody, like the page itself: a browser cannot send a key before it has the page that asks for it."""
PAGE = "/page/"
CAPTIONS = "/v1/captions/"
"""The id of a session, which nobody can guess, is the key to its captions: players cannot send another. Those who
follow are counted there, not among the requests."""
UNCOUNTED_PATHS = frozenset({"/ping", "/health", "/metrics"})
"""Answered at any load: that is when they are asked."""
KEY_SUBPROTOCOL = "openai-insecure-api-key."
ENCODED_KEY_SUBPROTOCOL = "aural-key."
CLIENT_CLOSED = 499
_GOOD_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class Linger:
    """Reads on for a while when the answer came before the whole body. A client that is still sending would otherwise
    see its connection reset, and not why. The connection is closed after that, so nobody can hold it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _announces_body(Headers(scope=scope)):
            return await self._app(scope, receive, send)
        is_whole = answered_early = False

        async def receive_noting() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        async def send_but_the_end(message: Message) -> None:
            nonlocal answered_early
            if not is_whole and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
                answered_early = True
            await send({**message, "more_body": True} if answered_early else message)

        await self._app(scope, receive_noting, send_but_the_end)
        if answered_early:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while not is_whole:
                        await receive_noting()
            await send({"type": "http.response.body"})
        return None


def _announces_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class Observe:
    """Gives each request an id (the caller's, if it sent one), logs it when it ends, and counts it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _GOOD_ID.fullmatch(given) else uuid4().hex
        REQUEST.set(request_id)  # each request is answered in a task, and so in a context, of its own
        status = CLIENT_CLOSED
        began = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("unhandled error", extra={"request_id": request_id})
            if status != CLIENT_CLOSED:  # the response has begun, so the server can only break it off
                raise
            internal = AuralError(f"internal error; the server's log has it under {request_id}")
            await _refusal(scope, internal)(scope, receive, send_with_id)
        finally:
            self._metrics.in_flight.dec()
            self._note(scope, status, time.perf_counter() - began, request_id)
        return None

    def _note(self, scope: Scope, status: int, took_s: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        self._metrics.requests.labels(route, status).inc()
        self._metrics.request_s.labels(route).observe(took_s)
        level = logging.DEBUG if scope["path"] in OPEN_PATHS else logging.INFO
        path = scope.get("raw_path", b"").decode("latin-1")  # still percent-encoded, so it cannot forge a line
        fields = {"method": scope["method"], "path": path[:200], "status": status, "ms": round(took_s * 1000, 1)}
        log.log(level, "request", extra=fields | {"request_id": request_id})


@dataclass(frozen=True, slots=True)
class Keys:
    """Who may do what. An empty `api` lets everybody ask; an empty `admin` lets nobody load and unload models."""

    api: str = ""
    admin: str = ""
    is_multi_model: bool = False
    """Behind a SageMaker multi-model endpoint, which manages the models and has no key."""

    def check(self, headers: Headers, offered: bytes = b"") -> None:
        """Raises Unauthorized for who may not ask. A key may also be `offered` beside the headers."""
        if self.api and not self._is_one(headers, self.api, self.admin, offered=offered):
            raise Unauthorized

    def check_admin(self, headers: Headers) -> None:
        """Raises Forbidden, or Unauthorized, for who may not manage models."""
        if not self.admin:
            raise Forbidden("models are managed with a key, and this server was started without --admin-key")
        if not self._is_one(headers, self.admin):
            raise Unauthorized

    def _is_one(self, headers: Headers, *keys: str, offered: bytes = b"") -> bool:
        given = _key_in(headers) or offered
        return any(hmac.compare_digest(given, key.encode()) for key in keys if key)


class Guard:
    """Turns away who has no key, and who comes when too many are being served."""

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Keys, max_requests: int) -> None:
        self._app = app
        self._metrics = metrics
        self._keys = keys
        self._most = max_requests
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await self._guard_socket(scope, receive, send)
        try:
            self._check(scope["path"], Headers(scope=scope))
        except AuralError as error:
            self._metrics.refused.labels(error.code).inc()
            return await _refusal(scope, error)(scope, receive, send)
        places = _is_counted(scope["path"])
        self._count += places
        try:
            return await self._app(scope, receive, send)
        finally:
            self._count -= places

    async def _guard_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sessions are counted where they are heard; here they show their key. Who has none gets no socket."""
        try:
            self._keys.check(Headers(scope=scope), _key_among(scope.get("subprotocols", ())))
        except AuralError as error:
            self._metrics.refused.labels(error.code).inc()
            return await _refusal(scope, error)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        if not _is_open(path, headers):
            self._keys.check(headers)
        if self._count >= self._most and _is_counted(path):
            raise Overloaded(f"{self._most} requests are being answered already", retry_after_s=1.0)


def _refusal(scope: Scope, error: AuralError) -> Response:
    """In the manner of the API that was asked."""
    return refusal(error, str(uuid4())) if scope["path"] == PATH else response_to(error)


def _is_counted(path: str) -> bool:
    return path not in UNCOUNTED_PATHS and path != "/" and not path.startswith((PAGE, CAPTIONS))


def _is_open(path: str, headers: Headers) -> bool:
    return (
        path in OPEN_PATHS
        or path.startswith((PAGE, CAPTIONS))
        or (path == "/" and "text/html" in headers.get("accept", ""))
    )


def _key_among(subprotocols: Iterable[str]) -> bytes:
    """Browsers cannot set headers: OpenAI's clients put the key among the subprotocols, Deepgram's after `token`. The
    page's is encoded, for a subprotocol may not hold every character."""
    names = list(subprotocols)
    for name in names:
        if name.startswith(KEY_SUBPROTOCOL):
            return name.removeprefix(KEY_SUBPROTOCOL).encode()
        if name.startswith(ENCODED_KEY_SUBPROTOCOL):
            return _decoded(name.removeprefix(ENCODED_KEY_SUBPROTOCOL))
    return names[1].encode() if len(names) > 1 and names[0] in ("token", "bearer") else b""


def _decoded(key: str) -> bytes:
    """A key from base64url without padding; of what is none, no key."""
    try:
        return urlsafe_b64decode(key + "=" * (-len(key) % 4))
    except ValueError:
        return b""


def _key_in(headers: Headers) -> bytes:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return (key.strip() if scheme.lower() in ("bearer", "token") else headers.get("x-api-key", "")).encode()
