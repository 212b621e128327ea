"""The query of Deepgram's live API as what a session is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from starlette.datastructures import QueryParams

from aural.api.service import language_options
from aural.audio.encoding import Encoding
from aural.audio.raw import FASTEST_HZ, MOST_CHANNELS, SLOWEST_HZ
from aural.errors import BadRequest, UnsupportedParameter
from aural.insight.tags import PRIVATE
from aural.languages import Script
from aural.live.settings import Format, LiveSettings, Manual, ServerVad, Turns
from aural.serving.unpacker import UNPACKED
from aural.types import Options

ENCODINGS: dict[str, Encoding] = {
    "linear16": "pcm_s16le",
    "linear32": "pcm_f32le",
    "mulaw": "mulaw",
    "alaw": "alaw",
}
CONTAINED = frozenset({"flac", "ogg-opus", "opus"})
"""Encodings that come in a container, which says all else about them."""
DEFAULT_ENDPOINTING_MS = 500
LEAST_ENDPOINTING_MS = 200
"""Deepgram's own default is 10 ms. Whisper hears words, and so short a silence would cut them."""
LEAST_UTTERANCE_END_MS = 1000
HEARD_EVERY_MS = 250
"""How exact UtteranceEnd is."""
LONGEST_NUMBER = 9
"""Digits."""
LONGEST_EXTRA = 2048
DEEPGRAM_MODELS = frozenset(
    {"nova", "enhanced", "base", "flux", "general", "meeting", "phonecall", "voicemail", "finance", "conversationalai"}
    | {"video", "medical", "drivethru", "automotive", "atc"}
)
"""Families of Deepgram's own names, all of which mean the first model here."""

COMMON = frozenset(
    {"model", "language", "encoding", "sample_rate", "channels", "punctuate", "smart_format", "redact", "extra"}
)
WORDS = frozenset({"keyterm", "keywords"})
LIVE = COMMON | WORDS | {"interim_results", "endpointing", "utterance_end_ms", "vad_events", "no_delay"}
FILE = COMMON | WORDS | {"detect_language", "utterances"}
REDACTED = frozenset({"true", "pci", "pii", "numbers", "ssn", "credit_card", "account_number", "phone_number"})
NOTED = frozenset({"tag", "mip_opt_out", "version"})
"""Taken and of no effect here, as they are in what Deepgram answers."""
SWITCHES = {
    "diarize": "speakers are not told apart",
    "multichannel": "channels are not told apart",
    "numerals": "numbers stay as the model writes them",
    "profanity_filter": "nothing is masked",
    "detect_entities": "entities are not marked in this protocol",
    "dictation": "punctuation is not dictated",
    "filler_words": "the model leaves them out",
}
"""Allowed when they are off."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for."""

    live: LiveSettings
    interim: bool
    """Results that may still change."""
    vad_events: bool
    punctuated: bool
    """Text as the model writes it; otherwise lower case without punctuation, as Deepgram's default is."""
    utterance_end_ms: int | None
    is_contained: bool = False
    """The audio comes in a container; what the session hears of it is `UNPACKED`."""
    redact: tuple[str, ...] = ()
    """Categories that must not leave."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """What the caller wants to find in the Metadata."""


def parse(query: QueryParams, known_models: Sequence[str]) -> Wish:
    """What a live caller asks for. Raises BadRequest and UnsupportedParameter, which name the parameter."""
    check_names(query, LIVE)
    options, script = options_of(query)
    interim = switch(query, "interim_results")
    end_ms = _utterance_end_ms(query, interim)
    form = format_of(query)
    live = LiveSettings(
        model=model_of(query, known_models),
        options=options,
        script=script,
        format=form or UNPACKED,
        turns=_turns(query),
        heard_every_ms=HEARD_EVERY_MS,
    )
    return Wish(
        live,
        interim,
        switch(query, "vad_events"),
        is_punctuated(query),
        end_ms,
        is_contained=form is None,
        redact=redacted(query),
        extra=extra_of(query),
    )


def redacted(query: QueryParams) -> tuple[str, ...]:
    """Deepgram's names of groups and of entities; each takes out all private numbers, as none is told apart surely."""
    names = query.getlist("redact")
    wrong = [name for name in names if name.lower() not in REDACTED | {"false"}]
    if wrong:
        raise BadRequest(f"expected redact of {', '.join(sorted(REDACTED))}; got {wrong[0][:40]!r}", param="redact")
    return PRIVATE if any(name.lower() != "false" for name in names) else ()


def check_names(query: QueryParams, honoured: Set[str]) -> None:
    """Raises UnsupportedParameter for what no model can do, and BadRequest for a name that is none."""
    for name, why in SWITCHES.items():
        if query.get(name, "false").lower() != "false":
            raise UnsupportedParameter(name, query[name], "aural", why)
    unknown = sorted(query.keys() - honoured - NOTED - SWITCHES.keys())
    if unknown:
        known = ", ".join(sorted(honoured))
        raise BadRequest(f"expected parameters of {known}; got {', '.join(unknown)}", param=unknown[0])


def options_of(query: QueryParams) -> tuple[Options, Script]:
    tag = query.get("language", "en")
    code, script = (None, "t2s") if tag == "multi" or switch(query, "detect_language") else language_options(tag)
    words = [*query.getlist("keyterm"), *(_unboosted(word) for word in query.getlist("keywords"))]
    return Options(language=code, hotwords=" ".join(words)), script


def model_of(query: QueryParams, known: Sequence[str]) -> str | None:
    """None, the first model, for Deepgram's own names."""
    name = query.get("model")
    if name is None or name in known:
        return name
    return None if name.split("-")[0] in DEEPGRAM_MODELS else name


def is_punctuated(query: QueryParams) -> bool:
    return switch(query, "punctuate") or switch(query, "smart_format")


def format_of(query: QueryParams) -> Format | None:
    """How raw audio comes; None for a container, which says it itself. Raises BadRequest."""
    encoding = query.get("encoding")
    channels = _whole(query, "channels", 1, MOST_CHANNELS) or 1
    rate = _whole(query, "sample_rate", SLOWEST_HZ, FASTEST_HZ)
    if (encoding is None and not query.keys() & {"sample_rate", "channels"}) or encoding in CONTAINED:
        return None
    if encoding not in ENCODINGS:
        known = ", ".join([*ENCODINGS, *sorted(CONTAINED)])
        raise BadRequest(
            f"expected an encoding of {known}, or none for a container; got {encoding!r}", param="encoding"
        )
    if rate is None:
        raise BadRequest("expected a sample_rate with a raw encoding, got none", param="sample_rate")
    return Format(ENCODINGS[encoding], rate, channels)


def extra_of(query: QueryParams) -> dict[str, str]:
    """`extra=key:value`, as often as the caller likes. Raises BadRequest."""
    given = query.getlist("extra")
    if sum(map(len, given)) > LONGEST_EXTRA:
        raise BadRequest(f"expected at most {LONGEST_EXTRA} characters of extra, got more", param="extra")
    pairs = {}
    for one in given:
        key, colon, value = one.partition(":")
        if not key or not colon:
            raise BadRequest(f"expected extra as key:value, got {one[:40]!r}", param="extra")
        pairs[key] = value
    return pairs


def _turns(query: QueryParams) -> Turns:
    value = query.get("endpointing", "true").lower()
    if value == "false":
        return Manual()
    if value == "true":
        return ServerVad(silence_duration_ms=DEFAULT_ENDPOINTING_MS)
    silence_ms = _whole(query, "endpointing", 0, 10_000) or 0
    return ServerVad(silence_duration_ms=max(LEAST_ENDPOINTING_MS, silence_ms))


def _utterance_end_ms(query: QueryParams, interim: bool) -> int | None:
    gap_ms = _whole(query, "utterance_end_ms", LEAST_UTTERANCE_END_MS, 60_000)
    if gap_ms is not None and not interim:
        raise BadRequest("expected interim_results=true with utterance_end_ms", param="utterance_end_ms")
    return gap_ms


def switch(query: QueryParams, name: str) -> bool:
    value = query.get(name, "false").lower()
    if value not in ("true", "false"):
        raise BadRequest(f"expected {name} of true or false, got {value!r}", param=name)
    return value == "true"


def _whole(query: QueryParams, name: str, low: int, high: int) -> int | None:
    value = query.get(name)
    if value is None:
        return None
    if not value.isdecimal() or len(value) > LONGEST_NUMBER or not low <= int(value) <= high:
        raise BadRequest(f"expected {name} from {low} to {high}, got {value[:40]!r}", param=name)
    return int(value)


def _unboosted(keyword: str) -> str:
    """`word:2` as the word: there is no measure of how much to expect it."""
    return keyword.partition(":")[0]
