"""Where utterances and their pieces begin and end: a function of the audio's speech probabilities and the caller's
orders, never of what was heard or when.

An utterance is what the caller calls a turn: it ends after the silence asked for, or when it is committed. A piece is
what the engine hears at once. Pieces are cut at pauses, so a piece's text is final when it ends, no hypothesis hears
more than the last of them, and the last minute of a long utterance costs what the first did.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from aural.audio.level import quietest
from aural.audio.vad import FRAME_SAMPLES
from aural.live.gate import HYSTERESIS, Gate
from aural.live.settings import MOST_PREFIX_MS, Manual, SemanticVad, ServerVad, Turns
from aural.live.tape import Tape
from aural.live.utterance import Piece, Utterance
from aural.types import SAMPLE_RATE, samples

CLEAR = 0.9
"""Probability of a voice that cannot be mistaken: instruments that are like voices stay below."""
TAIL = SAMPLE_RATE // 5
"""How much of the pause after its last voice a piece takes in: word endings are softer than the gate."""
PAUSE = SAMPLE_RATE // 2
"""A pause that ends a piece, whatever the utterance does."""
SHORT_PAUSE = SAMPLE_RATE // 4
LONG_PIECE = 7 * SAMPLE_RATE
"""From here on a short pause ends a piece."""
LONGEST_PIECE = 13 * SAMPLE_RATE
"""A piece without any pause is cut here, at the best place of its last seconds."""
SEARCH = 5 * SAMPLE_RATE
CONTEXT = 12 * SAMPLE_RATE
"""How far back from its beginning the final of a piece listens."""
MOST_CONTEXT = 8
CONTEXT_GAP = 2 * SAMPLE_RATE
"""Over a longer silence nothing is context."""
LONGEST_UTTERANCE = 30 * SAMPLE_RATE
"""From here on the end of a piece is the end of its utterance, where the caller does not commit."""


@dataclass(slots=True)
class Turn:
    """The caller's rules, in samples."""

    prefix: int
    silence: int
    longest_silence: int
    idle: int | None
    is_manual: bool

    @classmethod
    def of(cls, turns: Turns) -> Turn:
        match turns:
            case ServerVad(_, prefix, silence, idle):
                quiet = samples(silence / 1000)
                return cls(_prefix(prefix), quiet, quiet, None if idle is None else samples(idle / 1000), False)
            case SemanticVad(_, prefix, silence, longest):
                return cls(_prefix(prefix), samples(silence / 1000), samples(longest / 1000), None, False)
            case Manual():
                return cls(_prefix(ServerVad().prefix_padding_ms), 0, 0, None, True)


def _prefix(asked_ms: int) -> int:
    return samples(min(asked_ms, MOST_PREFIX_MS) / 1000)


class Listener(Protocol):
    """Whom the segmenter tells."""

    def opened(self, start: int) -> Utterance: ...
    def spoke(self, utterance: Utterance, at: int) -> None: ...
    def begun(self, utterance: Utterance, start: int, onset: int, context: tuple[Piece, ...]) -> Piece: ...
    def piece_ended(self, piece: Piece) -> None: ...
    def stopped(self, utterance: Utterance, at: int) -> None: ...
    def closed(self, utterance: Utterance, end: int) -> None: ...
    def timed_out(self, start: int, end: int) -> None: ...
    def sounds_finished(self, utterance: Utterance) -> bool:
        """Whether the words so far could be all."""
        ...


class Segmenter:
    """Frames in, utterances and pieces out through `on`."""

    def __init__(self, tape: Tape, turns: Turns, on: Listener) -> None:
        self.tape = tape
        self.gate = Gate()
        self.accounted = tape.start
        """The audio before this belongs to an utterance, or to nothing for good."""
        self.utterance: Utterance | None = None
        self.piece: Piece | None = None
        self.now = tape.start
        """The end of the last frame."""
        self._on = on
        self._probabilities: list[float] = []
        """Of the frames of the open piece, from `_probabilities_from` on."""
        self._probabilities_from = tape.start
        self._recent: deque[Piece] = deque(maxlen=MOST_CONTEXT)
        self._is_leaving = False
        self.obey(turns)

    def obey(self, turns: Turns) -> None:
        """Other rules from here on."""
        self._turn = Turn.of(turns)
        self.gate.threshold = ServerVad().threshold if isinstance(turns, Manual) else turns.threshold

    @property
    def pause_end(self) -> int | None:
        """Where the open piece will end if nobody speaks any more; None while somebody does."""
        if self.piece is None or self.now - self.gate.voice_end < TAIL:
            return None
        return self.gate.voice_end + TAIL

    @property
    def silent_to(self) -> int:
        """While no piece is open: nobody has spoken before this."""
        return self.gate.onset if self.gate.run else self.now

    @property
    def quiet_to(self) -> int:
        """While nothing is open: the audio before this belongs to no utterance, whatever comes."""
        return max(self.accounted, self.silent_to - self._turn.prefix)

    def feed(self, probability: float) -> None:
        """The next frame of 512 samples, which are on the tape."""
        self.now += FRAME_SAMPLES
        self.gate.feed(probability, self.now)
        if self.piece is None and self.gate.is_open:
            self._open_piece()
        if self.piece is not None:
            self._follow(self.piece, probability)
        self._maybe_part()
        if self.utterance is not None and not self._turn.is_manual and self._is_over(self.utterance):
            self._on.stopped(self.utterance, self.now)
            self._close(self.utterance, min(self.gate.voice_end + TAIL, self.now))
        elif self.utterance is None:
            self._maybe_time_out()
        self._forget()

    def commit(self) -> Utterance:
        """Everything received since the last utterance becomes one."""
        if self.piece is None and self.gate.run:  # speech begins, perhaps: let the engine judge
            self.gate.open(self.now)
            self._open_piece()
        if self.utterance is None:
            self.utterance = self._on.opened(self.accounted)
        utterance = self.utterance
        self._close(utterance, self.tape.end)
        return utterance

    def clear(self) -> Utterance | None:
        """Forget everything since the last utterance; returns the one that was open."""
        utterance, self.utterance, self.piece = self.utterance, None, None
        self._recent.clear()
        self._account(self.tape.end)
        return utterance

    def leave(self) -> None:
        """Open nothing new after the next pause, or the next cut: an utterance that only the caller ends ends there."""
        self._is_leaving = True
        self._maybe_part()

    def _open_piece(self) -> None:
        start = max(self.accounted, self.tape.start, self.gate.onset - self._turn.prefix)
        if self.utterance is None:
            begin = self.accounted if self._turn.is_manual else start
            self.utterance = self._on.opened(begin)
            self.accounted = begin
            self._on.spoke(self.utterance, start)
        elif self.utterance.pieces:
            start = max(start, self.utterance.pieces[-1].end or 0)
            if self._turn.is_manual:
                self._on.spoke(self.utterance, start)
        self._add_piece(self.utterance, start, max(start, self.gate.onset))
        self._probabilities_from = self.now - FRAME_SAMPLES

    def _add_piece(self, utterance: Utterance, start: int, onset: int) -> None:
        self.piece = self._on.begun(utterance, start, onset, self._context(start))
        self.piece.voiced_frames = self.gate.run
        utterance.pieces.append(self.piece)
        self._probabilities = []

    def _context(self, start: int) -> tuple[Piece, ...]:
        """The pieces before `start` without a long silence between them."""
        found: list[Piece] = []
        end = start
        for piece in reversed(self._recent):
            assert piece.end is not None
            if start - piece.start > CONTEXT or end - piece.end > CONTEXT_GAP:
                break
            found.append(piece)
            end = piece.start
        return tuple(reversed(found))

    def _follow(self, piece: Piece, probability: float) -> None:
        """The open piece, one frame later."""
        self._probabilities.append(probability)
        piece.voiced_frames += self.gate.voice_end == self.now
        piece.clear_frames += probability >= CLEAR
        quiet, length = self.now - self.gate.voice_end, self.now - piece.start
        if quiet >= PAUSE or (quiet >= SHORT_PAUSE and length >= LONG_PIECE):
            self._end_piece(piece, self.gate.voice_end + TAIL)
            self.gate.shut()
        elif length >= LONGEST_PIECE:
            self._cut(piece)

    def _cut(self, piece: Piece) -> None:
        """End the piece where it is quietest; speech goes on in the next one."""
        utterance, end = piece.utterance, self._quietest(piece)
        piece.is_cut = True
        self._end_piece(piece, end)
        is_long = not self._turn.is_manual and end - utterance.start >= LONGEST_UTTERANCE
        if is_long or self._is_leaving:
            self._on.stopped(utterance, end)
            self._end_utterance(utterance, end)
            if self._is_leaving:
                return
            self.utterance = utterance = self._on.opened(end)
            self._on.spoke(utterance, end)
        first = (end - self._probabilities_from) // FRAME_SAMPLES
        heard = self._probabilities[first:]
        self._add_piece(utterance, end, end)
        assert self.piece is not None
        piece.following = self.piece
        self.piece.voiced_frames = sum(probability >= self.gate.threshold for probability in heard)
        self.piece.clear_frames = sum(probability >= CLEAR for probability in heard)
        self._probabilities, self._probabilities_from = heard, self._probabilities_from + first * FRAME_SAMPLES

    def _quietest(self, piece: Piece) -> int:
        """The middle of the longest pause among the last seconds, or of their quietest 150 ms."""
        first = max(0, len(self._probabilities) - SEARCH // FRAME_SAMPLES)
        pauses = _pauses(self._probabilities, first, self.gate.threshold - HYSTERESIS)
        if pauses:
            begin, end = max(pauses, key=lambda pause: pause[1] - pause[0])
            return self._probabilities_from + (begin + end) * FRAME_SAMPLES // 2
        start = max(piece.start, self.now - SEARCH)
        return start + quietest(self.tape.cut(start, self.now))

    def _is_over(self, utterance: Utterance) -> bool:
        silence = self.now - self.gate.voice_end
        if self.piece is None and self.now - utterance.start >= LONGEST_UTTERANCE:
            return True
        if not silence or silence < self._turn.silence:
            return False
        return silence >= self._turn.longest_silence or self._on.sounds_finished(utterance)

    def _maybe_part(self) -> None:
        """Whoever leaves in manual mode does so between two pieces."""
        utterance = self.utterance
        if self._is_leaving and self._turn.is_manual and utterance is not None and self.piece is None:
            assert utterance.pieces[-1].end is not None
            self._end_utterance(utterance, max(self.quiet_to, utterance.pieces[-1].end))

    def _maybe_time_out(self) -> None:
        idle = self._turn.idle
        if idle is not None and self.now - self.accounted >= idle and not self.gate.run:
            start = self.accounted
            self._account(self.now)
            self._on.timed_out(start, self.now)

    def _close(self, utterance: Utterance, end: int) -> None:
        if self.piece is not None:
            self._end_piece(self.piece, min(end, self.pause_end or end))
        self._end_utterance(utterance, end)

    def _end_piece(self, piece: Piece, end: int) -> None:
        piece.end = end
        piece.samples = self.tape.cut(piece.heard_from, end)
        self.piece = None
        self._recent.append(piece)
        self._on.piece_ended(piece)

    def _end_utterance(self, utterance: Utterance, end: int) -> None:
        self.utterance = None
        self._account(end)
        self._on.closed(utterance, end)

    def _account(self, end: int) -> None:
        """Whoever speaks on after this opens the next utterance at once."""
        self.accounted = end
        if self.gate.is_open and self.gate.voice_end < self.now:
            self.gate.shut()

    def _forget(self) -> None:
        if self.piece is not None:
            keep = self.piece.start
        elif self.gate.run:
            keep = self.gate.onset - self._turn.prefix
        else:
            keep = self.now - self._turn.prefix
        self.tape.forget(keep - CONTEXT)


def _pauses(probabilities: list[float], first: int, below: float) -> list[tuple[int, int]]:
    """Runs of frames [begin, end) of improbable speech from frame `first` on, the latest first."""
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for index in range(first, len(probabilities) + 1):
        is_quiet = index < len(probabilities) and probabilities[index] < below
        if is_quiet and begin is None:
            begin = index
        elif not is_quiet and begin is not None:
            found.append((begin, index))
            begin = None
    return found[::-1]
