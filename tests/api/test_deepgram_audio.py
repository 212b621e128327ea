"""WS /v1/listen hears audio in all the forms that it takes."""

from __future__ import annotations

import numpy as np
import pytest

from aural.types import SAMPLE_RATE, Samples
from tests.api.listen import (
    CLOSE,
    FINALIZE,
    LOBSTERS,
    RAW,
    Message,
    all_of,
    finals,
    heard,
    listening,
    pcm16,
    play,
    resampled,
    run,
    text,
    until,
)
from tests.audio.build import encoded, int16
from tests.conftest import Server, word_errors


@pytest.mark.parametrize(
    ("query", "form", "rate"),
    [
        ("encoding=linear16&sample_rate=48000", "s16", 48_000),
        ("encoding=linear16&sample_rate=8000", "s16", 8_000),
        ("encoding=linear32&sample_rate=22050", "flt", 22_050),
    ],
)
def test_rates_and_floats(whisper: Server, spoken: Samples, query: str, form: str, rate: int) -> None:
    messages = heard(whisper, resampled(spoken, rate, form), query)
    assert word_errors([LOBSTERS], [text(messages)]) < 0.2
    assert messages[-1]["duration"] == pytest.approx(len(spoken) / SAMPLE_RATE, abs=0.01)


@pytest.mark.parametrize(("name", "codec"), [("mulaw", "pcm_mulaw"), ("alaw", "pcm_alaw")])
def test_telephones(whisper: Server, spoken: Samples, name: str, codec: str) -> None:
    narrow = np.frombuffer(resampled(spoken, 8000), np.float32)
    audio = encoded(int16(np.clip(narrow, -1, 1)), name, codec, 8000)
    assert word_errors([LOBSTERS], [text(heard(whisper, audio, f"encoding={name}&sample_rate=8000"))]) < 0.2


def test_channels_are_mixed(whisper: Server, spoken: Samples) -> None:
    both = np.stack([spoken, np.zeros_like(spoken)], axis=1)
    messages = heard(whisper, pcm16(both.reshape(-1)), f"{RAW}&channels=2")
    assert word_errors([LOBSTERS], [text(messages)]) < 0.2
    assert messages[-1]["duration"] == pytest.approx(len(spoken) / SAMPLE_RATE)
    assert messages[-1]["channels"] == 1


@pytest.mark.parametrize(
    ("container", "codec", "query"),
    [("webm", "libopus", ""), ("mp3", "libmp3lame", ""), ("wav", "pcm_s16le", ""), ("ogg", "libopus", "encoding=opus")],
)
def test_containers(whisper: Server, spoken: Samples, container: str, codec: str, query: str) -> None:
    rate = 48_000
    wide = np.frombuffer(resampled(spoken, rate), np.float32)
    messages = heard(whisper, encoded(int16(np.clip(wide, -1, 1)), container, codec, rate), query)
    assert word_errors([LOBSTERS], [text(messages)]) < 0.2
    assert messages[-1]["duration"] == pytest.approx(len(spoken) / SAMPLE_RATE, abs=0.1)
    lengths = [one["duration"] for one in finals(messages)]
    assert sum(lengths) == pytest.approx(messages[-1]["duration"], abs=1e-6)


def test_finalize_has_all_that_came_of_a_container(whisper: Server, spoken: Samples) -> None:
    audio = encoded(int16(spoken[: 4 * SAMPLE_RATE]), "wav", "pcm_s16le")

    async def scenario() -> list[Message]:
        async with listening(whisper, "endpointing=false") as connection:
            await play(connection, audio)
            await connection.send(FINALIZE)
            return await until(connection, lambda message: message["from_finalize"])

    assert "crayfish" in text(run(scenario))


@pytest.mark.parametrize("data", [b"\0" * 80_000, b"ID3 is not all", b"some text, with no sound in it at all"])
def test_what_cannot_be_decoded_is_told_and_ends_the_stream(fake: Server, data: bytes) -> None:
    async def scenario() -> tuple[list[Message], int | None, str | None]:
        async with listening(fake, "") as connection:
            await connection.send(data)
            await connection.send(CLOSE)
            return await all_of(connection), connection.close_code, connection.close_reason

    (error,), code, reason = run(scenario)
    assert (error["type"], code, reason) == ("Error", 1008, "DATA-0000")
    assert "expected" in error["description"]
