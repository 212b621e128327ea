"""NVIDIA's Parakeet and other NeMo models, CTC, RNN-T and TDT, through ONNX Runtime: clips of many callers together.

The files are those that the onnx-asr project publishes and reads: `vocab.txt`, `config.json`, and either `model.onnx`
(CTC) or `encoder-model.onnx` with `decoder_joint-model.onnx` (RNN-T and TDT), each perhaps with `.int8` or `.fp16` in
its name. docs/parakeet.md has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from aural.engines import guard
from aural.engines.base import Capabilities, ModelSpec
from aural.engines.parakeet_decoder import Floats, Hypothesis, Ints
from aural.engines.parakeet_features import HOP, log_mel, stack
from aural.engines.parakeet_files import Config, read_config, weights_files
from aural.engines.parakeet_language import EUROPEAN, guess
from aural.engines.parakeet_network import CtcModel, TransducerModel
from aural.engines.parakeet_text import Spoken, Vocabulary, read_vocabulary, sentences, spell
from aural.errors import LoadFailed
from aural.types import SAMPLE_RATE, Clip, Reason, Samples, Segment, Suppressed, Timestamps, Transcript

SHORTEST_CLIP = SAMPLE_RATE // 10
LONGEST_CLIP = 30 * SAMPLE_RATE
ALIKE = 0.75
"""On a CPU clips are encoded together that are at least so long as the longest of them: padding costs full price there,
and a batch gains little. A GPU takes them all."""

MULTILINGUAL_MARK = "de"
"""A vocabulary with a control token for this language is that of a multilingual model."""


class Model(Protocol):
    """A loaded network of either kind."""

    def encode(self, features: Floats, lengths: Ints) -> tuple[Floats, Ints]:
        """Features (clips, bands, frames) → encoded frames (clips, frames, dim) and how many of them count."""
        ...

    def decode(self, encoded: Floats, lengths: Ints) -> list[Hypothesis]: ...


def load(spec: ModelSpec) -> ParakeetEngine:
    """Load a folder in onnx-asr's layout; raises LoadFailed."""
    if spec.folder is None:
        raise LoadFailed(f"{spec.name}: expected a folder of weights, got none")
    config = read_config(spec.folder / "config.json")
    vocabulary = read_vocabulary(spec.folder / "vocab.txt")
    try:
        files = weights_files(spec.folder, spec.compute_type, spec.device)
        model: Model = (
            CtcModel(spec, files["model"], config, vocabulary.blank)
            if "model" in files
            else TransducerModel(spec, files, config, len(vocabulary), vocabulary.blank)
        )
    except LoadFailed as error:
        raise LoadFailed(f"{spec.name}: {error}") from error
    except Exception as error:
        raise LoadFailed(f"{spec.name}: {spec.folder} could not be loaded: {error}") from error
    return ParakeetEngine(spec, model, vocabulary, config)


class ParakeetEngine:
    """One NeMo model on one device. See `aural.engines.base.Engine`."""

    def __init__(self, spec: ModelSpec, model: Model, vocabulary: Vocabulary, config: Config) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._bands = config.bands
        self._frame_samples = HOP * config.subsampling
        self._alike = ALIKE if spec.device == "cpu" else 0.0
        languages = config.languages or (EUROPEAN if MULTILINGUAL_MARK in vocabulary.languages else ("en",))
        self._capabilities = Capabilities(
            languages=languages,
            longest_clip=LONGEST_CLIP,
            detects_language=len(languages) > 1,
            guesses_language=len(languages) > 1,
            timestamps=tuple(Timestamps),
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def transcribe(self, clips: Sequence[Clip]) -> list[Transcript]:
        """See `aural.engines.base.Engine.transcribe`."""
        audible = [i for i, clip in enumerate(clips) if len(clip) >= SHORTEST_CLIP]
        heard = dict(zip(audible, self._hear([clips[i].samples for i in audible]), strict=True))
        return [self._transcript(clip, heard.get(i)) for i, clip in enumerate(clips)]

    def _hear(self, audios: Sequence[Samples]) -> list[Hypothesis]:
        """Encode clips of like length together, then decode all of them together."""
        encoded: list[Floats] = [np.empty((0, 0), np.float32)] * len(audios)
        features = [log_mel(samples, self._bands) for samples in audios]
        for group in _alike_in_length([one.shape[1] for one in features], self._alike):
            outputs, lengths = self._model.encode(*stack([features[i] for i in group]))
            for i, output, length in zip(group, outputs, lengths.tolist(), strict=True):
                encoded[i] = output[:length]
        if not encoded:
            return []
        return self._model.decode(*_padded(encoded))

    def _transcript(self, clip: Clip, heard: Hypothesis | None) -> Transcript:
        spoken = spell(heard, self._vocabulary, self._frame_samples, len(clip)) if heard else []
        text = "".join(one.word.text for one in spoken)
        language, certainty = self._language(clip, text)
        reason = guard.suppression(_evidence(text, heard, len(clip))) if heard and spoken else Reason.NO_SPEECH
        if reason is not None:
            return Transcript((), (Suppressed(0, len(clip), reason, text.strip()),), language, certainty)
        with_words = clip.options.timestamps is Timestamps.WORD
        segments = tuple(_segment(sentence, with_words) for sentence in sentences(spoken))
        return Transcript(segments, (), language, certainty)

    def _language(self, clip: Clip, text: str) -> tuple[str, float]:
        """As the caller says, else the only one, else by the text, since the model does not say."""
        languages = self._capabilities.languages
        if clip.options.language or len(languages) == 1:
            return clip.options.language or languages[0], 1.0
        return guess(text, languages)


def _evidence(text: str, heard: Hypothesis, clip_samples: int) -> guard.Evidence:
    return guard.Evidence(
        text=text,
        tokens=len(heard.tokens),
        avg_logprob=float(np.mean(heard.logprobs)),
        no_speech_prob=0.0,
        duration_s=clip_samples / SAMPLE_RATE,
    )


def _segment(sentence: Sequence[Spoken], with_words: bool) -> Segment:
    text = "".join(one.word.text for one in sentence)
    avg_logprob = float(np.mean([logprob for one in sentence for logprob in one.logprobs]))
    return Segment(
        text=text,
        start=sentence[0].word.start,
        end=sentence[-1].word.end,
        avg_logprob=avg_logprob,
        compression_ratio=guard.compression_ratio(text),
        no_speech_prob=float(-np.expm1(avg_logprob)),  # what these models leave to blanks and other tokens
        tokens=tuple(token for one in sentence for token in one.tokens),
        words=tuple(one.word for one in sentence) if with_words else (),
    )


def _alike_in_length(lengths: Sequence[int], share: float) -> Iterator[list[int]]:
    """Indices in groups, the longest first; in each all are at least `share` of its longest."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if group and lengths[i] < share * lengths[group[0]]:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _padded(encoded: Sequence[Floats]) -> tuple[Floats, Ints]:
    lengths = np.array([len(one) for one in encoded], np.int64)
    batch = np.zeros((len(encoded), int(lengths.max()), encoded[0].shape[1]), np.float32)
    for row, one in zip(batch, encoded, strict=True):
        row[: len(one)] = one
    return batch, lengths
