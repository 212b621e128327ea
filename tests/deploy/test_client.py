"""aural.Client against servers of one's own; SageMaker's side is in test_local and test_standin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

import aural
from aural import attributes, eventstream
from aural.client import LARGEST_BYTES, Asked, Client, lines
from aural.errors import BadRequest, BodyTooLarge, CallFailed, SettingsError
from tests.api.wire import speech
from tests.conftest import Server, serving
from tests.deploy.faulty import faulty


def test_a_server_of_ones_own(fake: Server) -> None:
    with aural.Client(fake.url) as client:
        assert client.transcribe(speech("hello there"))["text"] == "hello there"
        *_, done = client.stream(speech("hello", "again", every_s=28))
        assert done["type"] == "done"


def test_asyncio(fake: Server) -> None:
    async def both() -> list[str]:
        async with aural.AsyncClient(fake.url) as client:
            texts = await asyncio.gather(*(client.transcribe(speech(word)) for word in ("one", "two")))
            heard = [part async for part in client.stream(speech("three"))]
        return [answer["text"] for answer in texts] + [heard[-1]["text"]]

    assert asyncio.run(both()) == ["one", "two", "three"]


def test_refusals_are_typed(fake: Server) -> None:
    with Client(fake.url) as client:
        with pytest.raises(CallFailed) as caught:
            client.send(Asked(b"{", "application/json"))
        assert (caught.value.status, caught.value.code) == (400, "invalid_request")
        with pytest.raises(CallFailed, match="415"):
            list(client.stream(b"no audio"))
    with Client(fake.url) as client, pytest.raises(CallFailed, match="engine_failed"):
        list(client.stream(speech("all is well", "fail", every_s=28), content_type="audio/wav"))
    with pytest.raises(BodyTooLarge, match="FLAC"), Client(fake.url, largest_bytes=3) as client:
        client.transcribe(b"abcd")


@pytest.mark.parametrize(
    ("endpoint", "where"),
    [
        ("http://127.0.0.1:9", {}),
        ("http://nobody.invalid", {}),
        ("sagemaker:x", {"region": "us-east-1", "url": "http://127.0.0.1:9"}),
    ],
)
def test_nobody_there_is_asked_again_and_then_said(endpoint: str, where: dict[str, str]) -> None:
    pauses: list[float] = []
    with Client(endpoint, **where, sleep=pauses.append) as client, pytest.raises(CallFailed, match="unreachable"):
        client.transcribe(b"x")
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


LONG_S = 60.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
REFUSAL = b"HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\n{"
EVENT = eventstream.payload_part(b'{"type": "segment"}\n')


@pytest.mark.parametrize("answer", [b"", b"\r\n\r\n", HEAD, HEAD + b"{", REFUSAL])
@pytest.mark.parametrize("of_aws", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_was_sent_is_not_sent_again(answer: bytes, of_aws: bool, streamed: bool) -> None:
    with faulty(answer) as server:
        where = ("sagemaker:x", "us-east-1", server.url) if of_aws else (server.url,)
        patience_s = LONG_S if answer else 0.2
        with Client(*where, read_s=patience_s, sleep=never) as client, pytest.raises(CallFailed) as caught:
            _ = list(client.stream(b"x")) if streamed else client.transcribe(b"x")
    assert caught.value.status == 500


def never(pause_s: float) -> None:
    raise AssertionError(f"expected no second try, got one in {pause_s} s")


@pytest.mark.parametrize("rest", [b"", EVENT[:20], EVENT[:-4] + b"oops"])
@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"])
def test_a_stream_that_breaks_off_is_an_error_of_ours(rest: bytes, end: bytes) -> None:
    body = EVENT + rest
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {eventstream.MEDIA_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with faulty(head.encode() + f"{len(body):x}\r\n".encode() + body + b"\r\n" + end) as server:
        client = Client("sagemaker:x", "us-east-1", server.url, sleep=never)
        parts = client.stream(b"x")
        with client, pytest.raises(CallFailed, match="broken_off"):
            list(parts)


def test_options_come_as_they_were_given(fake: Server) -> None:
    for prompt in ("a, b", "你好, 100%", "%41 + b=c"):
        with Client(fake.url) as client, pytest.raises(CallFailed) as caught:
            client.transcribe(speech("hello"), prompt=prompt, language=None, timestamps=False)
        assert f"prompt={prompt!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"language": "de", "timestamps": True}, "language=de,timestamps=true"),
        ({"redact": ["PHONE", "EMAIL"]}, "redact=PHONE%2CEMAIL"),
        ({"insights": {"skills": ["intent"]}}, 'insights={"skills": ["intent"]}'),
        ({"hotwords": "Größe"}, "hotwords=Gr%C3%B6%C3%9Fe"),
        ({"prompt": None}, ""),
    ],
)
def test_options_as_they_are_written(options: dict[str, Any], header: str) -> None:
    assert attributes.write(options) == header


@pytest.mark.parametrize(
    ("options", "said"),
    [({"langauge": "de"}, "'langauge'"), ({"prompt": "猫" * 120}, "1024 ASCII characters")],
)
def test_options_that_would_not_arrive_are_not_sent(options: dict[str, str], said: str) -> None:
    client = Client("sagemaker:x", "us-east-1", "http://127.0.0.1:9", sleep=never)
    with client, pytest.raises(BadRequest, match=said):
        client.transcribe(b"x", **options)


def test_a_server_has_its_own_limits() -> None:
    with faulty(REFUSAL) as server, Client(server.url) as client, pytest.raises(CallFailed):
        client.send(Asked(bytes(LARGEST_BYTES + 1), attributes="prompt=" + "a" * 2000))
    with pytest.raises(BodyTooLarge), Client("sagemaker:x", "us-east-1", "http://127.0.0.1:9") as endpoint:
        endpoint.transcribe(bytes(LARGEST_BYTES + 1))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serving("--model", "fake", AURAL_API_KEY="sesame") as server:
        yield server


def test_a_key(guarded: Server) -> None:
    with Client(guarded.url, api_key="sesame") as client:
        assert client.transcribe(speech("open"))["text"] == "open"
    with Client(guarded.url) as client, pytest.raises(CallFailed, match="401"):
        client.transcribe(speech("open"))


def stubbed(client: Client, *errors: tuple[str, str, int, dict[str, Any]]) -> Stubber:
    transport: Any = client._transport
    stub = Stubber(transport._runtime)
    for code, message, status, fields in errors:
        stub.add_client_error("invoke_endpoint", code, message, status, modeled_fields=fields)
    return stub


SHED = json.dumps({"error": {"code": "overloaded", "message": "later", "type": "x", "param": None}})


@pytest.mark.parametrize(
    ("error", "asked", "code"),
    [
        (("ModelError", "x", 424, {"OriginalStatusCode": 503, "OriginalMessage": SHED}), 4, "overloaded"),
        (("ModelError", "x", 424, {"OriginalStatusCode": 415, "OriginalMessage": "no audio"}), 1, "error"),
        (("ServiceUnavailable", "x", 503, {}), 4, "ServiceUnavailable"),
        (("ModelNotReadyException", "x", 429, {}), 4, "ModelNotReadyException"),
        (("ThrottlingException", "x", 400, {}), 4, "ThrottlingException"),
        (("AccessDeniedException", "x", 403, {}), 1, "AccessDeniedException"),
    ],
)
def test_errors_are_repeated_by_class(error: tuple[str, str, int, dict[str, Any]], asked: int, code: str) -> None:
    client = Client("sagemaker:x", "us-east-1", "http://127.0.0.1:9", sleep=lambda pause_s: None)
    with stubbed(client, *[error] * asked) as stub, client, pytest.raises(CallFailed) as caught:
        client.transcribe(b"x")
    stub.assert_no_pending_responses()
    assert caught.value.code == code


def test_a_sleeping_endpoint_is_waited_for_as_long_as_one_likes() -> None:
    cold = ("ValidationError", "Inference Component has no capacity to process this request.", 400, {})
    pauses: list[float] = []
    client = Client("sagemaker:x", "us-east-1", "http://127.0.0.1:9", wake_s=60, sleep=pauses.append)
    with stubbed(client, *[cold] * 40), client, pytest.raises(CallFailed) as caught:
        client.transcribe(b"x")
    assert caught.value.code == "cold"
    assert sum(pauses) >= 60


def test_an_endpoint_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(SettingsError, match="region"):
        Client("sagemaker:x")


def test_lines_of_pieces_that_split_anywhere() -> None:
    text = '{"a": "é"}\n\n{"b": 2}\n{"c": 3}'.encode()
    pieces = iter([text[i : i + 1] for i in range(len(text))])
    assert [json.loads(line) for line in lines(pieces)] == [{"a": "é"}, {"b": 2}, {"c": 3}]
