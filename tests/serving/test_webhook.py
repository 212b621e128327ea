"""Deliveries: signed, tried again, given up, and nothing in their way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from aural.insight.settings import Webhook
from aural.metrics import Metrics
from aural.serving import webhook
from aural.serving.webhook import Hooks


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Answers with these statuses, the last one again and again; keeps what came."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses[min(len(got), len(statuses)) - 1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?a=b", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
    counts = {sample.labels["outcome"]: sample.value for sample in next(iter(metrics.webhooks.collect())).samples}
    return next(name for name, value in counts.items() if value)


def test_it_is_signed_and_tried_again_under_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(500, 503, 204) as (url, got):
        assert delivered(url, monkeypatch, secret="s3cret") == "delivered"
    assert len(got) == 3
    assert len({headers["X-Aural-Delivery"] for headers, _ in got}) == 1
    headers, body = got[-1]
    assert json.loads(body) == {"type": "alert", "name": "流失"}
    time, digest = (part.partition("=")[2] for part in headers["X-Aural-Signature"].split(","))
    assert hmac.compare_digest(digest, hmac.new(b"s3cret", f"{time}.".encode() + body, hashlib.sha256).hexdigest())


def test_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(500) as (url, got):
        assert delivered(url, monkeypatch, attempts=3) == "failed"
        assert len(got) == 3
    with receiver(403) as (url, got):
        assert delivered(url, monkeypatch) == "failed"
        assert len(got) == 1
    assert delivered(url, monkeypatch, attempts=2) == "failed"
