"""Live WebVTT: what a session said can be read while it goes on, and for a while after, by whoever has its id."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from aural.audio.decode import decode
from aural.live.events import Ended, Event, Final, Ledger
from aural.serving import captions
from aural.serving.captions import Captions
from aural.streaming.events import Done
from aural.streaming.session import Wish, connect
from aural.types import SAMPLE_RATE, Transcript
from tests.conftest import Recording, Server, word_errors

PATIENCE_S = 120.0
BOTH = "in being comparatively modern when is a lobster not a lobster when it is a crayfish"
CUE = re.compile(r"(\d\d:\d\d:\d\d\.\d\d\d) --> (\d\d:\d\d:\d\d\.\d\d\d)\n(.+)\n")


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def pcm16(clip: Recording) -> bytes:
    return (decode(clip.bytes, limit_s=60).samples * 32_767).astype("<i2").tobytes() + bytes(3 * SAMPLE_RATE)


def test_a_reader_follows_and_a_latecomer_reads_it_all(whisper: Server, clips: dict[str, Recording]) -> None:
    audio = pcm16(clips["LJ001-0002"]) + pcm16(clips["libri-367-130732-0001"])

    async def scenario() -> None:
        async with (
            httpx.AsyncClient(base_url=whisper.url, trust_env=False, timeout=PATIENCE_S) as http,
            connect(whisper.url, Wish(language="en")) as session,
        ):
            address = f"/v1/captions/{session.id}.vtt"
            empty = await http.get(address)
            assert (empty.text, empty.headers["content-type"]) == ("WEBVTT\n", "text/vtt; charset=utf-8")
            following = asyncio.create_task(http.get(address, params={"follow": "true"}))
            await session.send(audio)
            await session.finish()
            heard = [event.text async for event in session if isinstance(event, Done) and event.text]
            followed = (await following).text
            assert word_errors([BOTH], [" ".join(heard)]) < 0.1
            assert [cue[2] for cue in CUE.findall(followed)] == [text.strip() for text in heard]
            assert (await http.get(address)).text == followed
            starts = [cue[0] for cue in CUE.findall(followed)]
            assert starts == sorted(starts)

    run(scenario)


def test_nobody_reads_what_is_not_there(fake: Server) -> None:
    assert fake.get("/v1/captions/sess_unknown.vtt")[0] == 404


async def _events(*events: Event) -> Any:
    for event in events:
        yield event


def said(text: str, start: int = 0, end: int = SAMPLE_RATE) -> Final:
    return Final("u", start, end, Transcript(), text)


def test_old_and_too_many_sessions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "MOST_SESSIONS", 2)

    async def scenario() -> None:
        kept = Captions()
        for name in ("a", "b", "c"):
            assert len([one async for one in kept.noting(name, _events(said(name), Ended(Ledger())))]) == 2
        assert kept.get("a") is None
        track = kept.get("c")
        assert track is not None
        assert [cue.text async for cue in track.follow()] == ["c"]
        monkeypatch.setattr(captions, "KEPT_S", -1.0)
        assert kept.get("c") is None

    run(scenario)


def test_a_session_that_breaks_off_ends_its_captions() -> None:
    async def scenario() -> None:
        kept = Captions()
        async for _ in kept.noting("a", _events(said("one"), said("  "))):
            pass
        track = kept.get("a")
        assert track is not None
        assert [cue.text async for cue in track.follow()] == ["one"]

    run(scenario)
