"""Results as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from aural.bench import scoring
from aural.bench.scoring import LEAST_FOR_P95
from benchmarks.bars import Row, bars
from benchmarks.ladder import NOT_MEASURED, ladder
from benchmarks.records import Cell, Variant
from benchmarks.results import Results, mean

WIDTH = 180
STYLES = {"PASS": "green", "MISS": "red", "MISS (the median clears)": "yellow", "not measured": ""}
HEADINGS = (
    *("arm", "callers", "requests/s", "RTFx", "p50 s", "p95 s", "n", "CPU s / audio s", "engine", "client"),
    *("MB", "WER %", "failed", "wrong text", "doubts"),
)


def write(results: Results, about: dict[str, Any], out: Path, console: Console) -> None:
    """report.json and report.txt in `out`, and the tables on the console."""
    held, rungs = bars(results), ladder(results)
    document = as_json(results, about, held, rungs)
    (out / "report.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    tables = as_tables(results, held, rungs)
    Console(width=max(console.width, WIDTH)).print(tables)
    with (out / "report.txt").open("w", encoding="utf-8") as file:
        Console(file=file, width=WIDTH).print(tables)


def as_tables(results: Results, held: Sequence[Row], rungs: Sequence[Row]) -> RenderableType:
    parts: list[RenderableType] = [workload_table(results, workload) for workload in results.items]
    parts += [choices_table(results), rows_table("Bars", held), rows_table("Ladder", rungs)]
    missing = dict.fromkeys(row.id for row in rungs if not row.measured)
    parts.append(Text("Rungs that this run measured in part or not at all: " + (", ".join(missing) or "none")))
    parts.append(Text("Rungs without a measurement here: " + "; ".join(map(": ".join, NOT_MEASURED.items()))))
    parts += [Text(f"{name} did not run: {reason}", "yellow") for name, reason in results.unavailable.items()]
    parts.append(Text("p95 with ~ rests on fewer than 200 requests. Doubts: noisy cells, failed self-checks."))
    return Group(*parts)


def workload_table(results: Results, workload: str) -> Table:
    items = results.items[workload]
    shares = sum(item.speech_share for item in items) / len(items)
    table = Table(title=f"{workload}: {len(items)} items, {shares:.0%} speech", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "arm" else "right", no_wrap=heading == "WER %")
    for arm, of, callers in results.loads:
        if of == workload:
            table.add_row(*_cells(results, arm, workload, callers))
    return table


def _cells(r: Results, arm: str, workload: str, callers: int) -> Iterable[str]:
    figures = load_figures(r, arm, workload, callers)
    wer = figures["wer_percent"]
    few = "" if figures["n"] >= LEAST_FOR_P95 else "~"
    yield from (arm, str(callers), _number(figures["requests_per_s"]), _number(figures["rtfx"]))
    yield from (_number(figures["p50_s"]), few + _number(figures["p95_s"]), str(figures["n"]))
    yield from (_number(figures["cpu_s_per_audio_s"], 4), _number(figures["engine_cpu_s_per_audio_s"], 4))
    yield from (_number(figures["client_cores"], 3), f"{figures['peak_rss_bytes'] / 1e6:.0f}")
    yield f"{wer['value']:.1f} ({wer['low']:.1f} to {wer['high']:.1f})"
    yield from (str(sum(figures["failed"].values())), str(figures["wrong_texts"]), str(len(figures["doubts"])))


def load_figures(r: Results, arm: str, workload: str, callers: int) -> dict[str, Any]:
    """Everything that is reported of one arm under one load, over all rounds."""
    cells = r.of(arm, workload, callers)
    latencies = [latency for cell in cells for latency in cell.latencies_s]
    return {
        "arm": arm,
        "workload": workload,
        "callers": callers,
        "variant": cells[0].variant,
        "rounds": len(cells),
        "n": len(latencies),
        "requests_per_s": _median(cells, lambda cell: cell.throughput),
        "requests_per_s_counted": _median(cells, lambda cell: cell.counted),
        "rtfx": _median(cells, r.rtfx),
        "mean_s": _median(cells, mean),
        "p50_s": scoring.percentile(latencies, 50),
        "p95_s": scoring.percentile(latencies, 95),
        "max_s": max(latencies, default=math.nan),
        "cpu_s_per_audio_s": _median(cells, r.cpu),
        "engine_cpu_s_per_audio_s": _median(cells, lambda cell: r.cpu_of(cell, cell.usage.engine_cpu_s)),
        "client_cores": _median(cells, lambda cell: cell.usage.client_cpu_s / max(cell.window_s, 1e-9)),
        "other_cores": _median(cells, lambda cell: cell.usage.other_cores),
        "peak_rss_bytes": max(cell.usage.peak_rss_bytes for cell in cells),
        "engine_processes": max(cell.usage.engine_processes for cell in cells),
        "counted_by_the_server": {
            name: sum(cell.extra.get(name, 0.0) for cell in cells)
            for name in sorted({n for c in cells for n in c.extra})
        },
        "ready_s": _median(cells, lambda cell: cell.ready_s),
        "first_s": _median(cells, lambda cell: min(cell.answers, key=lambda a: a.start).latency_s),
        "wer_percent": asdict(scoring.corpus_rate(r.scored(arm, workload))),
        "items_heard": len(r.scored(arm, workload)),
        "items_with_more_than_one_text": scoring.unsteady_items(r.answers(arm, workload)),
        "failed": dict(r.failures(cells)),
        "wrong_texts": r.wrong_texts(cells),
        "doubts": [f"round {cell.round}: {doubt}" for cell in cells for doubt in r.doubts(cell)],
        "by_round": [_round_figures(r, cell) for cell in cells],
    }


def _round_figures(r: Results, cell: Cell) -> dict[str, float]:
    return {
        "round": cell.round,
        "requests_per_s": cell.throughput,
        "rtfx": r.rtfx(cell),
        "cpu_s_per_audio_s": r.cpu(cell),
        "other_cores": cell.usage.other_cores,
        "unaccounted": cell.unaccounted,
    }


def choices_table(results: Results) -> Table:
    table = Table(title="Settings that were tried", title_justify="left")
    for heading in ("workload", "arm", "settings", "requests/s", ""):
        table.add_column(heading)
    for choice in choices(results):
        mark = "chosen" if choice["chosen"] else ""
        table.add_row(choice["workload"], choice["arm"], choice["settings"], _number(choice["requests_per_s"]), mark)
    return table


def choices(results: Results) -> list[dict[str, Any]]:
    measured = [(c.arm, c.workload, c.variant) for c in results.cells if c.purpose == "measure"]
    return [
        {
            "workload": cell.workload,
            "arm": cell.arm,
            "settings": settings(cell.variant),
            "requests_per_s": cell.throughput,
            "chosen": (cell.arm, cell.workload, cell.variant) in measured,
        }
        for cell in results.cells
        if cell.purpose == "choose"
    ]


def rows_table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("id", "what", "measured", "95 % interval", "must", "stretch", ""):
        table.add_column(heading, justify="left" if heading in ("id", "what", "") else "right")
    for row in (row for row in rows if row.measured):
        sign = "≥" if row.at_least else "≤"
        interval = f"{_number(row.got.low)} to {_number(row.got.high)}"
        stretch = f"{sign} {row.stretch:g}" if row.stretch is not None else ""
        got = f"{_number(row.got.value)}{row.unit}"
        verdict = Text(row.verdict, STYLES[row.verdict])
        table.add_row(row.id, row.what, got, interval, f"{sign} {row.must:g}{row.unit}", stretch, verdict)
    return table


def as_json(results: Results, about: dict[str, Any], held: Sequence[Row], rungs: Sequence[Row]) -> dict[str, Any]:
    document = {
        "about": about,
        "workloads": {name: _workload(results, name) for name in results.items},
        "loads": [load_figures(results, *load) for load in results.loads],
        "settings_tried": choices(results),
        "bars": [_row(row) for row in held],
        "ladder": [_row(row) for row in rungs],
        "not_measured": NOT_MEASURED,
        "did_not_run": results.unavailable,
    }
    return _without_nan(document)  # type: ignore[no-any-return]


def _workload(results: Results, name: str) -> dict[str, Any]:
    items = results.items[name]
    return {
        "items": len(items),
        "audio_s": sum(item.duration_s for item in items),
        "speech_share": sum(item.speech_share for item in items) / len(items),
        "durations_s": sorted({round(item.duration_s, 1) for item in items}),
    }


def _row(row: Row) -> dict[str, Any]:
    return {**asdict(row), "verdict": row.verdict}


def settings(variant: Variant) -> str:
    return ", ".join(f"{name} {value}" for name, value in variant.items())


def _median(cells: Sequence[Cell], metric: Any) -> float:
    return scoring.percentile([metric(cell) for cell in cells], 50)


def _number(value: float, digits: int = 2) -> str:
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def _without_nan(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_nan(one) for key, one in value.items()}
        case list() | tuple():
            return [_without_nan(one) for one in value]
        case float() if math.isnan(value):
            return None
    return value
