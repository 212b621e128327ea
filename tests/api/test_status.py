"""What operators ask: /ping, /health, /metrics, request ids, and the routes that are not there."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.api.conftest import KEY, Waking
from tests.api.wire import exchange, request, speech, wav
from tests.conftest import Server, wait_until

METRICS = {
    *("aural_requests_total", "aural_request_seconds", "aural_requests_in_flight", "aural_audio_seconds_total"),
    *("aural_audio_decode_seconds", "aural_queue_clips", "aural_queue_audio_seconds", "aural_queue_wait_seconds"),
    *("aural_batch_clips", "aural_batch_padding_ratio", "aural_engine_seconds_total", "aural_rtfx"),
    *("aural_redone_clips_total", "aural_suppressed_segments_total", "aural_refused_total"),
    *("aural_worker_restarts_total", "aural_replicas", "aural_event_loop_lag_seconds"),
    *("process_resident_memory_bytes", "process_open_fds"),
}


def hear(server: Server, body: bytes, kind: str = "audio/wav") -> int:
    return server.send("POST", "/invocations", body, Content_Type=kind)[0]


def test_ready_means_every_model(waking: Waking) -> None:
    assert (waking.ping, waking.health) == (503, 503)
    assert (waking.slow_model.status, waking.slow_model.error["code"]) == (503, "not_ready")
    assert waking.slow_model.headers["retry-after"] == "1"
    assert (waking.fast_model.status, waking.fast_model.json["text"]) == (200, "hello")
    assert waking.server.get("/ping") == (200, b"")
    assert waking.server.health()["status"] == "ready"


def test_health(strict: Server) -> None:
    health = strict.health()
    assert [(model["name"], model["state"]) for model in health["models"]] == [
        ("fake", "ready"),
        ("whisper-tiny.en", "ready"),
    ]
    (replica,) = health["models"][1]["replicas"]
    assert (replica["state"], replica["compute_type"], replica["restarts"]) == ("ready", "int8", 0)
    assert health["models"][1]["rtfx"] > 1
    assert {"aural", "ctranslate2"} <= set(health["versions"])


def test_every_metric_is_there(fake: Server) -> None:
    assert set(re.findall(r"# TYPE (\w+)", fake.get("/metrics")[1].decode())) >= METRICS


def test_metrics_count(fake: Server) -> None:
    series = {
        "aural_audio_seconds_total": 0.4,
        "aural_requests_total{route=./invocations.,status=.200.}": 2,
        "aural_requests_total{route=./invocations.,status=.415.}": 1,
        "aural_requests_total{route=.unknown.,status=.404.}": 1,
        "aural_refused_total{code=.invalid_audio.}": 1,
        "aural_suppressed_segments_total{model=.fake.,reason=.no_speech.}": 1,
        "aural_audio_decode_seconds_count": 2,
        "aural_batch_clips_count": 1,
    }
    before = {name: fake.metric(name) for name in series}
    assert hear(fake, speech("twenty letters of it")) == 200
    assert hear(fake, wav(np.zeros(16_000))) == 200
    assert hear(fake, b"nothing of the kind") == 415
    assert fake.get("/nowhere")[0] == 404
    assert {name: fake.metric(name) - before[name] for name in series} == pytest.approx(series)


def test_a_dead_worker_is_counted_and_replaced(fake: Server) -> None:
    before = fake.metric("aural_worker_restarts_total")
    status, answer = fake.post("/invocations", speech("die"), Content_Type="audio/wav")
    assert (status, answer["error"]["code"]) == (503, "worker_lost")
    wait_until(
        lambda: fake.health()["status"] == "ready" and fake.metric("aural_replicas{model=.fake.,state=.ready.}") == 2,
        30,
    )
    assert fake.metric("aural_worker_restarts_total") == before + 2
    assert hear(fake, speech("still here")) == 200


def test_request_ids(fake: Server) -> None:
    given = exchange(fake.url, request("/ping", method="GET", X_Request_Id="trace-42"))
    assert given.headers["x-request-id"] == "trace-42"
    made = [exchange(fake.url, request("/nowhere", method="GET", X_Request_Id=odd)) for odd in ("a b", "ä", "x" * 200)]
    assert all(re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"]) for reply in made)
    assert len({reply.headers["x-request-id"] for reply in made}) == 3


def test_an_error_has_its_request_id(fake: Server) -> None:
    reply = exchange(fake.url, request("/invocations", b"what", Content_Type="audio/wav", X_Request_Id="trace-43"))
    assert (reply.status, reply.headers["x-request-id"]) == (415, "trace-43")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/audio/transcriptions", 405),
        ("PUT", "/invocations", 405),
        ("DELETE", "/ping", 405),
        ("GET", "/v1/models/nobody", 404),
    ],
)
def test_routes_that_are_not_there(fake: Server, method: str, path: str, status: int) -> None:
    reply = exchange(fake.url, request(path, method=method))
    assert reply.status == status
    assert reply.error["type"] == "invalid_request_error"


def test_the_root_says_where_things_are(fake: Server) -> None:
    assert "/invocations" in json.loads(fake.get("/")[1])["paths"]


@pytest.mark.parametrize(
    ("path", "status"), [("/ping", 200), ("/health", 401), ("/metrics", 401), ("/", 401), ("/v1/models", 401)]
)
def test_all_but_ping_want_the_key(guarded: Server, path: str, status: int) -> None:
    assert guarded.send("GET", path)[0] == status
    assert guarded.send("GET", path, Authorization="Bearer wrong")[0] == status
    assert guarded.send("GET", path, Authorization=f"Bearer {KEY}")[0] == 200
    assert guarded.send("GET", path, x_api_key=KEY)[0] == 200
