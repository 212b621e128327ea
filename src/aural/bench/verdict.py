"""The outcome of a comparison, as a table and as yes or no."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aural.bench import compare, records
from aural.bench.figures import of_run
from aural.bench.report.parts import ranged
from aural.errors import BenchError


def show(ours: Path, theirs: Path, margin: float, wer_margin: float) -> bool:
    """Print every trial; False when ours is worse in any. Raises BenchError when the runs have no load in common."""
    pairs = compare.pairs(of_run(records.read(ours)), of_run(records.read(theirs)))
    if not pairs:
        raise BenchError(f"expected runs with a load in common; {ours} and {theirs} have none")
    trials = compare.trials(pairs, margin, wer_margin)
    table = Table(title=f"{ours} over {theirs}", title_justify="left")
    for heading in ("load", "figure", "ours over theirs", "chance", ""):
        table.add_column(heading, justify="right" if heading in ("ours over theirs", "chance") else "left")
    for trial in trials:
        verdict = Text("worse", "bold red") if trial.worse else Text("")
        table.add_row(trial.load, trial.what, ranged(trial.effect), f"{trial.chance:.3g}", verdict)
    console = Console()
    console.print(table)
    worse = sum(trial.worse for trial in trials)
    bound = f"a loss of more than {margin:.0%} of speed or {wer_margin:g} points of WER"
    console.print(f"{worse} of {len(trials)} figures worse: {bound}, at {compare.CHANCE:.0%} over all of them (Holm)")
    return not worse
