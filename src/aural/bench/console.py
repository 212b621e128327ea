"""A run as it is watched: progress while it goes on, a line per cell, the report at the end."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from aural.bench import records, scoring
from aural.bench.capacity import Capacity, Step
from aural.bench.figures import Figures
from aural.bench.plan import Plan
from aural.bench.records import Answer, Load, Supply
from aural.bench.run import Progress, Runner
from aural.bench.stream_records import Together
from aural.bench.stream_run import StreamPlan, StreamRunner


class Watching:
    """Turns what a run tells into lines and one bar."""

    def __init__(self, console: Console, bar: Bar) -> None:
        self._console = console
        self._bar = bar
        self._task = bar.add_task("", failed="")
        self._failed = 0

    def progress(self) -> Progress:
        return Progress(self.start, self.answer, self.done, self.step, self.search, self.supply)

    def start(self, load: Load) -> None:
        self._failed = 0
        self._bar.reset(self._task, total=load.requests + load.warm_up, description=describe(load), failed="")

    def answer(self, answer: Answer) -> None:
        self._failed += not answer.ok
        self._bar.update(self._task, advance=1, failed=f"{self._failed} failed" if self._failed else "")

    def done(self, figures: Figures) -> None:
        self._console.print(line(figures), highlight=False, soft_wrap=True)
        for doubt in figures.doubts:
            self._console.print(f"    ! {doubt}", style="yellow", highlight=False, soft_wrap=True)

    def step(self, step: Step) -> None:
        verdict = "kept" if step.passed else f"not kept: {step.why}"
        self._console.print(f"    {step.rate:.3g} requests/s: goal {verdict}", highlight=False, soft_wrap=True)

    def search(self, found: Capacity) -> None:
        if found.stopped:
            text = f"    ! the search for capacity stopped early: {found.stopped}"
            self._console.print(text, style="yellow", highlight=False, soft_wrap=True)

    def supply(self, workload: str, supply: Supply) -> None:
        if supply.repeated or supply.left_out:
            length = workload if workload == "mix" else f"{workload} s"
            text = (
                f"{length}: {supply.repeated} of {supply.requests} requests had audio of an earlier one; "
                f"{supply.left_out} of {supply.used + supply.left_out} recordings did not fit"
            )
            self._console.print(text, highlight=False, soft_wrap=True)


def describe(load: Load) -> str:
    length = load.workload if load.workload == "mix" else f"{load.workload} s"
    match load.kind:
        case "single":
            return f"{length}, one request at a time"
        case "closed":
            return f"{length}, {load.callers} callers"
        case _:
            return f"{length}, {load.rate:.3g} requests/s"


def line(figures: Figures) -> str:
    got = figures.latency
    wer = figures.wer.value
    heard = "" if math.isnan(wer) else f"  {figures.rate_name} {wer:.1f} %"
    return (
        f"{describe(figures.load):32} {figures.throughput.value:7.2f}/s  mean {got.mean.value:6.3f} s  "
        f"p50 {got.p50.value:6.3f} s  max {got.highest:6.3f} s  n {got.n}{heard}"
    )


async def watched_run(plan: Plan, out: Path, resume: bool) -> bool:
    """Run, report, and say where the report is. False when there is a doubt about any figure."""
    from aural.bench.report import write

    console = Console(stderr=True)
    quiet: dict[str, Any] = {"console": console, "transient": True, "disable": not console.is_terminal}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, TextColumn("[red]{task.fields[failed]}"), **quiet) as bar:
        runner = Runner(plan, out, Watching(console, bar).progress(), resume)
        try:
            await runner.run()
        except asyncio.CancelledError:
            console.print("[yellow]interrupted: this is the report of what was measured so far; --resume continues")
            raise
        finally:
            sound = write([out]) if (out / records.RUN).exists() else False
    console.print(f"Report: {out / 'report.html'} and {out / 'report.md'}", highlight=False, soft_wrap=True)
    return sound


async def watched_streams(plan: StreamPlan, out: Path) -> None:
    """Run streams, a line per step, then report."""
    from aural.bench import stream_report

    console = Console(stderr=True)
    steps: list[Together] = []

    def step(together: Together, why: str) -> None:
        steps.append(together)
        console.print(_stream_line(together, scoring.rate_name(plan.language)), highlight=False, soft_wrap=True)
        for doubt in stream_report.doubts(together) + ([f"goal not kept: {why}"] if why else []):
            console.print(f"    ! {doubt}", style="yellow", highlight=False, soft_wrap=True)

    runner = StreamRunner(plan, out, step)
    try:
        await runner.run()
    finally:
        if steps:
            stream_report.write(runner.kept, steps, out)
            console.print(f"Report: {out / 'report.html'} and {out / 'report.md'}", highlight=False, soft_wrap=True)


def _stream_line(together: Together, rate_name: str) -> str:
    medians = [scoring.median(together.all(name)).value for name in ("first_partial_s", "emission_s", "finalization_s")]
    shown = "  ".join(
        f"{name} {value:.2f} s" for name, value in zip(("first partial", "words", "final"), medians, strict=True)
    )
    count = f"{together.count} stream" + ("s" if together.count > 1 else "")
    wer, retracted = together.wer.value, together.total("words_retracted")
    return f"{count:12} p50: {shown}  {rate_name} {wer:.1f} %  retracted {retracted}"
