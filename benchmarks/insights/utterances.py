"""Rows of all skills together: whole calls, and what an utterance costs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import numpy as np

from aural.insight.analyst import Analyst
from aural.insight.call import of_turns
from aural.insight.embed import Bge
from aural.insight.request import Asked
from aural.insight.types import Role, Turn, Utterance
from benchmarks.insights.bench import Bench, Result

LATENCY_TEXTS = {
    "en": "so the thing is i ordered a new router on monday and it still hasn't arrived and i work from home and i "
    "really need it because the old one keeps dropping out all day",
    "zh": "我上周一订了一个新的路由器到现在还没有送到，我在家办公，旧的那个一整天都在掉线，真的很着急",
}


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
