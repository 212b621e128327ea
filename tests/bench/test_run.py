"""Whole runs over real sockets against an endpoint that does as it was told, and against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.bench import about, capacity, clips, records
from aural.bench.capacity import Goal
from aural.bench.clips import Utterance
from aural.bench.commands import INTERRUPTED, bench, drive
from aural.bench.figures import of_run
from aural.bench.plan import Plan
from aural.bench.protocols import PROTOCOLS
from aural.bench.records import Answer
from aural.bench.run import Progress, Runner
from aural.bench.sounds import RATE
from aural.errors import BenchError
from tests.bench.standin import Script, standing_in
from tests.conftest import DATA, Server

INVOCATIONS, TRANSCRIPTIONS = "/invocations", "/v1/audio/transcriptions"


@pytest.fixture(scope="session")
def utterances() -> list[Utterance]:
    return clips.read_utterances(DATA)


def plan(target: str, **changes: object) -> Plan:
    small = Plan(target, DATA, durations=("7",), concurrency=(1, 3), requests=6, warm_up=1)
    return replace(small, **changes)  # type: ignore[arg-type]


def doubts(folder: Path) -> list[str]:
    """What a slow machine makes the client doubt of itself left out."""
    found = [doubt for figures in of_run(records.read(folder)) for doubt in figures.doubts]
    return [doubt for doubt in found if not doubt.startswith("the client") and "no recorded request" not in doubt]


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        (TRANSCRIPTIONS, "openai"),
        (INVOCATIONS, "invocations-raw"),
        (INVOCATIONS, "invocations-whisper"),
        (INVOCATIONS, "invocations-voxtral"),
        (INVOCATIONS, "invocations-parakeet"),
        (TRANSCRIPTIONS, "riva-http"),
    ],
)
def test_every_protocol_is_spoken(utterances: list[Utterance], tmp_path: Path, path: str, protocol: str) -> None:
    script = Script(utterances)
    with standing_in(script, path) as url:
        asyncio.run(Runner(plan(url, protocol=protocol, concurrency=(1,), requests=3), tmp_path).run())
    (got,) = of_run(records.read(tmp_path))
    assert (len(got.completed), got.wer.value, got.cer.value) == (3, 0, 0)
    assert got.sent_bytes >= script.received_bytes * 3 / 4 > 0
    assert doubts(tmp_path) == []
    assert script.connections == 3  # two of them asked for /ping and /health


def test_a_protocol_that_is_named_waits_for_a_server_that_is_not_ready(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(about, "POLL_S", 0.0)
    script = Script(utterances, failing={0: 503, 1: 503, 2: 404})
    with standing_in(script, INVOCATIONS, "/ping") as url:
        asyncio.run(Runner(plan(url, protocol="invocations-raw", concurrency=(1,), requests=1), tmp_path).run())
    (got,) = of_run(records.read(tmp_path))
    assert (len(got.completed), script.requests) == (1, 5)


def test_the_protocol_is_found_out(utterances: list[Utterance], tmp_path: Path) -> None:
    with standing_in(Script(utterances), INVOCATIONS) as url:
        asyncio.run(Runner(plan(url, requests=1), tmp_path / "a").run())
        asyncio.run(Runner(plan(url, requests=1, model="one"), tmp_path / "named").run())
    assert records.read(tmp_path / "a").about["protocol"] == "invocations-raw"
    assert records.read(tmp_path / "named").about["protocol"] == "invocations-parakeet"
    with standing_in(Script(utterances), "/else") as url, pytest.raises(BenchError, match=r"tried openai: http-404"):
        asyncio.run(Runner(plan(url), tmp_path / "b").run())
    with pytest.raises(BenchError, match="nobody listens"):
        asyncio.run(Runner(plan(url), tmp_path / "c").run())
    with pytest.raises(BenchError, match="expected a protocol"):
        asyncio.run(Runner(plan(url, protocol="morse"), tmp_path / "d").run())


def test_each_request_has_other_audio_of_the_exact_length(utterances: list[Utterance], tmp_path: Path) -> None:
    with standing_in(Script(utterances), INVOCATIONS) as url:
        run = asyncio.run(Runner(plan(url, requests=4), tmp_path).run())
    for workload, items in run.items.items():
        assert {item.duration_s for item in items} == {float(workload)}
        assert len({item.name for item in items[:4]}) == 4


def test_audio_that_comes_again_is_counted(utterances: list[Utterance], tmp_path: Path) -> None:
    told: list[str] = []
    with standing_in(Script(utterances), INVOCATIONS) as url:
        asked = plan(url, protocol="invocations-raw", durations=("mix", "7"), concurrency=(1,), requests=40, warm_up=0)
        progress = Progress(on_supply=lambda workload, supply: told.append(workload))
        asyncio.run(Runner(asked, tmp_path, progress).run())
    mix, fixed = (records.read(tmp_path).supply[workload] for workload in told)
    assert mix.used == len(clips.build("mix", utterances).items)
    assert (mix.repeated, mix.left_out) == (40 - mix.used, len(utterances) - mix.used)
    assert fixed.left_out == sum(len(u) > 7 * RATE for u in utterances)
    assert fixed.requests == 40


def test_failures_truncation_and_hanging_up_are_told(utterances: list[Utterance], tmp_path: Path) -> None:
    script = Script(utterances, window_s=5.5, failing={3: 500, 4: 503}, hang_up={6})
    with standing_in(script, INVOCATIONS) as url:
        changed = plan(url, protocol="invocations-raw", durations=("12",), concurrency=(1, 4), requests=12, warm_up=0)
        asyncio.run(Runner(changed, tmp_path).run())
    single, _ = of_run(records.read(tmp_path))
    assert single.failures == {"http-500": 1, "http-503": 1, "connection lost": 1}
    assert single.refusals == 1
    assert single.cut_off == len(single.completed) == 9
    assert single.heard_s < single.audio_s / 2
    found = doubts(tmp_path)
    assert any(doubt.startswith("3 of 12 requests failed: ") for doubt in found)
    assert any("texts end long before the speech" in doubt for doubt in found)
    page = (report_of(tmp_path) / "report.md").read_text()
    assert "9/12 !" in page
    assert "1 x connection lost" in page
    assert re.search(r"\| 12 s \| 1 caller \| \d+\.\d \| .* \| 1 \| 0 \| 2 \|\n", page)


def report_of(folder: Path) -> Path:
    done = CliRunner().invoke(bench, ["report", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def test_an_interrupted_run_is_usable_and_goes_on(utterances: list[Utterance], tmp_path: Path) -> None:
    script = Script(utterances, hold=threading.Event())
    seen: list[str] = []

    async def interrupted(url: str) -> None:
        script.hold.set()  # type: ignore[union-attr]
        enough = asyncio.Event()

        def count(_: object) -> None:
            if len(seen) == 1 and script.requests > 8:
                script.hold.clear()  # type: ignore[union-attr]
                enough.set()

        progress = Progress(on_answer=count, on_done=lambda figures: seen.append(figures.load.name))
        running = asyncio.create_task(Runner(plan(url, protocol="invocations-raw"), tmp_path, progress).run())
        waiting = asyncio.create_task(enough.wait())
        await asyncio.wait({running, waiting}, return_when="FIRST_COMPLETED")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with standing_in(script, INVOCATIONS) as url:
        asyncio.run(interrupted(url))
        half = records.read(tmp_path)
        assert [done.interrupted for done in half.done] == [False, True]
        assert doubts(tmp_path) == ["interrupted before all requests were made"]
        script.hold.set()  # type: ignore[union-attr]
        with pytest.raises(BenchError, match="--resume"):
            asyncio.run(Runner(plan(url), tmp_path).run())
        with pytest.raises(BenchError, match="it had requests 6, this one has 7"):
            asyncio.run(Runner(plan(url, protocol="invocations-raw", requests=7), tmp_path, resume=True).run())
        asyncio.run(Runner(plan(url, protocol="invocations-raw"), tmp_path, resume=True).run())
    whole = records.read(tmp_path)
    assert [done.load.name for done in whole.done] == ["7-single", "7-x3"]
    assert [len(figures.completed) for figures in of_run(whole)] == [6, 6]
    assert whole.answers["7-single"] == half.answers["7-single"]
    assert doubts(tmp_path) == []


def test_a_run_that_is_continued_keeps_what_was_true_of_its_cells(utterances: list[Utterance], tmp_path: Path) -> None:
    with standing_in(Script(utterances), INVOCATIONS) as url:
        first = plan(url, protocol="invocations-raw", concurrency=(1,), requests=1)
        asyncio.run(Runner(first, tmp_path).run())
        before = (tmp_path / "run.json").read_bytes()
        more = replace(first, concurrency=(1, 2))
        asyncio.run(Runner(more, tmp_path, resume=True).run())
    told, now = json.loads(before)["about"], dict(records.read(tmp_path).about)
    sessions = now.pop("sessions")
    assert now == {name: told[name] for name in now}
    assert [session["plan"]["concurrency"] for session in sessions] == [[1], [1, 2]]
    assert [done.session for done in records.read(tmp_path).done] == [0, 1]
    whole = (tmp_path / "run.json").read_bytes()
    asyncio.run(Runner(more, tmp_path, resume=True).run())  # nobody listens any more, and nobody is asked
    assert (tmp_path / "run.json").read_bytes() == whole


@pytest.mark.parametrize(
    "changed",
    [
        {"protocol": "openai"},
        {"audio": Path("elsewhere")},
        {"limit_s": 1.0},
        {"seed": 8},
        {"timeout_s": 1.0},
        {"goal": Goal(1.0)},
    ],
)
def test_a_run_is_continued_as_it_was_begun(tmp_path: Path, changed: dict[str, object]) -> None:
    begun = plan("http://127.0.0.1:1")
    records.save(tmp_path, records.Run({"plan": begun.described()}))
    ((name, _),) = changed.items()
    with pytest.raises(BenchError, match=f"it had {name} "):
        asyncio.run(Runner(replace(begun, **changed), tmp_path, resume=True).run())  # type: ignore[arg-type]


def test_open_loops_warm_up_too(utterances: list[Utterance], tmp_path: Path) -> None:
    with standing_in(Script(utterances), INVOCATIONS) as url:
        asked = plan(url, protocol="invocations-raw", concurrency=(1,), requests=2, rates=(50.0,), warm_up=3)
        asyncio.run(Runner(asked, tmp_path).run())
    _, opened = records.read(tmp_path).cells
    assert (len(opened.warm_up), len(opened.answers)) == (3, 2)
    assert all(answer.due is None for answer in opened.warm_up)


def test_no_capacity_is_searched_of_who_answers_nobody(utterances: list[Utterance], tmp_path: Path) -> None:
    with standing_in(Script(utterances, failing=dict.fromkeys(range(99), 500)), INVOCATIONS) as url:
        asked = plan(url, protocol="invocations-raw", goal=Goal(1.0))
        run = asyncio.run(Runner(asked, tmp_path).run())
    (found,) = run.search
    assert (found["low"], found["steps"]) == (0.0, ())
    assert found["stopped"] == "no request of the loads before it was answered"


def test_every_answer_is_on_disk_when_it_is_told(utterances: list[Utterance], tmp_path: Path) -> None:
    """What a client that was killed leaves: a report can be made of it, and a run continued."""
    seen: list[int] = []

    def look(_: Answer) -> None:
        run = records.read(tmp_path)
        seen.append(len(run.answers["7-single"]))
        assert [done.interrupted for done in run.done] == [True]
        assert of_run(run)[0].wer.value == 0 or seen[-1] == 1  # the first one is the warm-up

    with standing_in(Script(utterances), INVOCATIONS) as url:
        asked = plan(url, protocol="invocations-raw", concurrency=(1,), requests=3)
        asyncio.run(Runner(asked, tmp_path, Progress(on_answer=look)).run())
    assert seen == [1, 2, 3, 4]


def test_sigterm_is_as_ctrl_c() -> None:
    ended = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(SystemExit) as stopped:
        drive(work())
    assert (stopped.value.code, ended) == (INTERRUPTED, [True])


@pytest.mark.slow
def test_the_capacity_is_searched_and_told(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "STEP_S", 1.0)
    with standing_in(Script(utterances, service_s=0.05, at_once=1), INVOCATIONS) as url:
        asked = plan(url, protocol="invocations-raw", concurrency=(2,), goal=Goal(0.5))
        asyncio.run(Runner(asked, tmp_path).run())
        before = records.read(tmp_path)
        asyncio.run(Runner(asked, tmp_path, resume=True).run())
    (found,) = before.search
    assert 0 < found["low"] < found["high"]
    assert records.read(tmp_path).search == before.search
    assert "95% within 0.5 s" in (report_of(tmp_path) / "report.md").read_text()


def command(url: str, out: Path, *more: str) -> list[str]:
    head = ["run", "--target", url, "--audio", str(DATA), "--durations", "7", "--concurrency", "1,2", "--requests", "6"]
    return [*head, "--out", str(out), "--protocol", "invocations-raw", *more]


def test_the_command_line_runs_reports_and_compares(utterances: list[Utterance], tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with standing_in(Script(utterances), INVOCATIONS) as url:
        key = ("--header", "X-Key: secret-word", "--api-key", "secret-too")
        done = CliRunner().invoke(bench, command(url, ours, "--instance", "ml.g6e.xlarge", *key))
        assert done.exit_code == 0, done.output
    with standing_in(Script(utterances, failing=dict.fromkeys(range(1, 99, 2), 500)), INVOCATIONS) as url:
        done = CliRunner().invoke(bench, command(url, theirs, "--strict"))
        assert done.exit_code == 1, done.output
    assert "secret" not in (ours / "run.json").read_text()
    both = tmp_path / "both"
    done = CliRunner().invoke(
        bench, ["report", str(ours), str(theirs), "--out", str(both), "--article", "voxtral-mini-3b"]
    )
    assert done.exit_code == 0, done.output
    page = (both / "report.md").read_text()
    for part in (
        "Single requests",
        "Under load",
        "side by side",
        "per audio hour",
        "voxtral-mini-3b on ml.g6e.12xlarge",
    ):
        assert part in page
    html = (both / "report.html").read_text()
    assert "<script" not in html
    assert "src=" not in html
    same = CliRunner().invoke(bench, ["compare", str(ours), str(ours)])
    assert same.exit_code == 0, same.output
    nothing = CliRunner().invoke(bench, ["compare", str(tmp_path), str(ours)])
    assert isinstance(nothing.exception, BenchError)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--durations", "no"], "expected numbers separated by commas"),
        (["--concurrency", "0"], "expected numbers above 0"),
        (["--header", "nothing"], "expected NAME: VALUE"),
        (["--goal-s", "1"], "expected --find-capacity with --goal-s"),
        (["--goal-share", "0.9"], "expected --find-capacity with --goal-s"),
    ],
)
def test_wrong_flags_say_what_was_expected(tmp_path: Path, flags: Sequence[str], message: str) -> None:
    done = CliRunner().invoke(bench, command("http://127.0.0.1:1", tmp_path, *flags))
    assert done.exit_code == 2
    assert message in done.output


def test_who_continues_says_what() -> None:
    done = CliRunner().invoke(bench, ["run", "--target", "http://127.0.0.1:1", "--audio", str(DATA), "--resume"])
    assert done.exit_code == 2
    assert "expected --out with --resume" in done.output


def test_what_is_no_run_or_no_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"expected a run with run\.json"):
        records.read(tmp_path)
    with pytest.raises(BenchError, match="found none"):
        clips.read_utterances(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.wav"}\n')
    with pytest.raises(BenchError, match="`file` and `text`"):
        clips.read_utterances(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"file": "a.wav", "text": "words"}) + "\n")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(BenchError, match="expected audio in"):
        clips.read_utterances(tmp_path)


def test_recordings_may_have_their_texts_beside(tmp_path: Path, utterances: list[Utterance]) -> None:
    source = DATA / "clips" / "libri-367-130732-0001.flac"
    (tmp_path / "a.flac").write_bytes(source.read_bytes())
    (tmp_path / "a.txt").write_text("when is a lobster not a lobster")
    (found,) = clips.read_utterances(tmp_path)
    assert (found.name, found.text) == ("a", "when is a lobster not a lobster")
    with pytest.raises(BenchError, match="that fill 60 s to 80%"):
        next(clips.distinct("60", [found], 1))


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name.startswith("invocations")])
def test_sagemaker_through_boto3(
    whisper: Server, tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payloads of the article's clients, sent by stock boto3 to a real server in place of AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    asked = plan(
        "sagemaker:aural",
        protocol=protocol,
        concurrency=(2,) if protocol == "invocations-raw" else (1,),
        requests=1,
        warm_up=0,
        durations=("7",),
        region="us-east-1",
        endpoint_url=whisper.url,
    )
    asyncio.run(Runner(asked, tmp_path).run())
    for got in of_run(records.read(tmp_path)):
        assert got.failures == {}
        assert got.wer.value < 100  # the small model may lose an utterance of two that were joined
