"""The bars that aural set itself: each a figure with an interval, held against what it must reach."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from aural.bench import scoring
from aural.bench.scoring import Estimate
from benchmarks.plan import SATURATED
from benchmarks.records import Cell
from benchmarks.results import Results, mean, p50, p95

LENGTHS = ("5", "15", "30", "60")
PEERS = {"aural": ("raw-fitted", "litserve-fitted"), "aural-full": ("raw", "litserve")}
"""The limit and the peer that hear the same windows."""


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    what: str
    got: Estimate
    must: float
    stretch: float | None = None
    at_least: bool = True
    """Whether more is better."""
    unit: str = "x"
    by_interval: bool = True
    """Whether the worse end of the interval must clear the bar, or the figure itself."""

    @property
    def measured(self) -> bool:
        return not math.isnan(self.got.value)

    @property
    def verdict(self) -> str:
        if not self.measured:
            return "not measured"
        worse = self.got.low if self.at_least else self.got.high
        if self._clears(worse if self.by_interval else self.got.value, self.must):
            return "PASS"
        return "MISS (the median clears)" if self._clears(self.got.value, self.must) else "MISS"

    def _clears(self, value: float, bar: float) -> bool:
        return value >= bar if self.at_least else value <= bar


def bars(results: Results) -> list[Row]:
    rows = [
        *_against_article(results),
        *_against_limit_and_peer(results),
        *_scaling(results),
        *_alone(results),
        *_accuracy(results),
        *_failures(results),
    ]
    return [row for row in rows if row.measured]


def _against_article(r: Results) -> Iterator[Row]:
    yield Row("seed mix", "aural / article, mix", r.ratio("aural", "article", "mix", r.rtfx), 6.0)
    for length in ("15", "30"):
        got = r.ratio("aural-full", "article", length, r.rtfx)
        yield Row(f"seed {length}", f"aural-full / article, {length} s", got, 3.0)
    for workload in (*LENGTHS, "mix"):
        ours, theirs = r.pair(("aural", workload, SATURATED), ("article", workload, SATURATED), p95, p50)
        got = scoring.ratio_of_medians(ours, theirs)
        yield Row(f"p95 {workload}", f"p95 of aural / p50 of article, {_name(workload)}", got, 1.0, at_least=False)


def _against_limit_and_peer(r: Results) -> Iterator[Row]:
    for ours, (limit, peer) in PEERS.items():
        for length in LENGTHS:
            must = 0.9 if length == "5" else 0.95
            yield Row(f"raw {length}", f"{ours} / {limit}, {length} s", r.ratio(ours, limit, length, r.rtfx), must)
        for workload in (*LENGTHS, "mix"):
            got = r.ratio(ours, peer, workload, r.rtfx)
            yield Row(f"peer {workload}", f"{ours} / {peer}, {_name(workload)}", got, 1.15)


def _scaling(r: Results) -> Iterator[Row]:
    for arm in PEERS:
        for workload in ("5", "mix"):
            for more, fewer, must in ((SATURATED, 1, 2.2), (64, SATURATED, 0.97)):
                got = scaling(r, arm, workload, more, fewer)
                yield Row(f"scaling {workload}", f"{arm}, {more} callers / {fewer}, {_name(workload)}", got, must)


def scaling(r: Results, arm: str, workload: str, more: int, fewer: int) -> Estimate:
    return scoring.ratio_of_medians(*r.pair((arm, workload, more), (arm, workload, fewer), r.rtfx))


def _alone(r: Results) -> Iterator[Row]:
    for ours, (limit, _) in PEERS.items():
        for workload in (*LENGTHS, "mix"):
            what = f"{ours} less one call of {limit}, alone, {_name(workload)}"
            yield Row(f"alone {workload}", what, overhead_ms(r, ours, workload), 5.0, at_least=False, unit=" ms")


def overhead_ms(r: Results, ours: str, workload: str) -> Estimate:
    """How much longer a lone caller waits than a bare call of the engine takes, at the median over the same items."""
    ours_s, bare_s = r.pair((ours, workload, 1), (f"{PEERS[ours][0]}-alone", workload, 1), _latency_by_item)
    return scoring.median([1_000 * _median_difference(a, b) for a, b in zip(ours_s, bare_s, strict=True)])


def _latency_by_item(cell: Cell) -> dict[int, float]:
    return {answer.item: answer.latency_s for answer in cell.completed}


def _median_difference(ours: dict[int, float], theirs: dict[int, float]) -> float:
    return scoring.percentile([ours[item] - theirs[item] for item in ours.keys() & theirs.keys()], 50)


def _accuracy(r: Results) -> Iterator[Row]:
    for ours in PEERS:
        for workload in (*LENGTHS, "mix"):
            yield wer_row(r, f"wer {workload}", ours, workload, 0.2)


def wer_row(r: Results, name: str, ours: str, workload: str, must: float) -> Row:
    got = r.wer_difference(ours, "article", workload)
    what = f"WER of {ours} less that of article, {_name(workload)}"
    return Row(name, what, got, must, at_least=False, unit=" points", by_interval=False)


def _failures(r: Results) -> Iterator[Row]:
    for arm in PEERS:
        cells = [cell for cell in r.cells if cell.arm == arm]
        if cells:
            yield _count("errors", f"failed requests of {arm}", r.failures(cells).total())
            yield _count("wrong text", f"answers of {arm} with another request's text", r.wrong_texts(cells))


def _count(name: str, what: str, value: int) -> Row:
    return Row(name, what, Estimate(value, value, value), 0.0, at_least=False, unit="")


def mean_latency_ratio(r: Results, ours: str, theirs: str, workload: str) -> Estimate:
    return r.ratio(ours, theirs, workload, mean)


def _name(workload: str) -> str:
    return f"{workload} s" if workload in LENGTHS else workload
