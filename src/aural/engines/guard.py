"""Tests of whether a text can be what was said. The same for every engine; pure functions over text and scores.

The thresholds for compression, log-probability and no-speech are those of OpenAI's reference decoder (Radford et al.
2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 4.5). The others were chosen on real clips;
docs/fitted-windows.md has the figures.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from aural.types import Reason, Segment

MAX_COMPRESSION_RATIO = 2.4
MIN_AVG_LOGPROB = -1.0
MAX_NO_SPEECH_PROB = 0.6

MAX_CHARACTERS_PER_S = 40.0
"""Fast speech has about 25 Latin letters a second, and fewer characters in scripts that write a syllable with one."""

TRUSTED_AVG_LOGPROB = -0.65
TRUSTED_TOKENS_PER_S = 1.0
"""Below these a text from a fitted window is heard again in the full one."""

SPARSE_TOKENS_PER_S = 2.5
SPARSE_AFTER_S = 8.0
"""A longer clip with fewer tokens a second may say more than its text does."""

DOUBTFUL_AVG_LOGPROB = -0.6
DOUBTFUL_NO_SPEECH_PROB = 0.3
"""Beyond these a text stands only if voice activity detection hears a voice."""

UNLIKELY_NO_SPEECH_PROB = 0.5
"""Beyond this, with a doubtful log-probability as well, that voice must be clear."""

SPACELESS_SCRIPTS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(f"[{SPACELESS_SCRIPTS}]|[^\\W{SPACELESS_SCRIPTS}]+")
"""A word, or a character of a script that puts no spaces between words."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an engine knows about one text."""

    text: str
    tokens: int
    avg_logprob: float
    no_speech_prob: float
    duration_s: float
    budget_spent: bool = False
    """Decoding stopped at its token budget, not by itself."""


def compression_ratio(text: str) -> float:
    """UTF-8 bytes over zlib bytes."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def repeats_itself(text: str) -> bool:
    """Whether a phrase of three or more words comes twice in a row, or a shorter one four times."""
    words = _words(text)
    return _has_run(words, 3, len(words) // 2, times=2) or _has_run(words, 1, 2, times=4)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _has_run(words: list[str], shortest: int, longest: int, times: int) -> bool:
    for size in range(shortest, longest + 1):
        same = 0
        for i in range(size, len(words)):
            same = same + 1 if words[i] == words[i - size] else 0
            if same == size * (times - 1):
                return True
    return False


def trusts_fitted(evidence: Evidence) -> bool:
    """Whether a text from a fitted window may stand, or the clip should be heard again in the full window."""
    return not (
        evidence.avg_logprob < TRUSTED_AVG_LOGPROB
        or (evidence.duration_s > 4.0 and evidence.tokens < TRUSTED_TOKENS_PER_S * evidence.duration_s)
        or may_loop(evidence)
    )


def may_loop(evidence: Evidence) -> bool:
    """Whether the decoder may have gone round in a circle."""
    return evidence.budget_spent or repeats_itself(evidence.text)


def is_sparse(evidence: Evidence) -> bool:
    """Whether the decoder may have left out a stretch of speech, as it has in about one of four of such clips."""
    return evidence.duration_s > SPARSE_AFTER_S and evidence.tokens < SPARSE_TOKENS_PER_S * evidence.duration_s


def needs_fallback(evidence: Evidence) -> bool:
    """The reference decoder's test for trying again at a higher temperature, less easily alarmed by what repeats."""
    return not is_silence(evidence) and (is_loop(evidence) or evidence.avg_logprob < MIN_AVG_LOGPROB)


def is_loop(evidence: Evidence) -> bool:
    """Whether the decoder went round in a circle. People do say a sentence twice, which compresses as well, so the
    budget must be spent, too, or a phrase come three times in a row."""
    if compression_ratio(evidence.text) <= MAX_COMPRESSION_RATIO:
        return False
    words = _words(evidence.text)
    return evidence.budget_spent or _has_run(words, 1, len(words) // 3, times=3)


def is_silence(evidence: Evidence) -> bool:
    return evidence.no_speech_prob > MAX_NO_SPEECH_PROB and evidence.avg_logprob < MIN_AVG_LOGPROB


def suppression(evidence: Evidence) -> Reason | None:
    """Why the text must not be shown, or None when it may."""
    if is_silence(evidence) or not evidence.text.strip():
        return Reason.NO_SPEECH
    if len(evidence.text.strip()) > MAX_CHARACTERS_PER_S * max(evidence.duration_s, 0.5):
        return Reason.SPEECH_RATE
    if is_loop(evidence):
        return Reason.REPETITION
    if evidence.avg_logprob < 2 * MIN_AVG_LOGPROB:
        return Reason.LOW_CONFIDENCE
    return None


def is_doubtful(segment: Segment) -> bool:
    """Whether a text needs a second witness (voice activity detection) before it is shown."""
    return (
        segment.is_suspect
        or segment.avg_logprob < DOUBTFUL_AVG_LOGPROB
        or segment.no_speech_prob > DOUBTFUL_NO_SPEECH_PROB
    )


def is_unlikely(segment: Segment) -> bool:
    """Whether both scores speak against a text, as they do where an instrument is like a voice."""
    return segment.avg_logprob < DOUBTFUL_AVG_LOGPROB and segment.no_speech_prob > UNLIKELY_NO_SPEECH_PROB
