"""What a run leaves behind: `records.jsonl`, one request a line, and `run.json`. Reports are built from these alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from aural.errors import BenchError

RECORDS = "records.jsonl"
RUN = "run.json"
VERSION = 1
LINES = 1
"""Buffering of `open`: a line is handed to the system when it is whole."""

Kind = Literal["single", "closed", "open", "capacity"]
"""One request after the other; callers that never rest; arrivals that wait for nobody; a step of a capacity search."""
STREAM_RUN = "streams"
"""What a run of `aural bench stream` calls itself in its run.json; it has a reader of its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came of it. Times are seconds of one monotonic clock."""

    item: int
    caller: int
    """Who asked; in an open loop the number of the arrival, in an arm without a server the process that heard it."""
    start: float
    """When its first byte was about to be sent."""
    end: float
    text: str = ""
    error: str = ""
    """The kind of failure; empty when there was none."""
    due: float | None = None
    """When an open loop meant to send it."""
    sent_bytes: int = 0
    heard_s: float | None = None
    """Seconds of audio that the endpoint says it heard, where it says so."""
    detail: str = ""
    """The first words of what an endpoint said of its failure."""

    @property
    def latency_s(self) -> float:
        """From when it was meant to be sent: what waits in the client because the endpoint is slow counts too."""
        return self.end - (self.start if self.due is None else self.due)

    @property
    def late_s(self) -> float:
        return 0.0 if self.due is None else self.start - self.due

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True, slots=True)
class Watch:
    """What the client itself did while a cell ran."""

    cpu_s: float = 0.0
    loop_lag_p99_s: float = 0.0
    """How much later than asked the event loop woke up."""
    in_flight_s: float = 0.0
    """Requests in flight, integrated over time; counted apart from the records."""


@dataclass(frozen=True, slots=True)
class Load:
    """One cell of the tables: how an endpoint is to be asked."""

    name: str
    kind: Kind
    workload: str
    """Length of the audio in seconds, or `mix`."""
    callers: int = 1
    rate: float = 0.0
    """Requests a second, in an open loop."""
    requests: int = 1
    warm_up: int = 0
    """Requests before the clock starts; they are recorded, and count for nothing."""
    limit_s: float | None = None
    """After so many seconds a closed loop makes no further request."""


@dataclass(frozen=True, slots=True)
class Done:
    """A cell that ran."""

    load: Load
    began: float
    ended: float
    watch: Watch
    interrupted: bool = False
    session: int = 0
    """Index in the `sessions` of `Run.about`: in which of them, when a run was continued."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An item without its samples."""

    name: str
    text: str
    duration_s: float
    speech_share: float = 1.0
    spans: tuple[tuple[float, float, str], ...] = ()
    """Start and end in seconds, and text, of each utterance in it."""


@dataclass(frozen=True, slots=True)
class Supply:
    """How far the recordings went."""

    used: int
    """Recordings that the requests were made of."""
    left_out: int
    """Recordings that are too long, or too short, for the workload."""
    requests: int = 0
    """Those of the warm-up too."""
    repeated: int = 0
    """Requests with audio that an earlier one had already: an endpoint that remembers answers could shine."""


@dataclass(frozen=True)
class Cell:
    """A cell with its answers, warm-up apart."""

    done: Done
    answers: tuple[Answer, ...]
    warm_up: tuple[Answer, ...] = ()

    @property
    def load(self) -> Load:
        return self.done.load


@dataclass
class Run:
    """All that is known of a run."""

    about: dict[str, Any]
    """Target, versions, hardware, settings, git revision: what a reader needs to repeat it. `plan`, `client` and
    `endpoint` are those of the first session; `sessions` has those of each that ran cells."""
    items: dict[str, list[Asked]] = field(default_factory=dict)
    """By workload; `Answer.item` counts in it."""
    done: list[Done] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    """By name of the load, warm-up first."""
    search: list[dict[str, Any]] = field(default_factory=list)
    """What the search for capacity tried."""
    supply: dict[str, Supply] = field(default_factory=dict)
    """By workload."""

    @property
    def cells(self) -> list[Cell]:
        return [self._cell(done) for done in self.done]

    def _cell(self, done: Done) -> Cell:
        known = len(self.items.get(done.load.workload, []))  # who is killed may have asked for more than was written
        answers = [a for a in self.answers.get(done.load.name, []) if a.item < known]
        warm_up = done.load.warm_up
        return Cell(done, tuple(answers[warm_up:]), tuple(answers[:warm_up]))

    @property
    def finished(self) -> set[str]:
        return {done.load.name for done in self.done if not done.interrupted}


@contextmanager
def writing(folder: Path, load: str) -> Iterator[Callable[[Answer], None]]:
    """Appends each answer at once, so that a client that is killed loses none."""
    with (folder / RECORDS).open("a", buffering=LINES, encoding="utf-8") as file:
        yield lambda answer: _write(file, load, answer)


def append(folder: Path, load: str, answers: Iterable[Answer]) -> None:
    with (folder / RECORDS).open("a", encoding="utf-8") as file:
        for answer in answers:
            _write(file, load, answer)


def _write(file: TextIO, load: str, answer: Answer) -> None:
    file.write(json.dumps({"load": load, **asdict(answer)}, ensure_ascii=False) + "\n")


def save(folder: Path, run: Run) -> None:
    """Write run.json in one go, so that a crash leaves the old one."""
    document = {
        "version": VERSION,
        "about": run.about,
        "items": {name: [asdict(item) for item in items] for name, items in run.items.items()},
        "done": [asdict(done) for done in run.done],
        "search": run.search,
        "supply": {name: asdict(supply) for name, supply in run.supply.items()},
    }
    fresh = folder / (RUN + ".new")
    fresh.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(fresh, folder / RUN)


def read(folder: Path) -> Run:
    """A run as it lies in `folder`; raises BenchError when it is none."""
    try:
        document = json.loads((folder / RUN).read_text(encoding="utf-8"))
        lines = (folder / RECORDS).read_text(encoding="utf-8").splitlines() if (folder / RECORDS).exists() else []
        entries = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise BenchError(f"expected a run with {RUN} and {RECORDS} in {folder}: {error}") from error
    if document.get("kind") == STREAM_RUN:
        raise BenchError(f"expected a run of requests in {folder}, got one of live streams, which are never compared")
    if document.get("version") != VERSION:
        raise BenchError(f"expected a run of version {VERSION} in {folder}, got {document.get('version')}")
    run = Run(document["about"], search=document["search"])
    run.items = {name: [asked(item) for item in items] for name, items in document["items"].items()}
    run.done = [_done(entry) for entry in document["done"]]
    run.supply = {name: Supply(**supply) for name, supply in document.get("supply", {}).items()}
    for entry in entries:
        run.answers.setdefault(entry.pop("load"), []).append(Answer(**entry))
    return run


def forget_unfinished(folder: Path, run: Run) -> None:
    """Drop the answers of loads that did not finish, so that they can be run anew; so with steps of a search."""
    searched = {found["workload"] for found in run.search}
    run.done = [
        done
        for done in run.done
        if not done.interrupted and (done.load.kind != "capacity" or done.load.workload in searched)
    ]
    kept = {name: answers for name, answers in run.answers.items() if name in run.finished}
    if kept != run.answers:
        run.answers = kept
        (folder / RECORDS).write_text("", encoding="utf-8")
        for name, answers in kept.items():
            append(folder, name, answers)
    save(folder, run)


def asked(entry: dict[str, Any]) -> Asked:
    """An item as it was written by `asdict`."""
    return Asked(**{**entry, "spans": tuple((a, b, text) for a, b, text in entry["spans"])})


def _done(entry: dict[str, Any]) -> Done:
    return Done(**{**entry, "load": Load(**entry["load"]), "watch": Watch(**entry["watch"])})
