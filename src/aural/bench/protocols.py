"""How endpoints want to be asked: one class per protocol, and finding out which one an address speaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from aural.bench.http import Ask, RequestFailed
from aural.bench.sounds import Body, wav, wav_base64, wav_hex
from aural.bench.targets import Target
from aural.errors import BenchError

if TYPE_CHECKING:
    from aural.bench.clips import Item

INVOCATIONS = "/invocations"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
JSON = "application/json"
DETAIL_CHARS = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """What every request of a run asks for."""

    model: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Heard:
    text: str
    audio_s: float | None = None
    """Seconds of audio that the endpoint says it heard."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """A form of request and the way to the text in its answer."""

    name: str
    path: str
    body: Callable[[Item, Wish], tuple[Body, str]]
    """The body and its content type."""
    text: Callable[[Any], object]
    """The text in the parsed answer; raises KeyError, TypeError or IndexError where there is none."""
    duration: Callable[[Any], object] = field(default=lambda answer: answer.get("duration"))
    beside: tuple[str, ...] = ()
    """What of the wish the body has no place for: it goes into SageMaker's custom attributes, which aural takes."""

    def ask(self, item: Item, wish: Wish, base_path: str = "") -> Ask:
        """`base_path` is the path of the target: the whole of it, unless it is empty or ends with a slash."""
        target = (
            base_path if base_path.strip("/") and not base_path.endswith("/") else base_path.rstrip("/") + self.path
        )
        body, content_type = self.body(item, wish)
        named = [(name, getattr(wish, name)) for name in self.beside]
        attributes = ",".join(f"{name}={value}" for name, value in named if value)
        return Ask(target, body, content_type, attributes=attributes)

    def heard(self, status: int, answer: bytes) -> Heard:
        """What an answer says was said; raises RequestFailed with the kind of error."""
        if status != 200:
            raise RequestFailed(f"http-{status}", answer[:DETAIL_CHARS].decode("utf-8", "replace"))
        try:
            parsed = json.loads(answer)
            text = self.text(parsed)
            text = " ".join(map(str, text)) if isinstance(text, list) else str(text)
            seconds = self.duration(parsed)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            detail = answer[:DETAIL_CHARS].decode("utf-8", "replace")
            raise RequestFailed("no text in the answer", detail) from None
        if not text.strip():
            raise RequestFailed("empty text")
        return Heard(text, float(seconds) if isinstance(seconds, int | float) else None)


def _form(fields: Mapping[str, str], item: Item) -> tuple[Body, str]:
    """multipart/form-data with the audio as its file."""
    mark = f"aural-{uuid4().hex}"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
        if value
    ]
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    body = ("".join([*parts, head]).encode(), *wav(item.sounds), f"\r\n--{mark}--\r\n".encode())
    return body, f"multipart/form-data; boundary={mark}"


def _openai(item: Item, wish: Wish) -> tuple[Body, str]:
    return _form({"model": wish.model or "whisper-1", "response_format": "json", "language": wish.language}, item)


REGIONS = {"en": "en-US", "de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT", "pt": "pt-BR", "zh": "zh-CN",
           "ja": "ja-JP", "ko": "ko-KR"}  # fmt: skip
"""Riva names languages with their region."""


def _riva(item: Item, wish: Wish) -> tuple[Body, str]:
    return _form({"model": wish.model, "language": REGIONS.get(wish.language, wish.language)}, item)


def _raw(item: Item, wish: Wish) -> tuple[Body, str]:
    return wav(item.sounds), "audio/wav"


AUDIO = "<audio>"
"""Where the audio belongs in a document."""


def _json(document: dict[str, Any], audio: Body) -> tuple[Body, str]:
    """The first `AUDIO` in the document replaced; `audio` is letters and digits that JSON need not escape."""
    before, _, after = orjson.dumps(document).partition(AUDIO.encode())
    return (before, *audio, after), JSON


def _named(wish: Wish) -> dict[str, str]:
    return {"model": wish.model} if wish.model else {}


def _whisper(item: Item, wish: Wish) -> tuple[Body, str]:
    asked = {"audio_input": AUDIO, "language": wish.language, "task": "transcribe", **_named(wish)}
    return _json(asked, wav_hex(item.sounds))


def _voxtral(item: Item, wish: Wish) -> tuple[Body, str]:
    asked = {"audio": {"data": AUDIO}, "language": wish.language, "temperature": 0.0}
    return _json({"transcription": asked, **_named(wish)}, wav_base64(item.sounds))


def _parakeet(item: Item, wish: Wish) -> tuple[Body, str]:
    return _json({"audio": {"data": AUDIO}, "timestamps": False, **_named(wish)}, wav_base64(item.sounds))


def _usage(answer: Any) -> object:
    return answer["duration"] if "duration" in answer else answer.get("usage", {}).get("seconds")


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("openai", TRANSCRIPTIONS, _openai, lambda answer: answer["text"], _usage),
        Protocol("riva-http", TRANSCRIPTIONS, _riva, lambda answer: answer["text"]),
        Protocol("invocations-raw", INVOCATIONS, _raw, lambda answer: answer["text"], beside=("model", "language")),
        Protocol("invocations-whisper", INVOCATIONS, _whisper, lambda answer: answer["text"]),
        Protocol("invocations-parakeet", INVOCATIONS, _parakeet, lambda answer: answer["text"], beside=("language",)),
        Protocol(
            "invocations-voxtral",
            INVOCATIONS,
            _voxtral,
            lambda answer: answer["transcription"]["text"],
            lambda answer: answer["transcription"].get("duration"),
        ),
    )
}
AUTO = "auto"
INVOKED = ("invocations-raw", "invocations-parakeet", "invocations-whisper", "invocations-voxtral")
"""The order in which `auto` tries them: the cheapest to send first."""


def find(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise BenchError(f"expected a protocol of auto, {', '.join(PROTOCOLS)}; got {name!r}")
    return PROTOCOLS[name]


def candidates(path: str | None) -> list[Protocol]:
    """What an address with this path may speak, the likeliest first; None is SageMaker, which has one route."""
    if path is not None and path.endswith(TRANSCRIPTIONS):
        return [PROTOCOLS["openai"], PROTOCOLS["riva-http"]]
    invoked = [PROTOCOLS[name] for name in INVOKED]
    if path is None or path.endswith(INVOCATIONS):
        return invoked
    return [PROTOCOLS["openai"], *invoked, PROTOCOLS["riva-http"]]


async def detect(target: Target, path: str | None, item: Item, wish: Wish) -> Protocol:
    """The first protocol in which the endpoint hears words in `item`."""
    tried = []
    likely = candidates(path)
    if wish.model:  # a container may not look for it outside of the body
        likely.sort(key=lambda protocol: "model" in protocol.beside)
    for protocol in likely:
        try:
            reply = await target.ask(protocol.ask(item, wish, path or ""))
            protocol.heard(reply.status, reply.body)
        except RequestFailed as error:
            if str(error) == "connection refused":
                raise BenchError(f"nobody listens at the target: {error.detail}") from error
            tried.append(f"{protocol.name}: {error} {error.detail}".strip())
        else:
            return protocol
    raise BenchError("expected an endpoint that transcribes; tried " + "; ".join(tried))
