"""A cluster of two machines, through its front door: two models, many callers, and machines that come and go."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openai
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from aural.audio.decode import decode
from aural.engines.fake import speak
from tests.api.listen import all_of, listening, text
from tests.api.realtime import Client, client
from tests.api.test_realtime_sdk import COMPLETED, QUESTION, connected, pcm16, send, until
from tests.api.wire import wav
from tests.conftest import DATA, Recording, wait_until, word_errors, words
from tests.scale.conftest import Cluster

pytestmark = pytest.mark.slow

CALLERS = 20
SETTLE_S = 120
HALF = 64_000
"""Bytes of 2 s at 16 kHz."""
REALTIME = "/v1/realtime?intent=transcription&model=whisper-tiny.en"
PAUSE_S = 1.0
"""Between two sentences of a speaker, who leaves the cores to others meanwhile."""


async def hang_on(socket: ClientConnection) -> list[dict[str, Any]]:
    """What a session of Deepgram's is told while its client says nothing, until it is closed."""
    hearing = asyncio.create_task(all_of(socket))
    while not hearing.done():
        with suppress(websockets.ConnectionClosed):
            await socket.send('{"type":"KeepAlive"}')
        await asyncio.wait([hearing], timeout=PAUSE_S)
    return await hearing


def ask(cluster: Cluster, text: str, model: str = "steady", pause_s: float = 0.0) -> tuple[int, dict[str, Any]]:
    """Status and answer of one request that fakes are asked."""
    body = wav(speak(text, pause_s=pause_s))
    return cluster.post(f"/invocations?model={model}", body, content_type="audio/wav")


def aural(*arguments: str) -> str:
    """What the command line prints."""
    command = [sys.executable, "-m", "aural", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sdk_hears_files(cluster: Cluster, clips: dict[str, Recording]) -> None:
    with openai.OpenAI(base_url=f"{cluster.url}/v1", api_key="none", max_retries=0) as client:
        for name in ("whisper-tiny.en", "whisper-1"):
            clip = clips["libri-367-130732-0001"]
            model = "whisper-tiny.en" if name == "whisper-1" else name
            text = client.audio.transcriptions.create(model=model, file=(clip.path.name, clip.bytes)).text
            assert "lobster" in words(text)
        with pytest.raises(openai.NotFoundError, match="no model 'nobody' is served here"):
            client.audio.transcriptions.create(model="nobody", file=("a.wav", wav(speak("a"))))


def test_the_sdk_hears_speech_live(cluster: Cluster, clips: dict[str, Recording]) -> None:
    async def scenario() -> None:
        speech = decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples
        async with connected(cluster, model="whisper-tiny.en") as connection:
            audio = {"input": {"format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": None}}
            await connection.session.update(session={"type": "transcription", "audio": audio})  # type: ignore[arg-type]
            await send(connection, pcm16(speech))
            await connection.input_audio_buffer.commit()
            events = await until(connection, COMPLETED)
        assert " ".join(words(events[-1].transcript)) == QUESTION

    asyncio.run(scenario())


def test_many_callers_over_two_models_get_their_own_texts(cluster: Cluster, clips: dict[str, Recording]) -> None:
    clip = clips["libri-367-130732-0001"]

    def call(number: int) -> bool:
        if number % 5 == 0:
            status, answer = cluster.post("/invocations?model=whisper-tiny.en", clip.bytes, content_type="audio/flac")
            return status == 200 and "lobster" in words(answer["text"])
        status, answer = ask(cluster, f"caller {number}")
        return status == 200 and answer["text"] == f"caller {number}"

    with ThreadPoolExecutor(CALLERS) as pool:
        assert all(pool.map(call, range(5 * CALLERS)))


def test_metrics_of_every_replica_go_out_through_ray(cluster: Cluster) -> None:
    def exported() -> set[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.metrics_port}/metrics") as response:
            lines = response.read().decode().splitlines()
        wanted = ("ray_aural_engine_seconds_total{", "ray_aural_requests_total{")
        return {re.search('deployment="([^"]+)"', line)[1] for line in lines if line.startswith(wanted)}  # type: ignore[index]

    wait_until(lambda: {"ingress", "steady"} <= exported(), SETTLE_S)


def test_replicas_follow_the_audio_in_flight_and_no_request_is_lost(cluster: Cluster) -> None:
    assert cluster.tell("status")["elastic"] == 1
    answers: list[int] = []
    is_over = False

    def call(number: int) -> None:
        while not is_over:
            status, answer = ask(cluster, f"sleep200 {number}", "elastic", pause_s=2.0)
            answers.append(status)
            assert (status, answer.get("text")) == (200, f"sleep200 {number}")

    with ThreadPoolExecutor(CALLERS) as pool:
        busy = [pool.submit(call, number) for number in range(8)]
        try:
            wait_until(lambda: cluster.tell("status")["elastic"] == 3, SETTLE_S)
        finally:
            is_over = True
        for one in busy:
            one.result()
        is_over = False
        single = pool.submit(call, 99)  # goes on while replicas are ended
        try:
            wait_until(lambda: cluster.tell("status")["elastic"] == 1, SETTLE_S)
        finally:
            is_over = True
        single.result()
    assert set(answers) == {200}


class Talk:
    """A session that says two sentences in turn, by a client that keeps each until its final came and sends it again
    where the session is resumed."""

    def __init__(self, cluster: Cluster, sentences: list[bytes]) -> None:
        self._cluster = cluster
        self._sentences = sentences
        self.finals: list[str] = []
        self.reasons: list[str] = []
        """Why it had to resume."""
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            try:
                await self._session()
            except websockets.ConnectionClosed as error:
                self.reasons.append(str(error.rcvd))

    async def _session(self) -> None:
        async with connected(self._cluster, model="whisper-tiny.en") as connection:
            heard = {"format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": None}
            await connection.session.update(session={"type": "transcription", "audio": {"input": heard}})  # type: ignore[arg-type]
            while not self.is_over:
                await send(connection, self._sentences[len(self.finals) % 2])
                await connection.input_audio_buffer.commit()
                self.finals.append((await until(connection, COMPLETED))[-1].transcript)
                await asyncio.sleep(PAUSE_S)


def talking_ingresses(cluster: Cluster) -> set[float]:
    """Those that hold live sessions, known by when they were started."""
    found = set()
    for _ in range(8):  # each time another one may answer
        metrics = cluster.get("/metrics")[1].decode()
        if value_of("aural_live_sessions", metrics) > 0:
            found.add(value_of("process_start_time_seconds", metrics))
    return found


def value_of(name: str, metrics: str) -> float:
    return next(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(f"{name} "))


def test_sessions_leave_an_ingress_that_ends(cluster: Cluster, clips: dict[str, Recording]) -> None:
    speech = pcm16(decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples)

    async def talk(path: str) -> Client:
        """A Realtime session that has said half."""
        async with client(cluster, path) as one:
            await one.ask(include=["aural.drafts"])
            await one.play(speech[:HALF])
            await one.until("aural.draft")
            talking.append(one)
            await one.rest()
            return one

    async def call() -> list[dict[str, Any]]:
        """One of Deepgram's that waits to be told more."""
        async with listening(cluster, "encoding=linear16&sample_rate=16000&model=whisper-tiny.en") as socket:
            await socket.send(speech)
            talking.append(socket)
            return await hang_on(socket)

    async def more(sessions: set[asyncio.Task[Any]]) -> None:
        expected = len(talking) + 2
        sessions |= {asyncio.create_task(talk(REALTIME)), asyncio.create_task(call())}
        await asyncio.to_thread(wait_until, lambda: len(talking) == expected, SETTLE_S)

    async def scenario() -> None:
        sessions: set[asyncio.Task[Any]] = set()
        while len(await asyncio.to_thread(talking_ingresses, cluster)) < 2 and len(talking) < CALLERS:
            await more(sessions)
        await asyncio.to_thread(cluster.tell, "ingress 1")
        await asyncio.wait(sessions, timeout=SETTLE_S, return_when=asyncio.FIRST_COMPLETED)
        metrics = await asyncio.to_thread(lambda: cluster.get("/metrics")[1].decode())  # only one can answer
        staying = int(value_of("aural_live_sessions", metrics))
        assert 0 < staying < len(sessions)
        while len(gone := [one for one in sessions if one.done()]) < len(sessions) - staying:
            await asyncio.wait(sessions.difference(gone), return_when=asyncio.FIRST_COMPLETED)
        for one in gone:
            ended = one.result()
            if isinstance(ended, Client):
                await assert_it_goes_on(ended)
            else:
                assert ended[-1]["type"] == "Metadata"
                assert "lobster" in words(text(ended))
        for one in sessions:
            one.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        assert all(one.cancelled() for one in sessions.difference(gone))

    async def assert_it_goes_on(one: Client) -> None:
        [notice] = one.of("aural.going_away")
        assert (one.events[-1]["error"]["code"], one.socket.close_code) == ("draining", 1012)
        async with client(cluster, f"{REALTIME}&resume={quote(notice['resume'])}") as other:
            await other.ask()
            await other.play(speech[32 * notice["audio_end_ms"] :])
            await other.tell("aural.finish")
            await other.until("aural.ended")
            assert word_errors([QUESTION], [f"{one.text} {other.text}"]) < 0.2

    talking: list[object] = []
    try:
        asyncio.run(asyncio.wait_for(scenario(), 2 * SETTLE_S))
    finally:
        cluster.tell("ingress 2")
        wait_until(lambda: cluster.tell("status")["ingress"] == 2, SETTLE_S)


def test_a_lost_machine_costs_no_answer_and_no_final(cluster: Cluster, clips: dict[str, Recording]) -> None:
    names = ("libri-367-130732-0001", "LJ001-0002")
    sentences = [pcm16(decode(clips[name].bytes, limit_s=60).samples) for name in names]
    statuses: Counter[str] = Counter()
    talks: list[Talk] = []
    is_over = False

    def call(number: int) -> None:
        while not is_over:
            status, answer = ask(cluster, f"sleep50 {number}")
            assert status != 200 or answer["text"] == f"sleep50 {number}"
            statuses["200" if status == 200 else f"{status} {answer['error']['code']}"] += 1

    with ThreadPoolExecutor(3 * CALLERS) as pool:
        busy = []
        try:
            while len(talking_ingresses(cluster)) < 2 and len(talks) < CALLERS:
                talks.append(Talk(cluster, sentences))
                busy.append(pool.submit(asyncio.run, talks[-1].run()))
                wait_until(lambda: bool(talks[-1].finals) or busy[-1].done(), SETTLE_S)
            busy += [pool.submit(call, number) for number in range(CALLERS)]
            wait_until(lambda: statuses["200"] > CALLERS, SETTLE_S)
            cluster.tell("lose")
            before = statuses["200"], [len(talk.finals) for talk in talks]
            wait_until(lambda: statuses["200"] > before[0] + 5 * CALLERS, SETTLE_S)
            wait_until(lambda: any(talk.reasons for talk in talks), SETTLE_S)
            wait_until(
                lambda: all(len(talk.finals) > 1 + had for talk, had in zip(talks, before[1], strict=True)), SETTLE_S
            )
        finally:
            is_over = True
            for talk in talks:
                talk.is_over = True
        for one in busy:
            one.result()
    print(dict(statuses), [(len(talk.finals), talk.reasons) for talk in talks])
    assert set(statuses) <= {"200", "503 server_lost", "503 not_ready", "503 overloaded"}
    for talk in talks:
        assert set(talk.reasons) <= {"1012 (service restart) server_lost"}
        for index, final in enumerate(talk.finals):
            assert ("lobster", "comparatively")[index % 2] in words(final), talk.finals


def test_a_new_machine_takes_its_share(cluster: Cluster) -> None:
    cluster.tell("gain")
    wait_until(lambda: cluster.tell("status")["steady"] == cluster.tell("status")["ingress"] == 2, SETTLE_S)
    assert [ask(cluster, f"again {number}")[1]["text"] for number in range(4)] == [f"again {i}" for i in range(4)]


def test_aural_bench_measures_a_cluster_like_any_server(cluster: Cluster, tmp_path: Path) -> None:
    flags = ["--target", cluster.url, "--audio", str(DATA), "--durations", "mix", "--concurrency", "2"]
    flags += ["--requests", "4", "--warm-up", "1", "--model", "whisper-tiny.en", "--out", str(tmp_path / "run")]
    aural("bench", "run", *flags)
    assert (tmp_path / "run" / "report.md").is_file()


def test_aural_deploy_test_tries_a_cluster_like_any_server(cluster: Cluster) -> None:
    lines = aural("deploy", "test", "--url", cluster.url).splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 8, "ping, and seven forms of a request"
