"""What figures rest on: the audio that was heard, the recordings in it, and cells that nothing speaks against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aural.bench import records, scoring
from aural.bench.figures import Figures
from aural.bench.http import Reply, RequestFailed
from aural.bench.records import Asked, Cell, Load, Run
from aural.bench.report import write
from aural.bench.report.measured import Measured
from aural.errors import BenchError
from tests.bench.made import ABOUT, HALF, make
from tests.bench.test_report import rows
from tests.bench.virtual import TEXT, Endpoint, asked, cell, words

ALL_BUT_ONE = TEXT.rpartition(" ")[0]


def figures(texts: Sequence[str], kind: records.Kind = "single") -> Figures:
    """One cell whose requests of 9 s are answered with these, one a second; an empty one is a failure."""
    load = Load("cell", kind, "9", rate=1.0, requests=len(texts))
    endpoint = Endpoint(0.5, answer=lambda number: Reply(200, words(texts[number])))
    return Figures(cell(endpoint, load), asked(len(texts), 9.0), "en")


def test_audio_that_was_not_heard_makes_nobody_quicker() -> None:
    whole, half = figures([TEXT] * 20), figures([HALF] * 20)
    assert half.rtfx / whole.rtfx == pytest.approx(4 / 9)


def test_what_is_missing_shows_however_little_and_failures_were_sent() -> None:
    got = figures([ALL_BUT_ONE] * 10 + [""] * 10)
    assert (got.heard_s, got.audio_s) == (pytest.approx(10 * 8), 20 * 9)
    assert got.cut_off == 0


@pytest.mark.parametrize(("cut", "of", "doubtful"), [(1, 40, False), (2, 40, False), (3, 40, True), (1, 1, True)])
def test_a_cut_text_is_a_doubt_when_it_is_no_chance(cut: int, of: int, doubtful: bool) -> None:
    got = figures([HALF] * cut + [TEXT] * (of - cut))
    assert (got.cut_off, got.truncates) == (cut, doubtful)
    assert any("texts end long before" in doubt for doubt in got.doubts) == doubtful


def test_an_empty_text_missed_every_word() -> None:
    assert figures([TEXT] * 9 + [""]).wer.value == pytest.approx(10)


def joined(*names: str) -> Asked:
    spans = tuple((float(i), i + 1.0, f"{name} {name}") for i, name in enumerate(names))
    return Asked("+".join(names), " ".join(text for _, _, text in spans), float(len(names)), spans=spans)


def test_errors_are_those_of_recordings_that_recur() -> None:
    """One recording is misheard in whatever company: forty items are no forty witnesses."""
    heard = [(joined("good", "bad"), "good good mad mad"), (joined("bad", "good"), "mad mad good good well")] * 20
    scored = scoring.by_recording(heard)
    assert scored == {"good": scoring.Errors(20, 80), "bad": scoring.Errors(80, 80)}
    rate = scoring.corpus_rate(scored)
    assert (rate.low, rate.value, rate.high) == (25, 62.5, 100)
    assert scoring.by_recording([(Asked("long", "a b", 1.0), "a")]) == {"long": scoring.Errors(1, 2)}


def fast_but(answer: Reply | RequestFailed) -> dict[str, object]:
    return {"answer": lambda _: answer, "instance": "ml.g6e.xlarge", "durations": (15,), "requests": 40}


def test_a_price_rests_on_cells_without_doubts(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", **fast_but(Reply(200, words())))  # type: ignore[arg-type]
    run = records.read(folder)
    run.answers["15-x20"] = [replace(a, error="http-500") if i < 4 else a for i, a in enumerate(run.answers["15-x20"])]
    best = Measured.of(run).best("15")
    assert best is not None
    assert (best.figures.load.name, best.doubts) == ("15-x5", [])


def test_a_price_in_doubt_is_marked(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", **fast_but(Reply(200, words(HALF))))  # type: ignore[arg-type]
    assert not write([folder])
    page = (folder / "report.md").read_text()
    (cost,) = rows(page, "Cost")
    assert cost[3].endswith(" !")
    assert cost[6].startswith("55.6")
    assert "no cell of that length without a doubt" in page


def test_an_instance_without_a_price_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"an instance of the price table.*got 'ml\.none'"):
        write([make(tmp_path / "run", requests=20, durations=(15,), instance="ml.none")])


def searched(late_s: float, folder: Path) -> Path:
    """A search among 1, 2 and 3 requests a second, of which the endpoint sheds the third."""
    run = Run(ABOUT | {"instance": "ml.g6e.xlarge"}, {"9": asked(300, 9.0)})
    for number, rate in enumerate((1.0, 2.0, 3.0)):
        load = Load(f"9-capacity-{rate:g}rps", "capacity", "9", 16, rate, requests=100)
        shed = Endpoint(0.1, answer=lambda _, rate=rate: Reply(503 if rate > 2 else 200, words()))  # type: ignore[misc]
        whole: Cell = cell(shed, load)
        run.answers[load.name] = [replace(a, due=(a.due or 0) - late_s, item=100 * number) for a in whole.answers]
        run.done.append(whole.done)
    steps = [{"rate": 1.0}, {"rate": 2.0}, {"rate": 3.0}]
    goal = {"latency_s": 1.0, "share": 0.95}
    run.search.append({"workload": "9", "goal": goal, "low": 2.0, "high": 3.0, "steps": steps})
    folder.mkdir()
    for name, answers in run.answers.items():
        records.append(folder, name, answers)
    records.save(folder, run)
    return folder


def test_shedding_in_a_search_is_no_doubt(tmp_path: Path) -> None:
    folder = searched(0.0, tmp_path / "run")
    assert write([folder])
    page = (folder / "report.md").read_text()
    assert "holds in all 2 cells" in page
    ((_, _, _, kept, missed, wer, _),) = rows(page, "Capacity")
    assert (kept, missed, wer) == ("2.00", "3.00", "0.0")
    assert rows(page, "Cost")[0][3] == "18.0"


def test_a_late_client_marks_the_capacity(tmp_path: Path) -> None:
    folder = searched(0.5, tmp_path / "run")
    assert not write([folder])
    page = (folder / "report.md").read_text()
    ((_, _, _, kept, missed, *_),) = rows(page, "Capacity")
    assert (kept, missed) == ("2.00 !", "3.00 !")
    assert [row[2] for row in rows(page, "Doubts")] == ["2/s", "3/s"]


def test_languages_without_spaces_have_a_rate_of_characters(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", requests=20, durations=(15,), instance="ml.g6e.xlarge", language="zh")
    write([folder, folder])
    page = (folder / "report.md").read_text()
    assert {(row[-3], row[-2]) for row in rows(page, "Single requests")} == {("", "0.0")}
    assert "CER difference, points" in page
    assert "| an hour | per audio hour | CER % |" in page
    assert [row[-1] for row in rows(page, "run and run side by side")] == ["20"] * 3


def test_every_run_is_described(tmp_path: Path) -> None:
    runs = [make(tmp_path / name, requests=20, durations=(15,), language=name) for name in ("en", "de")]
    write(runs)
    page = (runs[0] / "report.md").read_text()
    assert "in en; error rates after Whisper's English normaliser" in page
    assert "in de; error rates after Whisper's basic normaliser" in page
