"""The caption page and its sessions in a real browser: nothing that was said is lost when one ends, and no microphone
is left on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.captions_page import (
    ALERT,
    COMMITTED,
    HAS_DRAFT,
    HAS_FINAL,
    HAS_MODEL,
    IS_IDLE,
    IS_LISTENING,
    IS_OVER,
    KEEP_SOCKETS,
    KEEP_STREAMS,
    MICROPHONE,
    PATIENCE_S,
    TRACKS,
    WATCH,
    arrived,
    page,
    play,
    run,
)
from tests.api.realtime import client
from tests.api.wire import wav
from tests.browser import chromium, open_tab
from tests.conftest import Recording, Server, free_port, serving, word_errors

pytestmark = pytest.mark.slow

QUESTION = "when is a lobster not a lobster when it is a crayfish"
BRIEF = """
from aural.api import realtime
realtime.TERM = realtime.Term(longest_s=3.0)
from aural.cli import main
main()
"""
ONE_WORKER = ("--model", "whisper-tiny.en", "--replicas", "1", "--max-batch", "1")
STRANGE_KEY = "a/b=c+d(e)=="
IS_WAITING = "document.body.dataset.state === 'reconnecting'"
NO_MORE_SOCKETS = """window.sockets = [];
window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); sockets.push(this);
  if (sockets.length > 1) this.close(); } }"""
IMPATIENT = (
    "const later = setTimeout; window.setTimeout = (what, ms, ...rest) => later(what, ms === 15000 ? 50 : ms, ...rest)"
)


@pytest.fixture(scope="module", autouse=True)
def _browser() -> None:
    chromium()


@pytest.fixture(scope="module")
def lobster(clips: dict[str, Recording]) -> Samples:
    return decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples


@pytest.fixture(scope="module")
def once(lobster: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording(lobster, 1, tmp_path_factory.mktemp("once"))


@pytest.fixture(scope="module")
def thrice(lobster: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording(lobster, 3, tmp_path_factory.mktemp("thrice"))


def recording(spoken: Samples, times: int, folder: Path) -> Path:
    """What was spoken, so many times, each with 1.5 s of silence after it."""
    path = folder / "speech.wav"
    path.write_bytes(wav(np.concatenate([np.pad(spoken, (0, SAMPLE_RATE * 3 // 2))] * times)))
    return path


@pytest.fixture(scope="module")
def brief() -> Iterator[Server]:
    """A server whose hours last three seconds."""
    with serving(*ONE_WORKER, program=("-c", BRIEF)) as server:
        yield server


def test_after_its_hour_a_session_is_followed_by_another(brief: Server, thrice: Path, lobster: Samples) -> None:
    async def scenario() -> None:
        async with page(brief) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(WATCH + ";" + KEEP_SOCKETS)
            await play(tab, thrice)
            await tab.until(IS_OVER, PATIENCE_S)
            assert await tab.run("sockets.length") >= 3
            assert "resume=" in await tab.run("sockets.at(-1).url")
            assert word_errors([" ".join([QUESTION] * 3)], [await tab.run(COMMITTED)]) < 0.06
            assert await tab.run(ALERT) == ""
            assert "reconnecting" not in await tab.run("states")
            last = await tab.run("[...document.querySelectorAll('.utterance time')].at(-1).textContent")
            assert int(last.removeprefix("00:")) >= 2 * (len(lobster) / SAMPLE_RATE + 1.5) - 1

    run(scenario)


def test_what_was_said_into_a_lost_connection_is_heard_in_the_next(whisper: Server, thrice: Path) -> None:
    async def scenario() -> None:
        async with page(whisper) as tab:
            await tab.until("document.getElementById('model').value === 'whisper-tiny.en'", PATIENCE_S)
            await tab.run(WATCH + ";" + KEEP_SOCKETS)
            await play(tab, thrice)
            await tab.until(HAS_FINAL, PATIENCE_S)
            before = await tab.run(COMMITTED)
            await tab.until(HAS_DRAFT, PATIENCE_S)
            await tab.run("sockets[0].close()")
            await tab.until(IS_WAITING, PATIENCE_S)
            assert "lost" in await tab.run(ALERT)
            await tab.until(IS_OVER, PATIENCE_S)
            text = await tab.run(COMMITTED)
            assert text.startswith(before)
            assert word_errors([" ".join([QUESTION] * 3)], [text]) < 0.06
            assert await tab.run("sockets.length") == 2
            assert await tab.run(ALERT) == ""

    run(scenario)


def test_a_server_that_starts_again_hears_what_was_said_meanwhile(once: Path) -> None:
    port = free_port()
    second: list[Server] = []

    async def scenario() -> None:
        with serving(*ONE_WORKER, port=port) as server:
            async with open_tab(server.url + "/") as tab:
                await tab.until(HAS_MODEL, PATIENCE_S)
                await tab.run(WATCH)
                await play(tab, once)
                await tab.until(HAS_DRAFT, PATIENCE_S)
                server.process.send_signal(signal.SIGKILL)
                server.process.wait(40)
                await tab.until(IS_WAITING, PATIENCE_S)
                with serving(*ONE_WORKER, port=port) as again:
                    second.append(again)
                    await tab.until(IS_OVER, PATIENCE_S)
                    assert word_errors([QUESTION], [await tab.run(COMMITTED)]) < 0.1
                    assert await tab.run(ALERT) == ""

    run(scenario)
    assert second


def test_a_full_server_is_asked_again_and_hears_it_all(once: Path) -> None:
    async def scenario() -> None:
        with serving(*ONE_WORKER, "--max-streams", "1") as server:
            async with page(server) as tab:
                await tab.until(HAS_MODEL, PATIENCE_S)
                await tab.run(WATCH)
                async with client(server) as other:
                    await other.ask()
                    await play(tab, once)
                    await tab.until(IS_WAITING, PATIENCE_S)
                    assert "full. Trying again in 5 s" in await tab.run(ALERT)
                    await tab.run("document.getElementById('locale').click()")
                    assert "服务器已满" in await tab.run(ALERT)
                await tab.until(IS_OVER, PATIENCE_S)
                assert word_errors([QUESTION], [await tab.run(COMMITTED)]) < 0.1
                assert await tab.run(ALERT) == ""

    run(scenario)


def test_stopping_without_a_connection_ends_at_once_and_says_what_is_missing(fake: Server) -> None:
    async def scenario() -> None:
        async with open_tab(fake.url + "/", *MICROPHONE) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(NO_MORE_SOCKETS + ";" + KEEP_STREAMS)
            await tab.press(" ", "Space")
            await tab.until(IS_LISTENING, PATIENCE_S)
            await tab.run("sockets[0].close()")
            await tab.until("sockets.length > 2", PATIENCE_S)
            assert await tab.run("document.body.dataset.state") == "reconnecting"
            await tab.press(" ", "Space")
            await tab.until(IS_IDLE, PATIENCE_S)
            assert "may be missing" in await tab.run(ALERT)
            assert await tab.run(TRACKS) == "ended"

    run(scenario)


def test_last_words_that_do_not_come_are_missed_aloud(fake: Server) -> None:
    async def scenario() -> None:
        async with page(fake, *MICROPHONE) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(IMPATIENT + ";" + KEEP_SOCKETS)
            await tab.press(" ", "Space")
            await tab.until(IS_LISTENING, PATIENCE_S)
            await tab.run("sockets[0].onmessage = sockets[0].onclose = null")
            await tab.press(" ", "Space")
            await tab.until(IS_IDLE, PATIENCE_S)
            assert "may be missing" in await tab.run(ALERT)

    run(scenario)


def test_what_the_server_refuses_ends_with_its_reason(fake: Server) -> None:
    async def scenario() -> None:
        async with page(fake, *MICROPHONE) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(WATCH + ";" + KEEP_STREAMS)
            await tab.run("document.getElementById('model').add(new Option('nobody', 'nobody', true, true))")
            await tab.press(" ", "Space")
            await tab.until(IS_OVER, PATIENCE_S)
            assert "refused" in await tab.run(ALERT)
            assert "nobody" in await tab.run(ALERT)
            await tab.until(f"streams.length === 1 && {TRACKS} === 'ended'", PATIENCE_S)

    run(scenario)


def test_a_microphone_that_is_granted_after_stop_is_let_go(fake: Server) -> None:
    async def scenario() -> None:
        async with page(fake, *MICROPHONE) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(KEEP_STREAMS)
            await tab.run("window.isSlow = true")
            await tab.press(" ", "Space")
            await tab.until("Boolean(window.grant)", PATIENCE_S)
            await tab.press(" ", "Space")
            await tab.until(IS_IDLE, PATIENCE_S)
            await tab.run("window.isSlow = false; window.late = grant; true")
            await tab.press(" ", "Space")
            await tab.until(IS_LISTENING, PATIENCE_S)
            await tab.run("late()")
            await tab.until("streams.length === 2", PATIENCE_S)
            await tab.until(f"{TRACKS} === 'live,ended'", PATIENCE_S)
            assert await tab.run("document.body.dataset.state") != "idle"
            await tab.press(" ", "Space")
            await tab.until(f"{IS_IDLE} && {TRACKS} === 'ended,ended'", PATIENCE_S)

    run(scenario)


def test_a_microphone_that_is_unplugged_ends_the_run(fake: Server) -> None:
    async def scenario() -> None:
        async with page(fake, *MICROPHONE) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(KEEP_STREAMS)
            await tab.press(" ", "Space")
            await tab.until(IS_LISTENING, PATIENCE_S)
            await tab.run("streams[0].getTracks()[0].dispatchEvent(new Event('mute'))")
            assert "silenced" in await tab.run(ALERT)
            await tab.run("streams[0].getTracks()[0].dispatchEvent(new Event('unmute'))")
            assert await tab.run(ALERT) == ""
            await tab.run("streams[0].getTracks()[0].dispatchEvent(new Event('ended'))")
            await tab.until(IS_IDLE, PATIENCE_S)
            assert "microphone is gone" in await tab.run(ALERT)

    run(scenario)


def test_the_screen_is_kept_awake_again_after_the_page_was_hidden(fake: Server) -> None:
    count = """window.locks = 0;
    Object.defineProperty(navigator, 'wakeLock', {value: {request: async () => (locks++, {release: () => locks--})}})"""

    async def scenario() -> None:
        async with page(fake, *MICROPHONE) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(count)
            await tab.press(" ", "Space")
            await tab.until(f"{IS_LISTENING} && locks === 1", PATIENCE_S)
            await tab.run("locks = 0")  # a hidden page loses its own
            await tab.run("document.dispatchEvent(new Event('visibilitychange'))")
            await tab.until("locks === 1", PATIENCE_S)
            await tab.press(" ", "Space")
            await tab.until(f"{IS_IDLE} && locks === 0", PATIENCE_S)

    run(scenario)


@pytest.mark.parametrize(("flags", "told"), [(MICROPHONE[:1], "did not let"), ((), "No microphone")])
def test_without_a_microphone_the_page_says_why(fake: Server, flags: tuple[str, ...], told: str) -> None:
    async def scenario() -> None:
        async with page(fake, *flags) as tab:
            setting = "denied" if flags else "granted"
            await tab.do("Browser.setPermission", permission={"name": "microphone"}, setting=setting, origin=fake.url)
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(WATCH)
            await tab.press(" ", "Space")
            await tab.until(IS_OVER, PATIENCE_S)
            assert told in await tab.run(ALERT)

    run(scenario)


def test_a_key_may_have_any_characters() -> None:
    async def scenario() -> None:
        with serving("--model", "fake", AURAL_API_KEY=STRANGE_KEY) as server:
            async with open_tab(server.url + "/", *MICROPHONE) as tab:
                await tab.until("document.getElementById('key-dialog').open", PATIENCE_S)
                await tab.run(f"document.getElementById('key').value = '{STRANGE_KEY}'")
                await tab.run("document.querySelector('#key-dialog button').click()")
                await tab.until(HAS_MODEL, PATIENCE_S)
                await tab.run(WATCH)
                await tab.run(KEEP_SOCKETS)
                await tab.press(" ", "Space")
                await tab.until(f"{IS_LISTENING} && sockets[0].readyState === 1", PATIENCE_S)
                await tab.press(" ", "Space")
                await tab.until(IS_OVER, PATIENCE_S)
                assert await tab.run(ALERT) == ""

    run(scenario)


def test_chinese_is_heard_and_kept_as_it_is_shown(whisper: Server, clips: dict[str, Recording], tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(np.pad(decode(clips["fleurs_zh_1883_clip5"].bytes, limit_s=60).samples, (8_000, 24_000))))
    choose = """const [model, language] = ['model', 'language'].map((id) => document.getElementById(id));
    model.value = 'whisper-base'; model.onchange(); language.value = 'zh'"""

    async def scenario() -> None:
        async with page(whisper, language="zh") as tab:
            await tab.do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(choose)
            await tab.run(WATCH)
            await play(tab, path)
            await tab.until(IS_OVER, 2 * PATIENCE_S)
            shown = (await tab.run(COMMITTED)).replace(" ", "")
            assert "垂直" in shown
            assert await tab.run("document.querySelector('.committed').lang") == "zh"
            await tab.run("document.querySelector('[data-format=srt]').click()")
            cues = (await arrived(tmp_path / "captions.srt")).strip().split("\n\n")
            assert len(cues) > 1
            assert "".join(cue.split("\n", 2)[2] for cue in cues).replace(" ", "") == shown

    run(scenario)
