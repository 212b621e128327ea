"""What is refused at the door, and how: at once, by the right name, and so that the sender gets to read it."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import KEY
from tests.api.wire import Reply, converse, exchange, form, request, speech
from tests.conftest import Server, wait_until

MIB = 2**20
CHUNKED = {"Transfer_Encoding": "chunked", "Content_Type": "audio/wav"}
OPENED = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
"""A multipart body up to where its file begins."""
UPLOADS = ("/invocations", "/v1/audio/transcriptions", "/v1/audio/translations")


def head(path: str, **headers: str) -> bytes:
    """A request without its body."""
    lines = request(path, **headers).replace(b"Content-Length: 0\r\n", b"")
    assert lines.endswith(b"\r\n\r\n")
    return lines


async def chunks(size: int, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"%x\r\n%s\r\n" % (size, bytes(size))


async def drops(every_s: float) -> AsyncIterator[bytes]:
    """A byte now and then, without end."""
    while True:
        await asyncio.sleep(every_s)
        yield b"x"


@pytest.mark.parametrize("path", UPLOADS)
def test_a_large_body_is_refused_by_its_length(strict: Server, path: str) -> None:
    """Nothing of it is ever sent."""
    kind = "multipart/form-data; boundary=x"
    reply = exchange(strict.url, request(path, Content_Length=str(MIB + 1), Content_Type=kind))
    assert (reply.status, reply.error["code"], reply.headers["connection"]) == (413, "body_too_large", "close")
    assert str(MIB) in reply.error["message"]


def test_a_large_body_is_refused_to_boto3_too(strict: Server) -> None:
    reply = exchange(strict.url, request("/endpoints/any/invocations", Content_Length="99999999"))
    assert (reply.status, reply.json["OriginalStatusCode"]) == (424, 413)


def test_a_refusal_comes_before_100_continue(strict: Server) -> None:
    reply = exchange(strict.url, request("/invocations", Content_Length=str(MIB + 1), Expect="100-continue"))
    assert reply.status == 413


@pytest.mark.parametrize("path", UPLOADS)
def test_a_body_that_grows_too_large_is_refused_on_the_way(strict: Server, path: str) -> None:
    """The sender is read on for a while, so it sees why and not a reset connection."""
    headers = CHUNKED | {"Content_Type": "multipart/form-data; boundary=x"}
    start = b'7b\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    start += bytes(0x7B - (len(start) - 4)) + b"\r\n"
    reply = asyncio.run(converse(strict.url, head(path, **headers) + start, chunks(65536, 400)))
    assert (reply.status, reply.error["code"]) == (413, "body_too_large")


def test_an_ordinary_client_reads_the_refusal_of_what_it_sends(strict: Server) -> None:
    """http.client sends all before it reads anything."""
    address = urlsplit(strict.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=120)
    connection.request("POST", "/invocations", bytes(20 * MIB), {"Content-Type": "audio/wav"})
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"]["code"] == "body_too_large"
    connection.close()


def test_what_drips_is_refused(strict: Server) -> None:
    """Bodies, a head, and a connection that says nothing, all at once for they take their time."""
    kind = "multipart/form-data; boundary=x"
    bodies = [request(path, Content_Length="1000", Content_Type=kind) + OPENED for path in UPLOADS]
    begun = [*bodies, b"GET /ping HTTP/1.1\r\nX-Slow: "]

    async def drip_all() -> list[Reply]:
        dripping = [converse(strict.url, data, drops(0.1)) for data in begun]
        return await asyncio.gather(*dripping, converse(strict.url, b""))

    for reply in asyncio.run(drip_all()):
        assert (reply.status, reply.error["code"], reply.headers["connection"]) == (408, "request_timeout", "close")


@pytest.mark.parametrize("line", [b"X-Long: " + b"a" * 400_000, b"X-Many: a\r\n" * 40_000])
def test_a_head_without_end_is_refused(strict: Server, line: bytes) -> None:
    reply = exchange(strict.url, b"GET /ping HTTP/1.1\r\n" + line)
    assert (reply.status, reply.error["code"]) == (431, "head_too_large")


def test_trailers_without_end_are_refused(strict: Server) -> None:
    reply = exchange(strict.url, head("/invocations", **CHUNKED) + b"0\r\n" + b"X-Trailer: a\r\n" * 40_000)
    assert (reply.status, reply.error["code"]) == (431, "head_too_large")


def test_what_is_not_http_is_refused(strict: Server) -> None:
    reply = exchange(strict.url, b"HELO aural\r\n\r\n")
    assert (reply.status, reply.error["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip"])
def test_a_compressed_body_is_refused(strict: Server, encoding: str) -> None:
    for path in UPLOADS:
        body, kind = form(speech("hello"))
        reply = exchange(strict.url, request(path, body, Content_Type=kind, Content_Encoding=encoding))
        assert (reply.status, reply.error["code"]) == (415, "invalid_audio")
        assert encoding in reply.error["message"]


def test_identity_is_no_compression(strict: Server) -> None:
    sent = request("/invocations", speech("hello"), Content_Type="audio/wav", Content_Encoding="Identity")
    assert exchange(strict.url, sent).json["text"] == "hello"


@pytest.mark.parametrize("path", UPLOADS[1:])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "audio/wav"])
def test_a_form_is_a_form(strict: Server, path: str, kind: str) -> None:
    reply = exchange(strict.url, request(path, b"{}", Content_Type=kind))
    assert reply.status == 400
    assert kind in reply.error["message"]


def test_the_key_is_asked_for_before_the_body_is_read(guarded: Server) -> None:
    sent = request("/v1/audio/transcriptions", Content_Length="50000000", Content_Type="multipart/form-data")
    reply = exchange(guarded.url, sent)
    assert (reply.status, reply.error["code"], reply.headers["connection"]) == (401, "invalid_api_key", "close")


def test_one_too_many_is_refused_before_its_body_is_read(guarded: Server) -> None:
    """Operators still get to see what is going on."""

    def is_busy() -> bool:
        models = json.loads(guarded.send("GET", "/health", x_api_key=KEY)[1])["models"]
        return any(replica["busy"] for replica in models[0]["replicas"])

    with ThreadPoolExecutor() as pool:
        sent = request("/invocations", speech("first sleep700"), Content_Type="audio/wav", X_Api_Key=KEY)
        first = pool.submit(exchange, guarded.url, sent)
        wait_until(is_busy, 120)
        second = exchange(guarded.url, request("/invocations", Content_Length="50000000", X_Api_Key=KEY))
        status, metrics = guarded.send("GET", "/metrics", x_api_key=KEY)
        assert (second.status, second.error["code"]) == (503, "overloaded")
        assert int(second.headers["retry-after"]) >= 1
        assert status == 200
        assert b'aural_refused_total{code="overloaded"} ' in metrics
        assert first.result().json["text"] == "first sleep700"
