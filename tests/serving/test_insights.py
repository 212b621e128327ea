"""The queue of the insights and its worker, with a worker that does as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aural.errors import EngineFailed, Overloaded
from aural.insight.keywords import Phrase
from aural.insight.request import Asked
from aural.insight.types import Findings, Utterance
from aural.metrics import Metrics
from aural.serving import insights
from aural.serving.insights import REHEARSAL, Insights
from tests.serving.loop import in_loop, until

ASKED = Asked(phrases=(Phrase("refund"),))


class Desk:
    """Insights with a puppet for a worker."""

    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics()
        self.insights = Insights(self.metrics)
        self._folder = folder

    async def one(self, text: str, asked: Asked = ASKED) -> str:
        findings = await self.insights.one(Utterance("u", text), asked)
        return findings.terms[0].text

    async def many(self, *texts: str) -> tuple[Findings, ...]:
        return await self.insights.many([Utterance("u", text) for text in texts], ASKED)

    def later(self, text: str, asked: Asked = ASKED) -> asyncio.Task[str]:
        return asyncio.ensure_future(self.one(text, asked))

    def seen(self) -> list[dict[str, Any]]:
        """What the workers were given, without what they rehearsed."""
        path = self._folder / "seen"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["said"] != REHEARSAL[0].text]

    def said(self) -> list[str]:
        return [line["said"] for line in self.seen()]

    @asynccontextmanager
    async def held_up(self) -> AsyncIterator[None]:
        """While the worker is busy; then it goes on."""
        busy = self.later("wait")
        await until(lambda: "wait" in self.said())
        try:
            yield
        finally:
            (self._folder / "go").touch()
            await busy


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(insights, "MODULE", "tests.serving.puppet")
    monkeypatch.setenv("PUPPET", str(tmp_path))
    return tmp_path


@asynccontextmanager
async def desk_in(folder: Path) -> AsyncIterator[Desk]:
    desk = Desk(folder)
    try:
        yield desk
    finally:
        await desk.insights.stop()


@in_loop
async def test_what_is_live_goes_before_files(folder: Path) -> None:
    async with desk_in(folder) as desk:
        async with desk.held_up():
            file = asyncio.ensure_future(desk.many(*[f"file {i}" for i in range(insights.CHUNK + 1)]))
            await asyncio.sleep(0)
            live = desk.later("live")
            await asyncio.sleep(0)
        assert await live == "live"
        assert len(await file) == insights.CHUNK + 1
        assert desk.said() == ["wait", "live", "file 0", f"file {insights.CHUNK}"]
        assert desk.metrics.registry.get_sample_value("aural_insight_utterances_total") == insights.CHUNK + 3


@in_loop
async def test_long_utterances_of_a_file_are_looked_at_a_few_at_a_time(folder: Path) -> None:
    long = "x" * insights.CHUNK_CHARACTERS
    async with desk_in(folder) as desk:
        assert len(await desk.many("a", "b", long, "c", "d")) == 5
        assert desk.said() == ["a", long, "c"]


@in_loop
async def test_there_is_room_for_so_many_and_then_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "MOST_WAITING", 2)
    async with desk_in(folder) as desk:
        async with desk.held_up():
            waiting = desk.later("waits")
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await desk.one("too many")
        assert await waiting == "waits"
        assert await desk.one("again") == "again"
        assert desk.metrics.registry.get_sample_value("aural_insight_skipped_total") == 1
        assert "too many" not in desk.said()


@in_loop
async def test_a_worker_that_dies_or_raises_fails_its_text_alone(folder: Path) -> None:
    async with desk_in(folder) as desk:
        assert await desk.one("before") == "before"
        for text, message in (("raise", "as told"), ("die", "died")):
            with pytest.raises(EngineFailed, match=message):
                await desk.one(text)
        assert await desk.one("after") == "after"
        assert len({line["worker"] for line in desk.seen()}) == 2


@in_loop
async def test_a_worker_that_hangs_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk_in(folder) as desk:
        assert await desk.one("before") == "before"
        with monkeypatch.context() as patched:
            patched.setattr(insights, "STALL_S", 0.1)
            with pytest.raises(EngineFailed):
                await desk.one("hang")
        assert await desk.one("after") == "after"


@in_loop
async def test_a_worker_that_cannot_start_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk_in(folder) as desk:
        with monkeypatch.context() as patched:
            patched.setattr(insights, "MODULE", "tests.serving.nothing")
            with pytest.raises(EngineFailed):
                await desk.one("before")
        assert await desk.one("after") == "after"


@in_loop
async def test_what_is_asked_is_told_once_to_each_worker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "SLOTS", 3)
    others = [Asked(phrases=(Phrase(word),)) for word in ("one", "two")]
    async with desk_in(folder) as desk:
        for text, asked in (("a", ASKED), ("b", ASKED), ("c", others[0]), ("d", ASKED), ("e", others[1]), ("f", ASKED)):
            await desk.one(text, asked)
        await desk.one("g", others[0])
        told = {line["said"]: line["told"] for line in desk.seen()}
        assert told == {"a": True, "b": False, "c": True, "d": False, "e": True, "f": False, "g": False}
        slots = {line["said"]: line["slot"] for line in desk.seen()}
        assert slots["a"] == slots["b"] == slots["f"] != slots["c"] != slots["e"]
        await desk.one("h", Asked(phrases=(Phrase("three"),)))
        await desk.one("i", others[1])
        assert [line["told"] for line in desk.seen()[-2:]] == [True, True]
        with pytest.raises(EngineFailed):
            await desk.one("die")
        await desk.one("j")
        assert desk.seen()[-1]["told"] is True


@in_loop
async def test_while_labels_are_learnt_others_are_answered(folder: Path) -> None:
    async with desk_in(folder) as desk:
        async with desk.held_up():
            learner = desk.later("learn 2")
            await asyncio.sleep(0)
            file = asyncio.ensure_future(desk.many("file"))
            other = desk.later("other", Asked())
            await asyncio.sleep(0)
        assert (await learner, await other, len(await file)) == ("learn 2", "other", 1)
        assert desk.said() == ["wait", "learn 2", "other", "file", "learn 2", "learn 2"]
        assert [line["told"] for line in desk.seen()] == [True, False, True, False, False, False]


@in_loop
async def test_who_hangs_up_is_not_looked_at(folder: Path) -> None:
    async with desk_in(folder) as desk:
        async with desk.held_up():
            gone = desk.later("gone")
            await asyncio.sleep(0)
            gone.cancel()
        assert await desk.one("after") == "after"
        assert desk.said() == ["wait", "after"]


@in_loop
async def test_what_waits_is_let_go_at_the_end(folder: Path) -> None:
    async with desk_in(folder) as desk:
        waiting = [desk.later("hang"), desk.later("waits")]
        await until(lambda: "hang" in desk.said())
        await desk.insights.stop()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waiting, return_exceptions=True)
        )


@in_loop
async def test_the_worker_rehearses_what_the_server_asks(folder: Path) -> None:
    own = Asked(phrases=(Phrase("own"),))
    waiting = Insights(Metrics(), own)
    waiting.start()
    try:
        await until((folder / "seen").exists)
        await waiting.one(Utterance("u", "first"), own)
        first, second = [json.loads(line) for line in (folder / "seen").read_text().splitlines()]
    finally:
        await waiting.stop()
    assert (first["said"], first["told"]) == (REHEARSAL[0].text, True)
    assert (second["said"], second["told"]) == ("first", False)
