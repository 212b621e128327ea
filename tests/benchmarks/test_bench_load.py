"""The client against a small server of our own, which counts what it was asked."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.load import Job, Outcome

Reply = Callable[[bytes], bytes]


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def heard(text: str) -> bytes:
    return json.dumps({"text": text}).encode()


def server(reply: Reply) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                answer = reply(await reader.readexactly(length))
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            await writer.wait_closed()

    return talk


def drive(tmp_path: Path, reply: Reply, order: list[int], **changes: object) -> Outcome:
    for i in range(3):
        (tmp_path / str(i)).write_bytes(f"body {i}".encode())

    async def main() -> Outcome:
        listening = await asyncio.start_server(server(reply), "127.0.0.1", 0)
        async with listening:
            job = Job(
                port=listening.sockets[0].getsockname()[1],
                path="/",
                content_type="audio/wav",
                bodies=[str(tmp_path / str(i)) for i in range(3)],
                order=order,
                **{"callers": 4, "at_least": 30, **changes},  # type: ignore[arg-type]
            )
            outcome = await load.Cell(job).run()
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
            return outcome

    return asyncio.run(main())


def test_every_request_is_written_down_with_its_own_answer(tmp_path: Path) -> None:
    outcome = drive(tmp_path, lambda body: http(200, heard(body.decode())), [2, 0, 1])
    assert len(outcome.answers) >= 34
    assert all(answer.text == f"body {answer.item}" for answer in outcome.answers)
    window = [answer for answer in outcome.answers if outcome.opened < answer.end <= outcome.closed]
    assert len(window) >= 30
    assert {answer.caller for answer in outcome.answers} == set(range(4))


def test_once_asks_each_item_once(tmp_path: Path) -> None:
    outcome = drive(tmp_path, lambda body: http(200, heard("x")), [1, 1, 2], once=True)
    assert sorted(answer.item for answer in outcome.answers) == [1, 1, 2]


def test_errors_keep_their_kind(tmp_path: Path) -> None:
    replies = iter(
        [
            http(503, b"{}"),
            http(200, b"not json"),
            http(200, heard(" ")),
            b"",
            http(200, heard("fine"), "Connection: close"),
        ]
    )
    outcome = drive(tmp_path, lambda _: next(replies), [0] * 5, callers=1, once=True)
    kinds = Counter(answer.error for answer in outcome.answers)
    assert kinds == {
        "http-503": 1,
        "no text in the answer": 1,
        "empty text": 1,
        "connection lost": 1,
        "": 1,
    }


def test_a_client_that_does_not_wait_hangs_up(tmp_path: Path) -> None:
    outcome = drive(tmp_path, lambda body: http(200, heard("x")), [0], at_least=8, drain=False)
    assert outcome.closed == max(answer.end for answer in outcome.answers)


def test_outcome_survives_the_pipe(tmp_path: Path) -> None:
    outcome = drive(tmp_path, lambda body: http(200, heard("ä")), [0, 1])
    assert load.from_json(load.to_json(outcome)) == outcome


def test_nobody_listens(tmp_path: Path, unused_port: int) -> None:
    (tmp_path / "0").write_bytes(b"")
    job = Job(unused_port, "/", "audio/wav", [str(tmp_path / "0")], [0], callers=1, once=True)
    outcome = asyncio.run(load.Cell(job).run())
    assert [answer.error for answer in outcome.answers] == ["connection refused"]


@pytest.fixture
def unused_port() -> int:
    from benchmarks.arms.base import free_port

    return free_port()
