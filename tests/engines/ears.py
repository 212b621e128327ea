"""The engines that the contract is tested on, each with speech that it understands."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from aural.audio.decode import decode
from aural.engines import base, catalog
from aural.engines.base import Engine, ModelSpec
from aural.engines.fake import speak
from aural.types import SAMPLE_RATE, Clip, Options, Samples, Transcript
from tests.conftest import DATA, recordings, words
from tests.standin.fixtures import upstream

MODELS = ("fake", "parakeet-digits", "voxtral-mini-3b", "whisper-tiny.en", "whisper-base")
FULL = 30 * SAMPLE_RATE
DIGITS = DATA / "nemo-digits"
"""A small TDT model that hears English digits, and two recordings for it."""
FOLDERS = {"parakeet-digits": DIGITS}


@dataclass(frozen=True)
class Ears:
    """A loaded engine and two sentences for it."""

    name: str
    engine: Engine
    sentences: tuple[Samples, Samples]
    texts: tuple[str, str]

    def hear(self, *clips: Samples | Clip, **options: object) -> list[Transcript]:
        """The transcripts of a batch; the options are for bare samples."""
        asked = Options(**options)  # type: ignore[arg-type]
        return self.engine.transcribe([one if isinstance(one, Clip) else Clip(one, asked) for one in clips])

    def understood(self, transcript: Transcript, sentence: int) -> bool:
        """Whether most of the words of the sentence are in the transcript."""
        got, expected = text_of(transcript).lower(), words(self.texts[sentence])
        return sum(word in got for word in expected) >= 0.7 * len(expected)


@cache
def ears(name: str) -> Ears:
    """Loaded once for all tests."""
    engine = base.load(spec(name, upstream=_standin() if name.startswith("voxtral") else ""))
    if name in ("fake", "voxtral-mini-3b"):
        return Ears(name, engine, (speak("hello world"), speak("good morning")), ("hello world", "good morning"))
    if name == "parakeet-digits":
        texts = ("seven three nine two", "zero one four five")
        spoken = [
            decode((DIGITS / f"{text.replace(' ', '-')}.flac").read_bytes(), limit_s=60).samples for text in texts
        ]
        return Ears(name, engine, (spoken[0], spoken[1]), texts)
    clips = {clip.path.stem: clip for clip in recordings(DATA)}
    chosen = [clips[name] for name in ("libri-367-130732-0001", "LJ001-0002")]
    first, second = (decode(clip.bytes, limit_s=60).samples for clip in chosen)
    return Ears(name, engine, (first, second), (chosen[0].text, chosen[1].text))


def _standin() -> str:
    """The address of a stand-in for vLLM that runs until the tests are over."""
    context = upstream()
    atexit.register(context.__exit__, None, None, None)
    return context.__enter__().url


def spec(name: str, **changes: object) -> ModelSpec:
    """The spec of a model as the server has it on a CPU."""
    card = catalog.find(f"{name}={FOLDERS[name]}" if name in FOLDERS else name)
    fitted = name in catalog.FITTED_WINDOWS
    whole = ModelSpec(card.name, card.family, card.fetch(), card.sha256, threads=2, fitted_windows=fitted)
    if card.family == "parakeet":
        whole = replace(whole, compute_type="auto")
    return replace(whole, **changes)  # type: ignore[arg-type]


def text_of(transcript: Transcript) -> str:
    return "".join(segment.text for segment in transcript.segments).strip()


def tones(*hertz: float, duration_s: float = 5.0) -> Samples:
    time = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    return np.mean([0.5 * np.sin(2 * np.pi * one * time) for one in hertz], axis=0).astype(np.float32)


def dial(pairs: int = 12) -> Samples:
    """Touch tones of a telephone, 0.2 s each and 0.1 s apart."""
    keys = [(697, 1209), (770, 1336), (852, 1477), (941, 1633)]
    pause = np.zeros(SAMPLE_RATE // 10, np.float32)
    return np.concatenate([part for i in range(pairs) for part in (tones(*keys[i % 4], duration_s=0.2), pause)])


def noise(level: float, duration_s: float = 5.0) -> Samples:
    rng = np.random.default_rng(0)
    return rng.normal(0, level, round(duration_s * SAMPLE_RATE)).astype(np.float32)


SOUNDS: dict[str, Callable[[], Samples]] = {
    "digital silence": lambda: np.zeros(5 * SAMPLE_RATE, np.float32),
    "a room": lambda: noise(0.001),
    "white noise": lambda: noise(0.1),
    "a tone": lambda: tones(440),
    "touch tones": dial,
    "a click": lambda: np.pad(np.ones(1, np.float32), (4000, 4000)),
}
"""Nobody speaks in these."""
