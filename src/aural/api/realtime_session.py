"""OpenAI's transcription session as it is written on the wire, in both dialects, and what it means for us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aural.audio.encoding import Encoding
from aural.audio.raw import FASTEST_HZ, SLOWEST_HZ
from aural.errors import BadRequest, UnsupportedParameter
from aural.insight.settings import InsightSettings
from aural.insight.types import Role
from aural.languages import parse_language
from aural.live.settings import MOST_PREFIX_MS, Format, LiveSettings, Manual, SemanticVad, ServerVad, Turns
from aural.serving.companion import LiveWish
from aural.types import Options, Timestamps

Dialect = Literal["ga", "beta"]

PCM, MULAW, ALAW = "audio/pcm", "audio/pcmu", "audio/pcma"
ENCODINGS: dict[str, Encoding] = {PCM: "pcm_s16le", MULAW: "mulaw", ALAW: "alaw"}
BETA_FORMATS = {"pcm16": PCM, "g711_ulaw": MULAW, "g711_alaw": ALAW}
DEFAULT_RATE, G711_RATE = 24_000, 8_000

DRAFTS, WORDS, DETAILS, INSIGHTS = "aural.drafts", "aural.words", "aural.details", "aural.insights"
EXTRAS = (DRAFTS, WORDS, DETAILS, INSIGHTS)
"""What `include` may ask for beyond OpenAI's own: the draft as an event, times of words, times and language of items
with what was suppressed, and insights as the server's file has them."""
MOST_WAIT_MS = {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}
"""How long `semantic_vad` waits for more, by eagerness."""
LEAST_IDLE_MS, MOST_IDLE_MS = 5_000, 30_000
MOST_MS = 60_000
LONGEST_CALL = 128
LONGEST_PROMPT = 4000
"""Characters of a prompt, and of all keywords: each hypothesis is asked for with them, and no model takes in more."""
NOISE = (None, "near_field", "far_field")
_IRRELEVANT = frozenset({"create_response", "interrupt_response"})
"""Of conversations: there is no response here to create."""


@dataclass(frozen=True, slots=True)
class WireSession:
    """A session in OpenAI's own terms. Frozen: an update that is refused leaves it as it was."""

    id: str
    usual_model: str
    """Of who names none."""
    named_model: str | None = None
    format: Mapping[str, Any] = field(default_factory=lambda: {"type": PCM, "rate": DEFAULT_RATE})
    language: str | None = None
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    turn_detection: Mapping[str, Any] | None = field(default_factory=lambda: _server_vad({}))
    include: tuple[str, ...] = ()
    aural: Mapping[str, Any] = field(default_factory=dict)
    """`insights`, `redact`, `call`, `channel`, `role`: what OpenAI has no name for."""
    expires_at: int = 0
    """Seconds since 1970."""

    @property
    def model(self) -> str:
        return self.named_model or self.usual_model

    def updated(self, patch: object, dialect: Dialect) -> WireSession:
        """The session with what the patch says; raises BadRequest and UnsupportedParameter."""
        fields = _GA if dialect == "ga" else _BETA
        return _merged(self, _object(patch, "session"), fields, "session")

    def live(self) -> LiveSettings:
        """What it means. Raises BadRequest for a language that nobody knows."""
        language = parse_language(self.language) if self.language else None
        options = Options(
            language=language.code if language else None,
            prompt=self.prompt,
            hotwords=", ".join(self.keywords),
            timestamps=Timestamps.WORD if WORDS in self.include else Timestamps.NONE,
        )
        form = Format(ENCODINGS[self.format["type"]], self.format.get("rate", G711_RATE))
        script = language.script if language else "t2s"
        return LiveSettings(self.model, options, script, form, _turns(self.turn_detection))

    def wish(self, settings: InsightSettings) -> LiveWish:
        """What to look for and what to keep back; raises BadRequest."""
        insights = self.aural.get("insights", INSIGHTS in self.include)
        wish = settings.wish(insights, self.aural.get("redact"))
        return LiveWish(wish, self.aural.get("call"), self.aural.get("channel"), self.aural.get("role"))

    def wire(self, dialect: Dialect) -> dict[str, Any]:
        """The whole session as JSON."""
        common = {"id": self.id, "object": "realtime.transcription_session", "expires_at": self.expires_at}
        transcription: dict[str, Any] = {"model": self.model, "language": self.language, "prompt": self.prompt}
        turn_detection = None if self.turn_detection is None else dict(self.turn_detection)
        include = list(self.include) or None
        if dialect == "beta":
            names = {value: name for name, value in BETA_FORMATS.items()}
            return common | {
                "input_audio_format": names[self.format["type"]],
                "input_audio_transcription": transcription,
                "input_audio_noise_reduction": None,
                "turn_detection": turn_detection,
                "include": include,
            }
        if self.aural:
            common |= {"aural": dict(self.aural)}
        if self.keywords:
            transcription |= {"keywords": list(self.keywords)}
        heard = {
            "format": dict(self.format),
            "noise_reduction": None,
            "transcription": transcription,
            "turn_detection": turn_detection,
        }
        return common | {"type": "transcription", "include": include, "audio": {"input": heard}}


Field = Callable[[WireSession, Any, str], WireSession]


def _merged(session: WireSession, patch: Mapping[str, Any], fields: Mapping[str, Field], path: str) -> WireSession:
    for name, value in patch.items():
        where = f"{path}.{name}"
        if name not in fields:
            raise BadRequest(f"expected {', '.join(fields)} in {path}, got {name!r}", param=where)
        session = fields[name](session, value, where)
    return session


def _nested(fields: Mapping[str, Field]) -> Field:
    def apply(session: WireSession, value: Any, where: str) -> WireSession:
        return _merged(session, _object(value, where), fields, where)

    return apply


def _optional(fields: Mapping[str, Field]) -> Field:
    """An object, or null, which stands for null in each of its fields."""

    def apply(session: WireSession, value: Any, where: str) -> WireSession:
        given = dict.fromkeys(fields) if value is None else _object(value, where)
        return _merged(session, given, fields, where)

    return apply


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"expected an object as {where}, got {_shown(value)}", param=where)
    return value


def _type(session: WireSession, value: Any, where: str) -> WireSession:
    if value != "transcription":
        raise BadRequest(f"expected {where} 'transcription', got {_shown(value)}: nobody answers here", param=where)
    return session


def _include(session: WireSession, value: Any, where: str) -> WireSession:
    names = [] if value is None else value
    if not isinstance(names, list) or not set(map(str, names)) <= set(EXTRAS):
        raise UnsupportedParameter(where, value, session.model, f"there is {', '.join(EXTRAS)}")
    return replace(session, include=tuple(names))


def _aural(session: WireSession, value: Any, where: str) -> WireSession:
    """Laid over what was said before; null takes a key away, or all of them."""
    if value is None:
        return replace(session, aural={})
    patch = _object(value, where)
    _only(patch, ("insights", "redact", "call", "channel", "role"), where)
    asked = {name: given for name, given in patch.items() if given is not None}
    if "call" in asked and not 0 < len(_text(asked["call"], f"{where}.call")) <= LONGEST_CALL:
        raise BadRequest(f"expected {where}.call of at most {LONGEST_CALL} characters", param=f"{where}.call")
    if "channel" in asked:
        asked["channel"] = int(_number(asked["channel"], f"{where}.channel", 0, 63))
    if "role" in asked:
        role = _text(asked["role"], f"{where}.role").upper()
        if role not in set(Role):
            raise BadRequest(f"expected {where}.role of {', '.join(Role)}, got {_shown(role)}", param=f"{where}.role")
        asked["role"] = Role(role)
    kept = {name: given for name, given in session.aural.items() if name not in patch}
    return replace(session, aural=kept | asked)


def _format(session: WireSession, value: Any, where: str) -> WireSession:
    form = {"type": PCM, "rate": DEFAULT_RATE} if value is None else dict(_object(value, where))
    kind = form.get("type")
    if not isinstance(kind, str) or kind not in ENCODINGS:
        raise BadRequest(f"expected {where}.type of {', '.join(ENCODINGS)}, got {_shown(kind)}", param=f"{where}.type")
    usual = DEFAULT_RATE if kind == PCM else G711_RATE
    rate = _number(form.get("rate", usual), f"{where}.rate", SLOWEST_HZ, FASTEST_HZ)
    if kind != PCM and rate != G711_RATE:
        raise BadRequest(f"expected {where}.rate {G711_RATE} for {kind}, got {rate}", param=f"{where}.rate")
    _only(form, ("type", "rate"), where)
    return replace(session, format={"type": kind, "rate": rate} if kind == PCM else {"type": kind})


def _beta_format(session: WireSession, value: Any, where: str) -> WireSession:
    if not isinstance(value, str) or value not in BETA_FORMATS:
        raise BadRequest(f"expected {where} of {', '.join(BETA_FORMATS)}, got {_shown(value)}", param=where)
    return _format(session, {"type": BETA_FORMATS[value]}, where)


def _never(session: WireSession, value: Any, where: str) -> WireSession:
    if value is not None:
        raise UnsupportedParameter(where, value, session.model, "it is heard as it comes")
    return session


def _model(session: WireSession, value: Any, where: str) -> WireSession:
    return replace(session, named_model=None if value is None else _text(value, where))


def _language(session: WireSession, value: Any, where: str) -> WireSession:
    tag = _text(value, where) if value is not None else ""
    if tag and tag != "auto":
        parse_language(tag)
    return replace(session, language=None if tag in ("", "auto") else tag)


def _languages(session: WireSession, value: Any, where: str) -> WireSession:
    if value is None:
        return session
    if not isinstance(value, list) or len(value) != 1:
        raise UnsupportedParameter(where, value, session.model, "it hears one language at a time, or detects it")
    return _language(session, value[0], where)


def _prompt(session: WireSession, value: Any, where: str) -> WireSession:
    return replace(session, prompt="" if value is None else _bounded(_text(value, where), where))


def _keywords(session: WireSession, value: Any, where: str) -> WireSession:
    words = [] if value is None else value
    if not isinstance(words, list):
        raise BadRequest(f"expected a list of words as {where}, got {_shown(value)}", param=where)
    keywords = tuple(_text(word, where) for word in words)
    _bounded(", ".join(keywords), where)
    return replace(session, keywords=keywords)


def _bounded(text: str, where: str) -> str:
    if len(text) > LONGEST_PROMPT:
        raise BadRequest(f"expected at most {LONGEST_PROMPT} characters as {where}, got {len(text)}", param=where)
    return text


def _noise_reduction(session: WireSession, value: Any, where: str) -> WireSession:
    """Taken, as ordinary clients ask for it, and answered with null, which is what they get: models hear the audio as
    it comes."""
    if value is not None:
        asked = _object(value, where)
        _only(asked, ("type", "strength"), where)
        if asked.get("type") not in NOISE:
            expected = "near_field or far_field"
            raise BadRequest(f"expected {where}.type {expected}, got {_shown(asked['type'])}", param=f"{where}.type")
        _number(asked.get("strength", 1), f"{where}.strength", 0, 1)
    return session


def _turn_detection(session: WireSession, value: Any, where: str) -> WireSession:
    if value is None:
        return replace(session, turn_detection=None)
    before = session.turn_detection or {}
    patch = _object(value, where)
    kind = patch.get("type", before.get("type", "server_vad"))
    merged = {**(before if before.get("type") == kind else {}), **patch}
    if kind == "server_vad":
        return replace(session, turn_detection=_server_vad(merged, where))
    if kind == "semantic_vad":
        return replace(session, turn_detection=_semantic_vad(merged, where))
    raise BadRequest(f"expected {where}.type server_vad or semantic_vad, got {_shown(kind)}", param=f"{where}.type")


def _server_vad(asked: Mapping[str, Any], where: str = "turn_detection") -> dict[str, Any]:
    usual = ServerVad()
    _only(asked, ("type", "threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"), where)
    idle = asked.get("idle_timeout_ms")
    return {
        "type": "server_vad",
        "threshold": _number(asked.get("threshold", usual.threshold), f"{where}.threshold", 0, 1),
        "prefix_padding_ms": int(
            _number(
                asked.get("prefix_padding_ms", usual.prefix_padding_ms), f"{where}.prefix_padding_ms", 0, MOST_PREFIX_MS
            )
        ),
        "silence_duration_ms": int(
            _number(
                asked.get("silence_duration_ms", usual.silence_duration_ms), f"{where}.silence_duration_ms", 0, MOST_MS
            )
        ),
        "idle_timeout_ms": idle
        if idle is None
        else int(_number(idle, f"{where}.idle_timeout_ms", LEAST_IDLE_MS, MOST_IDLE_MS)),
    }


def _semantic_vad(asked: Mapping[str, Any], where: str) -> dict[str, Any]:
    _only(asked, ("type", "eagerness"), where)
    eagerness = asked.get("eagerness", "auto")
    if not isinstance(eagerness, str) or eagerness not in MOST_WAIT_MS:
        expected = ", ".join(MOST_WAIT_MS)
        raise BadRequest(
            f"expected {where}.eagerness of {expected}, got {_shown(eagerness)}", param=f"{where}.eagerness"
        )
    return {"type": "semantic_vad", "eagerness": eagerness}


def _turns(detection: Mapping[str, Any] | None) -> Turns:
    if detection is None:
        return Manual()
    if detection["type"] == "semantic_vad":
        return SemanticVad(max_silence_ms=MOST_WAIT_MS[detection["eagerness"]])
    return ServerVad(**{name: value for name, value in detection.items() if name != "type"})


def _only(asked: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in asked:
        if name not in known and name not in _IRRELEVANT:
            raise BadRequest(f"expected {', '.join(known)} in {where}, got {name!r}", param=f"{where}.{name}")


def _number(value: Any, where: str, least: float, most: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadRequest(f"expected a number from {least} to {most} as {where}, got {_shown(value)}", param=where)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"expected a string as {where}, got {_shown(value)}", param=where)
    return value


def _shown(value: object) -> str:
    return repr(value[:100] if isinstance(value, str) else value)[:100]


_TRANSCRIPTION: dict[str, Field] = {
    "model": _model,
    "language": _language,
    "languages": _languages,
    "prompt": _prompt,
    "keywords": _keywords,
    "delay": _never,
}
_INPUT: dict[str, Field] = {
    "format": _format,
    "noise_reduction": _noise_reduction,
    "transcription": _optional(_TRANSCRIPTION),
    "turn_detection": _turn_detection,
}
_GA: dict[str, Field] = {
    "type": _type,
    "include": _include,
    "aural": _aural,
    "audio": _nested({"input": _nested(_INPUT)}),
}
_BETA: dict[str, Field] = {
    "input_audio_format": _beta_format,
    "input_audio_transcription": _optional(_TRANSCRIPTION),
    "input_audio_noise_reduction": _noise_reduction,
    "turn_detection": _turn_detection,
    "include": _include,
    "aural": _aural,
}
