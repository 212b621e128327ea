"""`aural bench batches` and `aural bench simulate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.table import Table

from aural.serving.policy import Policy
from aural.simulation import against, plot, studies
from aural.simulation.costs import Costs, fit, read_batches
from aural.simulation.studies import Chart, Fleet, World

STREAMS = (100, 1_000, 10_000, 100_000)
MEASURED = Path(__file__).with_name("costs.json")
"""whisper-tiny.en in int8 on one core per worker, from the tables of docs/measurements.md at 1 and 20 callers."""

path_option = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("log", type=click.File())
@click.option("--model", help="Only this model's batches.")
@click.option("--out", type=path_option, help="Write the costs here, for `aural bench simulate --costs`.")
def batches(log: TextIO, model: str | None, out: Path | None) -> None:
    """Learn what batches cost from LOG, which `aural serve --log-level debug --log-format json` wrote (- is standard
    input)."""
    found = read_batches(log, model)
    costs = fit(found)
    table = Table("", "seconds", title=f"{len(found)} batches")
    table.add_row("per batch", f"{costs.batch_s:.4f}")
    table.add_row("per clip", f"{costs.clip_s:.4f}")
    table.add_row("per second of audio", f"{costs.audio_s:.5f}")
    table.add_row("per padded second", f"{costs.padded_s:.5f}")
    table.add_row("per second of the longest clip", f"{costs.longest_s:.5f}")
    table.add_row("spread", f"{costs.spread:.0%}")
    Console().print(table)
    if out:
        costs.write(out)


@click.command()
@click.option("--costs", "costs_path", type=path_option, help="What `aural bench batches --out` wrote.")
@click.option("--against", "run", type=path_option, help="Only compare with what benchmarks/scale.py measured.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the charts, as SVG.")
@click.option("--workers", default=2, show_default=True, help="Workers per pod.")
@click.option("--max-batch", default=8, show_default=True, help="Most clips in a batch.")
@click.option("--faster", default=1.0, show_default=True, help="As if a worker were so many times as fast.")
@click.option("--price", default=0.085, show_default=True, help="Dollars per hour and pod.")
@click.option("--seconds", default=60.0, show_default=True, help="Simulated time per point.")
@click.option("--seed", default=1, show_default=True)
def simulate(
    *,
    costs_path: Path | None,
    run: Path | None,
    out: Path | None,
    workers: int,
    max_batch: int,
    faster: float,
    price: float,
    seconds: float,
    seed: int,
) -> None:
    """Many pods on paper: the server's own batching policy with batch times that were measured."""
    if run:
        return _compare(run)
    policy = replace(Policy(), max_batch=max_batch, max_batch_samples=max_batch * 30 * 16_000)
    world = World(Costs.read(costs_path or MEASURED), policy, workers, seconds, seed).faster(faster)
    per_worker = studies.streams_per_worker(world)
    fleets = studies.fleets(per_worker, workers, price, STREAMS)
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
    return None


def _show(chart: Chart) -> None:
    table = Table(chart.x, *chart.curves, title=f"{chart.title} ({chart.y})")
    places = sorted({x for curve in chart.curves.values() for x, _ in curve})
    values = [dict(curve) for curve in chart.curves.values()]
    for x in places:
        table.add_row(f"{x:,g}", *(f"{curve[x]:,.3g}" if x in curve else "" for curve in values))
    Console().print(table)


def _show_fleets(per_worker: float, fleets: list[Fleet]) -> None:
    title = f"Live streams, {per_worker:.1f} per worker"
    table = Table("streams", "pods", "pods with a zone to spare", "$ per hour", title=title)
    for fleet in fleets:
        table.add_row(
            *(f"{value:,}" for value in (fleet.streams, fleet.pods, fleet.pods_with_zone_lost)),
            f"{fleet.dollars_per_hour:,.2f}",
        )
    Console().print(table)


def _compare(run: Path) -> None:
    table = Table("run", "figure", "measured", "simulated", "off")
    for row in against.compare(against.read(run)):
        table.add_row(row.name, row.figure, f"{row.measured:.3g}", f"{row.simulated:.3g}", f"{row.off:+.1%}")
    Console().print(table)
