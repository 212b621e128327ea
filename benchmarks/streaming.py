"""Live captions under load: aural beside WhisperLiveKit and WhisperLive, same weights, same audio, one run.

    python benchmarks/streaming.py [--model whisper-tiny.en] [--seconds 120] [--most 32]
    python benchmarks/streaming.py --rivals FOLDER     # environments with the rivals are made there (see --python)
    python benchmarks/streaming.py --quick             # proves that it works; its figures mean nothing
    python benchmarks/streaming.py --report OUT [--page docs/captions-measured.md]

It measures one stream alone, finds the largest number of streams that are served in time, sends the same audio as
files, measures streams in which nobody speaks, and asks for one stream too many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from aural.bench.clips import Item, find_audio, read_utterances  # noqa: E402
from aural.errors import Overloaded  # noqa: E402
from aural.streaming.session import connect  # noqa: E402
from benchmarks.streams import report, rivals  # noqa: E402
from benchmarks.streams.arms import Arm, Aural  # noqa: E402
from benchmarks.streams.cells import Cell, file_errors, percentile, read, run, running, write  # noqa: E402
from benchmarks.streams.search import holds, largest  # noqa: E402
from benchmarks.streams.speech import silence, streams  # noqa: E402

NO_LIMIT = "64"
SILENT_STREAMS = 8
WARM_UP_S = 2.0
"""Of silence, before it is measured: the first session of a server loads voice activity detection."""
REFUSALS = 5


@dataclass(slots=True)
class Run:
    """What was measured so far."""

    items: list[Item]
    out: Path
    cells: list[Cell] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    async def measure(self, arm: Arm, count: int) -> Cell:
        """A fresh server for every cell, so that none pays for the one before; each number of streams once."""
        for known in self.cells:
            if (known.arm, known.streams) == (arm.name, count):
                return known
        async with running(arm, self.out / f"{arm.name}.log") as (port, pid):
            cell = await run(arm, port, pid, self.items[:count])
        return self.keep(cell)

    def keep(self, cell: Cell) -> Cell:
        self.cells.append(cell)
        write(cell, self.out)
        final = f", final p95 {percentile(cell.compute_s(), 95):.2f} s" if cell.finalization_s else ""
        print(
            f"{cell.arm:15} {cell.streams:3} {cell.kind:8} {'in time' if holds(cell) else '-':8} "
            f"stands p95 {percentile(cell.emission_s, 95):.2f} s{final}, WER {100 * cell.wer:.1f} %, "
            f"{cell.cores:.2f} cores {cell.note}",
            flush=True,
        )
        return cell

    def note(self, **facts: Any) -> None:
        self.facts |= facts
        (self.out / "facts.json").write_text(json.dumps(self.facts, indent=1), encoding="utf-8")


async def ours(run_: Run, model: str, start: int, most: int) -> None:
    arm = Aural(model, ("--max-streams", NO_LIMIT, "--log-level", "warning"))
    await run_.measure(arm, 1)
    best = await largest(lambda count: run_.measure(arm, count), start, most)
    count = max(1, best)
    async with running(arm, run_.out / "aural.log") as (port, pid):
        errors, words = await file_errors(port, run_.items[:count])
        run_.note(file_wer=errors / max(words, 1))
        await run(arm, port, pid, [silence(WARM_UP_S)])
        length_s = min(30.0, run_.items[0].duration_s)
        run_.keep(await run(arm, port, pid, [silence(length_s)] * SILENT_STREAMS, "silence"))
    full = Aural(model, ("--max-streams", str(count), "--log-level", "warning"), name="aural, one refused")
    async with running(full, run_.out / "aural.log") as (port, pid):
        cell, refusals = await asyncio.gather(run(full, port, pid, run_.items[:count]), refused(port))
    run_.keep(cell)
    run_.note(refusal_s=refusals)


async def refused(port: int) -> list[float]:
    """How long it takes to hear that there is no room, while all places are taken."""
    took = []
    await asyncio.sleep(5)
    for _ in range(REFUSALS):
        began = time.perf_counter()
        try:
            async with connect(f"http://127.0.0.1:{port}"):
                pass
        except Overloaded:
            took.append(time.perf_counter() - began)
        await asyncio.sleep(1)
    return took


async def theirs(run_: Run, arm: Arm, most: int) -> None:
    try:
        await largest(lambda count: run_.measure(arm, count), 1, most)
    except (RuntimeError, OSError) as error:
        run_.note(notes=run_.facts.get("notes", {}) | {arm.name: f"did not run: {error}"})
        print(f"{arm.name}: {error}", file=sys.stderr)


async def all_of(options: argparse.Namespace, run_: Run) -> None:
    await ours(run_, options.model, options.start, options.most)
    if options.rivals:
        arms, missing = rivals.prepare(options.rivals, options.model, options.python)
        run_.note(notes=run_.facts.get("notes", {}) | missing)
        for arm in arms:
            await theirs(run_, arm, options.most)


def main() -> None:
    options = parse()
    if options.report:
        show(options.report, options.page)
        return
    audio = find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings with known text in shared/audio beside the repository, found none")
    options.out.mkdir(parents=True, exist_ok=True)
    items = streams(read_utterances(audio), options.most, options.seconds)
    run_ = Run(items, options.out)
    machine = f"{os.cpu_count()} cores ({platform.processor() or platform.machine()})"
    run_.note(command=" ".join(["python", *sys.argv]), when=str(date.today()), machine=machine)
    asyncio.run(all_of(options, run_))
    show(options.out, options.page)


def show(out: Path, page: Path | None) -> None:
    text = report.page(read(out), report.load_facts(out), out)
    (page or out / "report.md").write_text(text, encoding="utf-8")
    print(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of a stream")
    parser.add_argument("--start", type=int, default=4, help="the first number of streams that is tried")
    parser.add_argument("--most", type=int, default=32, help="the largest number of streams that is tried")
    parser.add_argument("--rivals", type=Path, help="folder with, or for, the environments of the rivals")
    parser.add_argument(
        "--python", default=rivals.PYTHON, help="interpreter that has a CPU build of torch, for the rivals"
    )
    parser.add_argument("--quick", action="store_true", help="two streams of 15 s")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results") / f"streaming-{int(time.time())}")
    parser.add_argument("--report", type=Path, help="the report of an earlier run")
    parser.add_argument("--page", type=Path, help="where the report goes; in the run's folder if not given")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.start, options.most = 15.0, 2, 2
    return options


if __name__ == "__main__":
    main()
