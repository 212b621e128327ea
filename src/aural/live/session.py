"""One caption session without sockets, clocks or models: audio, probabilities and hypotheses in, events and wanted
hypotheses out.

    session.append(samples); session.voice(probabilities)     the runner brings what arrived and how likely it is speech
    ask = session.wanted(step)                                 what should be heard now, if anything
    session.answer(ask.id, transcript)                         what was heard
    session.take()                                             what there is to tell
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aural import text
from aural.audio.vad import FRAME_SAMPLES
from aural.engines.guard import is_doubtful
from aural.errors import AuralError, BadRequest
from aural.live import events
from aural.live.checkpoint import Checkpoint
from aural.live.context import without
from aural.live.events import Event, Ledger
from aural.live.language import LanguageKeeper
from aural.live.segmenter import Segmenter
from aural.live.sentence import ends_sentence
from aural.live.settings import LiveSettings, Manual
from aural.live.stabilizer import Token, tokens, written
from aural.live.tape import Tape
from aural.live.utterance import Piece, Utterance
from aural.types import SAMPLE_RATE, Clip, Reason, Samples, Suppressed, Transcript, seconds

MOST_REACH = 25 * SAMPLE_RATE
SHORTEST_COMMIT = SAMPLE_RATE // 10
FIRST_STEP = SAMPLE_RATE // 2
"""The first words of a piece come after so much speech, however rare hypotheses have become."""
ENOUGH_VOICE_FRAMES = SAMPLE_RATE // 4 // FRAME_SAMPLES + 1
"""250 ms of voice: Silero's own least speech. With less of it a doubtful text is noise."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A hypothesis that is wanted. It replaces the one that was asked for before."""

    id: int
    clip: Clip
    is_final: bool
    """Somebody has stopped speaking and waits for it."""


@dataclass(slots=True)
class _Flight:
    """The ask that has not been answered yet."""

    ask: Ask
    piece: Piece
    end: int
    is_settled: bool
    before: tuple[Token, ...]
    """The words of the context that it hears again."""


class Session:
    """See the module. At most one hypothesis is under way at a time."""

    def __init__(self, settings: LiveSettings, begin: Checkpoint, *, detects_language: bool = False) -> None:
        """`begin` says where the clock starts and how utterances are named: a new session's, or where one stopped."""
        self.settings = settings
        self.ledger = Ledger()
        self.is_finished = False
        """No more audio comes."""
        self.is_done = False
        """`Ended` was told."""
        self._begin = begin
        self._count = begin.count
        self._last = begin.last
        self._is_leaving = False
        self._events: list[Event] = []
        self._tape = Tape(begin.at)
        self._segments = Segmenter(self._tape, settings.turns, self)
        self._detects_language = detects_language
        self._keeper = LanguageKeeper(settings.options.language, begin.language)
        self._waiting: deque[Piece] = deque()
        """Pieces that have ended and are not heard yet."""
        self._utterances: deque[Utterance] = deque()
        """Not done yet, in order."""
        self._flight: _Flight | None = None
        self._asks = 0
        self._reach = MOST_REACH
        self._told_heard = begin.at

    # What comes in.

    def append(self, samples: Samples) -> None:
        if self.is_finished:
            return
        self._tape.append(samples)
        self.ledger = self.ledger.plus(received=len(samples))

    def voice(self, probabilities: Iterable[float]) -> None:
        """How likely each of the next frames of 512 samples holds speech."""
        for probability in probabilities:
            if self.is_finished:
                return
            self._segments.feed(probability)
            self._maybe_leave()

    def commit(self, reference: str | None = None) -> None:
        """End the open utterance here, or make one of the silence since the last."""
        held = self._tape.end - self._segments.accounted
        if held < SHORTEST_COMMIT:
            message = (
                "buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {1000 * seconds(held):.2f}ms of audio."
            )
            error = BadRequest(message, code="input_audio_buffer_commit_empty")
            self._events.append(events.Failed(None, error, reference))
        else:
            self._segments.commit()

    def clear(self) -> None:
        """Throw away the audio since the last utterance, and what was heard in it."""
        start, end = self._segments.accounted, self._tape.end
        utterance = self._segments.clear()
        if utterance is not None:
            start = utterance.start
            self._utterances.remove(utterance)
            self._waiting = deque(piece for piece in self._waiting if piece.utterance is not utterance)
            if self._flight and self._flight.piece.utterance is utterance:
                self._flight = None
        self.ledger = self.ledger.plus(cleared=end - start)
        self._events.append(events.Cleared(utterance.name if utterance else None, start, end))

    def configure(self, settings: LiveSettings) -> None:
        """Other settings from here on."""
        if settings.options.language != self.settings.options.language:
            self._keeper = LanguageKeeper(settings.options.language)
        self.settings = settings
        self._segments.obey(settings.turns)

    def leave(self) -> None:
        """Stop between two utterances, as soon as may be. What was received after that place counts as never sent, and
        `Notice` says where to go on."""
        self._is_leaving = True
        if isinstance(self.settings.turns, Manual) and self._segments.utterance is not None:
            self._segments.commit()
        self._maybe_leave()

    def finish(self) -> None:
        """No more audio: what is open ends here."""
        if self.is_finished:
            return
        self.is_finished = True
        if self._segments.utterance is not None or self._segments.gate.run:
            self._segments.commit()
        self._suppress(None, self._segments.accounted, self._tape.end)
        self._segments.accounted = self._tape.end
        self._settle()

    def answer(self, ask_id: int, transcript: Transcript) -> None:
        """What was heard. An answer that is not wanted any more is ignored."""
        flight = self._landed(ask_id)
        if flight is None:
            return
        heard: Transcript | None = text.spaced(transcript).shifted(flight.ask.clip.start)
        if heard and flight.before:
            heard = without(heard, flight.before, flight.piece.start, flight.end)
        if heard is None:
            flight.piece.is_alone = True
        elif flight.piece.end == flight.end:
            flight.piece.settled = (flight.end, heard)
            self._settle()
        elif flight.piece.end is None:
            self._hear_again(flight, heard)

    def fail(self, ask_id: int, error: AuralError) -> None:
        """It could not be heard. A partial is let go; an utterance whose final failed has failed."""
        flight = self._landed(ask_id)
        if flight is not None and flight.piece.end == flight.end:
            flight.piece.utterance.error = error
            flight.piece.settled = (flight.end, Transcript())
            self._settle()

    def _maybe_leave(self) -> None:
        if not self._is_leaving or self.is_finished or self._segments.utterance is not None:
            return
        self.is_finished = True
        quiet_to = self._segments.quiet_to
        self._suppress(None, self._segments.accounted, quiet_to)
        self._segments.accounted = quiet_to
        self.ledger = self.ledger.plus(received=quiet_to - self._tape.end)
        self._settle()

    # What goes out.

    def take(self) -> list[Event]:
        """The events since the last call, in order."""
        self._tell_heard()
        taken, self._events = self._events, []
        return taken

    def _tell_heard(self) -> None:
        every_ms = self.settings.heard_every_ms
        if every_ms is None or self.is_done:
            return
        if self.heard - self._told_heard >= every_ms * SAMPLE_RATE // 1000:
            self._told_heard = self.heard
            self._events.append(events.Heard(self.heard))

    def wanted(self, step: int, reach: int = MOST_REACH) -> Ask | None:
        """What should be heard now instead of what is being heard: a piece that has ended before the one that is open,
        and that one when somebody paused, or when `step` samples of speech came since it was heard last. A final
        hears its context as far as that makes no more than `reach` samples."""
        self._reach = reach
        if self._waiting:
            piece = self._waiting[0]
            assert piece.end is not None
            is_under_way = self._flight and self._flight.piece is piece and self._flight.end == piece.end
            return None if is_under_way else self._ask(piece, piece.end, is_settled=True)
        piece_or_none = self._segments.piece
        if piece_or_none is None or not self.settings.partials:
            return None
        return self._wanted_of_open(piece_or_none, step)

    @property
    def heard(self) -> int:
        """What was said before this has been told, committed or as a draft."""
        piece = self._waiting[0] if self._waiting else self._segments.piece
        return self._segments.silent_to if piece is None else piece.heard_to

    @property
    def is_speaking(self) -> bool:
        return self._segments.piece is not None

    @property
    def is_alert(self) -> bool:
        """Whether somebody speaks, may have begun to, or has not been silent long enough to end the utterance."""
        return self._segments.utterance is not None or self._segments.gate.run > 0

    @property
    def unheard(self) -> int:
        """Samples of speech that wait to be heard: what the session owes."""
        return sum(len(piece) for piece in self._waiting)

    def _wanted_of_open(self, piece: Piece, step: int) -> Ask | None:
        pause_end = self._segments.pause_end
        if pause_end is not None:
            is_known = piece.settled is not None and piece.settled[0] == pause_end
            is_under_way = self._flight is not None and self._flight.end == pause_end
            return None if is_known or is_under_way else self._ask(piece, pause_end, is_settled=True)
        if piece.asked_to == piece.onset:
            step = min(step, FIRST_STEP)
        if self._flight is not None or self._segments.gate.voice_end - piece.asked_to < step:
            return None
        return self._ask(piece, self._segments.now, is_settled=False)

    def _ask(self, piece: Piece, end: int, *, is_settled: bool) -> Ask:
        context = piece.context_to(end, self._reach) if is_settled else ()
        before = tuple(token for one in context for token in one.own)
        start = context[0].start if before else piece.start
        samples = self._tape.cut(start, end) if piece.samples is None else piece.samples[start - piece.heard_from :]
        options = replace(self.settings.options, language=self._keeper.asked)
        self._asks += 1
        ask = Ask(self._asks, Clip(samples, options, start, is_draft=not is_settled), is_settled)
        piece.asked_to = end
        self._flight = _Flight(ask, piece, end, is_settled, before)
        return ask

    def _landed(self, ask_id: int) -> _Flight | None:
        flight = self._flight
        if flight is None or flight.ask.id != ask_id:
            return None
        self._flight = None
        return flight

    # What hypotheses change.

    def _hear_again(self, flight: _Flight, heard: Transcript) -> None:
        """A hypothesis of speech that goes on."""
        piece = flight.piece
        piece.heard_to = flight.end
        if flight.is_settled:
            piece.settled = (flight.end, heard)
        if not heard.segments or _is_noise(piece, heard):
            return
        change = piece.stabilizer.hear(tokens(heard))
        self._grow(piece, change.growth, flight.end)
        self._draft(piece, change.draft, flight.end)

    def _settle(self) -> None:
        """Take the finals that are known, in order, and end the utterances that are heard."""
        while self._waiting and _is_settled(self._waiting[0]):
            self._finish_piece(self._waiting.popleft())
        while self._utterances and self._utterances[0].is_heard:
            self._finish_utterance(self._utterances.popleft())
        if self.is_finished and not self._utterances and not self.is_done:
            self.is_done = True
            if self._is_leaving:
                self._events.append(self._farewell())
            self._events.append(events.Ended(self.ledger))

    def _farewell(self) -> events.Notice:
        at = self._segments.accounted
        begin = Checkpoint(at, self._begin.name, self._count, self._last, self._keeper.decided)
        message = f"send the audio from {seconds(at)} s on to a new session, with this token"
        return events.Notice("going_away", message, at, begin.token)

    def _finish_piece(self, piece: Piece) -> None:
        assert piece.settled is not None
        end, heard = piece.settled
        if _is_noise(piece, heard):
            gap = Suppressed(piece.start, end, Reason.NO_SPEECH, text.plain(heard.segments))
            heard = replace(heard, segments=(), suppressed=(gap,))
        piece.transcript, piece.samples, piece.context, piece.own = heard, None, (), tuple(tokens(heard))
        told = self._keeper.final(heard)
        if told and self._detects_language:
            self._events.append(told)
        if piece.following is None:
            rest = piece.stabilizer.settle(piece.own)
        else:
            rest, piece.following.stabilizer = piece.stabilizer.split(piece.own)
        self._grow(piece, rest, end)
        self._draft(piece, (), end)

    def _grow(self, piece: Piece, growth: tuple[Token, ...], end: int) -> None:
        utterance = piece.utterance
        more = written(growth) if utterance.text else written(growth).lstrip()
        if more:
            utterance.text += more
            words = tuple(token.word for token in growth if token.word)
            self._events.append(events.Committed(utterance.name, more, words, end))

    def _draft(self, piece: Piece, draft: tuple[Token, ...], end: int) -> None:
        utterance = piece.utterance
        shown = written(draft) if utterance.text else written(draft).lstrip()
        if shown != utterance.draft:
            utterance.draft = shown
            self._events.append(events.Draft(utterance.name, shown, end))

    def _finish_utterance(self, utterance: Utterance) -> None:
        assert utterance.end is not None
        length = utterance.end - utterance.start
        if utterance.error is not None:
            self.ledger = self.ledger.plus(failed=length)
            self._events.append(events.Failed(utterance.name, utterance.error))
            return
        spoken = 0
        place = utterance.start
        for piece in utterance.pieces:
            assert piece.end is not None
            self._suppress(utterance, place, piece.start)
            if piece.has_text:
                spoken += len(piece)
            else:
                self._suppress(utterance, piece.start, piece.end, piece.reason)
            place = piece.end
        self._suppress(utterance, place, utterance.end)
        self.ledger = self.ledger.plus(final=spoken)
        heard = text.join([piece.transcript for piece in utterance.pieces if piece.transcript])
        self._events.append(events.Final(utterance.name, utterance.start, utterance.end, heard, utterance.text))

    def _suppress(self, utterance: Utterance | None, start: int, end: int, reason: Reason = Reason.NO_SPEECH) -> None:
        if end > start:
            self.ledger = self.ledger.plus(suppressed=end - start)
            self._events.append(events.Suppressed(utterance.name if utterance else None, start, end, reason))

    # What the segmenter tells: see Listener.

    def opened(self, start: int) -> Utterance:
        self._suppress(None, self._segments.accounted, start)
        return self._new_utterance(start)

    def spoke(self, utterance: Utterance, at: int) -> None:
        self._events.append(events.SpeechStarted(utterance.name, at))

    def piece_ended(self, piece: Piece) -> None:
        self._waiting.append(piece)
        self._settle()

    def stopped(self, utterance: Utterance, at: int) -> None:
        self._events.append(events.SpeechStopped(utterance.name, at))

    def closed(self, utterance: Utterance, end: int) -> None:
        utterance.end = end
        self._events.append(events.Closed(utterance.name, utterance.start, end))
        self._settle()

    def timed_out(self, start: int, end: int) -> None:
        utterance = self._new_utterance(start)
        self._events.append(events.TimedOut(utterance.name, start, end))
        self.closed(utterance, end)

    def _new_utterance(self, start: int) -> Utterance:
        self._count += 1
        utterance = Utterance(f"{self._begin.name}_{self._count}", start)
        self._last = utterance.name
        self._utterances.append(utterance)
        return utterance

    def sounds_finished(self, utterance: Utterance) -> bool:
        """Whether the words so far, all of them heard, could be all that there is to say."""
        piece = self._segments.piece
        pause_end = self._segments.pause_end
        is_heard = not self._waiting and (
            piece is None or (piece.settled is not None and piece.settled[0] == pause_end)
        )
        return is_heard and ends_sentence(utterance.text + utterance.draft)


def _is_settled(piece: Piece) -> bool:
    return piece.settled is not None and piece.settled[0] == piece.end


def _is_noise(piece: Piece, heard: Transcript) -> bool:
    """Whether a text is doubtful and there was hardly any voice."""
    if piece.voiced_frames >= ENOUGH_VOICE_FRAMES:
        return False
    return any(is_doubtful(segment) for segment in heard.segments)
