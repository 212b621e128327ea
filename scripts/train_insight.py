"""Trains the heads of `aural.insight` and writes `src/aural/insight/data/EMBEDDER.npz`.

    python scripts/train_insight.py ../shared/nlu     # needs scipy and both embedders; some 20 minutes on one core

Data: GoEmotions (CC BY 4.0), OpenAI's moderation set (MIT), COLD (Apache-2.0), MultiDoGO (CDLA-Permissive-1.0),
banking77 (CC BY 4.0), and the sentences of `scripts/insight_seeds.toml`. The test files of GoEmotions, the test split
of MultiDoGO, banking77_test, calls.jsonl and call_emotions.tsv are not looked at: benchmarks/insight.py
measures on them. Vectors are kept in the folder given by --cache, so that a second run takes a minute.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse

from aural.insight.embed import DIMENSIONS, E5, EMBEDDERS, Bge, Vectors
from aural.insight.emotion import EKMAN
from aural.insight.heads import BUCKETS, Floats, centred, hashed, softmax

ROOT = Path(__file__).parents[1]
SEEDS = tomllib.loads((ROOT / "scripts" / "insight_seeds.toml").read_text())
FELT_CLEARLY = {
    "anger": "anger annoyance",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy gratitude admiration excitement relief love",
    "sadness": "sadness disappointment grief remorse",
    "surprise": "surprise",
    "neutral": "neutral",
}
"""What an emotion sounds like on the phone; approval or curiosity is no joy or surprise there."""
PER_EMOTION = 700
"""Rows of GoEmotions per emotion for the head of calls, so that none outweighs the others."""
SEED_WEIGHT = 12.0
"""What a sentence of a call weighs beside a comment of a forum."""
FLAGS = {
    "HATE_SPEECH": {"hate", "hate_threatening"},
    "HARASSMENT_OR_ABUSE": {"harassment"},
    "VIOLENCE_OR_THREAT": {"violence", "hate_threatening"},
    "SELF_HARM": {"self_harm"},
    "GRAPHIC": {"violence_graphic"},
    "INSULT": set(),
}
SAFE_RATE = 0.002
"""Share of ordinary turns that may raise a safety label; thresholds are set on turns apart from the training ones."""

Row = dict[str, str]


def rows(path: Path) -> list[Row]:
    head, *lines = [line.rstrip("\n").split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [dict(zip(head, line, strict=True)) for line in lines]


class Store:
    """Vectors by text, kept on disk between runs."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._path = folder / f"{name}.cache.npz"
        self._made: dict[str, Floats] = {}
        if self._path.is_file():
            with np.load(self._path, allow_pickle=True) as kept:
                self._made = dict(zip(kept["texts"], kept["vectors"], strict=True))

    def embed(self, texts: Sequence[str]) -> Vectors:
        fresh = list(dict.fromkeys(text for text in texts if text not in self._made))
        if fresh:
            embedder = EMBEDDERS[self.name]()
            self._made |= dict(zip(fresh, embedder.embed(fresh), strict=True))
            texts_made = np.array(list(self._made), object)
            np.savez(self._path, texts=texts_made, vectors=np.stack(list(self._made.values())))
        return np.stack([self._made[text] for text in texts]) if len(texts) else np.empty((0, DIMENSIONS), np.float32)


def train(
    x: Vectors,
    y: Floats,
    words: scipy.sparse.csr_matrix | None = None,
    *,
    known: Floats | None = None,
    weight: Floats | None = None,
    exclusive: bool,
    c: float,
    c_words: float = 1.0,
) -> tuple[Floats, Floats, Floats]:
    """Logistic or softmax regression by L-BFGS: weights, bias, weights of the hashed words. `known` masks labels that
    were not judged, `weight` weighs rows."""
    count, labels = y.shape
    wide = words.shape[1] if words is not None else 0
    weight = np.ones(count, np.float32) if weight is None else weight
    mask = weight[:, None] * (np.ones_like(y) if known is None else known)
    penalty = np.concatenate([np.full(x.shape[1], 1 / c), [0.0], np.full(wide, 1 / c_words)])[:, None]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(-1, labels)
        logits = x @ w[: x.shape[1]] + w[x.shape[1]]
        if words is not None:
            logits = logits + words @ w[x.shape[1] + 1 :]
        if exclusive:
            shares = softmax(logits)
            value = -(mask * y * np.log(np.maximum(shares, 1e-12))).sum()
        else:
            shares = 1 / (1 + np.exp(-logits))
            value = (mask * (np.logaddexp(0, logits) - y * logits)).sum()
        wrong = mask * (shares - y)
        parts = [x.T @ wrong, wrong.sum(axis=0, keepdims=True)]
        if words is not None:
            parts.append(words.T @ wrong)
        slope = np.concatenate(parts) + penalty * w
        return float(value + 0.5 * (penalty * w * w).sum()), slope.ravel().astype(np.float64)

    start = np.zeros((x.shape[1] + 1 + wide) * labels)
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 250})
    w = found.x.reshape(-1, labels).astype(np.float32)
    return w[: x.shape[1]], w[x.shape[1]], w[x.shape[1] + 1 :]


def bags(texts: Sequence[str], idf: Floats) -> scipy.sparse.csr_matrix:
    made = [hashed(text, idf) for text in texts]
    starts = np.cumsum([0, *(len(buckets) for buckets, _ in made)])
    values = np.concatenate([values for _, values in made])
    return scipy.sparse.csr_matrix(
        (values, np.concatenate([buckets for buckets, _ in made]), starts), shape=(len(texts), BUCKETS)
    )


def idf_of(texts: Sequence[str]) -> Floats:
    seen = np.zeros(BUCKETS, np.float32)
    for text in texts:
        seen[hashed(text, np.ones(BUCKETS, np.float32))[0]] += 1
    return np.log((1 + len(texts)) / (1 + seen)) + 1


def best_thresholds(shares: Floats, y: Floats) -> Floats:
    """For each label the threshold with the best F1."""
    grid = np.linspace(0.05, 0.9, 86)
    found = []
    for k in range(y.shape[1]):
        hits = shares[:, k][:, None] > grid
        true = y[:, k][:, None] > 0
        f1 = 2 * (hits & true).sum(0) / np.maximum(hits.sum(0) + true.sum(0), 1)
        found.append(grid[int(f1.argmax())])
    return np.array(found, np.float32)


def pack(skill: str, labels: Sequence[str], mean: Floats, weights: Floats, bias: Floats, **more: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "labels": np.array(labels),
        "mean": mean.astype(np.float16),
        "weights": weights.astype(np.float16),
        "bias": bias,
        "thresholds": more.get("thresholds", np.full(len(labels), 0.5, np.float32)),
        "exclusive": np.array(more.get("exclusive", False)),
    }
    if "words" in more:
        scale = np.abs(more["words"]).max(axis=0) / 127
        arrays |= {
            "words": np.round(more["words"] / scale).astype(np.int8),
            "scale": scale,
            "idf": more["idf"].astype(np.float16),
        }
    return {f"{skill}/{name}": array for name, array in arrays.items()}


def emotions_of(data: Path, part: str, groups: dict[str, str]) -> tuple[list[str], Floats]:
    got = rows(data / f"goemotions_{part}.tsv")
    sets = [set(row["emotions"].split("|")) for row in got]
    y = np.array([[bool(one & set(names.split())) for names in groups.values()] for one in sets], np.float32)
    return [row["text"] for row in got], y


def comment_head(data: Path, store: Store, skill: str, groups: dict[str, str], limit: int) -> dict[str, Any]:
    """The emotions of forum comments, several at once, thresholds from the development part."""
    texts, y = emotions_of(data, "train", groups)
    texts, y = texts[:limit], y[:limit]
    idf = idf_of(texts)
    mean = store.embed(texts).mean(axis=0)
    w, b, words = train(centred(store.embed(texts), mean), y, bags(texts, idf), exclusive=False, c=1.0, c_words=3.0)
    dev, y_dev = emotions_of(data, "dev", groups)
    dev, y_dev = (dev, y_dev) if limit > 20_000 else (dev[:600], y_dev[:600])
    logits = centred(store.embed(dev), mean) @ w + b + bags(dev, idf) @ words
    thresholds = best_thresholds(1 / (1 + np.exp(-logits)), y_dev)
    return pack(skill, list(groups), mean, w, b, words=words, idf=idf, thresholds=thresholds)


def call_head(data: Path, store: Store, limit: int, means: dict[str, Floats]) -> dict[str, Any]:
    """One emotion per turn of a call: clear cases of the comments, and sentences of calls that weigh more."""
    texts, y = emotions_of(data, "train", FELT_CLEARLY)
    alone = [k for k in range(min(limit, len(texts))) if y[k].sum() == 1]
    chosen = [k for label in range(y.shape[1]) for k in [k for k in alone if y[k, label]][:PER_EMOTION]]
    names = list(FELT_CLEARLY)
    x = centred(store.embed([texts[k] for k in chosen]), means["en"])
    targets, weights = [y[chosen]], [np.ones(len(chosen), np.float32)]
    for language, seeds in SEEDS["emotion"].items():
        if language not in means:
            continue
        said = [(text, label) for label, some in seeds.items() for text in some]
        x = np.concatenate([x, centred(store.embed([text for text, _ in said]), means[language])])
        targets.append(np.array([[label == name for name in names] for _, label in said], np.float32))
        weights.append(np.full(len(said), SEED_WEIGHT, np.float32))
    w, b, _ = train(x, np.concatenate(targets), weight=np.concatenate(weights), exclusive=True, c=0.3)
    return pack("call", names, means["en"], w, b, exclusive=True)


def ordinary(data: Path, limit: int) -> list[str]:
    """Turns of service calls, none of them abusive."""
    turns = [row["text"] for row in rows(data / "multidogo_turns.tsv") if row["split"] == "dev"]
    return list(dict.fromkeys(turns))[:limit] + [
        row["text"] for row in rows(data / "banking77_train.tsv")[: limit // 3]
    ]


def safety_head(data: Path, store: Store, means: dict[str, Floats]) -> dict[str, Any]:
    labels = list(FLAGS)
    x: list[Vectors] = []
    y: list[Floats] = []
    known: list[Floats] = []
    weight: list[Floats] = []

    def add(
        language: str, texts: Sequence[str], truth: Floats, judged: Floats | None = None, each: float = 1.0
    ) -> None:
        x.append(centred(store.embed(texts), means[language]))
        y.append(truth)
        known.append(np.ones_like(truth) if judged is None else judged)
        weight.append(np.full(len(texts), each, np.float32))

    moderated = rows(data / "moderation_en.tsv")
    flags = [(set(row["flags"].split("|")), set(row["categories_judged"].split("|"))) for row in moderated]
    truth = np.array([[bool(said & of) for of in FLAGS.values()] for said, _ in flags], np.float32)
    judged = np.array([[bool(asked & of) for of in FLAGS.values()] for _, asked in flags], np.float32)
    add("en", [row["text"] for row in moderated], truth, judged)
    for language in means:
        for label, some in SEEDS["safety"].get(language, {}).items():
            row = np.array([[name == label for name in labels]], np.float32)
            also = {"HARASSMENT_OR_ABUSE": label in ("INSULT", "HATE_SPEECH", "VIOLENCE_OR_THREAT")}
            judged_row = np.array([[not also.get(name, False) for name in labels]], np.float32)
            add(language, some, np.repeat(row, len(some), 0), np.repeat(judged_row, len(some), 0), each=4.0)
        fine = SEEDS["safety_fine"].get(language, [])
        calm = [text for group in SEEDS["emotion"].get(language, {}).values() for text in group]
        if fine:
            add(language, fine + calm, np.zeros((len(fine + calm), len(labels)), np.float32), each=2.0)
    if "zh" in means:
        cold = [row for row in rows(data / "cold_zh.tsv") if row["split"] == "dev"]
        offensive = np.array(
            [[float(row["offensive"]) if name == "HATE_SPEECH" else 0.0 for name in labels] for row in cold]
        )
        only = np.repeat(np.array([[float(name == "HATE_SPEECH") for name in labels]], np.float32), len(cold), 0)
        add("zh", [row["text"] for row in cold], offensive.astype(np.float32), only, each=0.5)
    turns = ordinary(data, 1500)
    learn, apart = turns[::2], turns[1::2]
    add("en", learn, np.zeros((len(learn), len(labels)), np.float32), each=0.3)
    w, b, _ = train(
        *(np.concatenate(x), np.concatenate(y)),
        known=np.concatenate(known), weight=np.concatenate(weight), exclusive=False, c=1.0,
    )  # fmt: skip
    shares = 1 / (1 + np.exp(-(centred(store.embed(apart), means["en"]) @ w + b)))
    thresholds = np.maximum(np.quantile(shares, 1 - SAFE_RATE / len(labels), axis=0) + 0.05, 0.5).astype(np.float32)
    print("safety thresholds", dict(zip(labels, thresholds.round(2), strict=True)))
    return pack("safety", labels, means["en"], w, b, thresholds=thresholds)


def offence_head(data: Path, store: Store, means: dict[str, Floats]) -> dict[str, Any]:
    """Offensive or not, in Chinese, as COLD has it; learnt from all of it, so only text kept apart can test it."""
    cold = rows(data / "cold_zh.tsv")
    texts = [row["text"] for row in cold]
    idf = idf_of(texts)
    x = centred(store.embed(texts), means["zh"])
    y = np.array([[float(row["offensive"])] for row in cold], np.float32)
    w, b, words = train(x, y, bags(texts, idf), exclusive=False, c=1.0, c_words=3.0)
    return pack("offence", ["OFFENCE"], means["zh"], w, b, words=words, idf=idf)


def notes_head(store: Store, means: dict[str, Floats]) -> dict[str, Any]:
    names = ["issue", "outcome", "action", "none"]
    said = [
        (language, text, kind)
        for language in means
        for kind, some in SEEDS["notes"].get(language, {}).items()
        for text in some
    ]
    x = np.concatenate([centred(store.embed([text]), means[language]) for language, text, _ in said])
    y = np.array([[kind == name for name in names] for _, _, kind in said], np.float32)
    w, b, _ = train(x, y, exclusive=True, c=10.0)
    return pack("notes", names, means["en"], w, b, exclusive=True)


def language_means(data: Path, store: Store) -> dict[str, Floats]:
    """The mean vector of a language, of turns of calls: what a language adds to every sentence is no meaning."""
    calls = [row["text"] for row in rows(data / "multidogo_turns.tsv") if row["split"] == "dev"][:1500]
    english = calls + [text for some in SEEDS["emotion"]["en"].values() for text in some]
    if store.name == Bge.name:
        return {"en": store.embed(english).mean(axis=0)}
    groups: Iterable[dict[str, list[str]]] = (SEEDS["emotion"]["zh"], SEEDS["notes"]["zh"], SEEDS["safety"]["zh"])
    chinese = [text for group in groups for some in group.values() for text in some] + SEEDS["safety_fine"]["zh"]
    return {"en": store.embed(english).mean(axis=0), "zh": store.embed(chinese).mean(axis=0)}


def same_means(store: Store) -> dict[str, Floats]:
    """The mean vectors of the same sentences in two languages."""
    english, chinese = zip(*SEEDS["same"]["pairs"], strict=True)
    return {"en": store.embed(english).mean(axis=0), "zh": store.embed(chinese).mean(axis=0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("/tmp"))
    parser.add_argument("--embedder", choices=list(EMBEDDERS), action="append")
    parser.add_argument("--skill", action="append", help="train these heads anew and keep the others")
    given = parser.parse_args()
    fine = {
        name: name
        for name in sorted({e for row in rows(given.data / "goemotions_train.tsv") for e in row["emotions"].split("|")})
    }
    for name in given.embedder or EMBEDDERS:
        store = Store(name, given.cache)
        limit = 30_000 if name == Bge.name else 3_000
        means = language_means(given.data, store)
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "ekman": lambda s=store, n=limit: comment_head(given.data, s, "ekman", EKMAN, n),
            "fine": lambda s=store, n=limit: comment_head(given.data, s, "fine", fine, n),
            "call": lambda s=store, n=limit, m=means: call_head(given.data, s, n, m),
            "safety": lambda s=store, m=means: safety_head(given.data, s, m),
            "notes": lambda s=store, m=means: notes_head(s, m),
        }
        if name == E5.name:
            steps["offence"] = lambda s=store, m=means: offence_head(given.data, s, m)
            del steps["fine"]
        path = ROOT / "src" / "aural" / "insight" / "data" / f"{name}.npz"
        kept = dict(np.load(path)) if path.is_file() and given.skill else {}
        for skill, step in steps.items():
            if not given.skill or skill in given.skill:
                kept = {key: value for key, value in kept.items() if not key.startswith(f"{skill}/")} | step()
                print(name, skill)
        kept |= {f"mean/{language}": mean.astype(np.float16) for language, mean in means.items()}
        if name == E5.name:
            kept |= {f"same/{language}": mean.astype(np.float16) for language, mean in same_means(store).items()}
        np.savez_compressed(path, **kept)
        print(path, path.stat().st_size // 1024, "KiB")


if __name__ == "__main__":
    main()
