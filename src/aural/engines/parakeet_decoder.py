"""Greedy decoding of NeMo's CTC, RNN-T and TDT models: all utterances of a batch together.

A transducer is decoded by label-looping (Xu et al. 2024, "Label-Looping: Highly Efficient Decoding for Transducers",
arXiv 2406.06220): one turn of the loop brings every utterance to its next token, wherever in its own time that is,
instead of one frame to all. A turn asks the joint network about several frames ahead at once, so that blanks cost no
turn of their own; only the utterances that found a token take the new state of the prediction network; those that
reached their end leave the batch. TDT is Xu et al. 2023, "Efficient Sequence Transduction by Jointly Predicting Tokens
and Durations", arXiv 2304.06795.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
State = tuple[Floats, Floats]
"""Both states of the prediction network's LSTM, shape (layers, utterances, units)."""

LOOKAHEAD = 4
"""Most frames that one turn asks about for each utterance."""
ROWS = 32
"""Frames worth asking about in one turn, over all utterances: beyond, the joint network's work outgrows the saving."""


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

    step: Callable[[Floats, Ints, State], tuple[Floats, State]]
    """Encoder frames (utterances, dim, frames), last tokens (utterances,) and states → logits (utterances, frames,
    vocabulary + durations) and new states."""
    start: Callable[[int], State]
    """The states before the first token, of so many utterances."""
    vocabulary: int
    """Tokens with the blank; logits beyond are those of durations 0, 1, 2, …"""
    blank: int
    max_tokens_per_frame: int = 10


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
    state: State

    def keep(self, alive: NDArray[np.bool_]) -> None:
        self.rows, self.ends, self.time = self.rows[alive], self.ends[alive], self.time[alive]
        self.emitted, self.last = self.emitted[alive], self.last[alive]
        self.state = (self.state[0][:, alive], self.state[1][:, alive])


def decode_transducer(network: Network, encoded: Floats, lengths: Ints) -> list[Hypothesis]:
    """One hypothesis per utterance of `encoded`, shape (utterances, frames, dim), of which `lengths` frames count."""
    rows = np.flatnonzero(lengths > 0)
    count = len(rows)
    zeros = np.zeros(count, np.int64)
    lanes = _Lanes(rows, lengths[rows], zeros, zeros, np.full(count, network.blank), network.start(count))
    log: list[tuple[Any, ...]] = []
    while len(lanes.rows) > 1:
        log.append(_turn(network, encoded, lanes))
        alive = lanes.time < lanes.ends
        if not alive.all():
            lanes.keep(alive)
    if len(lanes.rows):
        log += _alone(network, encoded, lanes)
    return _by_utterance(log, len(encoded))


def _turn(network: Network, encoded: Floats, lanes: _Lanes) -> tuple[Any, ...]:
    """Bring every lane to its next token, or as far as it can see; returns the rows that found one, the tokens, their
    frames, durations and log-probabilities."""
    count = len(lanes.rows)
    width = max(1, min(LOOKAHEAD, ROWS // count))
    logits, state = network.step(_ahead(encoded, lanes, width), lanes.last, lanes.state)
    tokens = logits[..., : network.vocabulary].argmax(axis=-1)
    durations = logits[..., network.vocabulary :]
    jumps = durations.argmax(axis=-1) if durations.shape[-1] else np.zeros_like(tokens)
    ahead, found = _skip_blanks(tokens == network.blank, jumps, lanes.ends - lanes.time)
    lanes.emitted = np.where(ahead > 0, 0, lanes.emitted)
    lanes.time = lanes.time + ahead

    lane = np.flatnonzero(found)
    at = (lane, ahead[lane])
    token, jump, time = tokens[at], jumps[at], lanes.time[lane]
    scores = logits[at][:, : network.vocabulary]
    logprobs = -np.log(np.exp(scores - scores.max(axis=-1, keepdims=True)).sum(axis=-1))

    lanes.emitted[lane] += 1
    stuck = (jump == 0) & (lanes.emitted[lane] >= network.max_tokens_per_frame)
    moves = jump + stuck
    lanes.emitted[lane[moves > 0]] = 0
    lanes.time[lane] += moves
    lanes.last[lane] = token
    lanes.state = state if len(lane) == count else _chosen(found, state, lanes.state)
    return lanes.rows[lane], token, time, jump, logprobs


def _alone(network: Network, encoded: Floats, lanes: _Lanes) -> Iterator[tuple[Any, ...]]:
    """All further turns of the only lane, in plain numbers: arrays of one would cost more than a small network."""
    row, end, time, emitted = (int(one[0]) for one in (lanes.rows, lanes.ends, lanes.time, lanes.emitted))
    last, state, vocabulary = lanes.last, lanes.state, network.vocabulary
    frames = encoded[row, :end].T[None]
    while time < end:
        logits, new = network.step(np.ascontiguousarray(frames[:, :, time : time + LOOKAHEAD]), last, state)
        scores, durations = logits[0, :, :vocabulary], logits[0, :, vocabulary:]
        tokens = scores.argmax(axis=-1).tolist()
        jumps = durations.argmax(axis=-1).tolist() if durations.shape[-1] else [0] * len(tokens)
        ahead = 0
        while ahead < len(tokens) and tokens[ahead] == network.blank:
            ahead += max(jumps[ahead], 1)
        time, emitted = time + ahead, 0 if ahead else emitted
        if ahead >= len(tokens):
            continue
        token, jump, emitted = tokens[ahead], jumps[ahead], emitted + 1
        yield [row], [token], [time], [jump], [_logprob(scores[ahead], token)]
        if jump or emitted >= network.max_tokens_per_frame:
            time, emitted = time + max(jump, 1), 0
        last, state = np.array([token]), new


def _logprob(scores: Floats, token: int) -> float:
    return -math.log(np.exp(scores - scores[token]).sum())


def _ahead(encoded: Floats, lanes: _Lanes, width: int) -> Floats:
    """The next frames of each lane, shape (lanes, dim, width); past its end, its last frame again."""
    frames = np.minimum(lanes.time[:, None] + np.arange(width), lanes.ends[:, None] - 1)
    return np.ascontiguousarray(encoded[lanes.rows[:, None], frames].transpose(0, 2, 1))


def _skip_blanks(blank: NDArray[np.bool_], jumps: Ints, left: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """How far each lane goes to its first token that is no blank, and whether there is one in sight. A blank goes as
    far as its duration says, and one frame at least."""
    count, width = blank.shape
    lane = np.arange(count)
    sight = np.minimum(left, width)
    ahead = np.zeros(count, np.int64)
    while True:
        here = np.minimum(ahead, width - 1)
        inside = ahead < sight
        skips = inside & blank[lane, here]
        if not skips.any():
            return ahead, inside
        ahead = np.where(skips, ahead + np.maximum(jumps[lane, here], 1), ahead)


def _chosen(found: NDArray[np.bool_], new: State, old: State) -> State:
    mask = found[None, :, None]
    return np.where(mask, new[0], old[0]), np.where(mask, new[1], old[1])


def _by_utterance(log: list[tuple[Any, ...]], count: int) -> list[Hypothesis]:
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
