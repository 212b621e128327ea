"""The plots of a report."""

from __future__ import annotations

from collections.abc import Sequence

from aural.bench import plots
from aural.bench.figures import Figures
from aural.bench.plots import Point, Series
from aural.bench.prices import Prices
from aural.bench.report.measured import Measured, rate_name
from aural.bench.report.parts import audio, ranged

MOST_STEPS = 400
"""Points of a distribution that is drawn."""

Runs = Sequence[Measured]


def overview(runs: Runs) -> list[str]:
    """Error rates: the first thing to know of a figure of speed."""
    groups = []
    for workload in _workloads(runs):
        group = []
        for i, run in enumerate(runs):
            cells = [f for f in run.kind("single", "closed") if f.load.workload == workload and f.completed]
            if cells:
                most = max(cells, key=lambda f: len(f.completed))
                wer = most.wer
                note = f"{run.label}, {audio(workload)}: {most.rate_name} {ranged(wer, 1)} %"
                group.append((i, Point(0, wer.value, wer.low, wer.high, note)))
        groups.append((audio(workload), group))
    name = rate_name(runs)
    title = "Word error rate" if name == "WER" else f"Error rate, {name}"
    picture = plots.bars(title, groups, [run.label for run in runs], f"{name} %")
    return [picture] if picture else []


def under_load(runs: Runs) -> list[str]:
    found = []
    for workload in _workloads(runs):
        callers = sorted({f.load.callers for run in runs for f in _closed(run, workload)})
        if len(callers) > 1:
            found += [_latency(runs, workload, callers), _trade(runs, workload)]
        found.append(_distribution(runs, workload))
    return [picture for picture in found if picture]


def _latency(runs: Runs, workload: str, callers: Sequence[int]) -> str:
    series = [
        Series(
            run.label,
            [
                Point(f.load.callers, f.latency.mean.value, f.latency.mean.low, f.latency.mean.high, _note(f))
                for f in _closed(run, workload)
            ],
        )
        for run in runs
    ]
    title = f"Mean latency against callers, {audio(workload)}"
    return plots.lines(title, series, "callers at once", "seconds", [float(c) for c in callers])


def _trade(runs: Runs, workload: str) -> str:
    """Throughput against latency: right and low is good."""
    series = [
        Series(
            run.label, [Point(f.throughput.value, f.latency.mean.value, note=_note(f)) for f in _closed(run, workload)]
        )
        for run in runs
    ]
    title = f"Throughput against mean latency, {audio(workload)}; numbers are callers"
    return plots.lines(title, series, "requests per second", "seconds", labels=True)


def _distribution(runs: Runs, workload: str) -> str:
    """Every latency at the most callers that all runs had."""
    common = set.intersection(*({f.load.callers for f in _closed(run, workload)} for run in runs))
    if not common:
        return ""
    most = max(common)
    series = [
        Series(run.label, _cumulative([a.latency_s for a in f.completed]))
        for run in runs
        for f in _closed(run, workload)
        if f.load.callers == most
    ]
    callers = "1 caller" if most == 1 else f"{most} callers"
    return plots.steps(f"Distribution of latency, {audio(workload)}, {callers}", series, "seconds")


def cost(runs: Runs, prices: Prices) -> list[str]:
    groups = []
    for workload in _workloads(runs):
        group = []
        for i, run in enumerate(runs):
            if run.instance and (pace := run.best(workload)):
                price = prices.of(run.instance).per_audio_hour(pace.rtfx)
                group.append((i, Point(0, price, note=f"{run.label}: ${price:.4f} per audio hour on {run.instance}")))
        groups.append((audio(workload), group))
    picture = plots.bars("Cost per audio hour", groups, [run.label for run in runs], "US $")
    return [picture] if picture else []


def _closed(run: Measured, workload: str) -> list[Figures]:
    found = [f for f in run.kind("single", "closed") if f.load.workload == workload and f.completed]
    return sorted(found, key=lambda f: f.load.callers)


def _cumulative(seconds: Sequence[float]) -> list[Point]:
    ordered = sorted(seconds)
    every = max(1, len(ordered) // MOST_STEPS)
    return [
        Point(value, (i + 1) / len(ordered))
        for i, value in enumerate(ordered)
        if (i + 1) % every == 0 or i + 1 == len(ordered)
    ]


def _note(f: Figures) -> str:
    return f"{f.load.callers}: {f.throughput.value:.2f} requests/s, mean {f.latency.mean.value:.3f} s, n {f.latency.n}"


def _workloads(runs: Runs) -> list[str]:
    return list(dict.fromkeys(workload for run in runs for workload in run.workloads))
