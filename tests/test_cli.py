"""The command line, as people type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aural import app
from aural.cli import main
from aural.settings import ModelSettings, Settings
from tests.api.wire import speech
from tests.conftest import Recording, Server, serving, words

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
