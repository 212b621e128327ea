"""The report of a run of streams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from aural.bench import plots, stats, stream_records
from aural.bench.figures import MOST_CLIENT_CORES
from aural.bench.plots import Point, Series
from aural.bench.report import HTML, MARKDOWN, markdown, page
from aural.bench.report.parts import Section, Table, number, ranged
from aural.bench.stream_records import StreamRun, Together

MEASURES = {
    "first_partial_s": "first partial",
    "partial_lag_s": "partial lag",
    "emission_s": "word emission",
    "finalization_s": "finalization",
}
TAILS = (50.0, 95.0, 99.0)
MOST_LATE_S = 0.05


def latencies(together: Together) -> list[tuple[str, ...]]:
    """A row per measure: p50, p95 and p99 in seconds, max, n."""
    rows = []
    for name, title in MEASURES.items():
        values = together.all(name)
        figures = [stats.quantile_of_groups(together.by_stream(name), q) for q in TAILS]
        highest = max(values, default=math.nan)
        rows.append((title, *(ranged(figure, 2) for figure in figures), number(highest), str(len(values))))
    return rows


def doubts(together: Together) -> list[str]:
    found = [f"a stream failed: {error}" for error in together.errors]
    found += own_fault(together)
    if broken := together.total("committed_retracted"):
        found.append(f"{broken} words that had been committed were changed")
    if unfinished := together.total("unfinished"):
        found.append(f"{unfinished} utterances never got a final text")
    return found


def own_fault(together: Together) -> list[str]:
    """What the client did to the figures."""
    found = []
    if late := [s.late_s for s in together.streams if s.late_s > MOST_LATE_S]:
        found.append(f"the client sent {len(late)} streams late, by up to {max(late):.2f} s")
    if together.step.client_cores > MOST_CLIENT_CORES:
        found.append(f"the client was busy: {together.step.client_cores:.2f} of a core")
    if (lag_s := together.step.watch.loop_lag_p99_s) > MOST_LATE_S:
        found.append(f"the client's event loop lagged: p99 {1000 * lag_s:.0f} ms")
    return found


def rebuild(folder: Path, out: Path) -> None:
    """The report of the run in `folder`, from its records alone."""
    run = stream_records.read(folder)
    out.mkdir(parents=True, exist_ok=True)
    write(run, run.together(), out)


def write(run: StreamRun, steps: Sequence[Together], out: Path) -> None:
    title = f"Live streams of {run.about['label']}"
    sections = _sections(run, steps)
    (out / MARKDOWN).write_text(markdown.render(title, sections), encoding="utf-8")
    (out / HTML).write_text(page.render(title, sections), encoding="utf-8")


def _sections(run: StreamRun, steps: Sequence[Together]) -> list[Section]:
    rows = [(str(step.count), *row) for step in steps for row in latencies(step)]
    head = ("streams", "seconds from", "P50", "P95", "P99", "max", "n")
    texts = [
        (
            str(step.count),
            ranged(step.wer, 1),
            f"{step.total('words_retracted')} of {step.total('words_shown')}",
            str(step.total("committed_retracted")),
            str(step.total("unfinished")),
            str(len(step.errors)),
        )
        for step in steps
    ]
    quality = ("streams", f"{run.rate_name} %", "words retracted", "committed words changed", "unfinished", "failed")
    found = [Section("Latency", _capacity(run, steps), Table(head, rows, words=2), [_plot(steps)])]
    found.append(Section("Text", [], Table(quality, texts)))
    told = [(str(step.count), doubt) for step in steps for doubt in doubts(step)]
    if told:
        warning = "! These figures do not mean what they seem to mean."
        found.append(Section("Doubts", [warning], Table(("streams", "doubt"), told, words=2)))
    return [*found, _method(run)]


def _capacity(run: StreamRun, steps: Sequence[Together]) -> list[str]:
    if not run.capacity:
        return []
    kept, missed, why = run.capacity["kept"], run.capacity["not_kept"], run.capacity["why"]
    beyond = f"; {missed} did not ({why})" if missed else ", and no more were tried"
    faults = {f"{s.count}: {why}" for s in steps if s.count in (kept, missed) for why in own_fault(s)}
    doubtful = [f"! The client may have been what was measured. Streams at once, {'; '.join(sorted(faults))}."]
    return [f"{kept} streams at once kept the goal{beyond}.", *(doubtful if faults else [])]


def _plot(steps: Sequence[Together]) -> str:
    counts = sorted({step.count for step in steps})
    series = []
    for name, title in MEASURES.items():
        points = []
        for step in sorted(steps, key=lambda step: step.count):
            if values := step.all(name):
                median = stats.quantile_of_groups(step.by_stream(name), 50)
                note = f"{step.count}: {title}, median {median.value:.2f} s of {len(values)}"
                points.append(Point(step.count, median.value, median.low, median.high, note))
        series.append(Series(title, points))
    return plots.lines(
        "Median latency against streams", series, "streams at once", "seconds", [float(c) for c in counts]
    )


def _method(run: StreamRun) -> Section:
    plan = run.about["plan"]
    client = run.about["client"]
    return Section(
        "How it was measured",
        [
            f"Streams of {plan['seconds']:g} s of real speech with pauses, in frames of 50 ms at real speed, begun "
            "evenly over one frame. Clocks start when the sound was captured, not when it was sent. "
            f"Every step plays the same ones. Language {run.language}; begun {str(client['started'])[:16]}, revision "
            f"{client['revision']}.",
            "First partial: first sample of speech to the first shown word. Partial lag: end of a word to its first "
            "showing. Word emission: end of a word to the moment from which it is shown for good. Finalization: end of "
            "the last word to the final text, the silence that the endpoint waits for included.",
            "A search judges the text by the same streams alone, and tries a number that misses the goal once more. "
            f"Intervals are 95 %, by bootstrap over streams, from {stats.FEWEST_GROUPS} of them on; P95 needs "
            f"{stats.LEAST_GROUPS[95.0]} streams and {stats.LEAST[95.0]} values, P99 {stats.LEAST_GROUPS[99.0]} and "
            f"{stats.LEAST[99.0]}.",
            "Places of words come from the energy of the recordings and the letters of their text, good to 0.1 to "
            "0.3 s and the same for every endpoint. Words retracted were shown and then changed.",
        ],
    )
