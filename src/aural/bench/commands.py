"""`aural bench …`: the command line of the benchmark, imported when it is asked for."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from aural.errors import BenchError

T = TypeVar("T")
INTERRUPTED = 130
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def numbers(of: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, str], tuple[T, ...]]:
    """A comma-separated list of positive numbers."""

    def read(context: click.Context, parameter: click.Parameter, value: str) -> tuple[T, ...]:
        try:
            found = tuple(of(part.strip()) for part in value.split(",") if part.strip())
        except ValueError:
            raise click.BadParameter(f"expected numbers separated by commas, got {value!r}") from None
        if not all(isinstance(one, str) or one > 0 for one in found):  # type: ignore[operator]
            raise click.BadParameter(f"expected numbers above 0, got {value!r}")
        return found

    return read


def length(value: str) -> str:
    if value != "mix" and not float(value) > 0:
        raise ValueError(value)
    return value


def pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    split = [value.partition(":") for value in values]
    if wrong := [value for value, (_, colon, _) in zip(values, split, strict=True) if not colon]:
        raise click.BadParameter(f"expected NAME: VALUE, got {wrong[0]!r}")
    return tuple((name.strip(), value.strip()) for name, _, value in split)


@click.group()
def bench() -> None:
    """Measure an endpoint of speech recognition, aural's or any other."""


@bench.command()
@click.option("--target", required=True, help="http(s)://HOST[:PORT][/PATH or /PREFIX/] or sagemaker:ENDPOINT.")
@click.option("--protocol", default="auto", show_default=True, help="auto tries what the address may speak.")
@click.option("--audio", required=True, type=click.Path(path_type=Path), help="Folder or manifest.jsonl with texts.")
@click.option("--durations", default="15,30,60", show_default=True, callback=numbers(length), help="Seconds, or mix.")
@click.option("--concurrency", default="1,5,10,20", show_default=True, callback=numbers(int), help="Callers at once.")
@click.option("--requests", default=100, show_default=True, type=click.IntRange(1), help="Requests per cell.")
@click.option("--rate", "rates", default="", callback=numbers(float), help="Also open loops: requests a second.")
@click.option("--find-capacity", is_flag=True, help="Also search the highest rate that keeps the goal.")
@click.option("--goal-s", show_default="2.0", type=click.FloatRange(0, min_open=True), help="Latency goal.")
@click.option("--goal-share", show_default="0.95", type=click.FloatRange(0, 1, min_open=True))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--language", default="en", show_default=True, help="Of the recordings, as in the manifest.")
@click.option("--model", default="", help="Named in every request.")
@click.option("--label", default="", help="What the run is called in reports.")
@click.option("--instance", default="", help="SageMaker instance type of the endpoint, for its price.")
@click.option("--hardware", default="", help="What the endpoint runs on, in words.")
@click.option("--api-key", envvar="AURAL_API_KEY", show_envvar=True, help="Sent as a bearer token.")
@click.option("--header", "headers", multiple=True, callback=pairs, help="NAME: VALUE, sent with every request.")
@click.option("--timeout-s", default=120.0, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--seconds", "limit_s", type=click.FloatRange(0, min_open=True), help="Most seconds per closed cell.")
@click.option("--warm-up", default=5, show_default=True, type=click.IntRange(0), help="Most requests before each cell.")
@click.option("--region", help="AWS region.")
@click.option("--endpoint-url", help="Where boto3 finds SageMaker's runtime.")
@click.option("--seed", default=7, show_default=True)
@click.option("--strict", is_flag=True, help="Exit status 1 when there is any doubt about a figure.")
def run(out: Path | None, resume: bool, strict: bool, **given: Any) -> None:
    """Single requests, then callers at once, then arrivals; a report at the end."""
    if resume and out is None:
        raise click.UsageError("expected --out with --resume: the folder of the run that is continued")
    plan = _plan(given)
    from aural.bench.console import watched_run

    sound = drive(watched_run(plan, out or _folder(), resume))
    if strict and not sound:
        sys.exit(1)


@bench.command()
@click.option("--target", required=True, help="ws(s):// or http(s)://HOST[:PORT] of a server with /v1/realtime.")
@click.option("--audio", required=True, type=click.Path(path_type=Path), help="Folder or manifest.jsonl with texts.")
@click.option("--streams", default="1", show_default=True, callback=numbers(int), help="Streams at once, in turn.")
@click.option("--find-capacity", is_flag=True, help="Search the most streams that keep the goal instead.")
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(5), help="Length of each stream.")
@click.option("--most", default=256, show_default=True, type=click.IntRange(1), help="Streams at which a search ends.")
@click.option("--goal-emission-s", default=2.0, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--goal-final-s", default=1.5, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--language", default="en", show_default=True)
@click.option("--model", default="", help="Named in every session.")
@click.option("--label", default="", help="What the run is called in reports.")
@click.option("--instance", default="", help="SageMaker instance type of the endpoint, for aural recommend.")
@click.option("--api-key", envvar="AURAL_API_KEY", default="", show_envvar=True)
@click.option("--seed", default=7, show_default=True)
def stream(out: Path | None, goal_emission_s: float, goal_final_s: float, **given: Any) -> None:
    """Live streams at real speed: how soon words are shown, taken back, and final."""
    with needing_extra():
        from aural.bench.console import watched_streams
        from aural.bench.stream_records import StreamGoal
        from aural.bench.stream_run import StreamPlan

    plan = StreamPlan(goal=StreamGoal(goal_emission_s, goal_final_s), **given)
    drive(watched_streams(plan, out or _folder()))


def _folder() -> Path:
    return Path("bench-results") / time.strftime("%Y%m%d-%H%M%S")


@bench.command()
@click.argument("folders", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where to write; the first folder.")
@click.option("--article", default="", help="Lay the article's figures of this model beside, as parakeet-tdt-0.6b.")
@click.option(
    "--prices", type=click.Path(exists=True, path_type=Path), help="A price table in place of the shipped one."
)
def report(folders: tuple[Path, ...], out: Path | None, article: str, prices: Path | None) -> None:
    """Build report.md and report.html of runs in FOLDERS again, side by side."""
    with needing_extra():
        from aural.bench import stream_records, stream_report
        from aural.bench.report import HTML, MARKDOWN, write

    target = out or folders[0]
    if not stream_records.is_one(folders[0]):
        write(folders, out, article, prices)
    elif len(folders) > 1 or article or prices:
        raise BenchError("expected a run of live streams by itself, without --article and --prices, got more")
    else:
        stream_report.rebuild(folders[0], target)
    click.echo(f"{target / HTML}\n{target / MARKDOWN}")


@bench.command()
@click.argument("ours", type=FOLDER)
@click.argument("theirs", type=FOLDER)
@click.option("--margin", default=0.05, show_default=True, type=click.FloatRange(0), help="Share of speed that may go.")
@click.option(
    "--wer-margin", default=0.3, show_default=True, type=click.FloatRange(0), help="Points of WER that may go."
)
def compare(ours: Path, theirs: Path, margin: float, wer_margin: float) -> None:
    """Exit status 1 if the run OURS is worse than THEIRS, by a test that chance fails once in twenty, or not whole."""
    with needing_extra():
        from aural.bench.verdict import show

    if not show(ours, theirs, margin, wer_margin):
        sys.exit(1)


@contextmanager
def needing_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise BenchError(f"expected the packages of the extra `bench`: pip install 'aural[bench]' ({error})") from error


def _plan(given: dict[str, Any]) -> Any:
    with needing_extra():
        from aural.bench.capacity import Goal
        from aural.bench.plan import Plan
    asked = {"latency_s": given.pop("goal_s"), "share": given.pop("goal_share")}
    asked = {name: value for name, value in asked.items() if value is not None}
    find_capacity = given.pop("find_capacity")
    if asked and not find_capacity:
        raise click.UsageError("expected --find-capacity with --goal-s and --goal-share, which nothing else uses")
    goal = Goal(**asked) if find_capacity else None
    if key := given.pop("api_key"):
        given["headers"] = (*given["headers"], ("Authorization", f"Bearer {key}"))
    return Plan(goal=goal, **{name: value for name, value in given.items() if value is not None})


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop; Ctrl-C and SIGTERM cancel the work, which keeps what it has."""
    import uvloop

    async def interruptible() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(interruptible())
        except (KeyboardInterrupt, asyncio.CancelledError):
            sys.exit(INTERRUPTED)
