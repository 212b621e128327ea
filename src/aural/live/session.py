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
from dataclasses import replace

from aural import text
from aural.engines.base import Capabilities
from aural.errors import AuralError, BadRequest, EngineFailed
from aural.live import events
from aural.live.ask import Ask, Flight
from aural.live.books import Books
from aural.live.checkpoint import Checkpoint
from aural.live.context import without
from aural.live.events import Event, Ledger
from aural.live.language import LanguageKeeper
from aural.live.segmenter import Segmenter
from aural.live.sentence import ends_sentence
from aural.live.settings import LiveSettings
from aural.live.stabilizer import Stabilizer, Token, spelled, tokens
from aural.live.tape import Tape
from aural.live.utterance import Piece, Utterance
from aural.types import SAMPLE_RATE, Clip, Reason, Samples, Suppressed, Transcript, seconds

MOST_REACH = 25 * SAMPLE_RATE
SHORTEST_COMMIT = SAMPLE_RATE // 10
FIRST_STEP = SAMPLE_RATE // 2
"""The first words of a piece come after so much speech, however rare hypotheses have become."""
LACKING = 0.75
"""Of the words that are certain to have been said. With fewer of them a final has left some out."""
SESSION_FINISHED = "session_finished"


class Session:
    """See the module. At most one hypothesis is under way at a time."""

    def __init__(self, settings: LiveSettings, begin: Checkpoint, can: Capabilities) -> None:
        """`begin` says where the clock starts and how utterances are named: a new session's, or where one stopped.
        `can` is what the model can do."""
        self.settings = settings
        self.is_finished = False
        """No more audio comes."""
        self.is_done = False
        """`Ended` was told."""
        self._begin = begin
        self._count = begin.count
        self._last = begin.last
        self._ahead = begin.ahead
        """What is said from here on and was told already."""
        self._is_leaving = False
        self._books = Books()
        self._tape = Tape(begin.at)
        self._segments = Segmenter(self._tape, settings.turns, self)
        self._can = can
        self._keeper = LanguageKeeper(settings.options.language, can.languages, begin.language)
        self._waiting: deque[Piece] = deque()
        """Pieces that have ended and are not heard yet."""
        self._utterances: deque[Utterance] = deque()
        """Not done yet, in order."""
        self._flight: Flight | None = None
        self._asks = 0
        self._reach = MOST_REACH
        self._told_heard = begin.at

    # What comes in.

    def append(self, samples: Samples) -> None:
        """More audio. What comes after the end counts as never sent."""
        if self.is_finished:
            return
        self._tape.append(samples)
        self._books.receive(len(samples))

    def voice(self, probabilities: Iterable[float]) -> None:
        """How likely each of the next frames of 512 samples holds speech."""
        for probability in probabilities:
            if self.is_finished:
                return
            self._segments.feed(probability)
            self._maybe_leave()

    def commit(self, reference: str | None = None, held: int = 0) -> None:
        """End the open utterance here, or make one of the silence since the last. `held` samples were sent before it
        and come after it: a resampler has them."""
        count = self._uncommitted + held
        if self.is_finished:
            self._refuse(reference)
        elif count < SHORTEST_COMMIT:
            message = (
                "buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {1000 * seconds(count):.2f}ms of audio."
            )
            error = BadRequest(message, code="input_audio_buffer_commit_empty")
            self._books.tell(events.Failed(None, error, reference))
        else:
            self._segments.commit()

    def clear(self) -> None:
        """Throw away the audio since the last utterance, and what was heard in it."""
        if self.is_finished:
            self._refuse(None)
            return
        start, end = self._segments.accounted, self._tape.end
        utterance = self._segments.clear()
        if utterance is not None:
            start = utterance.start
            self._utterances.remove(utterance)
            self._waiting = deque(piece for piece in self._waiting if piece.utterance is not utterance)
            if self._flight and self._flight.piece.utterance is utterance:
                self._flight = None
        self._books.clear(start, end, utterance)

    def configure(self, settings: LiveSettings, can: Capabilities) -> None:
        """Other settings for the speech that begins from here on. `can` is what the model can do that hears it; it is
        another one only before the first audio."""
        is_same = settings.options.language == self._keeper.given
        if not is_same or can != self._can:
            decided = self._keeper.decided if is_same else None
            self._keeper = LanguageKeeper(settings.options.language, can.languages, decided)
        self.settings, self._can = settings, can
        self._segments.obey(settings.turns)

    def leave(self) -> None:
        """Stop between two utterances, as soon as may be; between two pieces of one that only the caller would end.
        What was received after that place counts as never sent, and `Notice` says where to go on."""
        if self.is_finished:
            return
        self._is_leaving = True
        self._segments.leave()
        self._maybe_leave()

    def finish(self) -> None:
        """No more audio: what is open ends here."""
        if self.is_finished:
            return
        self.is_finished = True
        is_beginning = self._segments.gate.run and self._uncommitted >= SHORTEST_COMMIT
        if self._segments.utterance is not None or is_beginning:
            self._segments.commit()
        self._books.suppress(self._segments.accounted, self._tape.end)
        self._segments.accounted = self._tape.end
        self._settle()

    def answer(self, ask_id: int, transcript: Transcript) -> None:
        """What was heard. An answer that is not wanted any more is ignored."""
        flight = self._landed(ask_id)
        if flight is None:
            return
        written = text.spaced(text.in_script(transcript, flight.piece.settings.script))
        heard: Transcript | None = written.shifted(flight.ask.clip.start)
        if heard and flight.before:
            heard = without(heard, flight.before, flight.piece.start, flight.end)
        if heard is None:
            flight.piece.is_alone = True
        elif flight.is_final_of(flight.piece):
            flight.piece.settled = (flight.end, heard)
            self._settle()
        elif flight.piece.end is None:
            self._hear_again(flight, heard)

    def fail(self, ask_id: int, error: AuralError) -> None:
        """It could not be heard, also when asked again. A partial is let go. A final has failed, and with it its
        utterance; an early one, too, when nobody speaks on."""
        flight = self._landed(ask_id)
        if flight is None:
            return
        flight.piece.is_trouble |= isinstance(error, EngineFailed)
        if flight.ask.is_final:
            flight.piece.settled = (flight.end, error)
            self._settle()

    def _maybe_leave(self) -> None:
        if not self._is_leaving or self.is_finished or self._segments.utterance is not None:
            return
        self.is_finished = True
        quiet_to = self._segments.quiet_to
        self._books.suppress(self._segments.accounted, quiet_to)
        self._segments.accounted = quiet_to
        self._books.receive(quiet_to - self._tape.end)
        self._settle()

    def _refuse(self, reference: str | None) -> None:
        message = f"expected no commit or clear after the end of the session, at {seconds(self._segments.accounted)} s"
        self._books.tell(events.Failed(None, BadRequest(message, code=SESSION_FINISHED), reference))

    # What goes out.

    def take(self) -> list[Event]:
        """The events since the last call, in order."""
        self._tell_heard()
        return self._books.take()

    def _tell_heard(self) -> None:
        every_ms = self.settings.heard_every_ms
        if every_ms is None or self.is_done:
            return
        if self.heard - self._told_heard >= every_ms * SAMPLE_RATE // 1000:
            self._told_heard = self.heard
            self._books.tell(events.Heard(self.heard))

    def wanted(self, step: int, reach: int = MOST_REACH) -> Ask | None:
        """What should be heard now instead of what is being heard: a piece that has ended before the one that is open,
        and that one when somebody paused, or when `step` samples of speech came since it was heard last. A final
        hears its context as far as that makes no more than `reach` samples."""
        self._reach = reach
        if self._waiting:
            piece = self._waiting[0]
            assert piece.end is not None
            is_under_way = self._flight is not None and self._flight.is_final_of(piece)
            return None if is_under_way else self._ask(piece, piece.end, is_final=True)
        piece_or_none = self._segments.piece
        if piece_or_none is None or piece_or_none.is_trouble or not self.settings.partials:
            return None
        return self._wanted_of_open(piece_or_none, step)

    @property
    def ledger(self) -> Ledger:
        """Where the samples went that came so far."""
        return self._books.ledger

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
    def _uncommitted(self) -> int:
        """Samples since the last utterance."""
        return self._tape.end - self._segments.accounted

    @property
    def unheard(self) -> int:
        """Samples of speech that wait to be heard: what the session owes."""
        return sum(len(piece) for piece in self._waiting)

    def _wanted_of_open(self, piece: Piece, step: int) -> Ask | None:
        pause_end = self._segments.pause_end
        if pause_end is not None:
            is_under_way = self._flight is not None and self._flight.end == pause_end
            is_known = piece.is_settled_to(pause_end)
            return None if is_known or is_under_way else self._ask(piece, pause_end, is_final=True)
        if piece.asked_to == piece.onset:
            step = min(step, FIRST_STEP)
        if self._flight is not None or self._segments.gate.voice_end - piece.asked_to < step:
            return None
        return self._ask(piece, self._segments.now, is_final=False)

    def _ask(self, piece: Piece, end: int, *, is_final: bool) -> Ask:
        context = piece.context_to(end, self._reach) if is_final else ()
        before = tuple(token for one in context for token in one.own)
        start = context[0].start if before else piece.start
        samples = self._tape.cut(start, end) if piece.samples is None else piece.samples[start - piece.heard_from :]
        options = replace(piece.settings.options, language=piece.keeper.asked)
        self._asks += 1
        ask = Ask(self._asks, Clip(samples, options, start, is_draft=not is_final), is_final)
        piece.asked_to = end
        self._flight = Flight(ask, piece, end, before)
        return ask

    def _landed(self, ask_id: int) -> Flight | None:
        flight = self._flight
        if flight is None or flight.ask.id != ask_id:
            return None
        self._flight = None
        return flight

    # What hypotheses change.

    def _hear_again(self, flight: Flight, heard: Transcript) -> None:
        """A hypothesis of speech that goes on."""
        piece = flight.piece
        piece.heard_to = flight.end
        if flight.ask.is_final:
            piece.settled = (flight.end, heard)
        if not heard.segments or piece.is_noise(heard):
            return
        change = piece.stabilizer.hear(tokens(heard), flight.end)
        self._books.tell(*piece.utterance.hear(change.growth, change.draft, flight.end))

    def _settle(self) -> None:
        """Take the finals that are known, in order, and end the utterances that are heard."""
        while self._waiting and self._waiting[0].is_settled_to(self._waiting[0].end):
            self._finish_piece(self._waiting.popleft())
        while self._utterances and self._utterances[0].is_heard:
            self._books.close(self._utterances.popleft())
        if self.is_finished and not self._utterances and not self.is_done:
            self.is_done = True
            if self._is_leaving:
                self._books.tell(self._farewell())
            self._books.tell(events.Ended(self.ledger))

    def _farewell(self) -> events.Notice:
        at = self._segments.accounted
        begin = Checkpoint(at, self._begin.name, self._count, self._last, self._keeper.decided, self._ahead)
        message = f"send the audio from {seconds(at)} s on to a new session, with this token"
        return events.Notice("going_away", message, at, begin.token)

    def _finish_piece(self, piece: Piece) -> None:
        heard = self._final_of(piece)
        piece.clip = piece.kept(heard)
        piece.transcript, piece.samples, piece.context, piece.own = heard, None, (), tuple(tokens(heard))
        piece.is_lacking |= len(piece.own) < LACKING * piece.stabilizer.count_to(piece.end or 0)
        told = piece.keeper.final(heard)
        if told and self._can.detects_language:
            self._books.tell(told)
        assert piece.end is not None
        self._books.tell(*piece.utterance.hear(self._rest_of(piece), (), piece.end))

    def _final_of(self, piece: Piece) -> Transcript:
        """What the piece's final comes to: nothing, where it failed or is noise."""
        assert piece.settled is not None
        end, heard = piece.settled
        if isinstance(heard, AuralError):
            piece.utterance.error, piece.is_lacking = heard, True
            return Transcript()
        if piece.is_noise(heard):
            gap = Suppressed(piece.start, end, Reason.NO_SPEECH, text.plain(heard.segments))
            return replace(heard, segments=(), suppressed=(gap,))
        return heard

    def _rest_of(self, piece: Piece) -> tuple[Token, ...]:
        """The words of its final that are not committed yet. Those committed beyond a cut go to who goes on there."""
        if not piece.is_cut:
            return piece.stabilizer.settle(piece.own)
        assert piece.end is not None
        rest, onward = piece.stabilizer.split(piece.own, piece.end)
        if piece.following is None:
            self._ahead = onward.text
        else:
            piece.following.stabilizer = onward
        return rest

    # What the segmenter tells: see Listener.

    def opened(self, start: int) -> Utterance:
        self._books.suppress(self._segments.accounted, start)
        return self._new_utterance(start)

    def spoke(self, utterance: Utterance, at: int) -> None:
        self._books.tell(events.SpeechStarted(utterance.name, at))

    def begun(self, utterance: Utterance, start: int, onset: int, context: tuple[Piece, ...]) -> Piece:
        alike = tuple(piece for piece in context if piece.keeper is self._keeper)
        taken, self._ahead = Stabilizer(spelled(self._ahead)), ""
        piece = Piece(utterance, self.settings, self._keeper, start, onset, context=alike, stabilizer=taken)
        piece.asked_to = piece.heard_to = onset
        return piece

    def piece_ended(self, piece: Piece) -> None:
        self._waiting.append(piece)
        self._settle()

    def stopped(self, utterance: Utterance, at: int) -> None:
        self._books.tell(events.SpeechStopped(utterance.name, at))

    def closed(self, utterance: Utterance, end: int) -> None:
        utterance.end = end
        self._books.tell(events.Closed(utterance.name, utterance.start, end))
        self._settle()

    def timed_out(self, start: int, end: int) -> None:
        utterance = self._new_utterance(start)
        self._books.tell(events.TimedOut(utterance.name, start, end))
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
        is_heard = not self._waiting and (piece is None or piece.is_settled_to(self._segments.pause_end))
        return is_heard and ends_sentence(utterance.text + utterance.draft)
