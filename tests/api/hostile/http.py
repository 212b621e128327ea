"""What is wrong around the body."""

from __future__ import annotations

from random import Random

from tests.api.hostile.base import HELLO, MIB, TRANSCRIPTIONS, chunked, kind, post
from tests.api.wire import form, request


@kind(400)
def query_of_nonsense(random: Random) -> bytes:
    odd = ["diarize=1", "language=en&language=en", "%00=1", "beam_size=99", "temperature=nan", "task=", "a" * 9000]
    odd += ["temperature=inf", "beam_size=1e400", "timestamps=maybe", "language=%ff%fe", "=", "language=%F0%9F%A6%9E"]
    odd[odd.index("task=")] = "task=sing"
    odd[odd.index("=")] = "=1"
    return post(HELLO, path=f"/invocations?{random.choice(odd)}")


@kind(400, 404)
def attributes_of_nonsense(random: Random) -> bytes:
    odd = ["route=/etc/passwd", "route=", "route=/v1/audio/transcriptions/../models", "model=nobody", "language=xx"]
    odd += ["route=http://127.0.0.1/", "beam_size=a", f"model={'m' * 9000}", "temperature=9"]
    return post(HELLO, X_Amzn_SageMaker_Custom_Attributes=random.choice(odd))


@kind(415)
def types_that_are_no_audio(random: Random) -> bytes:
    odd = ["text/plain", "image/png", "application/xml", "application/x-www-form-urlencoded", "a", "/", "*/*", "audio"]
    odd += ["application/json5", "multipart/mixed; boundary=a", "model/gltf", "x" * 9000, "application", ";", "é"]
    return post(HELLO, random.choice(odd))


@kind(415)
def compressed(random: Random) -> bytes:
    encoding = random.choice(["gzip", "br", "deflate", "zstd", "compress", "x", "gzip, br", "aws-chunked"])
    body, multipart = form(HELLO)
    return random.choice(
        [
            post(HELLO, Content_Encoding=encoding),
            post(body, multipart, TRANSCRIPTIONS, Content_Encoding=encoding),
            post(b"\x1f\x8b" + bytes(99), "application/json", Content_Encoding=encoding),
        ]
    )


@kind(404)
def paths_to_nowhere(random: Random) -> bytes:
    odd = ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/%00", "/" + "a" * 9000, "/invocations/%0d%0aX:y", "//"]
    odd += [
        "/v1/audio",
        "/.env",
        "/v1/models/%F0%9F%A6%9E",
        "/%ff%fe",
        "/endpoints//invocations",
        "/invocations//",
        "/;a",
    ]
    return request(random.choice(odd), method=random.choice(["GET", "POST"])).replace(
        b"POST /v1/models", b"GET /v1/models"
    )


@kind(405)
def methods_that_do_not_fit(random: Random) -> bytes:
    path = random.choice(["/invocations", TRANSCRIPTIONS, "/endpoints/a/invocations"])
    return request(path, method=random.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"]))


@kind(400)
def lines_that_are_not_http(random: Random) -> bytes:
    odd = [
        b"FOO /ping HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]
    odd += [
        b"GET  HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 99,
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    ]
    odd += [
        b"get /ping HTTP/1.1\r\n\r\n",
        b"GET ping HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-aural\r\n",
    ]
    return random.choice(odd)


@kind(400)
def headers_that_are_none(random: Random) -> bytes:
    odd = [b"no colon", b": no name", b"A B: c", b"A: \0", b"Content-Length: -1", b"Content-Length: 0x10", b"A\0: b"]
    odd += [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: " + b"9" * 30,
        b"Content-Length: 1,1",
        b"\xff: a",
    ]
    odd += [b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked, gzip"]
    return b"POST /invocations HTTP/1.1\r\nHost: a\r\n" + random.choice(odd) + b"\r\n\r\nhello"


@kind(431)
def headers_without_end(random: Random) -> bytes:
    odd = [b"A: " + b"a" * 400_000, b"A: a\r\n" * 70_000, b"A" * 400_000]
    return b"POST /invocations HTTP/1.1\r\n" + random.choice(odd)


@kind(400)
def chunks_that_are_none(random: Random) -> bytes:
    odd = [
        b"zz\r\nab\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"5\r\nhello, world\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"f" * 17 + b"\r\n",
    ]
    return chunked(random.choice(odd))


@kind(431)
def chunks_with_extensions_without_end(random: Random) -> bytes:
    return chunked(b"5;" + b"a=b;" * 100_000)


@kind(413)
def declared_too_large(random: Random) -> bytes:
    size = str(random.choice([MIB + 1, 10**9, 2**31, 2**32, 2**63 - 1, 10**18]))
    body, multipart = form(HELLO)
    return random.choice(
        [
            post(HELLO, Content_Length=size),
            post(body, multipart, TRANSCRIPTIONS, Content_Length=size),
            post(b"", "application/json", Content_Length=size, Expect="100-continue"),
        ]
    )


@kind(413)
def grown_too_large(random: Random) -> bytes:
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n"
    return chunked(*[piece] * random.randrange(17, 40), content_type=random.choice(["audio/wav", "application/json"]))


@kind(403, 404, 405)
def upgrades(random: Random) -> bytes:
    protocol = random.choice(["websocket", "h2c", "TLS/1.0"])
    path = random.choice(["/invocations", TRANSCRIPTIONS])
    upgrade = {"Upgrade": protocol, "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    return request(path, method="GET", **upgrade, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")
