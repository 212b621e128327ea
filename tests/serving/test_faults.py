"""Faults, seen from the front door: whatever is killed, every request is answered with its own text or a typed 503."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence

import psutil
import pytest

from tests.api.wire import Reply, converse, request, speech
from tests.conftest import Server, serving, wait_until, word_errors

LIMIT_S = 120


def ask(url: str, audio: bytes) -> asyncio.Task[Reply]:
    """A request on its way."""
    body = request("/invocations", audio, Content_Type="audio/wav", Connection="close")
    return asyncio.ensure_future(converse(url, body))


def answers(url: str, audios: Sequence[bytes]) -> list[Reply]:
    """What all of these, sent at once, are answered."""

    async def together() -> list[Reply]:
        return await asyncio.gather(*(ask(url, audio) for audio in audios))

    return asyncio.run(together())


async def insist(url: str, audio: bytes) -> Reply:
    """Ask again while no worker is there to hear it."""
    while True:
        reply = await ask(url, audio)
        if reply.status != 503 or reply.error["code"] != "not_ready":
            return reply
        await asyncio.sleep(0.05)


def pids(server: Server) -> list[int]:
    return [replica["pid"] for model in server.health()["models"] for replica in model["replicas"] if replica["pid"]]


def wait_for_recovery(server: Server, restarts: int) -> None:
    """Returns when so many workers were replaced and all are ready."""

    def is_well() -> bool:
        models = server.health()["models"]
        return all(replica["state"] == "ready" for model in models for replica in model["replicas"])

    wait_until(lambda: server.metric("aural_worker_restarts_total") >= restarts and is_well(), LIMIT_S)
    assert server.metric("aural_worker_restarts_total") == restarts
    assert server.process.poll() is None


def retry_after_s(reply: Reply) -> int:
    assert reply.status == 503, reply
    return int(reply.headers["retry-after"])


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_killed_under_load(victim):
    texts = [f"sleep100 word {number}" for number in range(20)]
    with serving("--model", "fake", "--replicas", "2", "--max-batch", "4") as server:
        before = pids(server)

        async def kill_meanwhile() -> list[Reply]:
            asked = [ask(server.url, speech(text)) for text in texts]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            os.kill(before[victim], signal.SIGKILL)
            return await asyncio.gather(*asked)

        replies = asyncio.run(kill_meanwhile())
        assert [reply.json["text"] for reply in replies] == texts  # each was retried where it had to be
        wait_for_recovery(server, restarts=1)
        after = pids(server)
        assert after[victim] != before[victim]
        assert after[1 - victim] == before[1 - victim]


def test_both_workers_killed_under_load():
    texts = [f"sleep100 word {number}" for number in range(20)]
    with serving("--model", "fake", "--replicas", "2", "--max-batch", "2") as server:

        async def kill_meanwhile() -> list[Reply]:
            asked = [ask(server.url, speech(text)) for text in texts]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for pid in await asyncio.to_thread(pids, server):
                os.kill(pid, signal.SIGKILL)
            return await asyncio.gather(*asked)

        for text, reply in zip(texts, asyncio.run(kill_meanwhile()), strict=True):
            if reply.status == 200:
                assert reply.json["text"] == text
            else:
                assert retry_after_s(reply) >= 1
                assert reply.error["code"] in ("worker_lost", "not_ready")
        wait_for_recovery(server, restarts=2)
        assert [reply.json["text"] for reply in answers(server.url, [speech("and on")])] == ["and on"]


def test_a_real_worker_killed_under_load(shared_clips):
    clips = [one for one in shared_clips if one.language == "en" and 2 < one.duration_s < 5][:8]
    with serving("--model", "whisper-tiny.en", "--replicas", "2", "--max-batch", "2") as server:
        expected = [reply.json["text"] for reply in answers(server.url, [clip.bytes for clip in clips])]

        async def kill_meanwhile() -> list[Reply]:
            asked = [ask(server.url, clip.bytes) for clip in clips]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            os.kill(victim, signal.SIGKILL)
            return await asyncio.gather(*asked)

        victim = pids(server)[0]
        replies = asyncio.run(kill_meanwhile())
        assert {reply.status for reply in replies} == {200}
        assert word_errors(expected, [reply.json["text"] for reply in replies]) <= 0.02
        wait_for_recovery(server, restarts=1)


def test_a_poison_request_fails_alone():
    texts = ["one", "die", "two"]
    with serving("--model", "fake", "--replicas", "1") as server:

        async def insisting() -> list[Reply]:
            return await asyncio.gather(*(insist(server.url, speech(text)) for text in texts))

        one, poison, two = asyncio.run(insisting())
        assert (one.json["text"], two.json["text"]) == ("one", "two")
        assert retry_after_s(poison) == 1
        assert poison.error["code"] == "worker_lost"
        wait_for_recovery(server, restarts=2)


def test_sigterm_lets_requests_finish():
    with serving("--model", "fake", "--replicas", "2", "--max-batch", "1") as server:
        workers = [psutil.Process(pid) for pid in pids(server)]

        async def stop_meanwhile() -> list[Reply]:
            asked = [ask(server.url, speech(f"sleep300 word {number}")) for number in range(6)]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            server.process.send_signal(signal.SIGTERM)
            return await asyncio.gather(*asked)

        replies = asyncio.run(stop_meanwhile())
        assert [reply.json["text"] for reply in replies] == [f"sleep300 word {number}" for number in range(6)]
        assert server.process.wait(LIMIT_S) == 0
        assert not any(worker.is_running() for worker in workers)


def test_sigterm_does_not_wait_for_ever():
    with serving("--model", "fake", "--replicas", "1", "--drain-s", "1") as server:
        [worker] = [psutil.Process(pid) for pid in pids(server)]

        async def stop_meanwhile() -> None:
            asked = ask(server.url, speech("sleep600000"))
            await asyncio.to_thread(wait_until, lambda: server.health()["models"][0]["replicas"][0]["busy"], LIMIT_S)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.wait([asked])
            if not asked.exception():
                assert asked.result().status >= 500

        asyncio.run(stop_meanwhile())
        assert server.process.wait(LIMIT_S) == 0
        assert not worker.is_running()


def test_sigterm_while_the_model_loads():
    with serving("--model", "whisper-base", ready=False) as server:
        wait_until(lambda: bool(psutil.Process(server.process.pid).children()), LIMIT_S)
        workers = psutil.Process(server.process.pid).children()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(LIMIT_S) == 0
        assert not any(worker.is_running() for worker in workers)


def test_workers_end_when_the_front_process_is_killed():
    with serving("--model", "fake", "--replicas", "2") as server:
        workers = [psutil.Process(pid) for pid in pids(server)]
        server.process.kill()
        server.process.wait(LIMIT_S)
        assert not psutil.wait_procs(workers, LIMIT_S)[1]


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"these are no weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    command = [sys.executable, "-m", "aural", "serve", "--model", f"bad={tmp_path}", "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == 1
    assert re.search(rf"^Error: bad: {tmp_path} could not be loaded: .+", ended.stderr, re.MULTILINE)
    assert "Traceback" not in ended.stderr


def test_too_much_audio_is_refused_and_the_rest_answered():
    audio = speech("sleep500 fine", every_s=1.0)
    with serving("--model", "fake", "--replicas", "1", "--max-batch", "1", "--max-queue-audio-s", "2.5") as server:
        replies = answers(server.url, [audio] * 12)
        taken = [reply for reply in replies if reply.status == 200]
        refused = [reply for reply in replies if reply.status == 503]
        assert len(taken) >= 2
        assert {reply.json["text"] for reply in taken} == {"sleep500 fine"}
        assert refused
        assert len(taken) + len(refused) == len(replies)
        for reply in refused:
            assert retry_after_s(reply) >= 1
            assert reply.error["code"] == "overloaded"
        assert answers(server.url, [audio])[0].status == 200
        assert server.health()["models"][0]["queue_audio_s"] == 0


def test_who_would_wait_too_long_is_refused_at_once(clips):
    clip = clips["libri-367-130732-0001"]
    with serving("--model", "whisper-tiny.en", "--replicas", "1", "--max-batch", "1", "--max-wait-s", "0.3") as server:
        replies = answers(server.url, [clip.bytes] * 10)
        taken = [reply for reply in replies if reply.status == 200]
        refused = [reply for reply in replies if reply.status == 503]
        assert taken
        assert refused
        assert len(taken) + len(refused) == len(replies)
        assert word_errors([clip.text] * len(taken), [reply.json["text"] for reply in taken]) < 0.2
        for reply in refused:
            assert retry_after_s(reply) >= 1
        assert answers(server.url, [clip.bytes])[0].status == 200


def test_no_caller_gets_the_text_of_another(fake):
    texts = [f"word {number}" for number in range(200)]
    assert [reply.json["text"] for reply in answers(fake.url, [speech(text) for text in texts])] == texts


@pytest.mark.slow
def test_real_clips_together_are_heard_as_one_by_one(whisper, shared_clips):
    clips = [one for one in shared_clips if one.language == "en" and one.duration_s < 12][:40]
    alone = [answers(whisper.url, [clip.bytes])[0].json["text"] for clip in clips]
    together = [reply.json["text"] for reply in answers(whisper.url, [clip.bytes for clip in clips])]
    assert word_errors(alone, together) <= 0.01, [
        pair for pair in zip(alone, together, strict=True) if pair[0] != pair[1]
    ]
