"""Carries out a plan: starts the arms one at a time, loads them, and writes down every cell as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from aural.bench.clips import LONG, Workload
from benchmarks import records
from benchmarks.arms.base import Arm, ArmUnavailable, Load, Running, Setup
from benchmarks.plan import Plan, best, candidates
from benchmarks.records import Cell, Variant


@dataclass(slots=True)
class Run:
    plan: Plan
    arms: list[Arm]
    workloads: list[Workload]
    setup: Setup
    out: Path
    console: Console
    cells: list[Cell] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    """Arm, or arm and workload, to the reason why it did not run."""

    def all(self) -> None:
        with _progress(self.console) as progress:
            bar = progress.add_task("", total=len(self.workloads) * len(self.arms) * (self.plan.rounds + 1))
            for workload in self.workloads:
                chosen = {}
                for arm in self.arms:
                    progress.update(bar, description=f"{workload.name}: choosing settings of {arm.name}")
                    chosen[arm.name] = self.choose(arm, workload)
                    progress.advance(bar)
                for round_ in range(1, self.plan.rounds + 1):
                    for arm in self.plan.order(self.arms, round_):
                        progress.update(bar, description=f"{workload.name}: round {round_}, {arm.name}")
                        self.visit(arm, workload, chosen[arm.name], round_)
                        progress.advance(bar)

    def choose(self, arm: Arm, workload: Workload) -> Variant:
        """The best settings of an arm for a workload, by trial."""
        trials = [cell for cell in self.cells if cell.arm == arm.name and cell.purpose == "choose"]
        options = candidates(arm, [cell for cell in trials if cell.workload != workload.name])
        if len(options) < 2 or not self.plan.choose or workload.name == LONG:
            return options[0]
        self._try(arm, workload, options, times=1)
        self._try(arm, workload, best(self._trials(arm, workload)), times=2)
        return next(iter(best(self._trials(arm, workload))), options[0])

    def _try(self, arm: Arm, workload: Workload, variants: Sequence[Variant], times: int) -> None:
        for variant in variants:
            if [cell.variant for cell in self._trials(arm, workload)].count(variant) < times:
                self.measure(arm, workload, variant, [self.plan.trial(arm, workload)])

    def _trials(self, arm: Arm, workload: Workload) -> list[Cell]:
        return [cell for cell in self.of(arm, workload) if cell.purpose == "choose"]

    def visit(self, arm: Arm, workload: Workload, variant: Variant, round_: int) -> None:
        done = {(cell.callers, cell.round) for cell in self.of(arm, workload) if cell.purpose == "measure"}
        loads = [load for load in self.plan.loads(arm, workload, round_) if (load.callers, round_) not in done]
        self.measure(arm, workload, variant, loads, last=round_ == self.plan.rounds)
        if loads and workload.name == LONG and arm.name == "article" and round_ == 1:
            defaults = {**variant, "search": "defaults"}
            self.measure(arm, workload, defaults, [Load(1, (0,), once=True, purpose="texts", round=round_)])

    def measure(
        self, arm: Arm, workload: Workload, variant: Variant, loads: Sequence[Load], *, last: bool = False
    ) -> None:
        """Start an arm, run cells on it, end it. An arm that cannot start is noted and left out."""
        if not loads or arm.name in self.unavailable:
            return
        try:
            with arm.start(self.setup, workload, variant) as running:
                for load in loads:
                    self._keep(running, load)
                rest = self.plan.rest(workload, self._heard(arm, workload), loads[-1].round) if last else None
                if rest:
                    self._keep(running, rest)
        except ArmUnavailable as reason:
            self.unavailable[f"{arm.name} {workload.name}"] = str(reason)
            self.console.print(f"[yellow]{arm.name} is left out of {workload.name}: {reason}")

    def of(self, arm: Arm, workload: Workload) -> list[Cell]:
        return [cell for cell in self.cells if cell.arm == arm.name and cell.workload == workload.name]

    def _heard(self, arm: Arm, workload: Workload) -> list[Cell]:
        return [cell for cell in self.of(arm, workload) if cell.purpose != "choose"]

    def _keep(self, running: Running, load: Load) -> None:
        cell = running.measure(load)
        self.cells.append(cell)
        records.append(self.out / "cells.jsonl", cell)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        yield progress
