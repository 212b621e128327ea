"""What the documents say holds: links lead somewhere, commands exist, examples run, nothing of the API is left out."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from aural import errors
from aural.api import captions, chat, deepgram, models, openai, page, runtime, sagemaker, status
from aural.api.deepgram import query
from aural.audio.encoding import Encoding
from aural.cli import main
from aural.types import Reason
from tests.api.wire import wav
from tests.conftest import DATA, Recording, Server, words

ROOT = Path(__file__).parents[1]
PAGES = [path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md") for path in sorted(ROOT.glob(pattern))]
HERE = "http://127.0.0.1:8080"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """Lines of code blocks that run make or aural, in words and without their comments."""
    for block in blocks(page, r"\w*"):
        for line in block.splitlines():
            if re.match(r"\$? ?(make|aural|\.venv/bin/aural) ", line):
                yield shlex.split(line.removeprefix("$ "), comments=True)


def found(command: click.Command, arguments: list[str]) -> click.Command:
    """`deploy plan …` is in the group `deploy`."""
    while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command


def known_flags(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts} | {"--help", "-h"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    inside = [link for link in links if not re.match(r"\w+:", link)]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, *arguments in commands(page):
        if name == "make":
            assert arguments[0] in targets, arguments
        else:
            command = found(main, arguments)
            assert {word for word in arguments if word.startswith("-")} <= known_flags(command), arguments


@pytest.fixture
def desk(tmp_path: Path, clips: dict[str, Recording]) -> Path:
    """A folder with the files that the examples name."""
    from aural.audio.decode import decode

    clip = clips["libri-367-130732-0001"]
    (tmp_path / "speech.flac").write_bytes(clip.bytes)
    (tmp_path / "speech.wav").write_bytes(wav(decode(clip.bytes, limit_s=60).samples))
    return tmp_path


def ran(command: list[str], desk: Path) -> str:
    surroundings = os.environ | {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    done = subprocess.run(command, cwd=desk, env=surroundings, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_python_examples_run(whisper: Server, desk: Path, name: str) -> None:
    examples = blocks(ROOT / name, "python")
    assert examples
    for example in examples:
        assert "lobster" in words(ran([sys.executable, "-c", example.replace(HERE, whisper.url)], desk))


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_curl_examples_run(whisper: Server, desk: Path, name: str) -> None:
    if not shutil.which("curl"):
        pytest.skip("NOT RUN: expected curl, found none")
    examples = re.findall(r"^\$ (curl .*)$", (ROOT / name).read_text(), re.MULTILINE)
    assert examples
    for example in examples:
        assert "lobster" in words(ran(["sh", "-c", example.replace(HERE, whisper.url)], desk))


def test_the_api_page_leaves_nothing_out() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    routes = [*openai.routes, *models.routes, *sagemaker.routes, *runtime.routes, *status.routes, *page.routes]
    routes += [*deepgram.routes, *captions.routes, *chat.routes]
    for path in {route.path.replace(":path", "") for route in routes} - {"/"}:
        assert path in text or path.rpartition("/")[2] in text, path
    for word in {*chat.FIELDS, *openai.FIELDS, *openai.FORMATS, *openai.NEVER, *sagemaker.OPTIONS, *sagemaker.RAW}:
        assert re.search(rf"\b{word}\b", text), word
    for word in {*query.ENCODINGS, *query.LIVE, *query.FILE, *query.NOTED, *query.SWITCHES} - {"token"}:
        assert re.search(rf"\b{word}\b", text), word
    for word in {*get_args(Encoding), *(reason.value for reason in Reason), *sagemaker.STREAMS}:
        assert word in text, word


def test_every_error_code_is_on_the_api_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AuralError)]
    ours = {errors.SettingsError, errors.LoadFailed, errors.BenchError, errors.DeployError, errors.CallFailed}
    ours |= {errors.SessionLost, errors.SessionRefused}
    for kind in set(kinds) - ours:
        assert re.search(rf"^\| {kind.status} \| .*`{kind.code}`", page, re.MULTILINE), kind


def test_every_recording_has_its_notice() -> None:
    notice = (DATA / "NOTICE.md").read_text()
    manifest = (DATA / "manifest.jsonl").read_text()
    for path in (DATA / "clips").iterdir():
        assert f"clips/{path.name}" in notice
        assert f"clips/{path.name}" in manifest
