"""Voxtral (Mistral) through vLLM's HTTP API, which batches by itself: one request per clip, many at once.

The protocol is that of vLLM 0.10 to 0.32: POST /v1/audio/transcriptions with multipart fields, errors as
`{"error": {"message", …}}` or, in older versions, flat.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from aural.engines import guard
from aural.engines.base import Capabilities, ModelSpec
from aural.engines.catalog import VOXTRAL_REPOSITORIES
from aural.engines.guard import Evidence
from aural.engines.written import language_of
from aural.errors import EngineFailed, LoadFailed
from aural.types import SAMPLE_RATE, Clip, Reason, Samples, Segment, Suppressed, Timestamps, Transcript

if TYPE_CHECKING:  # a server without Voxtral starts without it
    import httpx

log = logging.getLogger("aural.vllm")

LANGUAGES = ("en", "ar", "de", "es", "fr", "hi", "it", "nl", "pt")
REALTIME_LANGUAGES = (*LANGUAGES, "ja", "ko", "ru", "zh")
"""What the models' cards name. With none said they hear others too, as far as they go."""
LONGEST_SAMPLES = 30 * SAMPLE_RATE
SHORTEST_SAMPLES = SAMPLE_RATE // 10
TOKENS_PER_S = 20
MOST_TOKENS = 64
"""A clip may give this many tokens, and TOKENS_PER_S for each second: no speaker needs them, and a loop ends there."""
ROOM_TOKENS = MOST_TOKENS + (TOKENS_PER_S + 13) * LONGEST_SAMPLES // SAMPLE_RATE
"""What the longest clip takes: Voxtral hears 12.5 tokens a second."""
WARM_UP_TOKENS = 16
CONNECT_S = 5.0


class Unreachable(Exception):
    """vLLM did not answer, or says that its engine is dead."""


class Busy(Unreachable):
    """vLLM, or what stands before it, takes nothing more for now."""


def is_realtime(source: str) -> bool:
    """Whether a folder, or a repository by its name, holds the realtime model: its encoder is causal."""
    path = Path(source) / "params.json"
    if not path.is_file():
        return "realtime" in source.lower()
    try:
        parts = orjson.loads(path.read_bytes())["multimodal"]["whisper_model_args"]
        return bool(parts["encoder_args"].get("causal"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def capabilities(source: str) -> Capabilities:
    """What the model from there can do behind vLLM. The realtime one transcribes only."""
    realtime = is_realtime(source)
    return Capabilities(
        languages=REALTIME_LANGUAGES if realtime else LANGUAGES,
        longest_clip=LONGEST_SAMPLES,
        detects_language=True,
        guesses_language=True,
        timestamps=(Timestamps.NONE, Timestamps.SEGMENT),
        temperature=True,
        understanding=not realtime,
    )


def load(spec: ModelSpec) -> Voxtral:
    """The model behind `spec.upstream`, which must run; raises LoadFailed. The server does not come this way: it keeps
    vLLM as a worker (`aural.serving.vllm`)."""
    voxtral = Voxtral(spec.upstream, spec)
    try:
        asyncio.run(voxtral.find())
    except Unreachable as error:
        raise LoadFailed(f"{spec.name}: {error}") from error
    return voxtral


@dataclass(frozen=True, slots=True)
class _Served:
    """A model that a vLLM has."""

    id: str
    """What it is called in requests."""
    root: str
    """What it was loaded from: a repository or a folder."""

    def is_from(self, source: str) -> bool:
        """Whether it is that repository or folder, wherever its files lie."""
        name = PurePath(source).name.lower()
        return name in self.id.lower() or name in self.root.lower()

    def is_another(self, source: str) -> bool:
        """Whether it is a Voxtral of Mistral's, and not that one."""
        return any(self.is_from(one) for one in VOXTRAL_REPOSITORIES.values() if one != source)


class Voxtral:
    """See `aural.engines.base.Engine`. `hear` is for the event loop, `transcribe` for everybody else."""

    def __init__(self, url: str, spec: ModelSpec) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.spec = spec
        self.capabilities = capabilities(spec.source or spec.name)
        self.model = ""
        """What vLLM calls the model."""

    def client(self) -> httpx.AsyncClient:
        """Connections to vLLM. The caller sets the deadline of each answer, and closes it."""
        import httpx

        key = os.environ.get("VLLM_API_KEY")  # vLLM's own name for it, so one that is started here has the same
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            verify=self.url.startswith("https"),
            trust_env=False,
        )

    def transcribe(self, clips: Sequence[Clip]) -> list[Transcript]:
        return asyncio.run(self._transcribe(clips))

    async def _transcribe(self, clips: Sequence[Clip]) -> list[Transcript]:
        async with self.client() as client:
            return await asyncio.gather(*(self.hear(client, clip) for clip in clips))

    async def find(self) -> None:
        """Ask vLLM what it calls the model. The only one that it has is taken under any name, unless it is known to be
        another. Raises Unreachable, LoadFailed."""
        async with self.client() as client:
            response = await answer(client, "GET", "/v1/models")
        name, source = self.spec.name, self.spec.source or self.spec.name
        served = _models_in(response)
        fits = [one for one in served if one.id == name] or [one for one in served if one.is_from(source)]
        if not fits and len(served) == 1 and (source == name or not served[0].is_another(source)):
            log.warning("vLLM serves a model of another name", extra={"model": name, "served": served[0].root})
            fits = served
        if not fits:
            got = ", ".join(one.root for one in served) or response.status_code
            raise LoadFailed(f"{name}: expected {self.url} to serve {source}, got {got}")
        self.model = fits[0].id
        if source == name:
            self.capabilities = capabilities(fits[0].root)

    async def warm_up(self, client: httpx.AsyncClient, speech: Samples) -> None:
        """Hear the longest clip, made of the speech, and write its first words. Raises Unreachable, LoadFailed."""
        try:
            await self._text(client, Clip(np.resize(speech, LONGEST_SAMPLES)), WARM_UP_TOKENS)
        except EngineFailed as error:
            seconds = LONGEST_SAMPLES // SAMPLE_RATE
            raise LoadFailed(
                f"{self.spec.name}: expected vLLM to hear a clip of {seconds} s, which takes a max_model_len of "
                f"{ROOM_TOKENS} or more; {error}"
            ) from error

    async def hear(self, client: httpx.AsyncClient, clip: Clip) -> Transcript:
        """The transcript of one clip; raises Unreachable, and EngineFailed when vLLM refuses the clip."""
        if len(clip) < SHORTEST_SAMPLES:
            return self._heard(clip, "")
        return self._heard(clip, await self._text(client, clip, MOST_TOKENS + TOKENS_PER_S * len(clip) // SAMPLE_RATE))

    async def _text(self, client: httpx.AsyncClient, clip: Clip, most_tokens: int) -> str:
        file = await asyncio.to_thread(as_wav, clip.samples)
        fields: dict[str, Any] = {
            "model": self.model,
            "response_format": "json",
            "temperature": clip.options.temperature or 0.0,
            "max_completion_tokens": most_tokens,
        }
        if clip.options.language:
            fields["language"] = clip.options.language
        files = {"file": ("clip.wav", file, "audio/wav")}
        response = await answer(client, "POST", "/v1/audio/transcriptions", data=fields, files=files)
        if not response.is_success:
            raise EngineFailed(f"vLLM answered {response.status_code}: {message_of(response)}")
        return _text_in(response)

    def _heard(self, clip: Clip, text: str) -> Transcript:
        said, sure = clip.options.language, 1.0
        language = said or ""
        if not said:
            language, sure = language_of(text, REALTIME_LANGUAGES)
        whole = Transcript(language=language, language_probability=sure)
        if not text.strip():
            return replace(whole, suppressed=(Suppressed(0, len(clip), Reason.NO_SPEECH),))
        is_suspect = guard.suppression(Evidence(text, 0, 0.0, 0.0, len(clip) / SAMPLE_RATE)) is not None
        ratio = guard.compression_ratio(text)
        temperature = clip.options.temperature or 0.0
        return replace(
            whole, segments=(Segment(text, 0, len(clip), 0.0, ratio, 0.0, temperature, is_suspect=is_suspect),)
        )


async def answer(client: httpx.AsyncClient, method: str, path: str, **content: Any) -> httpx.Response:
    """vLLM's answer, whatever it says of the request; raises Unreachable when it says nothing, or nothing any more."""
    import httpx

    try:
        response = await client.request(method, path, **content)
    except (httpx.HTTPError, RuntimeError) as error:  # the latter when the client was closed meanwhile
        raise Unreachable(f"{client.base_url} does not answer: {type(error).__name__} {error}".rstrip()) from error
    if response.status_code in (502, 503, 504):
        kind = Busy if response.status_code == 503 else Unreachable
        raise kind(f"{client.base_url} answered {response.status_code}: {message_of(response)}")
    return response


def _models_in(response: httpx.Response) -> list[_Served]:
    try:
        return [_Served(str(one["id"]), str(one.get("root") or one["id"])) for one in response.json()["data"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _text_in(response: httpx.Response) -> str:
    try:
        return str(response.json()["text"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineFailed(f"expected a text of vLLM, got {response.text[:200]!r}") from error


def message_of(response: httpx.Response) -> str:
    """vLLM's error in words."""
    try:
        body = response.json()
    except ValueError:
        return response.text[:300]
    inner = body.get("error", body) if isinstance(body, dict) else body
    words = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
    return str(words)[:500]


def as_wav(samples: Samples) -> bytes:
    """A 16-bit mono WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()
