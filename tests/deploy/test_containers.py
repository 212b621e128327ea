"""The images: their files are sound, and what they run is run here as plain processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from aural import container
from aural.deploy.spec import FLAVOURS
from aural.deploy.standin.container import free_port
from tests.conftest import Recording, wait_until
from tests.deploy.conftest import ROOT
from tests.deploy.dockerfile import Instruction, faults, last_stage, parse

FILES = sorted((ROOT / "containers").glob("*.Dockerfile"))
ARTICLES = """
FROM nvcr.io/nvidia/nemo:latest
RUN pip install flask>=3.0.0 gunicorn
RUN pip install "torch[cuda" "flask>=3"
ENTRYPOINT python serve.py
"""
START_S = 120


def test_there_is_one_for_each_flavour() -> None:
    assert [path.name.removesuffix(".Dockerfile") for path in FILES] == sorted(FLAVOURS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_sound(path: Path) -> None:
    assert faults(path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_not_ignored(path: Path) -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    for one in parse(path.read_text()):
        if one.word == "COPY" and not one.rest.startswith("--from"):
            *sources, _ = one.arguments
            assert [source for source in sources if not (ROOT / source).exists()] == []
            assert set(sources) <= allowed


def test_the_articles_own_file_is_found_wanting() -> None:
    found = "\n".join(faults(ARTICLES))
    for complaint in (
        "nemo:latest",
        "redirection",
        "exec form",
        "8080",
        "accept-bind-to-port",
        "--no-cache-dir",
        "got gunicorn",
        "got torch[cuda",
        "got flask>=3",
        "--constraint",
    ):
        assert complaint in found


def test_pins_are_versions_that_the_project_allows() -> None:
    """`scripts/pin` writes them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(line) for line in (*project["dependencies"], *extras["embedded"], *extras["gpu"])]
    lines = (ROOT / "containers" / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    assert len(pinned) > len(wanted)
    for one in wanted:
        if one.name in pinned:
            assert one.specifier.contains(pinned[one.name]), one


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_requirements_of_an_image_can_be_read(path: Path) -> None:
    (command,) = re.findall(r"requirements\.py( \w+)? >", path.read_text())
    script = [sys.executable, str(ROOT / "containers" / "requirements.py"), *command.split()]
    said = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "starlette" in {Requirement(line).name for line in said.splitlines()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_entry_points_are_one_and_the_same(path: Path) -> None:
    stage = {one.word: one.rest for one in last_stage(parse(path.read_text()))}
    program, *arguments = json.loads(stage["ENTRYPOINT"])
    assert arguments == ["-m", "aural.container"]
    assert json.loads(stage["CMD"]) == ["serve"]
    assert program == "/opt/venv/bin/python" or (program == "python" and "PATH=/opt/venv/bin:$PATH" in stage["ENV"])
    assert "-m venv /opt/venv" in path.read_text()


def test_the_entry_point_serves_and_ends_when_asked(tmp_path: Path) -> None:
    port = free_port()
    given = {"AURAL_MODEL": "fake", "AURAL_REPLICAS": "1", "AURAL_HOST": "127.0.0.1"}
    given |= {"AURAL_MODEL_FOLDER": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": str(port), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-m", "aural.container", "serve"], env=os.environ | given)
    try:
        wait_until(lambda: pings(port, process), START_S)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(35) == 0


def test_caches_go_where_one_may_write(tmp_path: Path) -> None:
    scratch = container.environment({"TMPDIR": str(tmp_path)})
    folders = {scratch[name] for name in container.CACHES}
    assert len(folders) == len(container.CACHES)
    assert all(Path(folder).parent == tmp_path for folder in folders)
    assert {"TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "VLLM_CONFIG_ROOT", "VLLM_CACHE_ROOT"} <= scratch.keys()
    made = container.environment({"AURAL_MODEL_FOLDER": str(tmp_path), "HF_HOME": "/given"})
    assert made["HF_HOME"] == "/given"
    assert made["AURAL_CACHE"] == "/tmp/aural"
    assert made["AURAL_HOST"] == "0.0.0.0"
    assert "AURAL_MODEL" not in made


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({}, "model={folder}"),
        ({"AURAL_MODEL": "turbo"}, "turbo={folder}"),
        ({"AURAL_MODEL": "turbo=/elsewhere"}, "turbo=/elsewhere"),
        ({"AURAL_MODEL": "a b"}, "a b"),
    ],
)
def test_the_model_in_the_folder_is_served(tmp_path: Path, given: dict[str, str], model: str) -> None:
    (tmp_path / "model.bin").touch()
    made = container.environment(given | {"AURAL_MODEL_FOLDER": str(tmp_path)})
    assert made["AURAL_MODEL"] == model.format(folder=tmp_path)


def test_another_word_than_serve_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aural.container", "train"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "expected 'serve'" in done.stderr


@pytest.mark.slow
def test_install_steps_and_entry_point_as_plain_processes(tmp_path: Path, clips: dict[str, Recording]) -> None:
    """cpu.Dockerfile in a folder tree that stands for the image's: COPY copies, RUN runs, ENTRYPOINT serves."""
    instructions = parse((ROOT / "containers" / "cpu.Dockerfile").read_text())
    variables = build(instructions, tmp_path)
    entry = next(one for one in reversed(instructions) if one.word == "ENTRYPOINT")
    command = [*re.findall(r'"([^"]+)"', entry.rest), "serve"]
    model, port = tmp_path / "opt" / "ml" / "model", free_port()
    model.mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    ours = {
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "AURAL_MODEL_FOLDER": str(model),
        "AURAL_MODEL": "whisper-tiny.en",
        "AURAL_HOST": "127.0.0.1",
        "TMPDIR": str(tmp_path / "tmp"),
        "HF_HUB_OFFLINE": "1",
    }
    process = subprocess.Popen(command, cwd=tmp_path, env=variables | ours)
    try:
        wait_until(lambda: pings(port, process), START_S)
        audio = clips["libri-367-130732-0001"].bytes
        request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", audio, {"Content-Type": "audio/flac"})
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            assert "lobster" in answer.read().decode().lower()
        assert list(model.iterdir()) == []
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(35) == 0


def pings(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the entry point ended"
    with suppress(urllib.error.URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def build(instructions: list[Instruction], root: Path) -> dict[str, str]:
    """Carry the file out under `root`; the environment that it leaves."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AURAL", "PYTHON", "VIRTUAL"))}
    variables = clean | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    folder = root
    for one in instructions:
        rest = re.sub(r"(?<![\w$])/opt/", f"{root}/opt/", one.rest)
        match one.word:
            case "WORKDIR":
                folder = Path(rest)
                folder.mkdir(parents=True)
            case "COPY" if not rest.startswith("--from"):
                copy(one.arguments[:-1], folder / one.arguments[-1])
            case "RUN":
                subprocess.run(["sh", "-ec", rest], cwd=folder, env=variables, check=True)
            case "ENV":
                pairs = (pair.partition("=") for pair in rest.split())
                variables |= {name: value.replace("$PATH", variables["PATH"]) for name, _, value in pairs}
    return variables


def copy(sources: list[str], target: Path) -> None:
    for source in (ROOT / name for name in sources):
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
