"""Senders that are slow, or go away."""

from __future__ import annotations

from random import Random

from tests.api.hostile.audio import bomb, sound
from tests.api.hostile.base import HELLO, MIB, MULTIPART, TRANSCRIPTIONS, file, kind, post, upload


@kind(408, behaviour="drip")
def slow_body(random: Random) -> bytes:
    begun = file()[:150]
    return random.choice(
        [
            post(begun, MULTIPART, TRANSCRIPTIONS, Content_Length="100000"),
            post(b"RIFF", Content_Length="100000"),
            post(b"{", "application/json", Content_Length="100000"),
        ]
    )


@kind(408, behaviour="drip")
def slow_head(random: Random) -> bytes:
    return random.choice([b"GET /", b"POST /invocations HTTP/1.1\r\nX-Slow: ", b"\r\nPOST /"])


@kind(408)
def silence(random: Random) -> bytes:
    return random.choice([b"", b"P", b"\r\n", b"POST /invocations HTTP/1.1\r\nHost: a\r\n"])


@kind(408)
def body_that_never_comes(random: Random) -> bytes:
    return post(b"", Content_Length=str(random.randrange(1, MIB)))


@kind(behaviour="abort")
def gone_within_the_body(random: Random) -> bytes:
    whole = upload(random, HELLO)
    return whole[: random.randrange(len(whole) - len(HELLO), len(whole))]


@kind(behaviour="abort")
def gone_before_the_answer(random: Random) -> bytes:
    return upload(random, random.choice([HELLO, sound("ogg"), bomb("mp3")]))


@kind(behaviour="abort")
def gone_at_once(random: Random) -> bytes:
    return random.choice([b"", b"POST", b"POST /invocations HTTP/1.1\r\nHost"])
