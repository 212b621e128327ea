"""What a session wants to have heard."""

from __future__ import annotations

from dataclasses import dataclass

from aural.live.stabilizer import Token
from aural.live.utterance import Piece
from aural.types import Clip


@dataclass(frozen=True, slots=True)
class Ask:
    """A hypothesis that is wanted. It replaces the one that was asked for before."""

    id: int
    clip: Clip
    is_final: bool
    """Somebody has stopped speaking and waits for it."""


@dataclass(frozen=True, slots=True)
class Flight:
    """The ask that has not been answered yet."""

    ask: Ask
    piece: Piece
    end: int
    before: tuple[Token, ...]
    """The words of the context that it hears again."""

    def is_final_of(self, piece: Piece) -> bool:
        """Whether its answer is the final of a piece that has ended."""
        return self.ask.is_final and self.piece is piece and self.end == piece.end
