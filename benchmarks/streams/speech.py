"""Streams of real speech: whole utterances of one language with pauses in which a speaker would breathe or think."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from aural.bench.clips import Item, Utterance
from aural.bench.sounds import RATE, Pcm16, Sound

PAUSE_S = (0.7, 2.0)
LEAD_S = 0.5
TAIL_S = 1.0
LONGEST_S = 25.0


def streams(utterances: Sequence[Utterance], count: int, length_s: float, seed: int = 11) -> list[Item]:
    """`count` streams of about `length_s` seconds. Each has its own order, so that no two say the same at once."""
    pool = [one for one in utterances if len(one) <= LONGEST_S * RATE]
    return [_stream(pool, length_s, random.Random(f"{seed} {number}"), number) for number in range(count)]


def silence(length_s: float) -> Item:
    """A stream in which nobody speaks: the noise floor of a quiet room."""
    noise = np.random.default_rng(5).normal(0, 8, round(length_s * RATE)).astype(np.int16)
    return Item("silence", "", (Sound(noise),), 0.0)


def _stream(pool: Sequence[Utterance], length_s: float, rng: random.Random, number: int) -> Item:
    parts: list[Pcm16] = [_quiet(LEAD_S)]
    spans: list[tuple[float, float, str]] = []
    at = len(parts[0])
    for utterance in rng.sample(pool, len(pool)):
        pause = _quiet(rng.uniform(*PAUSE_S))
        if spans and (at + len(utterance)) / RATE > length_s:
            break
        spans.append((at / RATE, (at + len(utterance)) / RATE, utterance.text))
        parts += [utterance.pcm, pause]
        at += len(utterance) + len(pause)
    pcm = np.concatenate([*parts, _quiet(TAIL_S)])
    spoken = sum(end - start for start, end, _ in spans) / (len(pcm) / RATE)
    return Item(f"stream-{number}", " ".join(text for *_, text in spans), (Sound(pcm),), spoken, tuple(spans))


def _quiet(length_s: float) -> Pcm16:
    return np.zeros(round(length_s * RATE), np.int16)
