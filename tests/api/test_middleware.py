"""A bug of ours, which no request is known to set off."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from aural.api.middleware import Observe
from aural.metrics import Metrics

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"trace-1")]}


async def never() -> Message:
    raise AssertionError("nobody asks for the body")


def observe(app: Observe) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(SCOPE, never, send))
    return sent


def test_a_bug_is_a_500_with_its_request_id(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError("a secret")

    metrics = Metrics()
    start, body = observe(Observe(broken, metrics))
    error = json.loads(body["body"])["error"]
    assert (start["status"], error["code"]) == (500, "internal_error")
    assert "trace-1" in error["message"]
    assert (b"x-request-id", b"trace-1") in start["headers"]
    assert "secret" not in str(body)
    assert "ZeroDivisionError: a secret" in caplog.text
    assert metrics.registry.get_sample_value("aural_requests_total", {"route": "unknown", "status": "500"}) == 1
    assert metrics.registry.get_sample_value("aural_requests_in_flight") == 0


def test_a_bug_within_a_response_breaks_it_off(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        observe(Observe(broken, Metrics()))
    assert "unhandled error" in caplog.text
