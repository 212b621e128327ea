"""Issue, outcome and action items of a call: sentences picked from it, not a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aural.insight.types import Note, Role, Turn, Utterance

SAID_BY = {"issue": Role.CUSTOMER, "outcome": Role.AGENT, "action": Role.AGENT}
"""Who says it, where roles are known."""
SURE = 0.5
WEAK = 0.3
"""Of the most likely issue or outcome of a call that has no sure one."""
ALWAYS = ("issue", "outcome")
MOST = {"issue": 3, "outcome": 3, "action": 5}
EARLY = 0.1
"""What an issue gains at the beginning of a call, and loses towards its end: callers say first what they want."""


def notes(utterance: Utterance, shares: Mapping[str, float]) -> tuple[Note, ...]:
    """What an utterance may be, with its probability; sure or not, for the call to choose from."""
    return tuple(
        Note(kind, utterance.id, utterance.text, round(shares[kind], 3), utterance.start, utterance.end, utterance.role)
        for kind, role in SAID_BY.items()
        if utterance.role in (None, role) and shares[kind] > WEAK
    )


def of_call(turns: Sequence[Turn]) -> tuple[Note, ...]:
    """The notes of a call, in order: the sure ones, the best first where there are many."""
    chosen: list[Note] = []
    for kind, most in MOST.items():
        found = [_placed(note, at / len(turns)) for at, turn in enumerate(turns) for note in turn.findings.notes]
        ranked = sorted((note for note in found if note.kind == kind), key=lambda note: -note.score)
        sure = [note for note in ranked if note.score >= SURE][:most]
        chosen += sure or (ranked[:1] if kind in ALWAYS else [])
    return tuple(sorted(chosen, key=lambda note: (note.start, note.kind)))


def _placed(note: Note, at: float) -> Note:
    if note.kind != "issue":
        return note
    return replace(note, score=round(min(max(note.score + EARLY * (1 - 2 * at), 0.0), 1.0), 3))
