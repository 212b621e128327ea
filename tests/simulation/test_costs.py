"""What batches cost, learnt from logs."""

from __future__ import annotations

import json
import math
import random

import pytest

from aural.errors import SettingsError
from aural.simulation.costs import Batch, Costs, fit, read_batches

TRUE = Costs(batch_s=0.02, clip_s=0.01, audio_s=0.012, padded_s=0.0, longest_s=0.01)


def batches(costs: Costs, spread: float = 0.0, count: int = 400) -> list[Batch]:
    dice = random.Random(1)
    drawn = [tuple(dice.uniform(1, 30) for _ in range(dice.randint(1, 8))) for _ in range(count)]
    return [Batch(some, costs.engine_s(some) * dice.gauss(1, spread / math.sqrt(len(some)))) for some in drawn]


def test_a_fit_finds_the_terms():
    found = fit(batches(TRUE))
    for name in ("batch_s", "clip_s", "audio_s", "padded_s", "longest_s", "spread"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), abs=1e-9)


def test_a_fit_of_noise_foretells_times_and_has_no_negative_terms():
    found = fit(batches(TRUE, spread=0.1))
    assert found.spread == pytest.approx(0.1, abs=0.02)
    assert min(found.batch_s, found.clip_s, found.audio_s, found.padded_s, found.longest_s) >= 0
    for clips_s in ([15.0], [5.0] * 8, [3.0, 28.0]):
        assert found.engine_s(clips_s) == pytest.approx(TRUE.engine_s(clips_s), rel=0.05)


def test_a_fit_is_not_short_of_what_batches_take_however_they_spread():
    noisy = batches(TRUE, spread=0.3, count=2000)
    found = fit(noisy)
    expected_s, took_s = (sum(found.engine_s(one.clips_s) for one in noisy), sum(one.engine_s for one in noisy))
    assert expected_s == pytest.approx(took_s, rel=0.02)


def test_too_few_batches_are_no_fit():
    with pytest.raises(SettingsError, match="expected 20 batches in the log or more, got 3"):
        fit(batches(TRUE, count=3))


def test_logs_are_read_for_one_model():
    rows = [
        {"message": "batch", "model": "a", "clips_s": [1.0, 2.0], "engine_s": 0.5},
        {"message": "batch", "model": "b", "clips_s": [3.0], "engine_s": 0.25},
        {"message": "request", "path": '/"batch"'},
    ]
    lines = [*map(json.dumps, rows), '{"message": "batch", torn', "plain"]
    assert read_batches(lines, "a") == [Batch((1.0, 2.0), 0.5)]
    assert len(read_batches(lines)) == 2


def test_files_come_back_as_they_were(tmp_path):
    TRUE.write(tmp_path / "costs.json")
    assert Costs.read(tmp_path / "costs.json") == TRUE
    (tmp_path / "wrong.json").write_text('{"batch_s": "much"}')
    with pytest.raises(SettingsError, match="expected JSON with batch_s, clip_s"):
        Costs.read(tmp_path / "wrong.json")
