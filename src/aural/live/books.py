"""The books of a session: what there is to tell, and where each sample went."""

from __future__ import annotations

from aural import text
from aural.live import events
from aural.live.events import Event, Ledger
from aural.live.utterance import Utterance
from aural.types import Reason


class Books:
    """Events in order. Those that say what became of audio count it as well."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._events: list[Event] = []

    def tell(self, *more: Event) -> None:
        self._events += more

    def take(self) -> list[Event]:
        """The events since the last call."""
        taken, self._events = self._events, []
        return taken

    def receive(self, count: int) -> None:
        """So many samples came; a negative number of them count as never sent."""
        self.ledger = self.ledger.plus(received=count)

    def suppress(
        self, start: int, end: int, utterance: Utterance | None = None, reason: Reason = Reason.NO_SPEECH
    ) -> None:
        if end > start:
            self.ledger = self.ledger.plus(suppressed=end - start)
            self.tell(events.Suppressed(utterance.name if utterance else None, start, end, reason))

    def clear(self, start: int, end: int, utterance: Utterance | None) -> None:
        self.ledger = self.ledger.plus(cleared=end - start)
        self.tell(events.Cleared(utterance.name if utterance else None, start, end))

    def close(self, utterance: Utterance) -> None:
        """It was heard to its end, or cannot be."""
        assert utterance.end is not None
        if utterance.error is not None:
            self.ledger = self.ledger.plus(failed=utterance.end - utterance.start)
            self.tell(events.Failed(utterance.name, utterance.error))
            return
        place = utterance.start
        for piece in utterance.pieces:
            assert piece.end is not None
            self.suppress(place, piece.start, utterance)
            if piece.has_text:
                self.ledger = self.ledger.plus(final=len(piece))
            else:
                self.suppress(piece.start, piece.end, utterance, piece.reason)
            place = piece.end
        self.suppress(place, utterance.end, utterance)
        heard = text.join([piece.transcript for piece in utterance.pieces if piece.transcript])
        clips = tuple(piece.clip for piece in utterance.pieces if piece.clip)
        self.tell(events.Final(utterance.name, utterance.start, utterance.end, heard, utterance.text, clips))
