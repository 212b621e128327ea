"""Live WebVTT: what a session said can be read while it goes on, and for a while after, by whoever has its id."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
import websockets

from aural.audio.decode import decode
from aural.errors import Overloaded
from aural.live.events import Ended, Event, Final, Ledger, Notice
from aural.serving import captions
from aural.serving.captions import Captions
from aural.streaming.events import Done
from aural.streaming.session import Wish, connect
from aural.types import SAMPLE_RATE, Segment, Transcript
from tests.api.conftest import KEY
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
            assert " ".join(cue[2] for cue in CUE.findall(followed)) == " ".join(text.strip() for text in heard)
            assert (await http.get(address)).text == followed
            starts = [cue[0] for cue in CUE.findall(followed)]
            assert starts == sorted(starts)

    run(scenario)


def test_deepgrams_sessions_have_captions_under_their_request_id(whisper: Server, clips: dict[str, Recording]) -> None:
    async def scenario() -> None:
        address = whisper.url.replace("http", "ws", 1) + "/v1/listen?encoding=linear16&sample_rate=16000"
        async with (
            websockets.connect(address, proxy=None) as socket,
            httpx.AsyncClient(base_url=whisper.url, trust_env=False, timeout=PATIENCE_S) as http,
        ):
            assert socket.response is not None
            name = socket.response.headers["dg-request-id"]
            await socket.send(pcm16(clips["libri-367-130732-0001"]))
            await socket.send('{"type": "CloseStream"}')
            assert [frame async for frame in socket]
            cues = CUE.findall((await http.get(f"/v1/captions/{name}.vtt")).text)
        assert (
            word_errors(["when is a lobster not a lobster when it is a crayfish"], [" ".join(c[2] for c in cues)]) < 0.1
        )

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


def test_a_session_that_goes_on_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "MOST_SESSIONS", 2)

    async def scenario() -> None:
        kept = Captions()
        going_on = kept.noting("long", _events(said("first"), said("second")))
        await anext(going_on)
        for number in range(5):
            assert [one async for one in kept.noting(f"short {number}", _events(said("hm")))]
        await anext(going_on)
        track = kept.get("long")
        assert track is not None
        assert [cue.text for cue in track.cues] == ["first", "second"]
        assert [name for name in range(5) if kept.get(f"short {name}")] == [3, 4]
        await going_on.aclose()

    run(scenario)


def test_a_track_goes_on_for_whoever_has_the_token_and_for_nobody_else() -> None:
    async def scenario() -> None:
        kept = Captions()
        leaving = (said("one"), Notice("going_away", "", SAMPLE_RATE, "token"), Ended(Ledger()))
        assert kept.may_go_on("a", "anything")
        session = kept.noting("a", _events(*leaving))
        await anext(session)
        assert not kept.may_go_on("a", "token")
        assert len([one async for one in session]) == 2
        track = kept.get("a")
        assert track is not None
        following = asyncio.create_task(_followed(kept, track))
        assert not kept.may_go_on("a", "guessed")
        assert kept.may_go_on("a", "token")
        assert [one async for one in kept.noting("a", _events(said("two")))]
        assert not kept.may_go_on("a", "token")
        assert await following == ["one", "two"]

    run(scenario)


async def _followed(kept: Captions, track: captions.Track) -> list[str]:
    return [cue.text async for cue in kept.follow(track)]


def test_readers_of_a_session_that_does_not_come_back_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "MOVE_S", 0.05)
    gone = (said("one"), Notice("going_away", "", SAMPLE_RATE, "token"), Ended(Ledger()))

    async def scenario() -> None:
        kept = Captions()
        assert [one async for one in kept.noting("a", _events(*gone))]
        track = kept.get("a")
        assert track is not None
        assert track.ended_at is None
        assert await _followed(kept, track) == ["one"]
        kept.retire()
        assert [one async for one in kept.noting("b", _events(*gone))]
        track = kept.get("b")
        assert track is not None
        assert track.ended_at is not None

    run(scenario)


def test_those_who_follow_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "MOST_FOLLOWERS", 1)

    async def scenario() -> None:
        kept = Captions()
        session = kept.noting("a", _events(said("one"), said("two")))
        await anext(session)
        track = kept.get("a")
        assert track is not None
        kept.admit()
        reader = kept.follow(track)
        await anext(aiter(reader))
        with pytest.raises(Overloaded) as refusal:
            kept.admit()
        assert refusal.value.retry_after_s
        await reader.aclose()  # type: ignore[attr-defined]
        kept.admit()
        await session.aclose()

    run(scenario)


def test_readers_take_no_place_from_requests(guarded: Server) -> None:
    """A server that answers one request at a time, while two read."""

    async def scenario() -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            httpx.AsyncClient(base_url=guarded.url, trust_env=False, timeout=PATIENCE_S) as http,
            connect(guarded.url, api_key=KEY) as session,
        ):
            address = f"/v1/captions/{session.id}.vtt?follow=true"
            async with http.stream("GET", address) as one, http.stream("GET", address) as two:
                assert (one.status_code, two.status_code) == (200, 200)
                assert (await http.get("/v1/models", headers=headers)).status_code == 200

    run(scenario)


def test_cues_are_the_pieces_of_an_utterance_where_they_say_what_was_told() -> None:
    heard = Transcript((Segment(" One two.", 0, 100), Segment(" ", 100, 200), Segment(" Three.", 200, 300)))
    track = captions.Track()
    track.note(Final("u", 0, 400, heard, "One two. Three."))
    track.note(Final("u", 400, 800, heard, "One, two, three."))
    assert [(cue.text, cue.start, cue.end) for cue in track.cues] == [
        ("One two.", 0, 100),
        ("Three.", 200, 300),
        ("One, two, three.", 400, 800),
    ]


def test_a_session_that_breaks_off_ends_its_captions() -> None:
    async def scenario() -> None:
        kept = Captions()
        async for _ in kept.noting("a", _events(said("one"), said("  "))):
            pass
        track = kept.get("a")
        assert track is not None
        assert [cue.text async for cue in track.follow()] == ["one"]

    run(scenario)
