"""The server's file of insights: what is looked for by default, rules that act, where they report, a language model."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aural.errors import BadRequest, SettingsError
from aural.insight.request import KEYS, Asked, Wish, from_table, parse_asked, parse_redact
from aural.insight.rules import Needs, Rule, Search, parse_rules
from aural.insight.table import Table

WEBHOOK_KEYS = frozenset({"url", "secret", "secret_env", "timeout_s", "attempts"})
LLM_KEYS = frozenset(
    {"url", "model", "key", "key_env", "timeout_s", "max_tokens", "audio", "utterances", "input_price", "output_price"}
)
MOST_ATTEMPTS = 10


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
    needs: Needs = field(default_factory=Needs)
    """Of the rules."""
    webhook: Webhook | None = None
    llm: Llm | None = None

    def wish(self, insights: object, redact: object) -> Wish:
        """What a request asks for, over the defaults, and never less redaction than the server's. Raises BadRequest."""
        categories = dict.fromkeys((*self.redact, *parse_redact(redact)))
        return Wish(parse_asked(insights, self.asked), tuple(categories))

    def search(self, asked: Asked) -> Search:
        """What is looked for in a request that asks for this: the server's rules act on it, too."""
        return self.needs.search(asked)


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
    alerts = table.get("alert", {})
    llm = _llm(Table.of("llm", table["llm"], LLM_KEYS)) if "llm" in table else None
    judges = llm is not None and llm.utterances
    rules = parse_rules(Table.of("alert", alerts, alerts).values, asked, has_llm=judges)
    return InsightSettings(
        asked,
        parse_redact(table.get("redact")),
        rules,
        Needs.of(rules, asked.phrases),
        _webhook(Table.of("webhook", table["webhook"], WEBHOOK_KEYS)) if "webhook" in table else None,
        llm,
    )


def _webhook(table: Table) -> Webhook:
    return Webhook(
        _url(table),
        _secret(table, "secret"),
        table.number("timeout_s", 5.0),
        table.whole("attempts", 4, most=MOST_ATTEMPTS),
    )


def _llm(table: Table) -> Llm:
    return Llm(
        _url(table),
        table.text("model"),
        _key(table),
        table.number("timeout_s", 10.0),
        table.whole("max_tokens", 600),
        table.switch("audio", default=False),
        table.switch("utterances", default=False),
        table.number("input_price", 0.0, 0.0),
        table.number("output_price", 0.0, 0.0),
    )


def _url(table: Table) -> str:
    url = table.text("url")
    try:
        address = urlsplit(url)
        is_one = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # brackets without an address, a port that is none
        is_one = False
    if not is_one:
        raise table.wrong("an http or https address", url, "url")
    return url


def _key(table: Table) -> str:
    """It goes into a header as it is, so it must be able to."""
    key = _secret(table, "key")
    if not (key.isascii() and key.isprintable()):
        raise table.wrong("printable ASCII characters", "others", "key")
    return key


def _secret(table: Table, key: str) -> str:
    """Given, or in the environment under a name that is given: then it must be there."""
    name = table.text(f"{key}_env")
    if name and key in table.values:
        raise table.wrong(f"one of {key} and {key}_env", "both")
    if not name:
        return table.text(key)
    secret = os.environ.get(name, "").strip()
    if not secret:
        raise table.wrong("the name of an environment variable that is set", name, f"{key}_env")
    return secret
