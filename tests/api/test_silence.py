"""Ten minutes of silence, of noise and of hold music: no words at all, not even for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.types import Samples
from tests.api import quiet
from tests.api.realtime import COMPLETED, DELTA, Client, client, pcm16
from tests.conftest import Recording, Server

pytestmark = pytest.mark.slow
MODELS = ("whisper-tiny.en", "whisper-base")
REAL = ("nonspeech-brahms", "nonspeech-sugar-plum", "nonspeech-whale", "nonspeech-dtmf-8k", "silence-dither-30s")


def heard(server: Server, model: str, sound: Samples) -> Client:
    """A session that has heard the sound, faster than life."""

    async def listen() -> Client:
        async with client(server, f"/v1/realtime?intent=transcription&model={model}") as one:
            await one.ask(include=["aural.drafts", "aural.details"])
            reading = asyncio.create_task(one.rest())
            await one.play(pcm16(sound))
            await one.tell("aural.finish")
            await reading
            return one

    return asyncio.run(listen())


def check(one: Client, sound: Samples) -> None:
    totals = one.events[-1]["totals_ms"]
    assert totals["received"] == pytest.approx(len(sound) / 16, abs=1)
    words = [event["transcript"] for event in one.of(COMPLETED)]
    words += [event["delta"] for event in one.of(DELTA)] + [event["draft"] for event in one.of("aural.draft")]
    assert [word for word in words if word] == []
    assert totals["suppressed"] == pytest.approx(totals["received"], abs=2)


@pytest.mark.parametrize("make", [quiet.silence, quiet.noise, quiet.hold_music], ids=lambda make: make.__name__)
@pytest.mark.parametrize("model", MODELS)
def test_ten_minutes_make_no_words(whisper: Server, model: str, make: Callable[[], Samples]) -> None:
    sound = make()
    assert len(sound) == pytest.approx(quiet.TEN_MINUTES, abs=16)
    check(heard(whisper, model, sound), sound)


@pytest.mark.parametrize("model", MODELS)
def test_ten_minutes_of_recorded_music_make_no_words(
    whisper: Server, model: str, shared_clips: list[Recording]
) -> None:
    sounds = [decode(one.bytes, limit_s=600).samples for one in shared_clips if one.path.stem in REAL]
    assert len(sounds) == len(REAL)
    sound = np.resize(np.concatenate(sounds), quiet.TEN_MINUTES)
    check(heard(whisper, model, sound), sound)
