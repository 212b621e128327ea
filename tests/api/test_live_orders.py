"""Long orders of one live client: nobody else's captions wait for them, and none is too long to be refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aural.api.orders import MOST_VALUES
from aural.audio.decode import decode
from tests.api.listen import all_of, listening
from tests.api.realtime import COMPLETED, Client, client, pcm16
from tests.conftest import Recording, Server, serving, words

PATIENCE_S = 120.0
HELD = """
import time
from pathlib import Path
from aural.insight.settings import InsightSettings
read = InsightSettings.wish

def wish(self, insights, redact):
    until = time.monotonic() + 30
    while insights == ["terms"] and not Path({go_on!r}).exists() and time.monotonic() < until:
        time.sleep(0.01)
    return read(self, insights, redact)

InsightSettings.wish = wish
from aural.cli import main
main()
"""


@pytest.fixture(scope="module")
def go_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("held") / "go-on"


@pytest.fixture(scope="module")
def held(go_on: Path) -> Iterator[Server]:
    """Takes as long to read an update that asks for terms as it takes for the file `go_on` to be there."""
    flags = ("--model", "whisper-tiny.en", "--replicas", "1", "--max-streams", "8")
    with serving(*flags, program=("-c", HELD.format(go_on=str(go_on)))) as server:
        yield server


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def patient() -> None:
        await asyncio.wait_for(scenario(), PATIENCE_S)

    asyncio.run(patient())


def test_who_has_much_to_ask_holds_up_nobody_and_keeps_its_order(
    held: Server, go_on: Path, clips: dict[str, Recording]
) -> None:
    speech = pcm16(decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples)

    async def said(one: Client) -> dict[str, Any]:
        await one.play(speech)
        await one.tell("input_audio_buffer.commit")
        return await one.until(COMPLETED)

    async def scenario() -> None:
        async with client(held) as slow, client(held) as quick:
            for one in (slow, quick):
                await one.ask(input={"turn_detection": None})
            await slow.tell("session.update", session={"aural": {"insights": ["terms"]}, "include": ["aural.words"]})
            waiting = asyncio.create_task(said(slow))
            heard = await said(quick)
            assert "lobster" in words(heard["transcript"])
            assert "words" not in heard
            assert len(slow.events) == 2, "created and updated, and nothing since"
            go_on.touch()  # noqa: ASYNC240 - in an instant
            assert (await waiting)["words"]
            assert slow.events[2]["type"] == "session.updated"

    run(scenario)


def many(count: int) -> dict[str, Any]:
    return {"insights": {"keywords": [f"phrase {number}" for number in range(count)]}}


def test_as_much_as_may_be_is_taken_and_more_is_refused_by_name(held: Server) -> None:
    async def scenario() -> None:
        async with client(held) as one:
            for count in (10_001, MOST_VALUES + 1):
                answer = await one.ask(aural=many(count))
                assert answer["error"]["code"] == "invalid_request"
                assert str(10_000) in answer["error"]["message"]
            assert len((await one.ask(aural=many(10_000)))["session"]["aural"]["insights"]["keywords"]) == 10_000
            await one.tell("input_audio_buffer.append", audio="A" * (20 * 2**20))
            await one.tell("input_audio_buffer.clear")
            assert (await one.next())["type"] == "input_audio_buffer.cleared"

    run(scenario)


def test_orders_of_deepgrams_clients_are_bounded_too(held: Server) -> None:
    async def scenario() -> None:
        async with listening(held) as connection:
            await connection.send(json.dumps({"type": "Configure", "keyterms": ["a"] * MOST_VALUES}))
            [error] = await all_of(connection)
            assert "at most 100000 values" in error["description"]
            assert connection.close_code == 1008

    run(scenario)
