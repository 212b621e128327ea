"""The ear hears each line as it would hear it alone."""

from __future__ import annotations

import random

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.audio.vad import FRAME_SAMPLES, SileroVad
from aural.engines.base import Capabilities
from aural.errors import BadAudio
from aural.live.settings import Format, LiveSettings
from aural.serving.ear import Clear, Commit, Configure, Finish, Line, Sound, listen
from aural.types import Samples
from tests.conftest import Recording

FORM = Format("pcm_s16le", 16_000)


def pcm(samples: Samples) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def speech(clips: dict[str, Recording]) -> list[bytes]:
    names = ("libri-367-130732-0001", "LJ001-0002", "nonspeech-dog")
    return [pcm(decode(clips[name].bytes, limit_s=60).samples) for name in names]


def test_many_lines_in_one_batch(speech: list[bytes]) -> None:
    chance = random.Random(3)
    lines = [Line.open(FORM) for _ in speech]
    places = [0] * len(speech)
    heard: list[list[Sound]] = [[] for _ in speech]
    while any(place < len(data) for place, data in zip(places, speech, strict=True)):
        work = []
        for number, data in enumerate(speech):
            length = chance.choice([0, 1, 640, 1500, 50_000])
            work.append((lines[number], [data[places[number] : places[number] + length]]))
            places[number] += length
        for number, parts in enumerate(listen(work)):
            heard[number] += [part for part in parts if isinstance(part, Sound)]
    vad = SileroVad()
    for data, parts in zip(speech, heard, strict=True):
        samples = np.concatenate([part.samples for part in parts])
        assert np.array_equal(samples, np.frombuffer(data, "<i2").astype(np.float32) / 32768)
        probabilities = np.concatenate([part.probabilities for part in parts])
        assert len(probabilities) == len(samples) // FRAME_SAMPLES
        alone = vad.speech_probabilities(samples)[: len(probabilities)]
        assert probabilities == pytest.approx(alone, abs=1e-3)


def test_orders_stay_between_their_sounds(speech: list[bytes]) -> None:
    other = LiveSettings(format=Format("mulaw", 8_000))
    items = [
        speech[0][:3000],
        speech[0][3000:6001],
        Commit("a"),
        Configure(other, Capabilities(("en",), 480_000)),
        bytes(800),
        Finish(),
    ]
    [parts] = listen([(Line.open(FORM), items)])
    kinds = [type(part).__name__ for part in parts]
    assert kinds == ["Sound", "Commit", "Sound", "Configure", "Sound", "Sound", "Finish"]
    sounds = [part for part in parts if isinstance(part, Sound)]
    assert sum(len(sound.samples) for sound in sounds) == 3000 + 1600
    complete = 0
    for sound in sounds:
        complete += len(sound.samples)
        done = sum(len(one.probabilities) for one in sounds[: sounds.index(sound) + 1])
        assert done == complete // FRAME_SAMPLES


def test_a_bad_line_does_not_harm_its_neighbour(speech: list[bytes]) -> None:
    bad = Line.open(Format("pcm_f32le", 16_000))
    nan = np.full(600, np.nan, "<f4").tobytes()
    [broken, fine] = listen([(bad, [nan]), (Line.open(FORM), [speech[0][:2048]])])
    assert [type(part) for part in broken] == [BadAudio]
    assert [len(part.probabilities) for part in fine if isinstance(part, Sound)] == [2]


def test_a_broken_line_does_not_harm_its_neighbour(speech: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line.open(FORM)
    monkeypatch.setattr(line.decoder, "feed", lambda data: 1 / 0)
    [broken, fine] = listen([(line, [speech[0][:2048]]), (Line.open(FORM), [speech[0][:2048]])])
    assert [type(part) for part in broken] == [ZeroDivisionError]
    assert [len(part.probabilities) for part in fine if isinstance(part, Sound)] == [2]


@pytest.mark.parametrize("form", [FORM, Format("pcm_s16le", 24_000)])
def test_a_clear_leaves_no_half_sample_behind(speech: list[bytes], form: Format) -> None:
    [cleared] = listen([(Line.open(form), [speech[0][:3], Clear(), speech[0], Finish()])])
    [alone] = listen([(Line.open(form), [speech[0], Finish()])])
    order = next(place for place, part in enumerate(cleared) if isinstance(part, Clear))
    after, expected = (
        np.concatenate([part.samples for part in parts if isinstance(part, Sound)])
        for parts in (cleared[order:], alone)
    )
    assert np.array_equal(after, expected)


def test_refused_samples_do_not_shift_those_after_them() -> None:
    samples = np.linspace(-0.5, 0.5, 600, dtype="<f4")
    nan = np.full(600, np.nan, "<f4").tobytes()
    line = Line.open(Format("pcm_f32le", 16_000))
    listen([(line, [nan[:1201]])])
    [parts] = listen([(line, [nan[1201:1204] + samples.tobytes()])])
    assert isinstance(parts[0], BadAudio), "the sample that was cut in two"
    [parts] = listen([(line, [samples.tobytes()])])
    [sound] = [part for part in parts if isinstance(part, Sound)]
    assert np.array_equal(sound.samples, samples)
