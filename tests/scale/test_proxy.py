"""What Ray's proxy says itself, or leaves unsaid, becomes an error with a type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from aural.scale.proxy import Typed, middlewares
from tests.serving.loop import in_loop

Sent = list[dict[str, Any]]

OURS = [
    {"type": "http.response.start", "status": 503, "headers": [[b"content-type", b"application/json"]]},
    {"type": "http.response.body", "body": b"{}"},
]
PING = [{"type": "http.response.start", "status": 503, "headers": []}, {"type": "http.response.body", "body": b""}]


def rays(status: int) -> Sent:
    headers = [[b"content-type", b"text/plain; charset=utf-8"]]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": b"Request dropped"},
    ]


async def through(said: Sequence[dict[str, Any]], kind: str = "http", received: Sequence[dict[str, Any]] = ()) -> Sent:
    """What the caller gets of what the proxy says."""
    sent: Sent = []
    inbox = list(received)

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        for _ in received:
            await receive()
        for message in said:
            await send(message)

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await Typed(proxy)({"type": kind, "path": "/"}, receive, send)
    return sent


@pytest.mark.parametrize("said", [OURS, PING], ids=["an error", "ping"])
def test_the_applications_words_pass(said: Sent):
    @in_loop
    async def scenario() -> None:
        assert await through(said) == said

    scenario()


@pytest.mark.parametrize(
    ("said", "code"),
    [([], "server_lost"), (rays(503), "overloaded"), (rays(404), "not_ready"), (rays(500), "not_ready")],
    ids=["silence", "backpressure", "no application", "fault"],
)
def test_rays_words_become_ours(said: Sent, code: str):
    @in_loop
    async def scenario() -> None:
        start, body = await through(said)
        assert start["status"] == 503
        assert json.loads(body["body"])["error"]["code"] == code
        assert b"retry-after" in dict(start["headers"])

    scenario()


@in_loop
async def test_a_response_that_broke_off_is_not_begun_again():
    assert await through(OURS[:1]) == OURS[:1]


@in_loop
async def test_a_socket_that_lost_its_session_is_told_so():
    accept = {"type": "websocket.accept"}
    told = {"type": "websocket.close", "code": 1012, "reason": "server_lost"}
    assert await through([accept], "websocket") == [accept, told]
    assert await through([], "websocket") == [accept, told]


@in_loop
async def test_a_socket_that_was_closed_stays_closed():
    accept, close = {"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000}
    assert await through([accept, close], "websocket") == [accept, close]
    gone = [{"type": "websocket.disconnect", "code": 1001}]
    assert await through([accept], "websocket", gone) == [accept]


def test_ray_is_given_the_middleware():
    assert [one.cls for one in middlewares()] == [Typed]
