"""`aural deploy …`. Imports click alone; the rest when a command runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aural.errors import DeployError

if TYPE_CHECKING:
    from aural.deploy.cloud import Cloud
    from aural.deploy.spec import Deployment

Command = TypeVar("Command", bound=Callable[..., Any])

file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="deploy.toml")
local_option = click.option("--local", is_flag=True, help="This machine in SageMaker's place.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def deploy() -> None:
    """Deploy to Amazon SageMaker, or to its stand-in on this machine."""


@deploy.command()
@file_argument
@click.option("--from", "advice", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="What `aural recommend --json` printed: model, instance, number and target.")  # fmt: skip
@click.option("--model", default="", show_default="whisper-large-v3-turbo", help="Model to serve.")
@click.option("--instance", default="", show_default="ml.g6e.xlarge")
@click.option("--name", default="aural", show_default=True, help="Name of the endpoint.")
@click.option("--region", default="us-east-1", show_default=True)
@click.option("--capacity-rps", type=float, help="Requests a second that one instance answered in `aural bench`.")
@click.option("--latency-s", type=float, help="Mean latency at that rate.")
def init(file: Path, advice: Path | None, name: str, region: str, **given: Any) -> None:
    """Write a commented deploy.toml; with a measured capacity, its scaling target comes from it."""
    from aural.deploy import template

    if file.exists():
        raise DeployError(f"expected no file at {file}; there is one")
    if advice and any(given.values()):
        raise click.UsageError("expected --from alone, or --model, --instance and a measurement; got both")
    start = template.advised(advice) if advice else _start(**given)
    file.write_text(template.write(start, name=name, region=region))
    click.echo(f"wrote {file}; next: aural deploy plan {file}")


def _start(model: str, instance: str, capacity_rps: float | None, latency_s: float | None) -> Any:
    from aural.deploy import template

    model, instance = model or template.MODEL, instance or template.INSTANCE
    if capacity_rps is not None and latency_s is not None:
        return template.measured(model, instance, capacity_rps, latency_s)
    if capacity_rps is None and latency_s is None:
        return template.guessed(model, instance)
    raise click.UsageError("expected both --capacity-rps and --latency-s, or neither")


@deploy.command()
@file_argument
@local_option
@click.option("--dry-run", is_flag=True, help="Ask nobody: no credentials needed, everything counts as new.")
@click.option("--requests", is_flag=True, help="Print the requests themselves, as JSON lines.")
def plan(file: Path, local: bool, dry_run: bool, requests: bool) -> None:
    """Show what would be made, changed and left, and what it costs."""
    from aural.deploy import plan as planning

    deployment = _load(file)
    if dry_run:
        made = planning.make_plan(deployment, None)
    else:
        with _cloud(deployment, local, start=False) as cloud:
            made = _checked(cloud, deployment)
    click.echo(planning.render(made))
    for action in made.actions if requests else ():
        call = action.resource.delete if action.verdict is planning.Verdict.DELETE else action.resource.create
        if call is not None:
            click.echo(json.dumps({"call": f"{call.service}.{call.operation}", "request": call.request}))
    if made.problems:
        raise DeployError(f"{len(made.problems)} problems")


@deploy.command()
@file_argument
@local_option
@yes_option
def apply(file: Path, local: bool, yes: bool) -> None:
    """Make it so; again and again is fine. What a failed run made is taken away."""
    _apply(_load(file), local=local, yes=yes)


@deploy.command()
@file_argument
@local_option
@yes_option
@click.option("--canary", type=int, metavar="PERCENT", help="A part of the traffic first.")
@click.option("--linear", type=int, metavar="PERCENT", help="Traffic in steps of this size.")
def update(file: Path, local: bool, yes: bool, canary: int | None, linear: int | None) -> None:
    """Bring an endpoint that stands to what the file says, blue/green; alarms send it back."""
    deployment = _load(file)
    if canary and linear:
        raise click.UsageError("expected --canary or --linear, got both")
    if canary or linear:
        release = replace(deployment.release, strategy="canary" if canary else "linear", percent=canary or linear or 0)
        deployment = replace(deployment, release=release)
    with _cloud(deployment, local, start=False) as cloud:
        cloud.ask("sagemaker", "describe_endpoint", EndpointName=deployment.name)
    _apply(deployment, local=local, yes=yes)


@deploy.command()
@file_argument
@local_option
@click.option("--json", "as_json", is_flag=True)
def status(file: Path, local: bool, as_json: bool) -> None:
    """What stands, how much of it, and since when not."""
    from aural.deploy import operate

    deployment = _load(file)
    with _cloud(deployment, local, start=False) as cloud:
        found = operate.status(cloud, deployment)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    click.echo(f"{found.endpoint}: {found.status} {found.reason}".rstrip())
    click.echo(f"configuration {found.config}" + (f", before it {found.previous}" if found.previous else ""))
    for line in (*found.parts, *(f"scales: {line}" for line in found.scaling)):
        click.echo(line)


@deploy.command()
@file_argument
@local_option
@click.option("--audio", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Clip to send.")
@click.option("--url", default="", help="Of a server to try instead of a deployment: anywhere, on a cluster too.")
def test(file: Path, local: bool, audio: Path | None, url: str) -> None:
    """Send one clip through every route and show what comes back."""
    from aural.deploy import trial

    if url and local:
        raise click.UsageError("expected --url or --local, got both")
    clip = audio.read_bytes() if audio else trial.rehearsal()
    if url:
        results = trial.at(url.rstrip("/"), clip)
    else:
        deployment = _load(file)
        with _cloud(deployment, local, start=False) as cloud:
            results = trial.run(cloud, deployment, clip)
    for result in results:
        mark = "skip" if result.skipped else "ok" if result.ok else "FAILED"
        click.echo(f"{mark:<6} {result.route}: {result.said}")
    if not all(result.ok for result in results):
        raise DeployError(f"{sum(not result.ok for result in results)} of {len(results)} routes failed")


@deploy.command()
@file_argument
@local_option
@click.option("--lines", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--model", default="", help="With inference components: which one.")
def logs(file: Path, local: bool, lines: int, model: str) -> None:
    """The container's last lines."""
    from aural.deploy import endpoint
    from aural.deploy import logs as reading

    deployment = _load(file)
    chosen = next((one for one in deployment.models if one.name == model), None)
    if deployment.uses_components and chosen is None:
        raise DeployError(f"expected --model of {', '.join(one.name for one in deployment.models)}; got {model!r}")
    name = endpoint.component_name(deployment, chosen) if chosen and deployment.uses_components else deployment.name
    with _cloud(deployment, local, start=False) as cloud:
        for line in reading.last_lines(cloud, name, lines, component=deployment.uses_components):
            click.echo(line)


@deploy.command()
@file_argument
@local_option
@click.option("--count", required=True, type=click.IntRange(0), help="Instances, or copies with --model.")
@click.option("--model", default="", help="With inference components: which one.")
def scale(file: Path, local: bool, count: int, model: str) -> None:
    """Run this many now; autoscaling goes on from there."""
    from aural.deploy import operate

    deployment = _load(file)
    with _cloud(deployment, local, start=False) as cloud:
        operate.scale(cloud, deployment, count, model, click.echo, _patience(cloud, deployment))


@deploy.command()
@file_argument
@local_option
@yes_option
def rollback(file: Path, local: bool, yes: bool) -> None:
    """Back to the generation before."""
    from aural.deploy import operate

    deployment = _load(file)
    _confirm(f"send {deployment.name} back to the generation before?", yes)
    with _cloud(deployment, local, start=False) as cloud:
        operate.roll_back(cloud, deployment, click.echo, _patience(cloud, deployment))


@deploy.command()
@file_argument
def image(file: Path) -> None:
    """Print how to build and push the images that the file names."""
    from aural.deploy import operate, preflight

    deployment = _load(file)
    with _cloud(deployment, False, start=False) as cloud:
        place = operate.bare_place(cloud, deployment)
    for flavour in sorted({model.image for model in deployment.models if model.is_ours}):
        click.echo(preflight.push_commands(flavour, place))


@deploy.command()
@file_argument
@local_option
@yes_option
def destroy(file: Path, local: bool, yes: bool) -> None:
    """Delete all that the file made. The ECR repository, the bucket and the logs stay."""
    from aural.deploy import operate

    deployment = _load(file)
    _confirm(f"delete {deployment.name} and all that belongs to it?", yes)
    with _cloud(deployment, local, start=False) as cloud:
        operate.destroy(cloud, deployment, click.echo, _patience(cloud, deployment))
    if local:
        from aural.deploy.standin import daemon

        daemon.stop_if_empty()


def _load(file: Path) -> Deployment:
    try:
        import boto3  # noqa: F401
    except ImportError as error:
        raise DeployError("expected boto3; pip install 'aural[deploy]'") from error
    from aural.deploy.spec import load

    return load(file)


def _apply(deployment: Deployment, *, local: bool, yes: bool) -> None:
    from aural.deploy import plan as planning
    from aural.deploy.apply import carry_out

    with _cloud(deployment, local, start=True) as cloud:
        made = _checked(cloud, deployment)
        click.echo(planning.render(made))
        if not made.problems:
            _confirm("go on?", yes or local)
        carry_out(cloud, made, click.echo, _patience(cloud, deployment))
    click.echo(f"{deployment.name} is in service" + (f" at {cloud.url}" if local else ""))
    if local:
        from aural.deploy.standin import daemon

        variables = [f"{name}={value}" for name, value in daemon.for_aws_client().items()]
        click.echo("AWS's HTTP/2 client reaches it with " + " ".join(variables))


def _checked(cloud: Cloud, deployment: Deployment) -> Any:
    """The plan, with the problems that AWS knows of."""
    from aural.deploy import plan as planning
    from aural.deploy import preflight

    made = planning.make_plan(deployment, cloud)
    problems, unasked = preflight.problems(cloud, deployment, made.place)
    return replace(made, problems=(*made.problems, *problems), notes=(*made.notes, *unasked))


@contextmanager
def _cloud(deployment: Deployment, local: bool, *, start: bool) -> Iterator[Cloud]:
    from aural.deploy.cloud import Cloud

    url = ""
    if local:
        from aural.deploy.standin import daemon

        url = daemon.start() if start else daemon.find()
    cloud = Cloud(deployment.region, url)
    try:
        yield cloud
    finally:
        cloud.close()
        if local and start:
            daemon.stop_if_empty()


def _patience(cloud: Cloud, deployment: Deployment) -> Any:
    from aural.deploy.patience import POLL_S, Patience, limit_s

    return Patience(0.5 if cloud.is_local else POLL_S, limit_s(deployment))


def _confirm(question: str, yes: bool) -> None:
    if not yes and not click.confirm(question):
        raise click.Abort
