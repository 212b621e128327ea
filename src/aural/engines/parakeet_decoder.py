"""Greedy decoding of NeMo's CTC, RNN-T and TDT models: all utterances of a batch together.

A transducer is decoded by label-looping (Xu et al. 2024, "Label-Looping: Highly Efficient Decoding for Transducers",
arXiv 2406.06220): one turn of the loop brings utterances to their next token, wherever in their own time that is, then
asks the prediction network about all that got there. On the way only the small joint network runs, and only for those
still searching; utterances that reached their end leave the batch. TDT is Xu et al. 2023, "Efficient Sequence
Transduction by Jointly Predicting Tokens and Durations", arXiv 2304.06795.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
State = tuple[Floats, Floats]
"""Both states of the prediction network's LSTM, shape (layers, utterances, units)."""

PATIENCE = 4
"""A turn is over when one lane in so many is still searching: it goes on in the next, and nobody waits for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """What was heard in one utterance, token by token; times in encoder frames."""

    tokens: Ints
    starts: Ints
    ends: Ints
    """For TDT, where the model's duration ends; for CTC, where the token's run of frames does; for RNN-T one frame."""
    logprobs: Floats
    """Natural logarithms."""


@dataclass(frozen=True, slots=True)
class Network:
    """The prediction and joint networks, as the decoder needs them."""

    predict: Callable[[Ints, State], tuple[Floats, State]]
    """Last tokens (utterances,) and states → what is to be joined with frames (utterances, ...) and new states."""
    join: Callable[[Floats, Floats], Floats]
    """Encoder frames (utterances, dim) and what `predict` gave → logits (utterances, vocabulary + durations)."""
    start: Callable[[int], State]
    """The states before the first token, of so many utterances."""
    vocabulary: int
    """Tokens with the blank; logits beyond are those of durations 0, 1, 2, …"""
    blank: int
    max_tokens_per_frame: int = 10


class _Found(NamedTuple):
    """Tokens that were found at once, in different lanes."""

    rows: Ints
    tokens: Ints
    times: Ints
    jumps: Ints
    logprobs: Floats


@dataclass(slots=True)
class _Lanes:
    """The utterances that are still being decoded, one lane each."""

    rows: Ints
    """Which utterance of the batch it is."""
    ends: Ints
    time: Ints
    emitted: Ints
    """Tokens since time last moved."""
    last: Ints
    is_new: NDArray[np.bool_]
    """Whether the prediction network has not been asked about the last token yet."""
    predicted: Floats
    state: State

    def keep(self, alive: NDArray[np.bool_]) -> None:
        self.rows, self.ends, self.time = self.rows[alive], self.ends[alive], self.time[alive]
        self.emitted, self.last, self.is_new = self.emitted[alive], self.last[alive], self.is_new[alive]
        self.predicted, self.state = self.predicted[alive], (self.state[0][:, alive], self.state[1][:, alive])

    def predict(self, network: Network) -> None:
        """Tell the prediction network of new tokens."""
        new = np.flatnonzero(self.is_new)
        if len(new):
            first, second = self.state
            self.predicted[new], (first[:, new], second[:, new]) = network.predict(
                self.last[new], (first[:, new], second[:, new])
            )
            self.is_new[:] = False


def decode_transducer(network: Network, encoded: Floats, lengths: Ints) -> list[Hypothesis]:
    """One hypothesis per utterance of `encoded`, shape (utterances, frames, dim), of which `lengths` frames count."""
    lanes = _lanes(network, lengths)
    log: list[_Found] = []
    while len(lanes.rows) > 1:
        log += _turn(network, encoded, lanes)
        alive = lanes.time < lanes.ends
        if not alive.all():
            lanes.keep(alive)
        lanes.predict(network)
    if len(lanes.rows):
        log.append(_alone(network, encoded, lanes))
    return _by_utterance(log, len(encoded))


def _lanes(network: Network, lengths: Ints) -> _Lanes:
    """All utterances at their beginning, but for empty ones."""
    rows = np.flatnonzero(lengths > 0)
    count = len(rows)
    last = np.full(count, network.blank)
    start = network.start(count)
    predicted, state = network.predict(last, start) if count else (np.zeros((0, 0), np.float32), start)
    time, emitted, is_new = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, bool)
    return _Lanes(rows, lengths[rows], time, emitted, last, is_new, predicted, state)


def _turn(network: Network, encoded: Floats, lanes: _Lanes) -> Iterator[_Found]:
    """Bring most lanes to their next token or to their end; yields what some of them found, frame by frame."""
    count = len(lanes.rows)
    lane = np.arange(count)
    while len(lane) * PATIENCE > count:
        logits = network.join(encoded[lanes.rows[lane], lanes.time[lane]], lanes.predicted[lane])
        tokens = logits[:, : network.vocabulary].argmax(axis=1)
        jumps = _jumps(logits[:, network.vocabulary :])
        blank = tokens == network.blank
        if not blank.all():
            yield _take(network, lanes, lane[~blank], tokens[~blank], jumps[~blank], logits[~blank])
        lane = _skip(lanes, lane[blank], jumps[blank])


def _jumps(durations: Floats) -> Ints:
    """How many frames each lane is to go on; RNN-T does not say."""
    return durations.argmax(axis=1) if durations.shape[1] else np.zeros(len(durations), np.int64)


def _skip(lanes: _Lanes, lane: Ints, jumps: Ints) -> Ints:
    """Lanes at a blank go as far as its duration says, and one frame at least; returns those not at their end."""
    lanes.time[lane] += np.maximum(jumps, 1)
    lanes.emitted[lane] = 0
    return lane[lanes.time[lane] < lanes.ends[lane]]


def _take(network: Network, lanes: _Lanes, lane: Ints, tokens: Ints, jumps: Ints, logits: Floats) -> _Found:
    """Lanes that found a token go on by its duration, or by one frame if there are too many on this."""
    found = _Found(lanes.rows[lane], tokens, lanes.time[lane], jumps, _logprobs(logits[:, : network.vocabulary]))
    lanes.emitted[lane] += 1
    stuck = (jumps == 0) & (lanes.emitted[lane] >= network.max_tokens_per_frame)
    moves = jumps + stuck
    lanes.emitted[lane[moves > 0]] = 0
    lanes.time[lane] += moves
    lanes.last[lane], lanes.is_new[lane] = tokens, True
    return found


def _alone(network: Network, encoded: Floats, lanes: _Lanes) -> _Found:
    """All further turns of the only lane, in plain numbers: arrays of one would cost more than a small network."""
    row, end, time, emitted = (int(one[0]) for one in (lanes.rows, lanes.ends, lanes.time, lanes.emitted))
    found: list[tuple[int, int, int]] = []
    logprobs: list[Floats] = []
    predicted, state = lanes.predicted, lanes.state
    while time < end:
        logits = network.join(encoded[row, time : time + 1], predicted)
        scores, durations = logits[:, : network.vocabulary], logits[0, network.vocabulary :]
        token, jump = int(scores[0].argmax()), int(durations.argmax()) if len(durations) else 0
        emitted = 0 if token == network.blank else emitted + 1
        if emitted:
            found.append((token, time, jump))
            logprobs.append(_logprobs(scores))
        if jump or emitted in (0, network.max_tokens_per_frame):
            time, emitted = time + max(jump, 1), 0
        if token != network.blank and time < end:
            predicted, state = network.predict(np.array([token]), state)
    tokens, times, jumps = np.array(found, np.int64).reshape(-1, 3).T
    return _Found(np.full(len(found), row), tokens, times, jumps, np.concatenate([*logprobs, _nothing()[3]]))


def _logprobs(scores: Floats) -> Floats:
    """Of the likeliest token of each row."""
    logprobs: Floats = -np.log(np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1))
    return logprobs


def _by_utterance(log: list[_Found], count: int) -> list[Hypothesis]:
    if not log:
        return [Hypothesis(*_nothing()) for _ in range(count)]
    rows, tokens, times, jumps, logprobs = (np.concatenate(column) for column in zip(*log, strict=True))
    order = np.argsort(rows, kind="stable")
    edges = np.cumsum(np.bincount(rows, minlength=count))[:-1]
    ends = times + np.maximum(jumps, 1)
    columns = (np.split(column[order], edges) for column in (tokens, times, ends, logprobs))
    return [Hypothesis(*column) for column in zip(*columns, strict=True)]


def _nothing() -> tuple[Ints, Ints, Ints, Floats]:
    none = np.zeros(0, np.int64)
    return none, none, none, np.zeros(0, np.float32)


def decode_ctc(logprobs: Floats, lengths: Ints, blank: int) -> list[Hypothesis]:
    """One hypothesis per utterance of `logprobs`, shape (utterances, frames, vocabulary): the likeliest token of each
    frame, runs of one taken together, blanks left out. A token's log-probability is the mean over its run."""
    return [_collapse(one[:length], blank) for one, length in zip(logprobs, lengths.tolist(), strict=True)]


def _collapse(logprobs: Floats, blank: int) -> Hypothesis:
    if not len(logprobs):
        return Hypothesis(*_nothing())
    best = logprobs.argmax(axis=-1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(starts[1:], len(best))
    means = np.add.reduceat(np.take_along_axis(logprobs, best[:, None], axis=-1)[:, 0], starts) / (ends - starts)
    spoken = best[starts] != blank
    return Hypothesis(best[starts][spoken], starts[spoken], ends[spoken], means[spoken].astype(np.float32))
