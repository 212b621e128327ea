"""The outcome of a comparison, as a table and as yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aural.bench import compare, records
from aural.bench.compare import Trial
from aural.bench.figures import of_run
from aural.bench.report.parts import ranged
from aural.errors import BenchError


def show(ours: Path, theirs: Path, margin: float, wer_margin: float) -> bool:
    """Print every trial and what could not be tried; False when ours is worse in any, when a load is not whole in both,
    or when nothing could be told. Raises BenchError when the runs have no load in common."""
    figures = of_run(records.read(ours)), of_run(records.read(theirs))
    pairs = compare.pairs(*figures)
    if not pairs:
        raise BenchError(f"expected runs with a load in common; {ours} and {theirs} have none")
    trials = compare.trials(pairs, margin, wer_margin)
    gaps = compare.gaps(*figures)
    console = Console()
    console.print(_table(trials, f"{ours} over {theirs}"))
    for gap in gaps:
        console.print(f"not compared: {gap}", style="bold red", highlight=False)
    worse, few = sum(trial.worse for trial in trials), sum(trial.few for trial in trials)
    bound = f"a loss of more than {margin:.0%} of speed or {wer_margin:g} points of WER"
    told = len(trials) - few
    console.print(f"{worse} of {told} figures worse: {bound}, at {compare.CHANCE:.0%} over all of them (Holm)")
    if few:
        console.print(f"{few} figures have too few requests to tell; run with more --requests", style="yellow")
    return not worse and not gaps and told > 0


def _table(trials: Sequence[Trial], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("load", "figure", "ours over theirs", "chance", ""):
        table.add_column(heading, justify="right" if heading in ("ours over theirs", "chance") else "left")
    for trial in trials:
        chance = "" if trial.few else f"{trial.chance:.3g}"
        table.add_row(trial.load, trial.what, ranged(trial.effect), chance, _verdict(trial))
    return table


def _verdict(trial: Trial) -> Text:
    if trial.few:
        return Text("too few to tell", "yellow")
    return Text("worse", "bold red") if trial.worse else Text("")
