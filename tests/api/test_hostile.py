"""Hundreds of hostile requests, thousands in the slow run: each gets its right answer, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from itertools import islice
from urllib.parse import urlsplit

import psutil
import pytest

from tests.api.hostile import KINDS, Attack, attacks
from tests.api.wire import Reply, converse, form, speech
from tests.conftest import Recording, Server, wait_until

AT_ONCE = 32


async def drip() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.5)
        yield b"x"


async def hang_up(url: str, data: bytes) -> None:
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    with suppress(OSError):
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def launch(url: str, attack: Attack) -> str | None:
    """What was wrong with the answer, if anything."""
    if attack.behaviour == "abort":
        return await hang_up(url, attack.data)
    later = [drip()] if attack.behaviour == "drip" else []
    try:
        reply = await converse(url, attack.data, *later)
    except (OSError, EOFError, TimeoutError) as error:
        return f"no answer: {error!r}"
    return judged(attack, reply)


def judged(attack: Attack, reply: Reply) -> str | None:
    if reply.status not in attack.allowed:
        return f"expected {sorted(attack.allowed)}, got {reply.status} {reply.body[:200]!r}"
    if reply.status != 200 and reply.body and not reply.error["message"]:
        return f"no message: {reply.body!r}"
    return None


async def barrage(url: str, arsenal: Iterable[Attack]) -> Counter[str]:
    """Launch the attacks, so many at once; every complaint with how often it came."""
    complaints: Counter[str] = Counter()
    waiting = iter(arsenal)

    async def soldier() -> None:
        for attack in waiting:
            wrong = await launch(url, attack)
            if wrong:
                complaints[f"{attack.kind}: {wrong}: {attack.data[:300]!r}"] += 1

    await asyncio.gather(*(soldier() for _ in range(AT_ONCE)))
    return complaints


def heard(server: Server, clip: Recording) -> str:
    body, kind = form(clip.bytes, model="whisper-tiny.en")
    status, answer = server.post("/v1/audio/transcriptions", body, Content_Type=kind)
    assert status == 200
    return answer["text"]


def server_faults(server: Server) -> float:
    return server.metric("aural_requests_total{route=.[^}]*,status=.5[^}]*}")


def is_quiet(server: Server) -> bool:
    return server.metric("aural_requests_in_flight") == 1 and server.metric("aural_queue_clips") == 0


def test_every_kind(strict: Server, clips: dict[str, Recording]) -> None:
    before = heard(strict, clips["LJ001-0002"])
    complaints = asyncio.run(barrage(strict.url, islice(attacks(seed=1), 6 * len(KINDS))))
    assert not complaints
    wait_until(lambda: is_quiet(strict), 120)
    assert heard(strict, clips["LJ001-0002"]) == before
    assert strict.post("/invocations", speech("unmoved"), Content_Type="audio/wav")[1]["text"] == "unmoved"


@pytest.mark.slow
def test_ten_thousand(strict: Server, clips: dict[str, Recording]) -> None:
    """Memory of all processes and descriptors after the first third are those at the end."""
    front = psutil.Process(strict.process.pid)
    before, faults = heard(strict, clips["LJ001-0002"]), server_faults(strict)
    arsenal = attacks(seed=2)
    seen = []
    for _ in range(3):
        complaints = asyncio.run(barrage(strict.url, islice(arsenal, 3400)))
        assert not complaints
        wait_until(lambda: is_quiet(strict), 120)
        wait_until(lambda: len(front.net_connections()) <= 2, 120)
        family = [front, *front.children(recursive=True)]
        seen.append((front.num_fds(), sum(one.memory_info().rss for one in family) / 2**20, len(family)))
    print(f"descriptors, MiB, processes after each third: {seen}")
    assert (seen[-1][0], seen[-1][2]) == (seen[0][0], seen[0][2])
    assert seen[-1][1] <= 1.03 * seen[0][1]
    assert (heard(strict, clips["LJ001-0002"]), server_faults(strict)) == (before, faults)
