"""The engine that every arm with identical windows shares, and aural's own engine behind the same three lines.

Windows are float32 samples, mono, 16 kHz, at most 30 s. On a CPU the encoder gains nothing from a batch and the decoder
much, so windows are encoded one by one and decoded together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aural.bench.sounds import Pcm16

WINDOW = 30 * 16_000
FRAMES = 3_000
MAX_NEW_TOKENS = 224

Samples = NDArray[np.float32]


class Engine(Protocol):
    def transcribe(self, windows: Sequence[Samples]) -> list[str]:
        """What was said in each window; all windows are decoded as one batch."""
        ...


class FullWindows:
    """CTranslate2 itself: every window is heard as 30 s."""

    def __init__(self, folder: Path, threads: int) -> None:
        import ctranslate2
        import tokenizers
        from faster_whisper.feature_extractor import FeatureExtractor
        from faster_whisper.tokenizer import Tokenizer

        self._view = ctranslate2.StorageView.from_array
        self._model = ctranslate2.models.Whisper(str(folder), compute_type="int8", intra_threads=threads)
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
        vocabulary = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer = Tokenizer(vocabulary, self._model.is_multilingual, task="transcribe", language="en")
        self._prompt = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]

    def transcribe(self, windows: Sequence[Samples]) -> list[str]:
        encoded = [np.asarray(self._encode(window)) for window in windows]
        results = self._model.generate(
            self._view(np.concatenate(encoded)),
            [self._prompt] * len(windows),
            beam_size=1,
            max_length=2 * MAX_NEW_TOKENS,  # CTranslate2 counts the prompt's half of the text context too
        )
        return [str(self._tokenizer.decode(result.sequences_ids[0])).strip() for result in results]

    def _encode(self, window: Samples) -> object:
        features = np.zeros((1, self._model.n_mels, FRAMES), np.float32)
        heard = self._features(window)[:, :-1][:, :FRAMES]  # faster-whisper leaves the last frame out too
        features[0, :, : heard.shape[1]] = heard
        return self._model.encode(self._view(features))


class FittedWindows:
    """aural's engine without aural's server: the encoder hears the clip and a margin, not 30 s."""

    def __init__(self, folder: Path, model: str, threads: int) -> None:
        from aural.engines.base import ModelSpec, load

        spec = ModelSpec(model, family="whisper", folder=folder, threads=threads, fitted_windows=True)
        self._engine = load(spec)

    def transcribe(self, windows: Sequence[Samples]) -> list[str]:
        from aural.types import Clip, Options

        heard = self._engine.transcribe([Clip(window, Options(language="en")) for window in windows])
        return ["".join(segment.text for segment in one.segments).strip() for one in heard]


def load(windows: str, folder: Path, model: str, threads: int) -> Engine:
    """`windows` is `full` or `fitted`; the first batch is already behind it."""
    engine: Engine = FullWindows(folder, threads) if windows == "full" else FittedWindows(folder, model, threads)
    engine.transcribe([np.zeros(WINDOW // 6, np.float32)])
    return engine


def cut(pcm: Pcm16) -> list[Samples]:
    """Windows of at most 30 s, long audio cut where aural cuts it."""
    samples: Samples = pcm.astype(np.float32) / np.float32(32_768)
    if len(samples) <= WINDOW:
        return [samples]
    from aural.audio.cut import cut as cut_long
    from aural.types import Pcm

    return [samples[span.start : span.end] for span in cut_long(Pcm(samples), _speech())]


@cache
def _speech() -> Callable[[Samples], Samples]:
    from aural.audio.vad import SileroVad

    return SileroVad().speech_probabilities


def in_batches(engine: Engine, items: Sequence[Sequence[Samples]], size: int) -> Iterator[str]:
    """The text of each item, whose windows are decoded `size` at a time."""
    windows = [window for item in items for window in item]
    texts: list[str] = []
    for at in range(0, len(windows), size):
        texts += engine.transcribe(windows[at : at + size])
    heard = iter(texts)
    for item in items:
        yield " ".join(next(heard) for _ in item)
