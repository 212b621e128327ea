"""Rows of labels and emotions: a caller's own, and those of the heads that come with the package."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from aural.insight.embed import E5, Bge
from aural.insight.emotion import EKMAN, emotion
from aural.insight.heads import fit, heads
from aural.insight.intent import OTHER, Intents, learning
from aural.insight.work import whole
from benchmarks.insights.bench import Bench, Kept, Result, Row
from benchmarks.insights.figures import accuracy, auroc, f1

DRAWS = 3
GARBLED = 0.1
"""Share of words that are dropped, or lose a letter, half each."""


def intents(bench: Bench, name: str, said: Sequence[tuple[str, str]], language: str = "en") -> Intents:
    return whole(learning(said, Kept(bench, name), heads(name), language))


def draw(rows: Sequence[Row], count: int, seed: int) -> list[tuple[str, str]]:
    """So many examples of each intent."""
    chance = random.Random(seed)
    by: dict[str, list[str]] = {}
    for row in rows:
        by.setdefault(row["intent"], []).append(row["text"])
    return [(label, text) for label, texts in by.items() for text in chance.sample(texts, min(count, len(texts)))]


def garbled(text: str, chance: random.Random) -> str:
    words = [word for word in text.split() if chance.random() > GARBLED / 2]
    return " ".join(_spoilt(word, chance) if chance.random() < GARBLED / 2 else word for word in words) or text


def _spoilt(word: str, chance: random.Random) -> str:
    """The word less one of its letters."""
    at = chance.randrange(len(word))
    return word[:at] + word[at + 1 :]


def banking(bench: Bench, name: str) -> Iterator[Result]:
    train, test = bench.rows("banking77_train.tsv"), bench.rows("banking77_test.tsv", test=True)
    truth = [row["intent"] for row in test]
    texts = [row["text"] for row in test]

    def right(shots: int, texts: Sequence[str]) -> float:
        """The mean of some draws of examples."""
        draws = [intents(bench, name, draw(train, shots, seed)).find(texts, 0.0) for seed in range(DRAWS)]
        return statistics.mean(accuracy([one.label for one in found], truth) for found in draws)

    goals = {5: 0.82, 10: 0.86} if name == Bge.name else {5: 0.74, 10: 0.81}
    for shots, goal in goals.items():
        yield Result(f"banking77 {shots}-shot accuracy", name, right(shots, texts), goal, len(test))
    if name == Bge.name:
        chance = random.Random(0)
        spoilt = [garbled(text.lower(), chance) for text in texts]
        yield Result("banking77 10-shot, 10 % garbled", name, right(10, spoilt), 0.81, len(test))


def clinc(bench: Bench, name: str) -> Iterator[Result]:
    train = [row for row in bench.rows("clinc150.tsv", split="train") if row["intent"] != "oos"]
    test = bench.rows("clinc150.tsv", test=True, split="test")
    known = intents(bench, name, draw(train, 10, 0))
    texts = [row["text"] for row in test]
    best = known.find(texts, 0.0)
    truth = np.array([row["intent"] for row in test])
    inside = truth != "oos"
    right = np.array([one.label for one in best]) == truth
    scores = np.array([one.score for one in best])
    yield Result("CLINC150 10-shot in scope", name, float(right[inside].mean()), 0.92, int(inside.sum()))
    yield Result("CLINC150 out of scope AUROC", name, auroc(scores, inside), 0.95, len(test))
    answered = np.array([one.label != OTHER for one in known.find(texts)])
    note = "at the default threshold"
    yield Result("CLINC150 in scope", name, float((right & answered)[inside].mean()), None, int(inside.sum()), note)
    yield Result("CLINC150 out of scope refused", name, float(1 - answered[~inside].mean()), None, len(test), note)


def multidogo(bench: Bench, name: str) -> Iterator[Result]:
    for domain, goal in (("finance", 0.92), ("airline", 0.88)):
        larger = {} if bench.apart else {"split": "test"}
        train = [r for r in bench.rows("multidogo_turns.tsv", **larger) if r["domain"] == domain]
        test = bench.rows("multidogo_turns.tsv", test=True, limited=False, split="dev")
        test = [r for r in test if r["domain"] == domain][: bench.limit or None]
        head = fit(bench.embed(name, [r["text"] for r in train]), [r["intents"].partition("|")[0] for r in train])
        shares = head.probabilities(bench.embed(name, [r["text"] for r in test]))
        found = np.array(head.labels)[shares.argmax(axis=1)]
        truth = np.array([r["intents"].partition("|")[0] for r in test])
        weighted = sum((truth == label).mean() * f1(found == label, truth == label) for label in set(truth))
        yield Result(f"MultiDoGO {domain} weighted F1", name, float(weighted), goal, len(test))


def comments(bench: Bench, name: str) -> Iterator[Result]:
    test = bench.rows("goemotions_test.tsv", test=True)
    texts = [row["text"] for row in test]
    vectors = bench.embed(name, texts)
    for skill, goal in (("ekman", 0.57), ("fine", 0.42)):
        if skill not in heads(name).by_skill:
            continue
        head = heads(name).by_skill[skill]
        hits = head.probabilities(vectors, texts) > head.thresholds
        groups = EKMAN if skill == "ekman" else {label: label for label in head.labels}
        truth = np.array(
            [[bool(set(r["emotions"].split("|")) & set(groups[g].split())) for g in head.labels] for r in test]
        )
        score = statistics.mean(f1(hits[:, k], truth[:, k]) for k in range(len(head.labels)))
        wanted = goal if name == Bge.name else None
        yield Result(f"GoEmotions {len(head.labels)} macro-F1", name, score, wanted, len(test))


def call_emotions(bench: Bench, name: str) -> Iterator[Result]:
    goals = {"en": (0.88, 0.94), "zh": (0.72, 0.85)}
    for language, (by_label, by_sentiment) in goals.items():
        if language == "zh" and name == Bge.name:
            continue
        test = [row for row in bench.rows("call_emotions.tsv", test=True) if row["lang"] == language]
        texts = [row["text"] for row in test]
        shares = heads(name).probabilities("call", bench.embed(name, texts), texts, language)
        found = [emotion(one) for one in shares]
        truth = [row["emotion"] for row in test]
        value = accuracy([one.label for one in found], truth)
        yield Result(f"call_emotions {language} 6-way", name, value, by_label, len(test), "own set, easy")
        felt = [
            (one.sentiment.lower(), row["sentiment"]) for one, row in zip(found, test, strict=True) if row["sentiment"]
        ]
        value = accuracy(*map(list, zip(*felt, strict=True)))
        yield Result(f"call_emotions {language} sentiment", name, value, by_sentiment, len(felt), "own set, easy")


def xsid(bench: Bench, name: str) -> Iterator[Result]:
    if name != E5.name:
        return
    test = [row for row in bench.rows("xsid_zh_en.tsv", test=True, split="test") if row["lang"] == "zh"]
    for language, goal in (("zh", 0.92), ("en", 0.88)):
        train = [row for row in bench.rows("xsid_zh_en.tsv") if row["lang"] == language]
        if not bench.apart:
            train = [row for row in train if row["split"] == "valid"]
        known = intents(bench, name, [(row["intent"], row["text"]) for row in train], "zh")
        found = [one.label for one in known.find([row["text"] for row in test], 0.0)]
        yield Result(
            f"xSID zh, {language} examples", name, accuracy(found, [r["intent"] for r in test]), goal, len(test)
        )
