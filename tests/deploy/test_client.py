"""aural.Client against servers of one's own; SageMaker's side is in test_local and test_standin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

import aural
from aural.client import Asked, Client, lines
from aural.errors import BodyTooLarge, CallFailed, SettingsError
from tests.api.wire import speech
from tests.conftest import Server, serving


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


def test_nobody_there_is_asked_again_and_then_said() -> None:
    pauses: list[float] = []
    with Client("http://127.0.0.1:9", sleep=pauses.append) as client, pytest.raises(CallFailed, match="unreachable"):
        client.transcribe(b"x")
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


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
