"""Figures of the simulation for people: tables on the terminal, charts as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from aural.simulation import plot, studies
from aural.simulation.against import Compared
from aural.simulation.costs import TERMS, Costs
from aural.simulation.studies import Chart, Fleet, World

STREAMS = (100, 1_000, 10_000, 100_000)
MEASURED = Path(__file__).with_name("costs.json")
"""whisper-tiny.en in int8 on one core per worker, from the tables of docs/measurements.md at 1 and 20 callers."""
NAMES = ("per batch", "per clip", "per second of audio", "per padded second", "per second of the longest clip")


def show_costs(costs: Costs, count: int) -> None:
    table = Table("", "seconds", title=f"{count} batches")
    for name, term in zip(NAMES, TERMS, strict=True):
        table.add_row(name, f"{getattr(costs, term):.5f}")
    table.add_row("spread", f"{costs.spread:.0%}")
    Console().print(table)


def show_studies(world: World, price: float, out: Path | None) -> None:
    """Every question, one after the other; charts into the folder."""
    per_worker = studies.streams_per_worker(world)
    fleets = studies.fleets(per_worker, world.workers, price, STREAMS)
    charts = [
        studies.replicas(world),
        studies.queueing(world),
        studies.head_of_line(world),
        studies.zone_loss(world),
        studies.growth(fleets),
    ]
    for chart in charts:
        _show(chart)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"{chart.name}.svg").write_text(plot.draw(chart))
    _show_fleets(per_worker, fleets)


def show_compared(rows: Sequence[Compared]) -> None:
    table = Table("run", "figure", "measured", "simulated", "off")
    for row in rows:
        table.add_row(row.name, row.figure, f"{row.measured:.3g}", f"{row.simulated:.3g}", f"{row.off:+.1%}")
    Console().print(table)


def _show(chart: Chart) -> None:
    table = Table(chart.x, *chart.curves, title=f"{chart.title} ({chart.y})")
    places = sorted({x for curve in chart.curves.values() for x, _ in curve})
    values = [dict(curve) for curve in chart.curves.values()]
    for x in places:
        table.add_row(f"{x:,g}", *(f"{curve[x]:,.3g}" if x in curve else "" for curve in values))
    Console().print(table)


def _show_fleets(per_worker: float, fleets: Sequence[Fleet]) -> None:
    table = Table("streams", "pods", "pods with a zone to spare", "$ per hour")
    table.title = f"Live streams, {per_worker:.1f} per worker"
    for fleet in fleets:
        counts = (fleet.streams, fleet.pods, fleet.pods_with_zone_lost)
        table.add_row(*(f"{value:,}" for value in counts), f"{fleet.dollars_per_hour:,.2f}")
    Console().print(table)
