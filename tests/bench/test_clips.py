import random
import wave
from io import BytesIO

import numpy as np
import pytest

from aural.bench import clips
from aural.bench.clips import Utterance
from aural.bench.sounds import RATE


def utterance(name: str, seconds: float) -> Utterance:
    return Utterance(name, f"text of {name}", np.full(int(seconds * RATE), 7, np.int16))


@pytest.fixture
def utterances() -> list[Utterance]:
    rng = random.Random(1)
    return [utterance(f"u{i}", rng.uniform(1.5, 16)) for i in range(150)]


@pytest.mark.parametrize("seconds", [5, 15, 30])
def test_items_are_whole_utterances_of_the_exact_length(utterances: list[Utterance], seconds: int) -> None:
    lengths = {u.name: len(u) for u in utterances}
    workload = clips.build(str(seconds), utterances)
    assert len(workload.items) >= clips.LEAST_ITEMS
    assert len({item.name for item in workload.items}) == len(workload.items)
    for item in workload.items:
        spoken = sum(lengths[name] for name in item.name.split("+"))
        assert len(item.pcm) == seconds * RATE
        assert np.count_nonzero(item.pcm) == spoken
        assert item.speech_share == spoken / len(item.pcm)


def test_mix_has_utterances_as_they_are(utterances: list[Utterance]) -> None:
    workload = clips.build("mix", [*utterances, utterance("long", 29), utterance("short", 0.5)])
    assert {item.name for item in workload.items} == {u.name for u in utterances}


def test_order_is_the_same_every_time(utterances: list[Utterance]) -> None:
    first, second = (clips.build("15", utterances) for _ in range(2))
    assert [item.name for item in first.items] == [item.name for item in second.items]
    assert first.order(3)[:2] == [3, 4]
    assert sorted(first.order(3)) == list(range(len(first.items)))


def test_any_short_run_has_short_and_long_items(utterances: list[Utterance]) -> None:
    items = clips.build("mix", utterances).items
    mean = np.mean([item.duration_s for item in items])
    for at in range(0, len(items) - 20, 10):
        assert np.mean([item.duration_s for item in items[at : at + 20]]) == pytest.approx(mean, rel=0.15)


def test_wav_is_16_khz_mono_16_bit() -> None:
    item = clips.join([utterance("a", 1.0)], 2 * RATE)
    with wave.open(BytesIO(item.wav)) as file:
        assert file.getparams()[:4] == (1, 2, RATE, 2 * RATE)
