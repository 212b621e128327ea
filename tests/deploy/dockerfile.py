"""A Dockerfile as a list of instructions, and what is wrong with it for SageMaker."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

LABELS = ("accept-bind-to-port", "bidirectional-streaming")
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)*(-[\w.-]+)?")
FILES_OF_PIP = ("--requirement", "--constraint")
REDIRECTIONS = re.compile(r"[<>]+")


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.rest)


def parse(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.split(None, 1) for line in whole.splitlines())
    return [Instruction(word.upper(), rest) for word, rest in pairs]


def last_stage(instructions: list[Instruction]) -> list[Instruction]:
    start = max(i for i, one in enumerate(instructions) if one.word == "FROM")
    return instructions[start:]


def faults(text: str) -> list[str]:
    instructions = parse(text)
    return [*_from(instructions), *_run(instructions), *_contract(last_stage(instructions))]


def _from(instructions: list[Instruction]) -> Iterator[str]:
    for one in instructions:
        if one.word == "FROM" and not PINNED.fullmatch(one.arguments[0]):
            yield f"FROM {one.arguments[0]}: expected a tag with a version"
        if one.word == "ADD":
            yield "ADD: COPY is enough"


def _run(instructions: list[Instruction]) -> Iterator[str]:
    for one in (one for one in instructions if one.word == "RUN"):
        if subprocess.run(["sh", "-n", "-c", one.rest], check=False, capture_output=True).returncode:
            yield f"RUN {one.rest}: no shell command"
        yield from _redirections(one.rest)
        if "apt-get install" in one.rest and not all(
            part in one.rest for part in ("apt-get update", "--no-install-recommends", "rm -rf /var/lib/apt/lists")
        ):
            yield f"RUN {one.rest}: expected update, --no-install-recommends and clean-up in the same layer"
        yield from _pins(one.rest)
        if "pip install" in one.rest and "--no-cache-dir" not in one.rest:
            yield f"RUN {one.rest}: expected --no-cache-dir"
        for part in one.rest.split("&&"):
            if "pip install" in part and "--constraint" not in part and "--no-deps" not in part:
                yield f"RUN {part.strip()}: expected --constraint"


def _redirections(command: str) -> Iterator[str]:
    """`pip install x>=1` without quotes installs any x and writes a file `=1`."""
    for part in re.split(r"&&|;", command):
        words = list(shlex.shlex(part, posix=False, punctuation_chars="<>"))
        if "install" in words and any(REDIRECTIONS.fullmatch(word) for word in words):
            yield f"RUN {part.strip()}: a version without quotes is a redirection"


def _pins(command: str) -> Iterator[str]:
    """What pip is given by name must name one version; what comes from a file is pinned by the constraints."""
    for part in re.split(r"&&|;", command):
        _, install, rest = part.partition("pip install")
        words = shlex.split(rest) if install else []
        for word, before in zip(words, ["", *words], strict=False):
            if not word.startswith(("-", ".")) and before not in FILES_OF_PIP and not _is_pinned(word):
                yield f"RUN {part.strip()}: expected NAME==VERSION, got {word}"


def _is_pinned(word: str) -> bool:
    try:
        return [one.operator for one in Requirement(word).specifier] == ["=="]
    except InvalidRequirement:
        return False


def _contract(stage: list[Instruction]) -> Iterator[str]:
    words = [one.word for one in stage]
    labels = " ".join(one.rest for one in stage if one.word == "LABEL")
    entry = next((one.rest for one in stage if one.word == "ENTRYPOINT"), "")
    if not entry.startswith("[") or not isinstance(json.loads(entry), list):
        yield f"ENTRYPOINT {entry}: expected the exec form, so that signals reach the server"
    if "tini" in entry:
        yield "ENTRYPOINT: SageMaker wants no tini"
    if not any(one.word == "EXPOSE" and "8080" in one.arguments for one in stage):
        yield "EXPOSE: expected 8080"
    if "USER" in words:
        yield "USER: SageMaker runs containers as root"
    for label in LABELS:
        if f'com.amazonaws.sagemaker.capabilities.{label}="true"' not in labels:
            yield f"LABEL: expected com.amazonaws.sagemaker.capabilities.{label}"
