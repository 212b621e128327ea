"""How long /ping takes while 40 callers push real audio. The bar is 50 ms at the 99th percentile, and no failure.

    python benchmarks/ping.py [--model whisper-tiny.en] [--callers 40] [--seconds 30]

Pings fall due every 20 ms, each on a connection of its own, and count from when they were due. The load is `load.py`,
in a process of its own; the recordings go as they are (FLAC, MP3, Ogg), so the server decodes them too.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402

from aural.bench.clips import find_audio  # noqa: E402
from benchmarks.load import Job, Outcome, from_json  # noqa: E402

PERIOD_S = 0.02
BAR_MS = 50.0
READY_WITHIN_S = 120.0
IDLE_S = 3.0


@dataclass(slots=True)
class Pings:
    """What one stretch of pings saw."""

    took_ms: list[float] = field(default_factory=list)
    failures: int = 0

    def __str__(self) -> str:
        p50, p99, most = (float(np.percentile(self.took_ms, q)) for q in (50, 99, 100))
        return f"{len(self.took_ms):6d} {p50:8.2f} {p99:8.2f} {most:8.2f} {self.failures:8d}"

    @property
    def clear_the_bar(self) -> bool:
        return not self.failures and float(np.percentile(self.took_ms, 99)) < BAR_MS


def main() -> None:
    options = parse()
    audio = find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings with known text in shared/audio beside the repository, found none")
    bodies = recordings(audio)
    command = [sys.executable, "-m", "aural", "serve", "--model", options.model, "--port", str(options.port)]
    server = subprocess.Popen([*command, "--log-level", "warning"])
    try:
        until_ready(options.port)
        end = time.monotonic() + IDLE_S
        idle = ping_while(lambda: time.monotonic() < end, options.port)
        loaded, outcome = under_load(Job(**job(options, bodies)))
    finally:
        server.terminate()
        server.wait()
    report(idle, loaded, outcome)
    sys.exit(not loaded.clear_the_bar)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--callers", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=30.0)
    return parser.parse_args()


def recordings(audio: Path) -> list[str]:
    """Files of English speech."""
    rows = map(json.loads, (audio / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    return [str(audio / row["file"]) for row in rows if row["language"] == "en" and 2 <= row["duration_s"] <= 30]


def job(options: argparse.Namespace, bodies: list[str]) -> dict[str, Any]:
    return {
        "port": options.port,
        "path": "/invocations",
        "content_type": "application/octet-stream",
        "bodies": bodies,
        "order": list(range(len(bodies))),
        "callers": options.callers,
        "seconds": options.seconds,
        "drain": False,
    }


def until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not ping(port):
        if time.monotonic() > deadline:
            sys.exit(f"expected the server to be ready within {READY_WITHIN_S:.0f} s")
        time.sleep(0.1)


def under_load(work: Job) -> tuple[Pings, Outcome]:
    command = [sys.executable, "-m", "benchmarks.load"]
    load = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert load.stdin is not None
    load.stdin.write(json.dumps(asdict(work)) + "\n")
    load.stdin.close()
    load.stdin = None
    pings = ping_while(lambda: load.poll() is None, work.port, most_s=work.seconds)
    answer, _ = load.communicate()
    return pings, from_json(answer)


def ping_while(going: Callable[[], bool], port: int, most_s: float = float("inf")) -> Pings:
    seen = Pings()
    began = due = time.monotonic()
    while going() and due - began < most_s:
        time.sleep(max(0.0, due - time.monotonic()))
        seen.failures += not ping(port)
        seen.took_ms.append((time.monotonic() - due) * 1000)
        due += PERIOD_S
    return seen


def ping(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def report(idle: Pings, loaded: Pings, outcome: Outcome) -> None:
    window_s = outcome.closed - outcome.opened
    answered = sum(outcome.opened < answer.end <= outcome.closed for answer in outcome.answers)
    errors = sum(bool(answer.error) for answer in outcome.answers)
    print("           pings   p50 ms   p99 ms   max ms failures")
    print(f"idle      {idle}")
    print(f"loaded    {loaded}")
    print(f"load: {answered / window_s:.1f} requests/s over {window_s:.0f} s, {errors} errors")
    print(f"{'PASS' if loaded.clear_the_bar else 'MISS'}: p99 under {BAR_MS:.0f} ms")


if __name__ == "__main__":
    main()
