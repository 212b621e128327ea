"""`aural recommend`: the command line of the advice, imported when it is asked for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aural.bench.recommend import Advice, Choice


@click.command()
@click.option("--for", "use", required=True, type=click.Choice(["interactive", "captions", "analysis"]))
@click.option("--language", default="en", show_default=True)
@click.option("--streams", default=0.0, type=click.FloatRange(0), help="People who speak at once.")
@click.option("--hours", default=0.0, type=click.FloatRange(0), help="Hours of audio a month, in place of --streams.")
@click.option("--latency-s", default=0.0, type=click.FloatRange(0), help="Goal for one request; the use has its own.")
@click.option("--understanding", is_flag=True, help="Summaries and questions too.")
@click.option("--run", "runs", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A run of one's own, of requests or streams, made with --instance; may be repeated.")  # fmt: skip
@click.option(
    "--prices", type=click.Path(exists=True, path_type=Path), help="A price table in place of the shipped one."
)
@click.option("--json", "as_json", is_flag=True)
@click.option("--deploy-file", type=click.Path(dir_okay=False, path_type=Path), help="Write what `aural deploy` takes.")
def recommend(
    runs: tuple[Path, ...], prices: Path | None, as_json: bool, deploy_file: Path | None, **scenario: Any
) -> None:
    """A model, an instance, their number and the bill for a scenario, with the reasons."""
    from aural.bench import recommend as adviser
    from aural.bench.prices import load

    if deploy_file is not None and deploy_file.exists():
        raise click.UsageError(f"expected no file at {deploy_file}; there is one")
    own = [adviser.own_evidence(folder) for folder in runs]
    advice = adviser.advise(adviser.Scenario(**scenario), load(prices), own)
    click.echo(json.dumps(asdict(advice), indent=1) if as_json else text(advice))
    if deploy_file is not None:
        deploy_file.write_text(adviser.deploy_file(advice), encoding="utf-8")


def text(advice: Advice) -> str:
    lines = [_choice(advice.best), "", "Why", *(f"  {reason}" for reason in advice.reasons)]
    if advice.unmeasured:
        lines += ["", "Not measured", *(f"  {gap}" for gap in advice.unmeasured)]
    if advice.others:
        lines += ["", "Instead", *(f"  {_choice(other)}" for other in advice.others)]
    return "\n".join(lines)


def _choice(choice: Choice) -> str:
    e = choice.evidence
    return (
        f"{e.model} on {choice.count} x {e.instance}, {choice.target} requests at once on each: "
        f"${choice.usd_per_month:,.0f} a month, ${choice.usd_per_audio_hour:.4f} per audio hour"
    )
