"""The benchmark of insights beside captions, without a server: who hears what and when, and what is worked out."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from aural.bench.clips import Item, Utterance
from aural.bench.sounds import RATE
from aural.streaming import events
from benchmarks import insight_live
from benchmarks.insight_live import Insights
from benchmarks.streams.arms import Aural
from benchmarks.streams.cells import Cell


def cell(shown_s: float, final_s: float, *, failed: int = 0, cpu_s: float = 6.0) -> Cell:
    return Cell(
        "aural", 2, partial_lag_s=[shown_s] * 6, emission_s=[1.0] * 6, finalization_s=[final_s] * 4, failed=failed,
        audio_s=60.0, cpu_s=cpu_s,
    )  # fmt: skip


def test_insights_are_timed_from_the_final_that_they_are_of(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([10.0, 11.0, 11.25, 12.0])
    monkeypatch.setattr(insight_live, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    insights = Insights()
    for event in (
        events.Done("one", "red"),
        events.Done("two", "boats"),
        events.Other({"type": "aural.utterance_insights", "item_id": "two", "keywords": [{"phrase": "boats"}]}),
        events.Other({"type": "aural.insights_skipped", "item_id": "three"}),
        events.Other({"type": "aural.call_insights"}),
        events.Other({"type": "aural.utterance_insights", "item_id": "one", "keywords": []}),
    ):
        insights.note(event)
    assert insights.after_s == [0.25, 2.0]
    assert (insights.keywords, insights.skipped) == (1, 1)


def test_ratios_stand_beside_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    without = [cell(0.5, 0.5), cell(0.5, 0.5)]
    with_them = [cell(0.52, 0.6, cpu_s=9.0), cell(0.52, 0.6, failed=1, cpu_s=12.0)]
    insight_live.report({False: without, True: with_them}, Insights([0.1, 0.2, 0.3], keywords=2, skipped=2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 streams each way, 1 failed"
    assert lines[1] == "shown  p50: without 0.500 s, with 0.520 s, ratio 1.040 [1.04, 1.04] yes (of 12)"
    assert lines[4] == "stands p95: without 1.000 s, with 1.000 s, ratio 1.000 [1.00, 1.00] yes (of 12)"
    assert lines[5] == "final  p50: without 0.500 s, with 0.600 s, ratio 1.200 [1.20, 1.20] NO (of 8)"
    assert lines[7] == "cores: without 0.20, with 0.35"
    assert lines[8] == "insights after the final: p50 0.200 s, p95 0.290 s; 2 keywords in 3 utterances; skipped 2"


def test_both_hear_the_same_and_take_turns_in_being_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = [Utterance(f"u{i}", f"words of {i}", np.full(2 * RATE, i + 1, np.int16)) for i in range(12)]
    played: list[tuple[bool, list[str]]] = []

    @asynccontextmanager
    async def running(arm: Aural, log: Path) -> AsyncIterator[tuple[int, int]]:
        assert not arm.aural
        yield 8080, 1

    async def run(arm: Aural, port: int, pid: int, items: Sequence[Item]) -> Cell:
        played.append((bool(arm.aural), [item.text for item in items]))
        return cell(0.5, 0.5)

    monkeypatch.setattr(insight_live, "find_audio", lambda root: root)
    monkeypatch.setattr(insight_live, "read_utterances", lambda folder, language: pool)
    monkeypatch.setattr(insight_live, "mkdtemp", lambda prefix: tmp_path)
    monkeypatch.setattr(insight_live, "running", running)
    monkeypatch.setattr(insight_live, "run", run)
    given = Namespace(model="whisper-tiny.en", streams=2, seconds=15.0, rounds=3)
    cells = asyncio.run(insight_live.rounds(given, Insights()))
    assert [len(half) for half in (cells[False], cells[True])] == [3, 3]
    (_, warming), *rest = played
    assert warming == rest[0][1][:1], "what happens for the first time is not measured"
    assert [with_them for with_them, _ in rest] == [True, False, False, True, True, False]
    texts = [texts for _, texts in rest]
    assert texts[::2] == texts[1::2]
    assert len({text for pair in texts for text in pair}) == 6
