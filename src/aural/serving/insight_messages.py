"""What the front process and the worker of the insights say to each other; `messages.py` carries it."""

from __future__ import annotations

from dataclasses import dataclass

from aural.insight.request import Asked
from aural.insight.types import Findings, Utterance


@dataclass(frozen=True, slots=True)
class WarmUp:
    """To the worker, first."""


@dataclass(frozen=True, slots=True)
class Warm:
    """From the worker: the embedders that it has loaded."""

    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Analyse:
    """To the worker: utterances, and what to look for in them."""

    utterances: tuple[Utterance, ...]
    asked: Asked


@dataclass(frozen=True, slots=True)
class Analysed:
    """From the worker: findings in order."""

    findings: tuple[Findings, ...]
