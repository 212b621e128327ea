"""What the client of `aural bench` adds to the latency that it measures, against a server that does nothing.

    python benchmarks/client.py [--rate 200] [--seconds 20] [--protocol invocations-raw] [--duration 15]

The open loop of `aural bench run` asks a process that reads each request and answers at once. All that is measured is
then client, loopback and timers: p99 must stay under 2 ms, and the client under one core.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402
import uvloop  # noqa: E402

from aural.bench import clips  # noqa: E402
from aural.bench.load import Driver, Kitchen  # noqa: E402
from aural.bench.protocols import Wish, find  # noqa: E402
from aural.bench.records import Answer, Done, Load  # noqa: E402
from aural.bench.targets import HttpTarget  # noqa: E402

BAR_MS, BAR_CORES = 2.0, 1.0
ANSWER = b'{"text":"nothing","transcription":{"text":"nothing"}}'
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n".encode()
CONNECTIONS = 16
MOST_HEAD = 1 << 12


class Nothing(asyncio.BufferedProtocol):
    """Reads what comes over what came before, counts, and answers. A head is taken to come in one piece."""

    memory = memoryview(bytearray(1 << 20))

    def __init__(self) -> None:
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.memory

    def buffer_updated(self, nbytes: int) -> None:
        if not self._left:
            head = bytes(self.memory[: min(nbytes, MOST_HEAD)]).partition(b"\r\n\r\n")[0]
            self._left = len(head) + 4 + int(head.partition(b"Content-Length: ")[2].split()[0])
        self._left -= nbytes
        if not self._left:
            self._transport.write(HEAD + ANSWER)


def do_nothing(pipe: Pipe) -> None:
    """The server: tells its port and serves until it is ended."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Nothing, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


async def measure(port: int, options: argparse.Namespace) -> tuple[Done, list[Answer]]:
    audio = options.audio or clips.find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings with known text in shared/audio beside the repository, or --audio")
    items = clips.distinct(options.duration, clips.read_utterances(audio), 7)
    protocol = find(options.protocol)
    target = HttpTarget.at(f"http://127.0.0.1:{port}", {}, 10.0)
    kitchen = Kitchen(items, protocol, Wish(), "")
    answers: list[Answer] = []
    requests = round(options.rate * options.seconds)
    load = Load("no-op", "open", options.duration, CONNECTIONS, options.rate, requests)
    await kitchen.prepare(load)
    try:
        return await Driver(target, protocol, kitchen, answers.append).run(load), answers
    finally:
        await target.close()


def report(done: Done, answers: list[Answer]) -> bool:
    latency = np.percentile([1000 * a.latency_s for a in answers], [50, 95, 99, 100])
    wire = np.percentile([1000 * (a.end - a.start) for a in answers], [50, 95, 99, 100])
    cores = done.watch.cpu_s / (done.ended - done.began)
    achieved = len(answers) / (done.ended - done.began)
    print(f"{len(answers)} requests, {achieved:.0f}/s, {sum(not a.ok for a in answers)} failed")
    for name, row in (("from the schedule", latency), ("from sending", wire)):
        print(f"{name:18} p50 {row[0]:6.2f} ms  p95 {row[1]:6.2f} ms  p99 {row[2]:6.2f} ms  max {row[3]:6.2f} ms")
    print(f"client             {cores:.2f} cores, event loop lag p99 {1000 * done.watch.loop_lag_p99_s:.2f} ms")
    held = bool(latency[2] < BAR_MS and cores < BAR_CORES and all(a.ok for a in answers))
    print(f"{'PASS' if held else 'MISS'}: p99 under {BAR_MS:g} ms, under {BAR_CORES:g} core, none failed")
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--protocol", default="invocations-raw")
    parser.add_argument("--duration", default="15")
    parser.add_argument("--audio", type=Path)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=do_nothing, args=(theirs,), daemon=True)
    server.start()
    try:
        done, answers = uvloop.run(measure(ours.recv(), options))
    finally:
        server.terminate()
        server.join()
    sys.exit(0 if report(done, answers) else 1)


if __name__ == "__main__":
    main()
