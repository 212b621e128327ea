"""WS /v1/listen by hand: what Deepgram's SDK would not send, and what it would not show."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.api.conftest import KEY
from tests.api.listen import (
    CLOSE,
    PATIENCE_S,
    RAW,
    Message,
    all_of,
    assert_deepgrams,
    heard,
    kinds,
    listening,
    refused,
    run,
)
from tests.conftest import START_S, Recording, Server, serving, wait_until


@pytest.mark.parametrize("closing", [CLOSE, CLOSE.encode(), b""])
def test_a_stream_ends_in_three_ways(fake: Server, closing: str | bytes) -> None:
    async def scenario() -> tuple[list[Message], int | None]:
        async with listening(fake) as connection:
            await connection.send(bytes(3200))
            await connection.send(closing)
            return await all_of(connection), connection.close_code

    messages, code = run(scenario)
    assert messages[-1]["type"] == "Metadata"
    assert (messages[-1]["duration"], code) == (0.1, 1000)


@pytest.mark.parametrize("said", ["hello", "[1]", '{"kind":"KeepAlive"}', '{"type":"Sing"}'])
def test_text_that_is_no_order_is_told_and_ends_the_stream(fake: Server, said: str) -> None:
    async def scenario() -> tuple[list[Message], int | None]:
        async with listening(fake) as connection:
            await connection.send(said)
            return await all_of(connection), connection.close_code

    (error,), code = run(scenario)
    assert (error["type"], error["variant"], code) == ("Error", "invalid_request", 1008)


@pytest.mark.parametrize(
    ("query", "status"),
    [("&sentiment=true", 400), ("&model=nobody", 404), ("&sample_rate=12", 400), (f"&sample_rate={'9' * 4400}", 400)],
)
def test_refusals_come_before_the_handshake(fake: Server, query: str, status: int) -> None:
    response, body = run(lambda: refused(fake, RAW + query))
    assert response.status_code == status
    assert_deepgrams(response, body)


def test_browsers_show_their_key_as_a_subprotocol(guarded: Server) -> None:
    async def scenario() -> str | None:
        async with listening(guarded, subprotocols=["token", KEY]) as connection:
            await connection.send(CLOSE)
            await all_of(connection)
            return connection.subprotocol

    assert run(scenario) == "token"
    response, _ = run(lambda: refused(guarded, subprotocols=["token", "wrong"]))
    assert response.status_code == 401


def test_a_key_is_a_token_and_its_refusal_is_deepgrams(guarded: Server) -> None:
    async def scenario() -> list[Message]:
        async with listening(guarded, additional_headers={"Authorization": f"Token {KEY}"}) as connection:
            await connection.send(CLOSE)
            return await all_of(connection)

    assert kinds(run(scenario)) == ["Metadata"]
    response, body = run(lambda: refused(guarded, additional_headers={"Authorization": "Token wrong"}))
    assert response.status_code == 401
    assert_deepgrams(response, body)
    status, body = guarded.post("/v1/listen", b"audio")
    assert (status, sorted(body)) == (401, ["err_code", "err_msg", "request_id"])
    status, body = guarded.post("/v1/audio/transcriptions", b"audio")
    assert (status, sorted(body)) == (401, ["error"])


def test_a_caller_who_hangs_up_leaves_nothing_behind(fake: Server, clips: dict[str, Recording]) -> None:
    async def scenario() -> None:
        for query, audio in [(RAW, bytes(64_000)), ("", clips["fleurs-en-004"].bytes)] * 3:
            async with listening(fake, query) as connection:
                await connection.send(audio)
                connection.transport.abort()
        async with listening(fake) as connection:
            await connection.send(CLOSE)
            assert (await all_of(connection))[-1]["type"] == "Metadata"

    run(scenario)
    wait_until(lambda: not fake.metric("aural_live_sessions"), PATIENCE_S)
    assert fake.get("/ping")[0] == 200


def test_metadata_brings_back_what_was_given(fake: Server) -> None:
    metadata = heard(fake, b"", f"{RAW}&extra=call:seven&extra=note:a:b")[-1]
    assert metadata["extra"] == {"call": "seven", "note": "a:b"}


def test_a_server_that_loads_takes_nobody_on() -> None:
    with serving("--model", "whisper-tiny.en", "--replicas", "1", ready=False) as server:
        wait_until(lambda: _answers(server), START_S)
        response, body = run(lambda: refused(server))
        assert (response.status_code, body["err_code"]) == (503, "NOT_READY")
        assert_deepgrams(response, body)


def _answers(server: Server) -> bool:
    with suppress(OSError):
        return server.get("/health")[0] in (200, 503)
    return False
