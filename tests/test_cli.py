"""The command line, as people type it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from aural import app, offline
from aural.cli import main
from aural.elsewhere import Wish
from aural.engines.fake import speak
from aural.serving import insights
from aural.settings import ModelSettings, Settings
from tests.api.wire import speech, wav
from tests.conftest import Recording, Server, serving, words
from tests.insight.conform import conforms

Clips = dict[str, Recording]
LOBSTER = "libri-367-130732-0001"
HEAVY = {
    *("av", "ctranslate2", "faster_whisper", "huggingface_hub", "numpy", "onnxruntime", "opencc", "tokenizers"),
    *("starlette", "uvicorn", "prometheus_client", "rich"),
}


def aural(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aural", *map(str, arguments)]
    surroundings = os.environ | {"COLUMNS": "200"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, timeout=120, check=False)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What it printed, when all went well."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that it printed when it did not."""
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("Error: ")


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A file in which the fake engine hears something."""
    path = tmp_path / "spoken.wav"
    path.write_bytes(speech("this was said"))
    return path


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["transcribe", "-h"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = "import sys, aural.cli as cli; cli.main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert not HEAVY & set(ran.stdout.splitlines()[-1].split())


# transcribe


def test_transcribe_in_process(clips: Clips) -> None:
    model = ("--model", "whisper-tiny.en", "--replicas", "1", "--max-batch", "1")
    done = aural("transcribe", clips[LOBSTER].path, clips["LJ001-0002"].path, *model)
    first, second = said(done).splitlines()
    assert "lobster" in words(first)
    assert "modern" in words(second)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", "this was said\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:00,260\nthis was said\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:00.260\nthis was said\n"),
    ],
)
def test_forms_in_process_and_from_a_server(fake: Server, spoken: Path, form: str, expected: str) -> None:
    here = said(aural("transcribe", spoken, "--model", "fake", "--format", form))
    there = said(aural("transcribe", spoken, "--url", fake.url, "--format", form))
    assert here.rstrip("\n") == there.rstrip("\n") == expected.rstrip("\n")


@pytest.mark.parametrize("form", ["json", "verbose_json"])
def test_json_in_process_and_from_a_server(fake: Server, spoken: Path, form: str) -> None:
    here = json.loads(said(aural("transcribe", spoken, "--model", "fake", "--format", form)))
    there = json.loads(said(aural("transcribe", spoken, "--url", fake.url, "--format", form)))
    assert here == there
    assert here["text"] == "this was said"


def test_everything_asked_of_a_server(whisper: Server, clips: Clips) -> None:
    asked = ["--url", whisper.url, "--model", "whisper-base", "--format", "verbose_json", "--words"]
    more = ["--language", "es", "--task", "translate", "--prompt", "It seems"]
    answer = json.loads(said(aural("transcribe", clips["fleurs-es-003"].path, *asked, *more)))
    assert (answer["task"], answer["language"]) == ("translate", "spanish")
    assert {"earth", "movement"} <= set(words(answer["text"]))
    assert answer["words"]


def test_the_key_of_a_server(spoken: Path) -> None:
    with serving("--model", "fake", AURAL_API_KEY="sesame") as server:
        assert said(aural("transcribe", spoken, "--url", server.url, AURAL_API_KEY="sesame")) == "this was said\n"
        assert "401" in complaint(aural("transcribe", spoken, "--url", server.url, "--api-key", "wrong"))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--model", "whisper-nine"], "whisper-nine"),
        (["--model", "fake", "--language", "klingon"], "klingon"),
        (["--model", "fake", "--task", "translate"], "task='translate'"),
        (["--url", "http://127.0.0.1:9"], "refused"),
        (["--url", "localhost"], "http://127.0.0.1:8080"),
        (["--model", "fake", "--replicas", "-1"], "replicas"),
    ],
)
def test_errors_are_one_line(spoken: Path, arguments: list[str], part: str) -> None:
    assert part in complaint(aural("transcribe", spoken, *arguments))


def test_a_file_that_is_no_audio(tmp_path: Path, fake: Server) -> None:
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7")
    assert "a PDF document" in complaint(aural("transcribe", path, "--model", "fake"))
    assert "a PDF document" in complaint(aural("transcribe", path, "--url", fake.url))


def test_a_port_that_is_taken(fake: Server) -> None:
    port = fake.url.rpartition(":")[2]
    assert "in use" in complaint(aural("serve", "--model", "fake", "--port", port))


# insights on the command line


RULES = """
redact = ["CARD_NUMBER"]
keywords = { animals = ["lobster"] }

[alert.lobster-said]
any = [{ category = "animals" }]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "insights.toml"
    path.write_text(RULES)
    return path


@pytest.fixture
def confided(tmp_path: Path) -> Path:
    path = tmp_path / "confided.wav"
    path.write_bytes(speech("the lobster card is 4111111111111111"))
    return path


@pytest.mark.parametrize("way", ["flag", "environment", "file"])
def test_insights_without_a_server(confided: Path, rules: Path, tmp_path: Path, way: str) -> None:
    config = tmp_path / "aural.toml"
    config.write_text(f'insights = "{rules}"\n')
    flags = {"flag": ["--insights-file", rules], "file": ["--config", config]}.get(way, [])
    environment = {"AURAL_INSIGHTS": str(rules)} if way == "environment" else {}
    asked = ["--model", "fake", "--insights", "keywords", "--format", "json"]
    answer = json.loads(said(aural("transcribe", confided, *asked, *flags, **environment)))
    assert answer["text"] == "the lobster card is [CARD_NUMBER]"
    conforms(answer["insights"])
    assert answer["insights"]["call"]["keywords"] == [{"phrase": "lobster", "count": 1}]
    assert [alert["name"] for alert in answer["insights"]["alerts"]] == ["lobster-said"]


def test_insights_for_people_and_redaction_alone(confided: Path, rules: Path) -> None:
    shown = said(aural("transcribe", confided, "--model", "fake", "--insights", "keywords", "--insights-file", rules))
    assert "keywords: lobster (1)" in shown
    assert "alert: lobster-said" in shown
    assert said(aural("transcribe", confided, "--model", "fake", "--redact", "true", "--format", "srt")).endswith(
        "the lobster card is [CARD_NUMBER]\n\n"
    )


def test_two_channels_without_a_server(tmp_path: Path) -> None:
    agent, customer = speak("good morning"), speak("my lobster is cold")
    both = np.zeros((len(agent) + len(customer), 2), np.float32)
    both[: len(agent), 0], both[len(agent) :, 1] = agent, customer
    path = tmp_path / "call.wav"
    path.write_bytes(wav(both))
    asked = '{"skills": ["talk"], "roles": ["AGENT", "CUSTOMER"]}'
    flags = ("--model", "fake", "--channels", "separate", "--insights", asked, "--format", "verbose_json")
    answer = json.loads(said(aural("transcribe", path, *flags)))
    assert [(one["channel"], one["text"].strip()) for one in answer["segments"]] == [
        (0, "good morning"),
        (1, "my lobster is cold"),
    ]
    assert [one["participant_role"] for one in answer["insights"]["utterances"]] == ["AGENT", "CUSTOMER"]


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--model", "fake", "--insights", "all", "--format", "srt"], "got srt"),
        (["--model", "fake", "--insights", "moods"], "moods"),
        (["--model", "fake", "--redact", "names"], "CARD_NUMBER"),
        (["--model", "fake", "--insights-file", "nowhere.toml"], "nowhere.toml"),
        (["--url", "http://127.0.0.1:9", "--insights-file", "nowhere.toml"], "--insights-file"),
    ],
)
def test_insights_that_cannot_be_had_are_refused_in_one_line(spoken: Path, flags: list[str], part: str) -> None:
    assert part in complaint(aural("transcribe", spoken, *flags))


def test_a_transcript_is_not_lost_over_its_insights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(insights, "MODULE", "tests.serving.puppet")
    monkeypatch.setenv("PUPPET", str(tmp_path))
    path = tmp_path / "raise.wav"
    path.write_bytes(speech("raise"))
    wish = Wish("json", None, "transcribe", "", words=False, model="fake", insights="terms")
    asyncio.run(offline.transcribe([path], wish, Settings.of({"models": ("fake",)})))
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == "raise"
    assert answer["insights"]["skipped"]["code"] == "engine_failed"


@pytest.fixture
def captioned(monkeypatch: pytest.MonkeyPatch, spoken: Path) -> Any:
    """`aural live` up to where it would hear: what it asks for, and how it would show it."""
    seen: list[Any] = []

    async def note(source: str, wish: Any, url: str, key: str, save: Path | None, *, as_json: bool) -> None:
        seen.append((dict(wish.aural), as_json))

    monkeypatch.setattr("aural.terminal.caption", note)

    def run(*flags: str) -> Any:
        result = CliRunner().invoke(main, ["live", str(spoken), "--url", "http://127.0.0.1:9", *flags])
        return seen.pop() if seen else result.output

    return run


def test_live_says_who_speaks_and_in_which_call(captioned: Any) -> None:
    assert captioned() == ({}, False)
    flags = ("--insights", "keywords", "--call", "c7", "--role", "customer", "--channel", "0", "--format", "json")
    assert captioned(*flags) == ({"insights": "keywords", "call": "c7", "role": "CUSTOMER", "channel": 0}, True)
    assert "--insights-file" in captioned("--insights-file", "rules.toml")


# models, doctor


def test_models() -> None:
    shown = said(aural("models"))
    assert all(name in shown for name in ("whisper-base (default)", "whisper-tiny.en", "whisper-large-v3-turbo"))


def test_doctor() -> None:
    shown = said(aural("doctor", "--model", "whisper-tiny.en", "--replicas", "3"))
    assert all(part in shown for part in ("ctranslate2", "Model whisper-tiny.en", "sha256", "as published", "3, "))


def test_doctor_finds_what_would_not_start() -> None:
    done = aural("doctor", "--model", "whisper-nine")
    assert done.returncode == 1
    assert "whisper-nine" in done.stdout


# flags, environment, file


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`aural serve` up to where it would start: the settings, or what went wrong."""
    seen: list[Settings] = []

    async def note(settings: Settings) -> None:
        seen.append(settings)

    monkeypatch.setattr(app, "serve", note)
    monkeypatch.setattr("aural.logs.configure", lambda level, form: None)
    for variable in [name for name in os.environ if name.startswith("AURAL_")]:
        monkeypatch.delenv(variable)

    def run(*arguments: str | Path, **environment: str) -> Settings | Result:
        result = CliRunner().invoke(main, ["serve", *map(str, arguments)], env=environment)
        return seen.pop() if seen else result

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "aural.toml"
    path.write_text(
        'models = ["whisper-tiny.en", "fake"]\nport = 1111\nbeam_size = 2\nmax_wait_s = 3.5\nhost = "::1"\n'
    )
    return path


def test_defaults(serve: Any) -> None:
    assert serve() == Settings()


def test_a_flag_goes_before_the_environment_before_the_file(serve: Any, config: Path) -> None:
    environment = {"AURAL_PORT": "2222", "AURAL_BEAM_SIZE": "3"}
    settings = serve("--config", config, "--port", "3333", **environment)
    assert (settings.port, settings.beam_size, settings.defaults.max_wait_s, settings.host) == (3333, 3, 3.5, "::1")
    assert [one.model for one in settings.models] == ["whisper-tiny.en", "fake"]
    assert settings.defaults == ModelSettings(max_wait_s=3.5)


def test_models_in_each_place(serve: Any, config: Path) -> None:
    assert names(serve("--model", "a", "--model", "b", AURAL_MODEL="c")) == ["a", "b"]
    assert names(serve("--config", config, AURAL_MODEL="c d")) == ["c", "d"]


def names(settings: Settings) -> list[str]:
    return [one.model for one in settings.models]


def test_a_table_for_each_model(serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "aural.toml"
    path.write_text("""
        threads = 2
        [[models]]
        model = "whisper-base"
        replicas = 3
        [[models]]
        name = "understands"
        model = "voxtral-mini-3b"
        memory_share = 0.6
        idle_s = 60
        vllm = { max_model_len = 8192 }
    """)
    first, second = serve("--config", path, "--device", "cpu").models
    assert (first.model, first.replicas, first.threads, first.device) == ("whisper-base", 3, 2, "cpu")
    assert (second.model, second.memory_share, second.idle_s) == ("understands=voxtral-mini-3b", 0.6, 60)
    assert (second.replicas, second.threads, second.vllm) == (0, 2, {"max_model_len": 8192})


def test_behind_a_multi_model_endpoint(serve: Any) -> None:
    settings = serve(SAGEMAKER_MULTI_MODEL="true")
    assert (settings.models, settings.multi_model) == ((), True)


def test_sagemakers_port_goes_first(serve: Any) -> None:
    assert serve(SAGEMAKER_BIND_TO_PORT="8888", AURAL_PORT="9999").port == 8888


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("prot = 1", "got prot"),
        ("port = 1\n[serve]\na = 1", "got serve"),
        ("port = ", "aural.toml"),
        ('port = "many"', "'many'"),
        ("port = 99999", "99999"),
        ("max_body_mb = 0", "max_body_mb"),
        ("beam_size = 0", "beam_size"),
        ('[[models]]\nmodle = "fake"', "got 'modle'"),
        ('[[models]]\nmodel = "fake"\nreplicas = "two"', "expected replicas as int, got 'two'"),
        ("[[models]]\nreplicas = 2", "expected 'model' or 'name'"),
        ("models = [1]", "a name or a table"),
    ],
)
def test_a_file_of_nonsense(serve: Any, tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "aural.toml"
    path.write_text(text)
    result = serve("--config", path)
    assert isinstance(result, Result)
    assert result.exit_code in (1, 2)
    assert part in result.output


def test_a_file_that_is_not_there(serve: Any, tmp_path: Path) -> None:
    result = serve("--config", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml" in result.output
