"""Rows of what is unsafe: found where it is, and not where it is not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

import numpy as np

from aural.insight import safety
from aural.insight.embed import E5, Bge
from aural.insight.heads import heads
from aural.insight.types import Utterance
from benchmarks.insights.bench import Bench, Result
from benchmarks.insights.figures import auroc, f1

ORDINARY = 2500
LONGEST_TURN = 300
"""Characters of a turn of a meeting; a longer one is a speech."""


def cold(bench: Bench, name: str) -> Iterator[Result]:
    if name != E5.name:
        return
    test = bench.rows("cold_zh.tsv", test=True, split="test")
    texts = [row["text"] for row in test]
    shares = np.array(
        [one["OFFENCE"] for one in heads(name).probabilities("offence", bench.embed(name, texts), texts, "zh")]
    )
    truth = np.array([row["offensive"] == "1" for row in test])
    hits = shares > 0.5
    seen = "" if bench.apart else "seen in training"
    yield Result("COLD zh macro-F1", name, (f1(hits, truth) + f1(~hits, ~truth)) / 2, 0.80, len(test), seen)


def moderation(bench: Bench, name: str) -> Iterator[Result]:
    test = bench.rows("moderation_en.tsv", test=True)
    texts = [row["text"] for row in test]
    shares = heads(name).probabilities("safety", bench.embed(name, texts), texts, "en")
    worst = np.array([max(one.values()) for one in shares])
    truth = np.array([bool(row["flags"]) for row in test])
    seen = "" if bench.apart else "seen in training"
    yield Result("moderation_en any flag AUC", name, auroc(worst, truth), 0.80, len(test), seen)
    raised = np.array([bool(_raised(bench, name, text)) for text in texts])
    yield Result("moderation_en recall", name, float(raised[truth].mean()), None, int(truth.sum()), seen)
    yield Result("moderation_en precision", name, float(truth[raised].mean()), None, int(raised.sum()), seen)
    turns = [row["text"] for row in bench.rows("multidogo_turns.tsv", test=True, split="test")]
    asked = [row["text"] for row in bench.rows("banking77_test.tsv", test=True)]
    ordinary = list(dict.fromkeys(turns))[: ORDINARY * 3 // 5] + asked[: ORDINARY * 2 // 5]
    yield false_alarms(bench, name, "safety: false alarms on ordinary turns", ordinary)


def ordinary(bench: Bench, name: str) -> Iterator[Result]:
    """False alarms where nobody's turns taught the heads: meetings, and orders in Chinese."""
    if name == Bge.name:
        lines = (bench.test / "qmsum_meetings.jsonl").read_text(encoding="utf-8").splitlines()
        turns = [said for meeting in map(json.loads, lines) for _, said in meeting["turns"] if len(said) < LONGEST_TURN]
        yield false_alarms(bench, name, "safety: false alarms in meetings", random.Random(1).sample(turns, ORDINARY))
    else:
        rows = bench.rows("xsid_zh_en.tsv", test=True)
        texts = [row["text"] for row in rows if row["lang"] == "zh"]
        yield false_alarms(bench, name, "safety: false alarms on Chinese orders", texts, "zh")


def false_alarms(bench: Bench, name: str, task: str, texts: Sequence[str], language: str = "en") -> Result:
    false = [text for text in texts if _raised(bench, name, text, language)]
    return Result(task, name, len(false) / len(texts), -0.005, len(texts))


def _raised(bench: Bench, name: str, text: str, language: str = "en") -> tuple[safety.Safety, ...]:
    vectors, trained = bench.embed(name, [text]), heads(name)
    words = safety.by_words(Utterance("", text, language=language))
    [shares] = trained.probabilities("safety", vectors, [text], language)
    found = safety.together(words, safety.by_head(shares, trained.thresholds("safety")))
    if language != "zh":
        return found
    [offence] = trained.probabilities("offence", vectors, [text], language)
    return safety.together(found, safety.by_offence(offence["OFFENCE"]))
