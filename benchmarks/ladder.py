"""The ladder of goals: each figure with what it must reach and where it would be a stretch."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from aural.bench import scoring
from aural.bench.clips import LONG
from aural.bench.records import Answer
from aural.bench.scoring import Estimate
from benchmarks.bars import PEERS, Row, mean_latency_ratio, overhead_ms, scaling, wer_row
from benchmarks.plan import SATURATED
from benchmarks.records import Cell
from benchmarks.results import Results, mean, p50, p95

LOOP_COMPRESSION = 2.4
"""UTF-8 bytes over zlib bytes from which a text repeats itself."""

NOT_MEASURED = {
    "A10": "overload needs an open loop; this harness has a closed one",
    "B5": "needs two kinds of load at once",
    "B7": "Poisson arrivals need an open loop",
    "C2": "a null model measures transport alone; A8 and B3 give aural's share of it",
    "C3-C7": "these peers have no arm yet",
    "D1-D7": "live streams have a clock of their own",
    "E1-E7": "goals of a load generator, held by its tests",
    "F": "needs a GPU",
}


def ladder(results: Results) -> list[Row]:
    return [
        *_against_article(results),
        *_fitted(results),
        *_latency(results),
        *_robust(results),
        *_against_limit(results),
        *_against_peer(results),
    ]


def _against_article(r: Results) -> Iterator[Row]:
    tiny = "tiny" in r.model
    for length in ("15", "30"):
        got = r.ratio("aural-full", "article", length, r.rtfx)
        what = f"throughput of aural-full / article, {length} s"
        yield Row("A1", f"{what}, same text", got, *((2.3, 2.8) if tiny else (1.9, 2.3)))
        same = scoring.same_text_share(r.answers("aural-full", length), r.answers("article", length))
        yield Row("A1", f"texts equal letter by letter, {length} s", _exactly(100 * same), 99.0, unit=" %")
        yield Row("A1b", f"{what}, same WER", got, *((2.7, 3.4) if tiny else (2.1, 2.6)))
        yield wer_row(r, "A1b", "aural-full", length, 0.1)


def _fitted(r: Results) -> Iterator[Row]:
    for name, length, must, stretch in (("A2", "5", 4.0, 7.0), ("A3", "15", 3.2, 4.5), ("A4", "60", 2.0, 2.8)):
        got = r.ratio("aural", "article", length, r.rtfx)
        yield Row(name, f"throughput of aural / article, {length} s", got, must, stretch)
        yield wer_row(r, name, "aural", length, 0.3)
        answers = r.answers("aural", length)
        if answers:
            yield _row_of_count(name, f"texts of aural that repeat themselves, {length} s", loops(answers))
            cells = [cell for cell in r.cells if cell.arm == "aural" and cell.workload == length]
            redone = sum(cell.extra.get("redone_clips", 0) for cell in cells) / sum(len(cell.answers) for cell in cells)
            yield Row(
                name, f"clips of aural heard again in full, {length} s", _exactly(100 * redone), 10.0, 5.0, False, " %"
            )


def _latency(r: Results) -> Iterator[Row]:
    for what, got in (
        ("mean latency", mean_latency_ratio(r, "aural", "article", "15")),
        ("p95 latency", r.ratio("aural", "article", "15", p95)),
    ):
        yield Row("A5", f"{what} of aural / article, 20 callers, 15 s", got, 0.5, 0.35, at_least=False)
    yield Row("A6", "aural, 20 callers / 1, 5 s", scaling(r, "aural", "5", SATURATED, 1), 2.2, 3.5)
    yield Row("A6", "aural, 64 callers / 20, 5 s", scaling(r, "aural", "5", 64, SATURATED), 0.97, 1.0)
    for ours, length, must, stretch in (("aural-full", "30", 1.0, 0.8), ("aural", "5", 0.5, 0.3)):
        got = r.ratio(ours, "article", length, p50, callers=1)
        yield Row("A7", f"latency of {ours} / article, alone, {length} s", got, must, stretch, at_least=False)
    yield Row("A8", "CPU beside the engine per request, aural / article, 15 s", _beside(r), 0.2, 0.1, at_least=False)


def _beside(r: Results) -> Estimate:
    """CPU outside engine processes, against the article's parsing and decoding on its request threads."""
    ours = r.values("aural", "15", lambda cell: _outside(cell) / max(cell.window_s * cell.throughput, 1e-9))
    theirs = [
        cell.extra["decoding_cpu_s"] / cell.extra["requests"]
        for cell in r.of("article", "15")
        if cell.extra.get("requests")
    ]
    return scoring.ratio_of_medians(ours, theirs)


def _robust(r: Results) -> Iterator[Row]:
    cells = [cell for cell in r.cells if cell.arm in PEERS and cell.callers in (20, 64) and cell.purpose == "measure"]
    asked = sum(len(cell.answers) for cell in cells)
    if asked:
        yield Row("A9", "requests of 20 and 64 callers", _exactly(asked), 2_000, unit="")
        yield _row_of_count("A9", "of them failed", r.failures(cells).total())
        yield _row_of_count("A9", "of them with another request's text", r.wrong_texts(cells))


def _against_limit(r: Results) -> Iterator[Row]:
    for ours, (limit, _) in PEERS.items():
        for length in ("5", "15", "30", "60"):
            bar = (0.90, 0.95) if length == "5" else (0.95, 0.98)
            yield Row("B1", f"throughput of {ours} / {limit}, {length} s", r.ratio(ours, limit, length, r.rtfx), *bar)
        for length in ("5", "15", "30", "60"):
            what = f"latency of {ours} less {limit}, alone, {length} s"
            yield Row("B2", what, overhead_ms(r, ours, length), 5.0, 2.0, at_least=False, unit=" ms")
        outside = r.values(ours, "15", lambda cell: 100 * _outside(cell) / max(cell.usage.cpu_s, 1e-9))
        what = f"CPU of {ours} outside engine processes, 15 s"
        yield Row("B3", what, scoring.median(outside), 3.0, 1.0, at_least=False, unit=" %")
    yield from _long_file(r)
    for ours, (limit, _) in PEERS.items():
        got = _memory(r, ours, limit)
        yield Row("B6", f"memory of {ours} / {limit} with as many engines, 15 s", got, 1.5, 1.25, at_least=False)
    yield from _start(r)


def _long_file(r: Results) -> Iterator[Row]:
    theirs, ours = r.pair(("article", LONG, 1), ("aural", LONG, 1), mean)
    got = scoring.ratio_of_medians(theirs, ours)
    yield Row("B4", "ten minutes: time of sequential faster-whisper / aural", got, 1.8, 2.5)
    defaults = [c for c in r.cells if c.workload == LONG and c.arm == "article" and c.purpose == "texts"]
    got = scoring.ratio_of_medians([mean(c) for c in defaults], ours)
    yield Row("B4", "ten minutes: the same with faster-whisper's own defaults", got, 1.8, 2.5)
    greedy = [answer for cell in r.of("article", LONG, 1) for answer in cell.answers]
    texts = r.texts(LONG) if LONG in r.items else []
    difference = scoring.rate_difference(r.scored("aural", LONG), scoring.by_item(greedy, texts))
    row = wer_row(r, "B4", "aural", LONG, 0.2)
    yield replace(row, got=difference)


def _start(r: Results) -> Iterator[Row]:
    starts = [cell.ready_s for workload in r.items for cell in r.of("aural", workload, 1)]
    yield Row("B8", "start of aural until ready", scoring.median(starts), 3.0, 1.5, at_least=False, unit=" s")
    first = [cell.answers[0].latency_s / p50(cell) for cell in r.of("aural", "15", 1) if cell.completed]
    yield Row("B8", "first request after ready / median, 15 s", scoring.median(first), 1.5, 1.1, at_least=False)


def _against_peer(r: Results) -> Iterator[Row]:
    for ours, (_, peer) in PEERS.items():
        for length in ("5", "15"):
            got = r.ratio(ours, peer, length, r.rtfx)
            yield Row("C1", f"throughput of {ours} / {peer}, {length} s", got, 1.15, 1.4)
            got = r.ratio(ours, peer, length, p95)
            yield Row("C1", f"p95 latency of {ours} / {peer}, {length} s", got, 0.9, 0.7, at_least=False)


def _memory(r: Results, ours: str, limit: str) -> Estimate:
    """All processes of the server over one bare engine process times as many engines as the server has."""
    ours_bytes = r.values(ours, "15", lambda cell: cell.usage.peak_rss_bytes / max(cell.usage.engine_processes, 1))
    theirs = r.values(limit, "15", lambda cell: cell.usage.peak_rss_bytes / cell.variant["processes"])
    return scoring.ratio_of_medians(ours_bytes, theirs)


def loops(answers: Sequence[Answer]) -> int:
    texts = (answer.text.encode() for answer in answers if answer.text)
    return sum(len(text) / len(zlib.compress(text)) > LOOP_COMPRESSION for text in texts)


def _outside(cell: Cell) -> float:
    return cell.usage.cpu_s - cell.usage.engine_cpu_s


def _exactly(value: float) -> Estimate:
    return Estimate(value, value, value)


def _row_of_count(name: str, what: str, value: int) -> Row:
    return Row(name, what, _exactly(value), 0.0, at_least=False, unit="")
