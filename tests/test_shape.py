"""The shape of the code: imports point down, nothing heavy is imported early, nothing goes undocumented."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from aural import errors
from aural.settings import ModelSettings, Settings

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "aural"

LAYERS = [
    {"types", "errors"},
    {"attributes", "client", "duplex", "eventstream", "streaming"},
    {"emf", "languages", "metrics", "text"},
    {"bench"},
    {"deploy"},
    {"audio", "insight"},
    {"engines", "live"},
    {"serving"},
    {"api"},
    {"settings"},
    {"assembly"},
    {"app", "logs", "notebook"},
    {"elsewhere", "offline", "inspection", "own_server", "pull", "simulation", "terminal"},
    {"cli"},
    {"scale"},
    {"__main__", "container"},
]
"""Lowest first. A module imports its own layer and those below."""
MODEL_LIBRARIES = {"ctranslate2", "faster_whisper", "tokenizers", "onnxruntime", "av", "torch"}

BROAD = {"Exception", "BaseException"}


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def modules() -> list[Path]:
    return [path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"]


def imported(path: Path) -> set[str]:
    """Every module that is imported at any depth of the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    own = layer(path.relative_to(SOURCE).parts[0].removesuffix(".py"))
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "aural" and parts[1] not in ("__version__",):
            assert layer(parts[1]) <= own, f"{path.name} imports {name}"


def test_help_loads_no_model_library() -> None:
    code = f"import sys, aural.cli; print(sorted(set(sys.modules) & {MODEL_LIBRARIES | {'numpy', 'starlette'}!r}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_front_process_loads_no_model_library_before_it_needs_one() -> None:
    code = f"import sys, aural.app; print(sorted(set(sys.modules) & {MODEL_LIBRARIES!r}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_settings_are_few_and_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    help_text = subprocess.run(
        [sys.executable, "-m", "aural", "serve", "--help"], capture_output=True, text=True
    ).stdout
    names = [field.name for field in fields(Settings)]
    assert len(names) < 25
    of_models = {field.name for field in fields(ModelSettings)} - {"model", "vllm"}
    for name in {*names, *of_models} - {"defaults"}:
        flag = "--model" if name == "models" else "--" + name.replace("_", "-")
        assert f"`{flag}`" in page, flag
        assert f"{flag} " in help_text, flag


def test_documented_defaults_are_the_defaults() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = dict(re.findall(r"^\| `--([\w-]+)` \| [^|]+ \| `?([^|`]+?)`? \|", page, re.MULTILINE))
    for field in (*fields(Settings), *fields(ModelSettings)):
        default = field.default
        if field.name in ("models", "model", "defaults", "vllm") or default in ("", (), False):
            continue
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert rows[field.name.replace("_", "-")] == shown


def test_broad_excepts_say_why() -> None:
    """Whoever catches everything raises it again, or gives the reason behind a noqa."""
    for path in modules():
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.ExceptHandler) and ast.unparse(node.type or ast.Name("BaseException")) in BROAD:
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                assert raises or "# noqa: BLE001 - " in lines[node.lineno - 1], f"{path.name}:{node.lineno}"


def test_the_exception_tree_is_drawn() -> None:
    drawn = inspect.getdoc(errors) or ""
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, errors.AuralError):
            assert re.search(rf"\b{name}\b", drawn), name


def test_documented_error_codes_exist() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for status, cell in re.findall(r"^\| (\d{3}) \| (.+) \|$", page, re.MULTILINE):
        for code in re.findall(r"`(\w+)`", cell):
            known = [
                value
                for value in vars(errors).values()
                if inspect.isclass(value) and issubclass(value, errors.AuralError) and value.code == code
            ]
            assert known, code
            assert all(value.status == int(status) for value in known)
