"""The tables of a run, and the bars that aural set itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.streams.cells import Cell, percentile
from benchmarks.streams.search import EMISSION_P95_S, FINAL_P95_S, holds

LIMITS = f"p95 stands ≤ {EMISSION_P95_S:g} s and p95 final ≤ {FINAL_P95_S:g} s"
COLUMNS = ("server", "streams", "in time", "first p50 / p95", "shown p50 / p95", "stands p50 / p95 / p99")
COLUMNS += ("final p50 / p95 / p99", "taken back", "WER", "CPU s / audio s", "cores")
LEAST_FOR_P95, LEAST_FOR_P99 = 200, 1000
QUIET_CORES = 0.1
HEAD = """# Live captions, measured

This page was written by `python benchmarks/streaming.py --report {out} --page docs/captions-measured.md` from a run of
{when} on {machine}. A missed bar is printed like a cleared one.

```
{command}
```

Streams are whole utterances of real speech with pauses of 0.7 to 2 s, sent in frames of 50 ms at the speed at which
they were spoken, started over 2 s. Every latency begins when the sound was captured.

- **first**: from the first sound of an utterance to its first shown word.
- **shown**: from the end of a word to when it is first shown, as a draft or for good.
- **stands**: from the end of a word to when it is shown and never changes again.
- **final**: from the end of an utterance's speech to the final text, without the {wait:g} s of silence that the server
  is told to wait for. Servers without finals have none.
- **taken back**: words that were shown and then changed, per word shown.
- **WER**: after Whisper's English normaliser. **cores**: used on average.

Ends of words are where letters spread over the voiced frames put them, within some 0.2 s, alike for all. `~` marks a
p95 of fewer than {p95} values and a p99 of fewer than {p99}.
"""


def page(cells: Sequence[Cell], facts: dict[str, Any], out: Path) -> str:
    parts = [
        HEAD.format(
            out=out.name,
            when=facts["when"],
            machine=facts["machine"],
            command=facts["command"],
            wait=0.5,
            p95=LEAST_FOR_P95,
            p99=LEAST_FOR_P99,
        ),
        "## Bars\n",
        *(f"- {line}" for line in bars(cells, facts)),
        "\n## Streams at once\n",
        *table(cells),
        "",
        *_notes(cells, facts),
    ]
    return "\n".join(parts).rstrip() + "\n"


def bars(cells: Sequence[Cell], facts: dict[str, Any]) -> list[str]:
    ours = [one for one in cells if one.arm == "aural" and one.kind == "speech"]
    found = _best(ours)
    lines = [_bar(f"streams with {LIMITS}", found.streams if found else 0, 12, more=True)] if ours else []
    if found:
        shown = percentile(found.partial_lag_s, 95)
        lines += [
            _bar("p95 shown at that number, s", shown, 1.5),
            _bar("committed words taken back", sum(one.committed_retracted for one in ours), 0),
        ]
        if facts.get("file_wer") is not None:
            points = 100 * (found.wer - facts["file_wer"])
            lines.append(_bar("WER of the streams less that of the same audio as files, points", points, 2))
    alone = next((one for one in ours if one.streams == 1), None)
    if alone:
        lines += [
            _bar("alone, p50 final, s", percentile(alone.compute_s(), 50), 0.25),
            _bar("alone, p95 final, s", percentile(alone.compute_s(), 95), 0.45),
        ]
    silent = next((one for one in cells if one.kind == "silence"), None)
    if silent and found:
        share = (silent.cpu_s / silent.audio_s) / (found.cpu_s / found.audio_s)
        lines.append(_bar("CPU of a silent stream over that of a speaking one, %", 100 * share, 5))
    if facts.get("refusal_s"):
        lines.append(_bar("one stream too many is refused within, ms", 1000 * max(facts["refusal_s"]), 100))
    return lines or ["nothing was measured yet"]


def table(cells: Iterable[Cell]) -> list[str]:
    rows = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    for cell in sorted((one for one in cells if one.kind == "speech"), key=lambda one: (one.arm, one.streams)):
        back = cell.words_retracted / cell.words_shown if cell.words_shown else math.nan
        rows.append(
            f"| {cell.arm} | {cell.streams} | {'yes' if holds(cell) else 'no'} | {_spread(cell.first_partial_s)} "
            f"| {_spread(cell.partial_lag_s)} | {_spread(cell.emission_s, p99=True)} "
            f"| {_spread(cell.compute_s(), p99=True)} | {back:.2f} | {100 * cell.wer:.1f} % "
            f"| {cell.cpu_s / max(cell.audio_s, 1e-9):.3f} | {cell.cores:.2f} |"
        )
    return rows


def _best(cells: Sequence[Cell]) -> Cell | None:
    good = [one for one in cells if holds(one)]
    return max(good, key=lambda one: one.streams, default=None)


def _bar(what: str, value: float, limit: float, *, more: bool = False) -> str:
    is_clear = value >= limit if more else value <= limit
    return f"{'PASS' if is_clear else 'MISS'}: {what}: {value:.3g} (bar {'≥' if more else '≤'} {limit:g})"


def _spread(values: Sequence[float], *, p99: bool = False) -> str:
    if not values:
        return "–"
    shown = [f"{percentile(values, 50):.2f}", _marked(values, 95, LEAST_FOR_P95)]
    if p99:
        shown.append(_marked(values, 99, LEAST_FOR_P99))
    return " / ".join(shown)


def _marked(values: Sequence[float], q: float, least: int) -> str:
    return f"{'~' if len(values) < least else ''}{percentile(values, q):.2f}"


def _notes(cells: Sequence[Cell], facts: dict[str, Any]) -> list[str]:
    noisy = [f"{one.arm} {one.streams}" for one in cells if one.other_cores > QUIET_CORES]
    notes = [f"- {name} {why}" for name, why in facts.get("notes", {}).items()]
    notes += [f"- {one.arm} with {one.streams} streams: {one.note}" for one in cells if one.note]
    if noisy:
        notes.append(
            f"- The machine was not quiet (more than {QUIET_CORES} core of other work) during: {', '.join(noisy)}."
        )
    busy = max((one.client_cpu_s / one.audio_s * one.streams for one in cells if one.audio_s), default=0.0)
    notes.append(f"- The load itself took at most {busy:.2f} of a core.")
    return ["## Notes\n", *notes]


def load_facts(out: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    return facts
