"""The pictures of the caption page in docs/, taken anew: a real browser whose microphone plays recordings.

    python scripts/pictures.py [--model whisper-tiny.en]

Needs chromium, and the recordings in shared/audio beside the repository. A quiet machine shows the latencies that
people will see.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from aural.bench.clips import decode, find_audio  # noqa: E402
from aural.bench.sounds import RATE  # noqa: E402
from tests.api.wire import wav  # noqa: E402
from tests.browser import Tab, open_tab  # noqa: E402
from tests.conftest import serving  # noqa: E402

CLIPS = ("libri-118-121721-0000", "libri-367-130732-0001", "libri-1088-129236-0000", "libri-2196-170151-0000")
PAUSE_S = 1.0
MICROPHONE = ("--lang=en", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
GOOD = """(() => {
  const last = [...document.querySelectorAll('.utterance')].at(-1);
  const [committed, draft] = ['.committed', '.draft'].map((name) => last?.querySelector(name).textContent.length ?? 0);
  return document.querySelectorAll('.utterance').length >= 3 && committed > 30 && draft > 8;
})()"""
PATIENCE_S = 60.0


async def take(tab: Tab, docs: Path) -> None:
    await tab.size(1200, 720, scale=1.5)
    await tab.media(prefers_color_scheme="light")
    await tab.until("document.getElementById('model').value", PATIENCE_S)
    await tab.press(" ", "Space")
    await tab.until(GOOD, PATIENCE_S)
    await tab.picture(docs / "captions.png")
    await tab.media(prefers_color_scheme="dark")
    await tab.size(390, 780, phone=True, scale=2)
    await tab.picture(docs / "captions-phone.png")


async def main(url: str, sound: Path) -> None:
    async with open_tab(url + "/", *MICROPHONE, f"--use-file-for-fake-audio-capture={sound}%noloop") as tab:
        await take(tab, ROOT / "docs")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="whisper-tiny.en")
    audio = find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings in shared/audio beside the repository, found none")
    pause = np.zeros(round(PAUSE_S * RATE), np.int16)
    spoken = [part for name in CLIPS for part in (decode(audio / "clips" / f"{name}.flac"), pause)]
    with tempfile.TemporaryDirectory() as folder, serving("--model", parser.parse_args().model) as server:
        recording = Path(folder) / "speech.wav"
        recording.write_bytes(wav(np.concatenate([pause, *spoken]).astype(np.float32) / 32_768))
        asyncio.run(main(server.url, recording))
