"""`aural bench batches` and `aural bench simulate`. What they need is imported when they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

path_option = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("log", type=click.File())
@click.option("--model", help="Only this model's batches.")
@click.option("--out", type=path_option, help="Write the costs here, for `aural bench simulate --costs`.")
def batches(log: TextIO, model: str | None, out: Path | None) -> None:
    """Learn what batches cost from LOG, which `aural serve --log-level debug --log-format json` wrote (- is standard
    input)."""
    from aural.simulation import report
    from aural.simulation.costs import fit, read_batches

    found = read_batches(log, model)
    costs = fit(found)
    report.show_costs(costs, len(found))
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
    from aural.serving.policy import Policy
    from aural.simulation import against, report
    from aural.simulation.costs import Costs
    from aural.simulation.studies import World

    if run:
        return report.show_compared(against.compare(against.read(run)))
    policy = Policy(max_batch, max_batch * 30 * 16_000)
    world = World(Costs.read(costs_path or report.MEASURED), policy, workers, seconds, seed)
    return report.show_studies(world.faster(faster), price, out)
