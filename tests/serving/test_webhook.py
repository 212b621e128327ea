"""Deliveries: signed, tried again, given up, and nothing in their way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from aural.insight.settings import Webhook
from aural.metrics import Metrics
from aural.serving import webhook
from aural.serving.webhook import Hooks, signature
from tests.serving.loop import in_loop
from tests.standin.listening import Quiet, listening

INSIGHTS_PAGE = Path(__file__).parents[2] / "docs" / "insights.md"


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Answers with these statuses, the last one again and again; keeps what came."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses[min(len(got), len(statuses)) - 1])
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with listening(Handler) as origin:
        yield f"{origin}/hook?a=b", got


def counts(metrics: Metrics) -> dict[str, float]:
    """Deliveries by outcome."""
    samples = next(iter(metrics.webhooks.collect())).samples
    return {one.labels["outcome"]: one.value for one in samples if one.name.endswith("_total")}


def delivered(url: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> str:
    """Deliver one alert; returns what was counted."""
    monkeypatch.setattr(webhook, "FIRST_PAUSE_S", 0.001)
    metrics = Metrics()

    async def work() -> None:
        hooks = Hooks(Webhook(url, **settings), metrics)
        hooks.deliver({"type": "alert", "name": "流失"})
        assert hooks._task is not None
        await hooks._task

    asyncio.run(work())
    return next(name for name, value in counts(metrics).items() if value)


def test_it_is_signed_and_tried_again_under_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(500, 503, 204) as (url, got):
        assert delivered(url, monkeypatch, secret="s3cret") == "delivered"
    assert len(got) == 3
    assert len({headers["X-Aural-Delivery"] for headers, _ in got}) == 1
    headers, body = got[-1]
    assert json.loads(body) == {"type": "alert", "name": "流失"}
    sent_at, digest = (part.partition("=")[2] for part in headers["X-Aural-Signature"].split(","))
    assert hmac.compare_digest(digest, hmac.new(b"s3cret", f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest())


def test_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(500) as (url, got):
        assert delivered(url, monkeypatch, attempts=3) == "failed"
        assert len(got) == 3
    with receiver(403) as (url, got):
        assert delivered(url, monkeypatch) == "failed"
        assert len(got) == 1
    assert delivered(url, monkeypatch, attempts=2) == "failed"


@pytest.mark.parametrize("status", [408, 429, 500])
def test_what_may_go_better_later_is_tried_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with receiver(status, 200) as (url, got):
        assert delivered(url, monkeypatch) == "delivered"
        assert len(got) == 2


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(307, 200) as (url, got):
        assert delivered(url, monkeypatch) == "failed"
        assert len(got) == 1


def test_without_a_secret_nothing_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(200) as (url, got):
        assert delivered(url, monkeypatch) == "delivered"
    assert "X-Aural-Signature" not in got[0][0]
    assert got[0][0]["X-Aural-Delivery"]


@contextmanager
def hanging() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"


def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with hanging() as url:
        assert delivered(url, monkeypatch, timeout_s=0.05, attempts=2) == "failed"


@in_loop
async def test_deliveries_keep_their_order_and_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "MOST_WAITING", 3)
    with receiver(200) as (url, got):
        metrics = Metrics()
        hooks = Hooks(Webhook(url), metrics)
        for number in range(5):
            hooks.deliver({"number": number})
        await hooks.stop()
    assert [json.loads(body)["number"] for _, body in got] == [2, 3, 4]
    assert counts(metrics) == {"dropped": 2, "delivered": 3}


@in_loop
async def test_what_the_end_cuts_off_is_counted_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook, "LAST_S", 0.01)
    with hanging() as url:
        metrics = Metrics()
        hooks = Hooks(Webhook(url, timeout_s=0.5), metrics)
        for number in range(3):
            hooks.deliver({"number": number})
        await hooks.stop()
    assert counts(metrics) == {"dropped": 3}
    assert [record.dropped for record in caplog.records if record.name == "aural.webhook"] == [3]


def test_the_documented_check_of_signatures_holds() -> None:
    [block] = re.findall(r"^```python\n(.*?)^```", INSIGHTS_PAGE.read_text(), re.MULTILINE | re.DOTALL)
    told: dict[str, Any] = {}
    exec(block, told)
    is_genuine, now, body = told["is_genuine"], int(time.time()), b'{"type":"alert"}'
    assert is_genuine("s3cret", signature("s3cret", now, body), body)
    assert not is_genuine("another", signature("s3cret", now, body), body)
    assert not is_genuine("s3cret", signature("s3cret", now, body), body + b" ")
    assert not is_genuine("s3cret", signature("s3cret", now - 3600, body), body)
    for broken in ("", "t=,v1=", "v1=ab", f"t={now},v1=流", "t=x,v1=y"):
        assert not is_genuine("s3cret", broken, body)
