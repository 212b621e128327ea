"""The command line: serve, transcribe, live, models, doctor. Each flag may also come as AURAL_… or from a TOML file."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from aural import __version__
from aural.bench.commands import bench
from aural.bench.recommend_command import recommend
from aural.deploy.commands import deploy
from aural.errors import AuralError, SettingsError
from aural.simulation.command import batches, simulate

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")


def _option(flag: str, *names: str, env: tuple[str, ...] = (), **attributes: Any) -> Callable[[Command], Command]:
    """A flag that may also come as AURAL_FLAG."""
    variable = "AURAL_" + flag.removeprefix("--").replace("-", "_").upper()
    return click.option(flag, *names, envvar=[*env, variable], show_envvar=True, **attributes)


ENGINE_OPTIONS = [
    _option("--device", help="auto takes every GPU, else the CPU; or cpu, cuda, cuda:0,2."),
    _option("--compute-type", help="int8, float16, …; auto is int8 on CPU, float16 on CUDA."),
    _option("--replicas", type=int, help="Copies of each model; 0 measures the machine."),
    _option("--threads", type=int, help="Threads of each copy; 0 measures the machine."),
    _option("--max-batch", type=int, help="Most clips in a batch; 0 is 8 on CPU and 32 on CUDA."),
    _option(
        "--fitted-windows",
        type=click.Choice(["auto", "on", "off"]),
        help="Let Whisper's encoder hear only the clip, not 30 s; auto where that was shown to keep the text.",
    ),
    _option("--idle-s", type=float, help="Let a model go after so long without a request; 0 keeps it."),
    _option("--upstream", help="URL of a vLLM that already serves the Voxtral of --model."),
    _option("--memory-share", type=float, help="Share of a GPU's memory that vLLM may take; 0 leaves it to vLLM."),
    _option("--beam-size", type=int, help="Beams when the request does not say; 1 is greedy."),
    _option("--log-level", type=click.Choice(["debug", "info", "warning", "error"])),
    _option("--log-format", type=click.Choice(["json", "text"])),
]
SERVER_OPTIONS = [
    _option("--host", help="Address to listen on; containers set 0.0.0.0."),
    _option(
        "--port",
        env=("SAGEMAKER_BIND_TO_PORT",),
        type=int,
        help="Port to listen on; SAGEMAKER_BIND_TO_PORT is honoured.",
    ),
    _option("--api-key", help="Key that every request but /ping must bear."),
    _option("--admin-key", help="Key that loads and unloads models while the server runs; none forbids it."),
    _option("--batch-window-ms", type=float, help="How long the first clip of a batch may wait for company."),
    _option("--memory-gb", type=float, help="Memory for all models; the one unused longest is let go. 0 has no limit."),
    _option(
        "--multi-model",
        env=("SAGEMAKER_MULTI_MODEL",),
        is_flag=True,
        default=None,
        help="Load models as SageMaker's multi-model endpoints ask for them; none at the start.",
    ),
    _option("--fetch-from", multiple=True, help="Host whose URLs may be given in place of audio; may be repeated."),
    _option("--insights", help="TOML file: what to look for, alerts, a webhook, a language model."),
    _option("--max-body-mb", type=float, help="Larger bodies get 413 before they are read."),
    _option("--max-audio-s", type=float, help="Longer audio gets 413."),
    _option("--max-wait-s", type=float, help="A request that would wait longer gets 503 with Retry-After."),
    _option("--max-queue-audio-s", type=float, help="Seconds of audio that may wait for each model."),
    _option("--max-requests", type=int, help="Requests answered at once."),
    _option(
        "--max-streams", type=int, help="Live sessions at once for each model; 0 measures what can be heard in time."
    ),
    _option("--body-timeout-s", type=float, help="A body that takes longer to arrive gets 408."),
    _option("--emf", help="Print metrics for CloudWatch to stdout every minute, under this endpoint's name."),
    _option("--drain-s", type=float, help="After SIGTERM, how long requests and live sessions may still take."),
]


INSIGHT_OPTIONS = [
    click.option(
        "--insights", "wanted", help="What to look for in the text: all, names between commas, or a JSON object."
    ),
    _option(
        "--insights-file",
        "insights",
        env=("AURAL_INSIGHTS",),
        help="TOML file as that of aural serve --insights: defaults, alerts, a language model. `insights` in --config.",
    ),
    click.option("--redact", help="What must not be shown: true, or categories between commas."),
]


def _options(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class _Model(click.ParamType):  # type: ignore[type-arg]  # not generic at run time everywhere
    """A name, or from a file a table of settings."""

    name = "[name=]model"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        return value if isinstance(value, str | dict) else self.fail(f"expected a name or a table, got {value!r}")


def _read_config(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Put the keys of a TOML file below flags and environment."""
    if path is None:
        return None
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path}: {error}") from error
    known = {option.name for option in context.command.params}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise click.BadParameter(f"{path}: expected keys of {', '.join(sorted(filter(None, known)))}; got {unknown[0]}")
    context.default_map = table
    return path


config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    help="TOML file with any of these flags, underscores for dashes.",
)


class _Group(click.Group):
    """Turns our errors into one line for people and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except AuralError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="aural")
def main() -> None:
    """Speech as text, while people are still speaking."""


main.add_command(deploy)


@main.command()
@_option(
    "--model",
    "models",
    multiple=True,
    type=_Model(),
    help="Model to serve, [NAME=]MODEL, the default first; may be repeated. Tables [[models]] in the file say more.",
)
@_options(SERVER_OPTIONS)
@_options(ENGINE_OPTIONS)
@config_option
def serve(**given: Any) -> None:
    """Start the server."""
    from aural import app, logs

    settings = _settings(given)
    logs.configure(settings.log_level, settings.log_format)
    _run(app.serve(settings))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_option("--model", "models", help="Model to hear with.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "verbose_json", "srt", "vtt"]),
    default="text",
    show_default=True,
)
@click.option("--language", help="As 'en', 'zh-TW', 'chinese'; left out, it is detected.")
@click.option("--task", type=click.Choice(["transcribe", "translate"]), default="transcribe", show_default=True)
@click.option("--prompt", default="", help="Text that came before, for style and spelling.")
@click.option("--words", is_flag=True, help="Times of words, in verbose_json.")
@click.option(
    "--channels",
    type=click.Choice(["mixed", "separate"]),
    default="mixed",
    show_default=True,
    help="separate hears left and right each for itself.",
)
@_options(INSIGHT_OPTIONS)
@click.option("--url", help="Ask the server at this address instead of loading a model here.")
@_option("--api-key", help="The server's key.")
@_options(ENGINE_OPTIONS)
@config_option
def transcribe(files: tuple[Path, ...], **given: Any) -> None:
    """Print what is said in FILES."""
    from aural import elsewhere, logs

    asked = ("form", "language", "task", "prompt", "words", "redact", "channels")
    ask = elsewhere.Wish(
        **{name: given.pop(name) for name in asked}, insights=given.pop("wanted"), model=given["models"]
    )
    url = _server(given.pop("url"))
    given["models"] = (given["models"],) if given["models"] else ()
    settings = _settings(given | {"log_level": given.get("log_level") or "warning", "log_format": "text"})
    logs.configure(settings.log_level, settings.log_format)
    if url:
        return _run(elsewhere.ask_server(files, ask, url, settings.api_key))
    from aural import offline

    return _run(offline.transcribe(files, ask, settings))


@main.command()
@click.argument("source", default="-", metavar="[FILE|-]")
@_option("--model", "models", help="Model to hear with.")
@click.option("--language", help="As 'en', 'zh-TW', 'chinese'; left out, it is detected.")
@click.option("--silence-ms", type=int, default=500, show_default=True, help="Silence that ends an utterance.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Keep it: .txt, .srt or .vtt.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json prints each utterance, and each event of insights, as a line.",
)
@_options(INSIGHT_OPTIONS)
@click.option("--call", help="Name of the call: sessions that share it are one call to rules and notes.")
@click.option("--role", type=click.Choice(["AGENT", "CUSTOMER"], case_sensitive=False), help="Who speaks here.")
@click.option("--channel", type=int, help="Number of this channel of the call.")
@click.option("--url", help="Speak to the server at this address instead of starting one here.")
@_option("--api-key", help="The server's key.")
@_options(ENGINE_OPTIONS)
@config_option
def live(source: str, **given: Any) -> None:
    """Show captions of FILE, heard at the speed at which it was spoken, or of PCM16 (16 kHz, mono) on stdin.

    \b
    arecord -q -t raw -f S16_LE -r 16000 | aural live
    """
    from aural import terminal
    from aural.own_server import own_server
    from aural.streaming.session import Wish

    if source == terminal.STDIN and sys.stdin.isatty():
        raise click.UsageError("expected a FILE, or samples on stdin; stdin is a terminal")
    if source != terminal.STDIN and not Path(source).is_file():
        raise click.BadParameter(f"{source!r} is no file", param_hint="FILE")
    wish = Wish(
        model=given["models"],
        language=given["language"],
        silence_ms=given["silence_ms"],
        aural=_beside(given),
    )
    key, url = given["api_key"] or "", _server(given["url"])
    if url:
        _refuse(ENGINE_OPTIONS, "the server at --url has its own")
    server = nullcontext(url) if url else own_server(_serve_flags(given), key)
    as_json = given["form"] == "json"
    sys.exit(_run(terminal.caption(source, wish, server, key, given["save"], as_json=as_json)))


def _server(url: str | None) -> str | None:
    """The server to ask; raises SettingsError when it is told what is its own to know."""
    source = click.get_current_context().get_parameter_source("insights")
    if url and source is ParameterSource.COMMANDLINE:
        raise SettingsError("expected no --insights-file with --url: the server at that address has its own")
    return url


def _beside(given: dict[str, Any]) -> dict[str, Any]:
    """What a live session is asked for that OpenAI has no name for."""
    names = {"insights": "wanted", "redact": "redact", "call": "call", "role": "role", "channel": "channel"}
    return {name: given[option] for name, option in names.items() if given[option] not in (None, "")}


def _serve_flags(given: dict[str, Any]) -> list[str]:
    """The flags of `aural serve` among those given; the log is for people, and short."""
    flags = {"models": "--model", "insights": "--insights", **_flags(ENGINE_OPTIONS)}
    said = {"log_level": "warning", "log_format": "text"} | {
        name: value for name, value in given.items() if name in flags and value is not None
    }
    return [part for name, value in said.items() for part in (flags[name], str(value))]


def _flags(options: list[Callable[[Any], Any]]) -> dict[str, str]:
    """The flags, by the names of their values."""
    command = click.Command(None)
    for option in options:
        option(command)
    return {parameter.name: parameter.opts[0] for parameter in command.params if parameter.name}


def _refuse(options: list[Callable[[Any], Any]], why: str) -> None:
    """Flags that would have no effect. The environment and the file may hold them for other commands."""
    context = click.get_current_context()
    for name, flag in _flags(options).items():
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"expected no {flag}: {why}")


@main.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Show the models: what is here, what each can do, what would be downloaded."""
    from aural import inspection

    if context.invoked_subcommand is None:
        inspection.show_models()


@models.command()
@click.argument("name")
@click.option("--to", default="", help="Folder or s3://BUCKET/PREFIX to put the files into.")
def pull(name: str, to: str) -> None:
    """Fetch the weights of a model and print their digests."""
    from aural.pull import pull

    pull(name, to)


@main.command()
@_option("--model", "models", multiple=True)
@_options(ENGINE_OPTIONS)
def doctor(**given: Any) -> None:
    """Show what this machine has, what would be chosen on it, and why."""
    from aural import inspection

    if not inspection.show_doctor(_settings(given)):
        sys.exit(1)


bench.add_command(batches)
bench.add_command(simulate)
main.add_command(bench)
main.add_command(recommend)


def _settings(given: dict[str, Any]) -> Any:
    """The settings that were given, defaults for the rest."""
    from aural.settings import Settings

    return Settings.of(given)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run on uvloop; the result."""
    import uvloop

    try:
        return uvloop.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except OSError as error:
        raise SettingsError(str(error)) from error
