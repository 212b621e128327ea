"""How well the embedded skills understand, row by row beside the goals, and what an utterance costs.

    python benchmarks/insight.py --data ../shared/nlu                      # train and test files of one folder
    python benchmarks/insight.py --data ../shared/nlu --test OTHER         # test on text kept apart, every row of it
    python benchmarks/insight.py --data ../shared/nlu --rows call,latency --limit 200

Labels of a caller (banking77, CLINC150) are learnt by `insight.intent.Intents`, as a request does it, from examples of
--data, those of MultiDoGO and xSID from all of it; the other rows ask the heads that come with the package. With one
folder only, rows whose text the heads were trained on are marked `seen`. Vectors are kept in --cache.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from aural.insight import embed, safety
from aural.insight.analyst import Analyst
from aural.insight.call import of_turns
from aural.insight.embed import E5, EMBEDDERS, Bge, Vectors
from aural.insight.emotion import emotion
from aural.insight.heads import fit, heads
from aural.insight.intent import OTHER, Intents, learning
from aural.insight.request import Asked
from aural.insight.types import Role, Turn, Utterance
from aural.insight.work import whole

DRAWS = 3
GARBLED = 0.1
"""Share of words that are dropped, or lose a letter, half each."""
ORDINARY = 2500
LONGEST_TURN = 300
"""Characters of a turn of a meeting; a longer one is a speech."""
EKMAN_PARTS = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
    "neutral": "neutral",
}
LATENCY_TEXTS = {
    "en": "so the thing is i ordered a new router on monday and it still hasn't arrived and i work from home and i "
    "really need it because the old one keeps dropping out all day",
    "zh": "我上周一订了一个新的路由器到现在还没有送到，我在家办公，旧的那个一整天都在掉线，真的很着急",
}

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    task: str
    embedder: str
    value: float
    goal: float | None
    n: int
    note: str = ""

    @property
    def met(self) -> str:
        if self.goal is None:
            return ""
        lower_is_better = self.goal < 0
        return "yes" if (self.value <= -self.goal if lower_is_better else self.value >= self.goal) else "NO"


class Bench:
    """Folders, vectors that are kept, and the random numbers."""

    def __init__(self, data: Path, test: Path, cache: Path, limit: int) -> None:
        self.data, self.test, self.limit = data, test, limit
        self.apart = test != data
        self._cache = cache
        self._vectors: dict[str, dict[str, Vectors]] = {}

    def rows(self, name: str, *, test: bool = False, limited: bool = True, **where: str) -> list[Row]:
        path = (self.test if test else self.data) / name
        head, *lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        every = (dict(zip(head, line, strict=True)) for line in lines)
        # of text kept apart every row may test; of the folder that trains only its test part
        found = [
            row for row in every if (test and self.apart) or all(row[key] == value for key, value in where.items())
        ]
        return found[: self.limit] if test and limited and self.limit else found

    def embed(self, name: str, texts: Sequence[str]) -> Vectors:
        if name not in self._vectors:
            self._vectors[name] = self._load(name)
        known = self._vectors[name]
        fresh = list(dict.fromkeys(text for text in texts if text not in known))
        if fresh:
            known |= dict(zip(fresh, EMBEDDERS[name]().embed(fresh), strict=True))
            np.savez(self._path(name), texts=np.array(list(known), object), vectors=np.stack(list(known.values())))
        return np.stack([known[text] for text in texts])

    def _path(self, name: str) -> Path:
        return self._cache / f"{name}.cache.npz"

    def _load(self, name: str) -> dict[str, Vectors]:
        if not self._path(name).is_file():
            return {}
        with np.load(self._path(name), allow_pickle=True) as kept:
            return dict(zip(kept["texts"], kept["vectors"], strict=True))


class _Kept:
    """The vectors of a bench, as an embedder."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.name = name
        self._bench = bench

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._bench.embed(self.name, texts)


def intents(bench: Bench, name: str, said: Sequence[tuple[str, str]], language: str = "en") -> Intents:
    return whole(learning(said, _Kept(bench, name), heads(name), language))


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


def accuracy(found: Sequence[str], truth: Sequence[str]) -> float:
    return float(np.mean([one == other for one, other in zip(found, truth, strict=True)]))


def f1(hits: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (hits & truth).sum() / max(hits.sum() + truth.sum(), 1))


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the curve, ties counted half."""
    order = np.unique(scores, return_inverse=True)[1]
    ranks = (np.cumsum(np.bincount(order)) - (np.bincount(order) - 1) / 2)[order]
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / max(count * (len(scores) - count), 1))


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
        groups = EKMAN_PARTS if skill == "ekman" else {label: label for label in head.labels}
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


def calls(bench: Bench, name: str) -> Iterator[Result]:
    """Whether the notes of a call hold the turn that was marked, and its words the danger that was."""
    lines = (bench.test / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    marked: dict[str, list[bool]] = {"issue": [], "outcome": [], "action": []}
    unsafe: list[bool] = []
    analyst = Analyst()
    for call in map(json.loads, lines):
        if call["lang"] == "zh" and name == Bge.name:
            continue
        said = [
            Utterance(str(i), turn["text"], i, i + 1, call["lang"], role=Role(turn["role"].upper()))
            for i, turn in enumerate(call["turns"])
        ]
        asked = Asked()
        turns = [Turn(one, findings) for one, findings in zip(said, analyst.analyse(said, asked), strict=True)]
        notes = of_turns(turns, asked).notes
        for kind, hits in marked.items():
            truth = {str(i) for i, turn in enumerate(call["turns"]) if turn.get(kind)}
            hits += [any(n.kind == kind and n.utterance == one for n in notes) for one in truth]
        unsafe += [bool(t.findings.safety) for t, turn in zip(turns, call["turns"], strict=True) if turn.get("safety")]
    for kind, goal in (("issue", 0.9), ("action", 0.9), ("outcome", 0.7)):
        hits = marked[kind]
        yield Result(f"calls.jsonl {kind} turn", name, float(np.mean(hits)), goal, len(hits), "own set, easy")
    yield Result("calls.jsonl unsafe turns noticed", name, float(np.mean(unsafe)), None, len(unsafe), "own set, easy")


def latency(bench: Bench, name: str) -> Iterator[Result]:
    """Milliseconds for all skills on one utterance of 30 words, not seen before; p95 on this machine as it is, and of
    the processor alone, whatever else it had to do."""
    language, goal = ("en", -15.0) if name == Bge.name else ("zh", -80.0)
    analyst = Analyst()
    began = time.perf_counter()
    analyst.analyse([Utterance("", "hello", language=language)], Asked())
    yield Result(f"latency {language}: cold load and ready intents, s", name, time.perf_counter() - began, None, 1)
    took, worked = [], []
    for number in range(bench.limit or 200):
        text = f"{LATENCY_TEXTS[language]} {number}"
        began, busy = time.perf_counter(), time.process_time()
        analyst.analyse([Utterance("", text, language=language)], Asked())
        took.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - busy))
    yield Result(f"latency {language}: p50 ms an utterance", name, float(np.quantile(took, 0.5)), None, len(took))
    yield Result(f"latency {language}: p95 ms an utterance", name, float(np.quantile(took, 0.95)), goal, len(took))
    yield Result(f"latency {language}: p95 ms of processor", name, float(np.quantile(worked, 0.95)), None, len(took))


ROWS: dict[str, Callable[[Bench, str], Iterator[Result]]] = {
    "banking": banking,
    "clinc": clinc,
    "multidogo": multidogo,
    "comments": comments,
    "call": call_emotions,
    "xsid": xsid,
    "cold": cold,
    "moderation": moderation,
    "ordinary": ordinary,
    "calls": calls,
    "latency": latency,
}


def shown(result: Result) -> str:
    goal = "" if result.goal is None else f"{'<=' if result.goal < 0 else '>='} {abs(result.goal):g}"
    row = f"{result.task:44} {result.embedder:26} {result.value:8.4f} {goal:>8} {result.met:>4}"
    return f"{row} n={result.n} {result.note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the text that is learnt from")
    parser.add_argument("--test", type=Path, help="folder with the text that is tested on; the same if not given")
    parser.add_argument("--cache", type=Path, default=Path("."), help="where vectors are kept")
    parser.add_argument("--embedder", choices=list(EMBEDDERS), action="append")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--limit", type=int, default=0, help="rows of each test set; 0 takes all")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    given = parser.parse_args()
    bench = Bench(given.data, given.test or given.data, given.cache, given.limit)
    results = []
    for name in given.embedder or [name for name in EMBEDDERS if embed.is_here(name)]:
        for row in given.rows.split(","):
            for result in ROWS[row](bench, name):
                results.append(result)
                print(shown(result), flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
