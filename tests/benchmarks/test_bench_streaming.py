"""The parts of the benchmark of live captions that decide and compute, without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from aural.bench.clips import Utterance
from aural.bench.sounds import RATE
from aural.bench.stream import Shown
from benchmarks.streams import report
from benchmarks.streams.arms import Aural, Refused
from benchmarks.streams.cells import Cell, _cell, read, write
from benchmarks.streams.search import holds, largest
from benchmarks.streams.speech import silence, streams


def cell(streams: int, *, good: bool = True, arm: str = "aural") -> Cell:
    lag = 1.0 if good else 3.0
    return Cell(
        arm, streams, endpointing_s=0.5, emission_s=[lag] * 4, partial_lag_s=[0.8] * 4, finalization_s=[0.7] * 2,
        words=100, errors=4.0, words_shown=110, words_retracted=10, audio_s=60.0 * streams, cpu_s=6.0 * streams,
    )  # fmt: skip


@pytest.mark.parametrize("carries", [0, 1, 2, 3, 5, 8, 11, 12, 16, 31, 32, 40])
def test_the_search_finds_what_a_server_carries(carries: int) -> None:
    tried: list[int] = []

    async def measure(count: int) -> Cell:
        tried.append(count)
        return cell(count, good=count <= carries)

    found = asyncio.run(largest(measure, 1, 32))
    assert found <= carries
    assert min(carries, 32) - found <= max(0, found // 8)
    assert len(tried) == len(set(tried)) <= 9


def test_a_cell_holds_only_when_all_of_it_is_in_time() -> None:
    assert holds(cell(1))
    assert not holds(cell(1, good=False))
    assert not holds(Cell("aural", 1, endpointing_s=0.5, emission_s=[1.0], finalization_s=[1.2]))
    assert not holds(Cell("aural", 1, emission_s=[1.0], refused=1))
    assert not holds(Cell("aural", 1))
    assert holds(Cell("whisperlive", 1, emission_s=[1.0]))


def test_streams_are_utterances_with_pauses_and_no_two_alike() -> None:
    pool = [Utterance(f"u{i}", f"words of {i}", np.full(2 * RATE, i + 1, np.int16)) for i in range(9)]
    first, second = streams(pool, 2, 15.0)
    assert first.text != second.text
    for (_, end, _), (start, _, _) in zip(first.spans, first.spans[1:], strict=False):
        assert 0.7 <= start - end <= 2.0
    for start, end, text in first.spans:
        assert set(first.pcm[round(start * RATE) : round(end * RATE)]) == {int(text.split()[-1]) + 1}
    assert not np.any(first.pcm[: RATE // 4])
    assert silence(1.0).spans == ()


def test_refused_and_broken_streams_are_told_apart() -> None:
    pool = [Utterance("u", "red boats", np.full(RATE, 9000, np.int16))]
    items = streams(pool, 3, 5.0)
    shown = [Shown(1.6, "a", "red"), Shown(2.2, "a", "red boats", kind="final")]
    measured = _cell(Aural("whisper-tiny.en"), items, [shown, Refused("full"), OSError("gone")], "speech")
    assert (measured.refused, measured.failed, measured.errors, measured.words) == (1, 1, 0, 2)
    assert len(measured.emission_s) == 2
    assert "full" in measured.note
    assert "gone" in measured.note


def test_a_run_is_written_read_and_reported(tmp_path: Path) -> None:
    cells = [cell(1), cell(12), cell(13, good=False), cell(1, arm="whisperlive")]
    for one in cells:
        write(one, tmp_path)
    assert read(tmp_path) == cells
    facts = {"when": "today", "machine": "2 cores", "command": "python …", "file_wer": 0.03, "refusal_s": [0.02]}
    page = report.page(read(tmp_path), facts, tmp_path)
    assert "PASS: streams with p95 stands ≤ 2 s and p95 final ≤ 0.6 s: 12 (bar ≥ 12)" in page
    assert "PASS: WER of the streams less that of the same audio as files, points: 1 (bar ≤ 2)" in page
    assert "| aural | 13 | no |" in page
    assert "| whisperlive | 1 | yes |" in page
    assert "final ≤ 0.6 s: 0 (bar ≥ 12)" in report.page([cell(1, good=False)], facts, tmp_path)
