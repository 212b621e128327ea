from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from aural.engines.base import ModelSpec
from aural.engines.fake import FakeEngine, speak
from aural.serving import messages, worker
from aural.serving.messages import Hear, Heard, Load, LoadRefused, Mishap, Ready
from aural.serving.rehearsal import rehearsal
from aural.types import SAMPLE_RATE, Clip, Transcript

FAKE = Load(ModelSpec("fake", "fake", None), max_batch=2)


@contextlib.contextmanager
def started() -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    """A worker process and the pipe to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "aural.serving.worker", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    try:
        with ours:
            yield ours, process
    finally:
        process.kill()
        process.wait()


def ask(pipe: socket.socket, message: messages.ToWorker) -> object:
    for part in messages.pack(message):
        pipe.sendall(part)
    return messages.receive(pipe)


def test_loads_hears_and_ends_with_its_pipe():
    with started() as (pipe, process):
        ready = ask(pipe, FAKE)
        assert isinstance(ready, Ready)
        assert ready.capabilities == FakeEngine.capabilities
        assert ready.rtfx > 0
        heard = ask(pipe, Hear((Clip(speak("one")), Clip(speak("fail")), Clip(speak("two")))))
        assert isinstance(heard, Heard)
        one, failed, two = heard.results
        assert isinstance(one, Transcript)
        assert isinstance(two, Transcript)
        assert (one.segments[0].text, two.segments[0].text) == ("one", "two")
        assert failed == Mishap("RuntimeError: told to fail")
        pipe.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaves_signals_to_the_front_process(number):
    with started() as (pipe, process):
        assert isinstance(ask(pipe, FAKE), Ready)
        process.send_signal(number)
        assert isinstance(ask(pipe, Hear((Clip(speak("still here")),))), Heard)


def test_ends_when_the_front_process_dies_while_it_loads(tmp_path):
    (tmp_path / "load").write_text("sleep200")
    with started() as (pipe, process):
        for part in messages.pack(Load(ModelSpec("fake", "fake", tmp_path), max_batch=2)):
            pipe.sendall(part)
        pipe.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ModelSpec("w", "whisper", Path("/nowhere")), "expected weights at /nowhere/model.bin, found none"),
        (ModelSpec("w", "nothing", None), "expected a family of whisper"),
    ],
)
def test_says_why_it_cannot_load(spec, words):
    with started() as (pipe, process):
        refused = ask(pipe, Load(spec, max_batch=2))
        assert isinstance(refused, LoadRefused)
        assert words in refused.message
        assert process.wait(30) == 0


class Engine(FakeEngine):
    """Notes the lengths of the batches that it is given, and may answer too little."""

    def __init__(self, answers: int | None = None) -> None:
        super().__init__()
        self.batches: list[list[int]] = []
        self.answers = answers

    def transcribe(self, clips: Sequence[Clip]) -> list[Transcript]:
        self.batches.append([len(clip) for clip in clips])
        return [Transcript()] * (len(clips) if self.answers is None else self.answers)


def test_warms_up_over_the_shapes_that_will_come():
    engine = Engine()
    assert worker.warm_up(engine, 3) > 0
    speech = len(rehearsal())
    assert engine.batches == [[30 * SAMPLE_RATE], [speech] * 3]


def test_hears_each_alone_when_the_engine_answers_too_little():
    engine = Engine(answers=1)
    assert worker.hear(engine, [Clip(rehearsal())] * 2) == (Transcript(), Transcript())
    assert [len(batch) for batch in engine.batches] == [2, 1, 1]


def test_an_engine_that_answers_nothing():
    [mishap] = worker.hear(Engine(answers=0), [Clip(rehearsal())])
    assert mishap == Mishap("RuntimeError: expected 1 transcripts of the engine, got 0")
