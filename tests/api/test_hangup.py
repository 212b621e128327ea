"""Who hangs up frees the place: in the queue, in the count of requests, and of the clips not yet heard."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request

from aural.api.service import ClientGone, unless_gone
from tests.api.wire import exchange, form, request, speech
from tests.conftest import Server, serving, wait_until
from tests.serving.loop import in_loop

LIMIT_S = 120.0
SLEEPER = speech("sleep1000")


@contextmanager
def calling(server: Server, data: bytes) -> Iterator[socket.socket]:
    """A connection that has sent the data; leaving the block hangs up."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=LIMIT_S) as connection:
        connection.sendall(data)
        yield connection


def raw(body: bytes, **headers: str) -> bytes:
    return request("/invocations", body, Content_Type="audio/wav", **headers)


def streamed(path: str, audio: bytes) -> bytes:
    if path == "/v1/audio/transcriptions":
        body, kind = form(audio, stream="true")
        return request(path, body, Content_Type=kind)
    accept = {"X_Amzn_SageMaker_Accept" if path.startswith("/endpoints") else "Accept": "application/x-ndjson"}
    return request(path, audio, Content_Type="audio/wav", **accept)


def busy(server: Server) -> int:
    return sum(replica["busy"] for replica in server.health()["models"][0]["replicas"])


def is_quiet(server: Server) -> bool:
    """Nobody is served but who asks for the metrics."""
    waiting = server.metric("aural_queue_clips")
    return waiting == 0 and server.metric("aural_requests_in_flight") == 1 and busy(server) == 0


def abandoned(server: Server) -> float:
    return server.metric("aural_requests_total{route=.[^}]*,status=.499.}")


def test_a_waiting_clip_leaves_the_queue(fake: Server) -> None:
    before = abandoned(fake), fake.metric("aural_audio_seconds_total")
    with ThreadPoolExecutor() as pool:
        sleepers = [pool.submit(exchange, fake.url, raw(SLEEPER)) for _ in range(2)]
        wait_until(lambda: busy(fake) == 2, LIMIT_S)
        with calling(fake, raw(speech("never heard"))):
            wait_until(lambda: fake.metric("aural_queue_clips") == 1, LIMIT_S)
        wait_until(lambda: fake.metric("aural_queue_clips") == 0, LIMIT_S)
        assert [sleeper.result().json["text"] for sleeper in sleepers] == ["sleep1000"] * 2
    wait_until(lambda: is_quiet(fake), LIMIT_S)
    assert abandoned(fake) == before[0] + 1
    assert fake.metric("aural_audio_seconds_total") - before[1] == pytest.approx(2 * 0.18)


def test_a_clip_being_heard_is_heard_for_nobody(fake: Server) -> None:
    before = abandoned(fake), fake.metric("aural_audio_seconds_total")
    with calling(fake, raw(SLEEPER)):
        wait_until(lambda: busy(fake) == 1, LIMIT_S)
    wait_until(lambda: fake.metric("aural_requests_in_flight") == 1, LIMIT_S)
    wait_until(lambda: is_quiet(fake), LIMIT_S)
    assert (abandoned(fake), fake.metric("aural_audio_seconds_total")) == (before[0] + 1, before[1])


@pytest.mark.parametrize("path", ["/invocations", "/v1/audio/transcriptions"])
def test_half_a_body(fake: Server, path: str) -> None:
    before = abandoned(fake)
    kind = "multipart/form-data; boundary=x"
    opened = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF'
    with calling(fake, request(path, opened, Content_Type=kind, Content_Length="9000")):
        wait_until(lambda: fake.metric("aural_requests_in_flight") == 2, LIMIT_S)
    wait_until(lambda: is_quiet(fake), LIMIT_S)
    assert abandoned(fake) == before + 1


@pytest.fixture(scope="module")
def single() -> Iterator[Server]:
    """One worker that hears one clip at a time."""
    with serving("--model", "fake", "--replicas", "1", "--max-batch", "1") as server:
        yield server


@pytest.mark.parametrize(
    "path", ["/invocations", "/v1/audio/transcriptions", "/endpoints/any/invocations-response-stream"]
)
def test_the_rest_of_a_stream_is_not_heard(single: Server, path: str) -> None:
    texts = ["first", *["sleep700 later"] * 5]
    before = single.metric("aural_queue_wait_seconds_count")
    with calling(single, streamed(path, speech(*texts, every_s=28))) as connection:
        received = b""
        while b"first" not in received:
            received += connection.recv(65536)
    wait_until(lambda: is_quiet(single), LIMIT_S)
    assert b"later" not in received
    assert single.metric("aural_queue_wait_seconds_count") - before < len(texts)


def test_a_stream_that_has_not_begun(single: Server) -> None:
    before = abandoned(single), single.metric("aural_queue_wait_seconds_count")
    with calling(single, streamed("/invocations", speech(*["sleep700"] * 5, every_s=28))):
        wait_until(lambda: busy(single) == 1, LIMIT_S)
    wait_until(lambda: is_quiet(single), LIMIT_S)
    assert abandoned(single) == before[0] + 1
    assert single.metric("aural_queue_wait_seconds_count") - before[1] < 5


@in_loop
async def test_what_is_given_up_together_leaves_no_complaint() -> None:
    async def hung_up() -> dict[str, str]:
        return {"type": "http.disconnect"}

    parts = [asyncio.ensure_future(asyncio.Event().wait()) for _ in range(2)]
    with pytest.raises(ClientGone):
        await unless_gone(Request({"type": "http"}, hung_up), asyncio.gather(*parts))
    assert all(part.cancelled() for part in parts)
