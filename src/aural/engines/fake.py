"""An engine without weights that truly hears: it reads back the words that `speak` wrote into the samples.

For tests of timing and faults, where a real model would only add noise. Its speech is a tone per letter, so it survives
cutting, batching and resending; its orders to sleep, fail or die are words as well.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aural.engines.base import Capabilities, ModelSpec
from aural.types import SAMPLE_RATE, Clip, Reason, Samples, Segment, Suppressed, Timestamps, Transcript

LETTER_SAMPLES = SAMPLE_RATE // 50
ALPHABET = " abcdefghijklmnopqrstuvwxyz0123456789"
_BASE_HZ, _STEP_HZ = 400, 100
AMPLITUDE = 0.5


def speak(text: str, *, pause_s: float = 0.0) -> Samples:
    """Audio in which the fake engine hears `text`: float32, shape (320 per letter,), 16 kHz. The words `sleep<MS>`,
    `fail` and `die` make it sleep, raise and kill its process."""
    letters = [ALPHABET.index(letter) for letter in text.lower()]
    t = np.arange(LETTER_SAMPLES) / SAMPLE_RATE
    tones = [AMPLITUDE * np.sin(2 * np.pi * (_BASE_HZ + _STEP_HZ * letter) * t) for letter in letters]
    return np.concatenate([*tones, np.zeros(round(pause_s * SAMPLE_RATE))]).astype(np.float32)


def hear(samples: Samples) -> str:
    """The text that `speak` wrote, wherever the audio was cut: letters are counted from the first sound."""
    loud = np.abs(samples) > AMPLITUDE / 20
    first = max(int(loud.argmax()) - 1, 0) if len(samples) else 0  # a tone begins with a zero
    aligned = samples[first % LETTER_SAMPLES :]
    frames = aligned[: len(aligned) // LETTER_SAMPLES * LETTER_SAMPLES].reshape(-1, LETTER_SAMPLES)
    spectrum = np.abs(np.fft.rfft(frames, axis=1))
    bins = np.array([(_BASE_HZ + _STEP_HZ * i) * LETTER_SAMPLES // SAMPLE_RATE for i in range(len(ALPHABET))])
    voiced = spectrum[:, bins].max(axis=1, initial=0.0) > AMPLITUDE * LETTER_SAMPLES / 4
    return "".join(
        ALPHABET[i] if heard else "" for i, heard in zip(spectrum[:, bins].argmax(axis=1), voiced, strict=True)
    )


def load(spec: ModelSpec) -> FakeEngine:
    """Files of orders in its folder, `load` and `hear`, give it a word to obey each time that it does so."""
    if spec.folder:
        _obey_next(spec.folder / "load")
    return FakeEngine(spec.folder)


class FakeEngine:
    """See `aural.engines.base.Engine`."""

    capabilities = Capabilities(
        languages=("en",),
        longest_clip=30 * SAMPLE_RATE,
        timestamps=(Timestamps.NONE, Timestamps.SEGMENT),
    )

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def transcribe(self, clips: Sequence[Clip]) -> list[Transcript]:
        if self._folder:
            _obey_next(self._folder / "hear")
        return [self._transcribe(clip) for clip in clips]

    def _transcribe(self, clip: Clip) -> Transcript:
        text = hear(clip.samples)
        for word in text.split():
            _obey(word)
        if not text.strip():
            return Transcript((), (Suppressed(0, len(clip), Reason.NO_SPEECH),))
        return Transcript((Segment(text, 0, len(clip), no_speech_prob=0.0),))


def _obey_next(orders: Path) -> None:
    """Obey the first word of a file, and strike it out."""
    if orders.is_file():
        with orders.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # the other replica reads the same orders
            first, *rest = file.read().split() or [""]
            file.seek(0)
            file.truncate()
            file.write(" ".join(rest))
        _obey(first)


def _obey(word: str) -> None:
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "fail":
        raise RuntimeError("told to fail")
    if word.startswith("sleep") and word[5:].isdigit():
        time.sleep(int(word[5:]) / 1000)
