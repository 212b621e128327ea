"""The server's file of insights: what is looked for by default, rules that act, where they report, a language model."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aural.errors import BadRequest, SettingsError
from aural.insight.alerts import Rule, parse_rules
from aural.insight.request import KEYS, Asked, Wish, from_table, parse_asked, parse_redact

WEBHOOK_KEYS = frozenset({"url", "secret", "secret_env", "timeout_s", "attempts"})
LLM_KEYS = frozenset(
    {"url", "model", "key", "key_env", "timeout_s", "max_tokens", "audio", "utterances", "input_price", "output_price"}
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts are posted."""

    url: str
    secret: str = ""
    """Key of the HMAC-SHA256 signature; none signs nothing."""
    timeout_s: float = 5.0
    attempts: int = 4


@dataclass(frozen=True, slots=True)
class Llm:
    """A chat endpoint as OpenAI's: vLLM, llama.cpp's server, a hosted one."""

    url: str
    """Up to and with /v1."""
    model: str = ""
    key: str = ""
    timeout_s: float = 10.0
    """Hard, for all attempts at an answer of `max_tokens` together; a longer answer has as much longer."""
    max_tokens: int = 600
    """Of a summary. Utterances and transcripts in an answer have tokens of their own."""
    audio: bool = False
    """Whether the model hears: a Voxtral, which is then given the sound of a file."""
    utterances: bool = False
    """Whether it judges intent, emotion and safety of each utterance too, where they are asked for."""
    input_price: float = 0.0
    """Per million tokens, in whatever currency."""
    output_price: float = 0.0


@dataclass(frozen=True, slots=True)
class InsightSettings:
    asked: Asked = field(default_factory=Asked)
    redact: tuple[str, ...] = ()
    """Categories that never leave, whatever a request says."""
    rules: tuple[Rule, ...] = ()
    webhook: Webhook | None = None
    llm: Llm | None = None

    def wish(self, insights: object, redact: object) -> Wish:
        """What a request asks for, over the defaults, and never less redaction than the server's. Raises BadRequest."""
        categories = dict.fromkeys((*self.redact, *parse_redact(redact)))
        return Wish(parse_asked(insights, self.asked), tuple(categories))


def read(path: Path) -> InsightSettings:
    """From a TOML file; raises SettingsError that names the table and the key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    try:
        return parse(table)
    except (BadRequest, SettingsError) as error:
        raise SettingsError(f"{path}: {error}") from error


def parse(table: Mapping[str, Any]) -> InsightSettings:
    """As `read`, from the tables."""
    known = KEYS - {"llm"} | {"alert", "webhook", "llm", "redact"}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise SettingsError(f"expected keys of {', '.join(sorted(known))}; got {unknown[0]}")
    asked = from_table({key: value for key, value in table.items() if key in KEYS - {"llm"}}, Asked())
    return InsightSettings(
        asked,
        parse_redact(table.get("redact")),
        parse_rules(_table(table, "alert")),
        _webhook(_table(table, "webhook")) if "webhook" in table else None,
        _llm(_table(table, "llm")) if "llm" in table else None,
    )


def _webhook(table: Mapping[str, Any]) -> Webhook:
    _check("webhook", table, WEBHOOK_KEYS)
    return Webhook(
        _url("webhook", table),
        _secret(table, "secret"),
        _number("webhook.timeout_s", table.get("timeout_s", 5.0)),
        int(_number("webhook.attempts", table.get("attempts", 4))),
    )


def _llm(table: Mapping[str, Any]) -> Llm:
    _check("llm", table, LLM_KEYS)
    return Llm(
        _url("llm", table),
        str(table.get("model", "")),
        _key(table),
        _number("llm.timeout_s", table.get("timeout_s", 10.0)),
        math.ceil(_number("llm.max_tokens", table.get("max_tokens", 600))),
        _switch("llm.audio", table.get("audio", False)),
        _switch("llm.utterances", table.get("utterances", False)),
        _price("llm.input_price", table.get("input_price", 0.0)),
        _price("llm.output_price", table.get("output_price", 0.0)),
    )


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise SettingsError(f"expected {name} as a table, got {type(value).__name__}")
    return value


def _check(name: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(table.keys() - known)
    if unknown:
        raise SettingsError(f"{name}: expected keys of {', '.join(sorted(known))}; got {unknown[0]}")


def _url(name: str, table: Mapping[str, Any]) -> str:
    url = table.get("url", "")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise SettingsError(f"{name}.url: expected an http or https address, got {url!r}")
    return url


def _key(table: Mapping[str, Any]) -> str:
    """It goes into a header as it is, so it must be able to; raises SettingsError, which never says it."""
    name = table.get("key_env")
    key = _secret(table, "key").strip()
    if name and not key:
        raise SettingsError(f"llm.key_env: expected a key in the environment variable {name}, got none")
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("llm.key: expected printable ASCII characters, got others")
    return key


def _secret(table: Mapping[str, Any], key: str) -> str:
    """Given, or in the environment under a name that is given."""
    name = table.get(f"{key}_env")
    return os.environ.get(str(name), "") if name else str(table.get(key, ""))


def _number(place: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise SettingsError(f"{place}: expected a number above 0, got {value!r}")
    return float(value)


def _switch(place: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{place}: expected true or false, got {value!r}")
    return value


def _price(place: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise SettingsError(f"{place}: expected a number of 0 or more, got {value!r}")
    return float(value)
