"""How a speaker feels, from the words: one of seven emotions, and how pleasant it is."""

from __future__ import annotations

from collections.abc import Mapping

from aural.insight.types import Emotion

EKMAN = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
    "neutral": "neutral",
}
"""The labels of GoEmotions that each is made of, as its authors have it (Demszky et al. 2020)."""
EMOTIONS = tuple(EKMAN)
"""Ekman's six, and none of them."""
VALENCE = {"anger": -1.0, "disgust": -1.0, "fear": -1.0, "sadness": -1.0, "joy": 1.0, "surprise": 0.0, "neutral": 0.0}
FELT = 0.25
"""Valence beyond which an utterance is positive or negative."""


def held(shares: Mapping[str, float], thresholds: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The labels above their thresholds, the most probable first."""
    found = [(label, round(share, 3)) for label, share in shares.items() if share > thresholds[label]]
    return tuple(sorted(found, key=lambda pair: -pair[1]))


def emotion(shares: Mapping[str, float]) -> Emotion:
    """The emotion from the probabilities of the head `call`, which add up to 1."""
    label = max(shares, key=lambda name: shares[name])
    valence = sum(VALENCE[name] * share for name, share in shares.items())
    return Emotion(label, round(shares[label], 3), sentiment(valence), round(valence, 3))


def sentiment(valence: float) -> str:
    """POSITIVE, NEGATIVE or NEUTRAL."""
    return "POSITIVE" if valence > FELT else "NEGATIVE" if valence < -FELT else "NEUTRAL"
