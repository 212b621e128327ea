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
    slot: int
    """Where the worker keeps what is asked: thousands of phrases are told once, not with each utterance."""
    asked: Asked | None = None
    """What is in that slot from now on; None when that is known."""


@dataclass(frozen=True, slots=True)
class Learning:
    """From the worker: labels are not learnt yet. It has done a step of it; the order is to be given again."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """From the worker: findings in order."""

    findings: tuple[Findings, ...]
