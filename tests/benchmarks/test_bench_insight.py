"""The benchmark of insights on a few lines of text: false alarms are counted, and figures are what they are by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aural.insight.embed import E5, Bge
from benchmarks import insight
from benchmarks.insights import harm
from benchmarks.insights.bench import Result
from benchmarks.insights.figures import accuracy, auroc, f1

CALM = ["could we go on to the next item", "the minutes were sent on monday", "i agree with that", "so do i"]
THREAT = "i will come to your house and kill you"


def measured(folder: Path, monkeypatch: pytest.MonkeyPatch, row: str, embedder: str) -> dict[str, dict[str, Any]]:
    """The results of one row over the text of a folder, by task, as the benchmark writes them."""
    out = folder / "results.json"
    given = ["--data", str(folder), "--cache", str(folder), "--rows", row, "--embedder", embedder, "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["insight.py", *given])
    insight.main()
    return {one["task"]: one for one in json.loads(out.read_text())}


def write(path: Path, *rows: tuple[str, ...]) -> None:
    path.write_text("\n".join("\t".join(row) for row in rows))


def test_false_alarms_in_meetings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harm, "ORDINARY", 5)
    meetings = [[["chair", said] for said in CALM[:2]], [["a", CALM[2]], ["b", THREAT], ["c", CALM[3]]]]
    meetings[0] += [["a speech", f"{THREAT}, {number}. " * 10] for number in range(4)]
    lines = [json.dumps({"turns": turns}) for turns in meetings]
    (tmp_path / "qmsum_meetings.jsonl").write_text("\n".join(lines))
    [found] = measured(tmp_path, monkeypatch, "ordinary", Bge.name).values()
    assert (found["task"], found["n"], found["value"]) == ("safety: false alarms in meetings", 5, 0.2)
    assert Result(**found).met == "NO"


def test_false_alarms_on_chinese_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["设置一个十五分钟的闹钟", "明天天气怎么样", "播放音乐", "我要杀了你"]
    rows = [(text, "order", "zh", "valid") for text in said]
    write(tmp_path / "xsid_zh_en.tsv", ("text", "intent", "lang", "split"), *rows, (THREAT, "order", "en", "test"))
    [found] = measured(tmp_path, monkeypatch, "ordinary", E5.name).values()
    assert (found["task"], found["n"], found["value"]) == ("safety: false alarms on Chinese orders", 4, 0.25)


def test_false_alarms_on_ordinary_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harm, "ORDINARY", 5)
    judged = [(THREAT, "violence"), ("you are a stupid worthless idiot", "harassment"), *((text, "") for text in CALM)]
    write(tmp_path / "moderation_en.tsv", ("text", "flags"), *judged)
    turns = [CALM[0], CALM[0], CALM[1], THREAT, "never reached"]
    rows = [(text, "test") for text in turns]
    write(tmp_path / "multidogo_turns.tsv", ("text", "split"), ("i will kill you", "train"), *rows)
    write(tmp_path / "banking77_test.tsv", ("text", "intent"), *((text, "any") for text in CALM[2:]), (THREAT, "any"))
    found = measured(tmp_path, monkeypatch, "moderation", Bge.name)
    alarms = found["safety: false alarms on ordinary turns"]
    assert (alarms["n"], alarms["value"]) == (5, 0.2), "three turns, each once, and two questions"
    assert [found[f"moderation_en {name}"]["value"] for name in ("any flag AUC", "recall", "precision")] == [1, 1, 1]
    assert found["moderation_en recall"]["n"] == found["moderation_en precision"]["n"] == 2


def test_figures() -> None:
    truth = np.array([True, True, False, False])
    assert accuracy(["a", "b", "c"], ["a", "b", "x"]) == pytest.approx(2 / 3)
    assert f1(np.array([True, False, True, False]), truth) == 0.5
    assert f1(~truth & truth, ~truth & truth) == 0
    assert auroc(np.array([0.9, 0.3, 0.5, 0.1]), truth) == 0.75
    assert auroc(np.array([0.9, 0.5, 0.5, 0.1]), truth) == 0.875, "ties count half"


@pytest.mark.parametrize(
    ("value", "goal", "met"), [(0.9, 0.9, "yes"), (0.8, 0.9, "NO"), (0.005, -0.005, "yes"), (0.01, -0.005, "NO")]
)
def test_a_goal_below_zero_is_the_most(value: float, goal: float, met: str) -> None:
    assert Result("task", "embedder", value, goal, 1).met == met
