"""Whisper through CTranslate2: clips of many callers encoded and decoded together.

On a CPU the encoder gains nothing from a batch and the decoder a great deal, so clips are encoded one by one and
decoded together. With fitted windows the encoder hears only the clip and a short margin instead of 30 s; what it would
have said of the silence after that is known beforehand and appended, so that the decoder still sees speech end in
silence (docs/fitted-windows.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import tokenizers
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from aural.audio.level import is_loud_beside, is_silent
from aural.engines import guard
from aural.engines.base import Capabilities, ModelSpec
from aural.engines.weights import verify
from aural.engines.whisper_take import FRAMES_PER_S, FULL_FRAMES, Decoded, Take
from aural.engines.whisper_text import Passage, align_words, split_passages, token_starts
from aural.errors import LoadFailed
from aural.languages import NAMES
from aural.text import join
from aural.types import SAMPLE_RATE, Clip, Options, Reason, Samples, Segment, Suppressed, Timestamps, Transcript, Word

MARGIN_FRAMES = 2 * FRAMES_PER_S
"""What a fitted window hears after the clip."""
STEP_FRAMES = FRAMES_PER_S // 2
"""By which windows grow. oneDNN makes kernels for each length that it meets and keeps those of the last hundred or so:
a megabyte each, and a length that it does not know takes a seventh longer."""
TAIL_FRAMES = 8 * FRAMES_PER_S
"""Silence that the decoder sees after the clip, at least, when its window was fitted."""
SHORTEST_CLIP = SAMPLE_RATE // 10
SHORTEST_REST = SAMPLE_RATE
"""What is left after the last word that the decoder timed is heard by itself when it is longer than this."""
TOKEN = SAMPLE_RATE
LONGEST_TOKEN = 28 * SAMPLE_RATE // 10
"""No token of speech lasts longer; the first second of what seems to may be it."""

FALLBACK_TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
FALLBACK_CANDIDATES = 5
SEED = 0
"""Of the samples at temperatures above 0: the same requests in the same order get the same texts."""
MAX_TOKENS = 224
"""Half the text context, as in the reference: the other half is for the prompt."""
BUDGET_TOKENS = 16
BUDGET_TOKENS_PER_S = {"en": 6.0}
BUDGET_TOKENS_PER_S_ELSEWHERE = 14.0
"""Scripts that the tokenizer splits finely need more tokens for the same speech."""


def load(spec: ModelSpec) -> WhisperEngine:
    """Load a folder of CTranslate2 Whisper weights; raises LoadFailed."""
    if spec.folder is None:
        raise LoadFailed(f"{spec.name}: expected a folder of weights, got none")
    verify(spec.folder / "model.bin", spec.sha256)
    try:
        return WhisperEngine(spec, spec.folder)
    except (RuntimeError, ValueError, OSError) as error:
        raise LoadFailed(f"{spec.name}: {spec.folder} could not be loaded: {error}") from error


class WhisperEngine:
    """One Whisper model on one device. See `aural.engines.base.Engine`."""

    def __init__(self, spec: ModelSpec, folder: Path) -> None:
        ctranslate2.set_random_seed(SEED)
        self._model = ctranslate2.models.Whisper(
            str(folder),
            device=spec.device,
            device_index=spec.device_index,
            compute_type=spec.compute_type,
            inter_threads=1,
            intra_threads=spec.threads,
        )
        self._on_cpu = spec.device == "cpu"
        if "bfloat16" in self._model.compute_type:
            raise LoadFailed(f"{spec.name}: expected a compute type that numpy knows, got {self._model.compute_type}")
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
        self._vocabulary = _open_tokenizer(folder, bool(self._model.is_multilingual))
        self._tokenizers: dict[tuple[str, str], Tokenizer] = {}
        self._fitted = spec.fitted_windows and self._on_cpu
        self._silence = self._encode_silence() if self._fitted else None
        languages = sorted(NAMES) if self._model.is_multilingual else ["en"]
        self._capabilities = Capabilities(
            languages=tuple(code for code in languages if self._vocabulary.token_to_id(f"<|{code}|>") is not None),
            longest_clip=30 * SAMPLE_RATE,
            detects_language=bool(self._model.is_multilingual),
            tasks=("transcribe", "translate") if self._model.is_multilingual else ("transcribe",),
            timestamps=tuple(Timestamps),
            prompt=True,
            hotwords=True,
            temperature=True,
            beam_search=True,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def transcribe(self, clips: Sequence[Clip]) -> list[Transcript]:
        """See `aural.engines.base.Engine.transcribe`."""
        heard: list[list[Transcript]] = [[] for _ in clips]
        waiting = [(place, self._take(clip)) for place, clip in enumerate(clips)]
        while waiting:
            for group in _alike(take for _, take in waiting if len(take.clip) >= SHORTEST_CLIP):
                self._hear(group)
            rests = [(place, rest) for place, take in waiting if (rest := self._rest(take))]
            starts = {place: rest.start for place, rest in rests}
            for place, take in waiting:
                transcript = self._transcript(take).shifted(take.start)
                heard[place].append(_until(starts.get(place), transcript))
            waiting = rests
        return [parts[0] if len(parts) == 1 else join(parts) for parts in heard]

    def _rest(self, take: Take) -> Take | None:
        """What lies after the last time that the decoder told, to be heard by itself: it may have stopped early (the
        reference seeks on from there, too)."""
        if not take.timed or guard.suppression(take.evidence):
            return None
        end = self._passages(take)[-1].end
        rest = take.clip.samples[end:]
        if not end or len(rest) < SHORTEST_REST or is_silent(rest):
            return None
        options = replace(take.clip.options, language=take.language)
        following = self._take(Clip(rest, options))
        following.timed, following.start = True, take.start + end
        return following

    def _take(self, clip: Clip) -> Take:
        language = clip.options.language or "en"
        audible = clip.samples if len(clip) >= SHORTEST_CLIP else np.zeros(SHORTEST_CLIP, np.float32)
        mel = self._features(audible)[:, :-1]  # the last frame is of padding, and the reference drops it
        return Take(clip, mel, self._tokenizer(language, clip.options.task), language)

    def _hear(self, takes: list[Take]) -> None:
        """Hear clips whose options allow one batch: fitted, again in full where that is not trusted, then warmer. A
        draft is heard once: the next one hears more, and those in its batch shall not wait."""
        self._encode(takes, fitted=self._fitted)
        self._detect_languages(takes)
        self._decode(takes, takes[0].clip.options.temperature or 0.0)
        temperature = takes[0].decoded.temperature
        takes = [take for take in takes if not take.clip.is_draft]
        doubted = [take for take in takes if self._fitted and not guard.trusts_fitted(take.evidence)]
        for take in doubted:
            take.redone = True
        if doubted:
            self._encode([take for take in doubted if take.is_fitted], fitted=False)
            self._decode(doubted, temperature)
        gappy = [take for take in takes if not take.timed and guard.is_sparse(take.evidence) and self._has_gap(take)]
        if gappy:
            self._hear_timed(gappy, temperature)
        if takes and takes[0].clip.options.temperature is None:
            self._fall_back([take for take in takes if guard.needs_fallback(take.evidence)])

    def _has_gap(self, take: Take) -> bool:
        """Whether something is said for which there is no text: the decoder stopped early, or left out a stretch."""
        tokens = [token for token in take.decoded.tokens if token < take.tokenizer.eot]
        starts = token_starts(self._align(take, tokens).alignments, len(tokens)).tolist() if tokens else []
        return any(
            end - start > LONGEST_TOKEN and is_loud_beside(take.clip.samples[start + TOKEN : end], take.clip.samples)
            for start, end in pairwise([0, *starts, len(take.clip)])
        )

    def _hear_timed(self, takes: list[Take], temperature: float) -> None:
        """Decode once more with times, which show where the decoder stopped; kept where it heard more."""
        untimed = [take.decoded for take in takes]
        for take in takes:
            take.timed = True
        self._decode(takes, temperature)
        for take, before in zip(takes, untimed, strict=True):
            if guard.needs_fallback(take.evidence):
                take.timed, take.decoded = False, before

    def _fall_back(self, takes: list[Take]) -> None:
        """Decode again, ever warmer, until the result passes; if none does, keep the likeliest that may be shown."""
        best = {id(take): (_merit(take), take.decoded) for take in takes}
        failed = takes
        for temperature in FALLBACK_TEMPERATURES:
            if not failed:
                return
            self._decode(failed, temperature)
            failed = [take for take in failed if guard.needs_fallback(take.evidence)]
            for take in failed:
                best[id(take)] = max(best[id(take)], (_merit(take), take.decoded), key=itemgetter(0))
        for take in failed:
            take.decoded = best[id(take)][1]

    def _encode(self, takes: list[Take], *, fitted: bool) -> None:
        """Encode one by one on a CPU, where a batch would only cost memory, and all at once on a GPU."""
        for group in [[take] for take in takes] if self._on_cpu else [takes]:
            windows = np.stack(
                [_window(take.mel, take.frames + MARGIN_FRAMES if fitted else FULL_FRAMES) for take in group]
            )
            encoded = np.asarray(self._model.encode(_view(windows), to_cpu=not self._on_cpu))
            for row, take in enumerate(group):
                take.encoded = encoded[row : row + 1]

    def _encode_silence(self) -> Samples:
        """What the encoder says of 30 s in which nobody speaks, shape (1, 1500, d_model)."""
        window = np.zeros((1, self._model.n_mels, FULL_FRAMES), np.float32)
        return np.array(self._model.encode(_view(window)))

    def _stack(self, takes: list[Take]) -> Any:
        """The encoded clips as one batch, the shorter ones lengthened with encoded silence."""
        if len(takes) == 1 and not takes[0].is_fitted:
            return _view(takes[0].encoded)
        if self._silence is None:
            return _view(np.concatenate([take.encoded for take in takes]))
        lengths = [take.encoded.shape[1] for take in takes]
        longest = max(*lengths, *((take.frames + TAIL_FRAMES) // 2 for take in takes))
        batch = np.empty((len(takes), min(longest, FULL_FRAMES // 2), self._silence.shape[2]), np.float32)
        for row, take, heard in zip(batch, takes, lengths, strict=True):
            row[:heard] = take.encoded[0]
            row[heard:] = self._silence[0, heard : len(row)]
        return _view(batch)

    def _detect_languages(self, takes: list[Take]) -> None:
        if not self._model.is_multilingual:
            return
        for take in takes:
            if take.clip.options.language is None:
                # Without the silent tail, which sounds English to the model.
                token, take.language_probability = self._model.detect_language(_view(take.encoded))[0][0]
                take.language = token.strip("<|>")
                take.tokenizer = self._tokenizer(take.language, take.clip.options.task)

    def _decode(self, takes: list[Take], temperature: float) -> None:
        """Decode a batch at one temperature and keep the result in each take."""
        options = takes[0].clip.options
        budgets = [MAX_TOKENS if take.redone and not temperature else _budget(take) for take in takes]
        sampling: dict[str, Any] = {"beam_size": options.beam_size}
        if temperature > 0:
            candidates = FALLBACK_CANDIDATES if options.temperature is None else 1
            sampling = {"num_hypotheses": candidates, "sampling_topk": 0, "sampling_temperature": temperature}
            sampling["beam_size"] = 1
        results = self._model.generate(
            self._stack(takes),
            [self._prompt(take) for take in takes],
            max_length=2 * max(budgets),  # CTranslate2 counts both halves of the text context
            return_scores=True,
            return_no_speech_prob=True,
            **sampling,
        )
        for take, budget, result in zip(takes, budgets, results, strict=True):
            tokens = tuple(result.sequences_ids[0])
            take.decoded = Decoded(
                tokens=tokens,
                avg_logprob=result.scores[0] * len(tokens) / (len(tokens) + 1),
                no_speech_prob=result.no_speech_prob,
                temperature=temperature,
                budget_spent=len(tokens) >= budget,
            )

    def _prompt(self, take: Take) -> list[int]:
        tokenizer, options = take.tokenizer, take.clip.options
        before = tokenizer.encode(" " + options.hotwords.strip()) if options.hotwords else []
        before += tokenizer.encode(" " + options.prompt.strip()) if options.prompt else []
        prompt = [tokenizer.sot_prev, *before[-(MAX_TOKENS - 1) :]] if before else []
        prompt += tokenizer.sot_sequence
        if not take.timed:
            prompt.append(tokenizer.no_timestamps)
        return prompt

    def _transcript(self, take: Take) -> Transcript:
        if len(take.clip) < SHORTEST_CLIP:
            gap = Suppressed(0, len(take.clip), Reason.NO_SPEECH)
            return Transcript((), (gap,), take.language, take.language_probability)
        reason = guard.suppression(take.evidence)
        if take.clip.is_draft and guard.may_loop(take.evidence):
            reason = reason or Reason.REPETITION
        if reason is not None:
            gap = Suppressed(0, len(take.clip), reason, take.text.strip())
            return Transcript((), (gap,), take.language, take.language_probability, take.redone)
        passages = self._passages(take)
        words = self._words(take, passages)
        segments = tuple(
            _segment(take, passage, words.get(i, ())) for i, passage in enumerate(passages) if passage.text.strip()
        )
        return Transcript(segments, (), take.language, take.language_probability, take.redone)

    def _passages(self, take: Take) -> list[Passage]:
        return split_passages(take.decoded.tokens, take.tokenizer, len(take.clip))

    def _words(self, take: Take, passages: list[Passage]) -> dict[int, tuple[Word, ...]]:
        """The words of each passage, by its index."""
        tokens = [token for passage in passages for token in passage.tokens]
        if take.clip.options.timestamps is not Timestamps.WORD or not tokens:
            return {}
        return align_words(self._align(take, tokens), passages, take.tokenizer, len(take.clip))

    def _align(self, take: Take, text_tokens: list[int]) -> Any:
        """CTranslate2's WhisperAlignmentResult of one clip."""
        sequence = take.tokenizer.sot_sequence
        [result] = self._model.align(self._stack([take]), sequence, [text_tokens], take.frames, median_filter_width=7)
        return result

    def _tokenizer(self, language: str, task: str) -> Tokenizer:
        key = (language, task)
        if key not in self._tokenizers:
            multilingual = bool(self._model.is_multilingual)
            self._tokenizers[key] = Tokenizer(self._vocabulary, multilingual, task=task, language=language)
        return self._tokenizers[key]


def _alike(takes: Iterable[Take]) -> list[list[Take]]:
    """Groups that one call can decode: same kind of search, and as many tokens before the text."""
    groups: dict[object, list[Take]] = defaultdict(list)
    for take in takes:
        options: Options = take.clip.options
        key = (options.temperature, options.beam_size, take.timed)
        groups[key, options.prompt, options.hotwords].append(take)
    return list(groups.values())


def _segment(take: Take, passage: Passage, words: tuple[Any, ...]) -> Segment:
    return Segment(
        text=passage.text,
        start=words[0].start if words else passage.start,
        end=words[-1].end if words else passage.end,
        avg_logprob=take.decoded.avg_logprob,
        compression_ratio=guard.compression_ratio(passage.text),
        no_speech_prob=take.decoded.no_speech_prob,
        temperature=take.decoded.temperature,
        tokens=tuple(passage.tokens),
        words=words,
    )


def _until(end: int | None, transcript: Transcript) -> Transcript:
    """The transcript with no time after `end`, where the next one begins: alignment lets a last word last through the
    pause after it."""
    if end is None:
        return transcript
    return replace(transcript, segments=tuple(segment.within(0, end) for segment in transcript.segments))


def _merit(take: Take) -> tuple[bool, float]:
    """A loop is likely by its scores, so whether a text may be shown comes before them."""
    return guard.suppression(take.evidence) is None, take.decoded.avg_logprob


def _budget(take: Take) -> int:
    """Tokens that the speech in a clip can be worth; a loop spends them all."""
    rate = BUDGET_TOKENS_PER_S.get(take.language, BUDGET_TOKENS_PER_S_ELSEWHERE)
    return min(MAX_TOKENS, round(BUDGET_TOKENS + rate * len(take.clip) / SAMPLE_RATE))


def _window(mel: Samples, frames: int) -> Samples:
    """Log-mel frames cut or zero-padded to whole steps, 30 s at most, shape (n_mels, frames)."""
    window = np.zeros((mel.shape[0], min(-(-frames // STEP_FRAMES) * STEP_FRAMES, FULL_FRAMES)), np.float32)
    content = min(mel.shape[1], window.shape[1])
    window[:, :content] = mel[:, :content]
    return window


def _view(array: NDArray[Any]) -> Any:
    """The array as CTranslate2 takes it, not copied."""
    return ctranslate2.StorageView.from_array(array)


def _open_tokenizer(folder: Path, multilingual: bool) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise LoadFailed(f"{folder}: expected a tokenizer.json beside model.bin, found none")
    return tokenizers.Tokenizer.from_file(str(path))
