"""Runs of streams from their records: searches among scripted streams, their reports, and what takes none of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.bench import stream_records, stream_report, stream_run
from aural.bench.clips import Item
from aural.bench.commands import bench
from aural.bench.records import Watch
from aural.bench.stream import Measures, Shown
from aural.bench.stream_records import Step, Stream, StreamGoal, StreamRun, Together
from aural.bench.stream_run import StreamPlan, StreamRunner
from aural.errors import BenchError
from tests.bench.made import make
from tests.conftest import DATA

Heard = Callable[[int, str], str]
"""Number of the step, and what was said, to what was understood."""


def hear(step: int, said: str) -> str:
    return said


def forget_a_word(said: str) -> str:
    return said.partition(" ")[2]


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StreamRun]:
    """Runs of which every utterance is final half a second after its end."""

    def run(heard: Heard = hear, out: Path = tmp_path / "run", late_s: float = 0.0, **changes: object) -> StreamRun:
        async def stream(plan: StreamPlan, item: Item, number: int, step: int, delay_s: float) -> Stream:
            shown = [Shown(end + 0.5, f"{i}", heard(step, text), kind="final") for i, (_, end, text) in spans(item)]
            return Stream(step, number, tuple(shown), late_s)

        monkeypatch.setattr(stream_run, "run_stream", stream)
        plan = StreamPlan("ws://127.0.0.1:9", DATA, seconds=20.0, most=4, find_capacity=True, goal=StreamGoal(60, 60))
        return asyncio.run(StreamRunner(replace(plan, **changes), out).run())  # type: ignore[arg-type]

    return run


def spans(item: Item) -> list[tuple[int, tuple[float, float, str]]]:
    return list(enumerate(item.spans))


def test_the_text_is_judged_by_that_of_the_same_streams_alone(search: Callable[..., StreamRun]) -> None:
    """Far from perfect, and as far alone."""
    kept = search(lambda step, said: forget_a_word(said))
    assert kept.capacity == {"kept": 4, "not_kept": None, "why": ""}
    assert kept.together()[-1].wer.value > StreamGoal().wer_points


def test_a_text_that_is_worse_in_company_misses_the_goal(search: Callable[..., StreamRun]) -> None:
    kept = search(lambda step, said: forget_a_word(said) if step else said)
    assert [step.count for step in kept.steps] == [1, 2, 2]
    assert (kept.capacity["kept"], kept.capacity["not_kept"]) == (1, 2)
    assert "points above that of the same streams alone" in kept.capacity["why"]


def test_who_misses_once_may_try_again(search: Callable[..., StreamRun]) -> None:
    kept = search(lambda step, said: "" if step == 1 else said)
    assert [step.count for step in kept.steps] == [1, 2, 2, 4]
    assert kept.capacity["kept"] == 4


def test_who_failed_alone_once_is_judged_by_the_second_trial(search: Callable[..., StreamRun]) -> None:
    kept = search(lambda step, said: said if step == 1 else "" if step == 0 else forget_a_word(said))
    assert [step.count for step in kept.steps] == [1, 1, 2, 2]
    assert kept.capacity["kept"] == 1


def test_a_count_that_was_asked_for_keeps_its_goal_whatever_the_text(search: Callable[..., StreamRun]) -> None:
    kept = search(lambda step, said: forget_a_word(said), find_capacity=False, streams=(1, 2))
    assert [together.missed(kept.goal, {}) for together in kept.together()] == ["", ""]


def test_an_utterance_without_a_final_text_is_too_late() -> None:
    one = Measures(emission_s=[0.1], finalization_s=[0.1] * 9, unfinished=1)
    together = Together(step(), [Stream(0, 0, ())], [one], {})
    assert together.missed(StreamGoal(), {}) == "90.0% of finalization within 1.5 s"


def step(cpu_s: float = 0.0) -> Step:
    return Step(1, Watch(cpu_s, 0.2), 10.0)


def test_a_busy_client_is_a_doubt() -> None:
    assert stream_report.doubts(Together(step(9.0), [Stream(0, 0, (), 0.3)], [], {})) == [
        "the client sent 1 streams late, by up to 0.30 s",
        "the client was busy: 0.90 of a core",
        "the client's event loop lagged: p99 200 ms",
    ]


def test_the_report_is_built_again_from_the_records(search: Callable[..., StreamRun], tmp_path: Path) -> None:
    kept = search(late_s=0.2)
    out = tmp_path / "run"
    stream_report.write(kept, kept.together(), out)
    pages = [(out / name).read_bytes() for name in ("report.md", "report.html")]
    done = CliRunner().invoke(bench, ["report", str(out), "--out", str(tmp_path / "again")])
    assert done.exit_code == 0, done.output
    assert [(tmp_path / "again" / name).read_bytes() for name in ("report.md", "report.html")] == pages
    assert "4 streams at once kept the goal" in pages[0].decode()
    assert "The client may have been what was measured" in pages[0].decode()
    assert stream_records.read(out).together() == kept.together()


def test_what_takes_no_streams_says_so(search: Callable[..., StreamRun], tmp_path: Path) -> None:
    search()
    ours, other = str(tmp_path / "run"), str(make(tmp_path / "files", requests=20))
    for command in (["compare", ours, other], ["compare", other, ours], ["report", other, ours]):
        failed = CliRunner().invoke(bench, command)
        assert isinstance(failed.exception, BenchError)
        assert "got one of live streams" in str(failed.exception)
    failed = CliRunner().invoke(bench, ["report", ours, other])
    assert "by itself" in str(failed.exception)
    with pytest.raises(BenchError, match="expected a run of streams with"):
        stream_records.read(Path(other))
