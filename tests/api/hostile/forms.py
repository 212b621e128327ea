"""Multipart bodies."""

from __future__ import annotations

from random import Random

from tests.api.hostile.base import EDGE, END, HELLO_BASE64, MULTIPART, ODD_TEXT, field, file, kind, post_form
from tests.api.wire import part


@kind(400)
def form_of_another_type(random: Random) -> bytes:
    odd = [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=edge",
        "application/json",
    ]
    odd += ["", "text/plain", f"multipart/form-data; boundary={'b' * 300}", "multipart/form-data; boundary=other"]
    odd += [f"{MULTIPART}; charset={name}" for name in ("utf-7", "utf-16", "unicode_escape", "rot13", "\xff", "hex")]
    return post_form(file(), content_type=random.choice(odd))


@kind(400)
def form_without_a_file(random: Random) -> bytes:
    parts = random.choice([(), (field("model", "fake"),), (field("file", "hello"),), (file(name="audio"),)])
    return post_form(*parts)


@kind(400)
def form_cut_short(random: Random) -> bytes:
    whole = file() + field("model", "fake") + field("language", "en")
    return post_form(whole[: random.randrange(len(whole) - 20)], end=b"")


@kind(400)
def form_broken(random: Random) -> bytes:
    odd = [
        b"",
        b"hello",
        END,
        f"--{EDGE}\n\nhello\n--{EDGE}--\n".encode(),
        f"--{EDGE}\r\n\r\nno headers\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition: form-data\r\n\r\nno name\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition: attachment; filename=a\r\n\r\nno name\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition form-data\r\n\r\nno colon\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition: form-data; name=file; filename*=utf-8''%ff\r\n\r\nhello\r\n".encode(),
        f"--{EDGE}\r\n".encode() + b"X: " + b"a" * 9000 + b"\r\n\r\nhello\r\n",
        f"--{EDGE}\r\n".encode() + b"X: a\r\n" * 99 + b"\r\nhello\r\n",
        f'--{EDGE}\r\nContent-Disposition: form-data; name="model"\0\r\n\r\nhello\r\n'.encode(),
    ]
    return post_form(random.choice(odd))


@kind(400)
def form_of_too_many(random: Random) -> bytes:
    many = [field("model", "fake")] * 101
    return post_form(*random.choice([(file(), file()), (file(), *many), (file(),) * 50, (file(), *many[:2])]))


@kind(400)
def field_out_of_range(random: Random) -> bytes:
    odd = {
        "language": ["klingon", "fr", "en en", "/", *ODD_TEXT],
        "response_format": ["xml", "diarized_json", "JSON", "", *ODD_TEXT],
        "temperature": ["nan", "inf", "-1", "1e400", "hot", "", "0x1"],
        "beam_size": ["0", "1.5", "-1", "9" * 5000, "one"],
        "stream": ["maybe", "2", "\0"],
        "timestamp_granularities[]": ["word", "phoneme"],
        "chunking_strategy": ["server_vad", "{}"],
        "chunking_strategy[type]": ["server_vad"],
        "include[]": ["logprobs"],
        "known_speaker_names[]": ["Ada"],
        "languages[]": ["en"],
        "prompt": ["x" * 70_000, "hello"],
        "file": ["hello"],
        "no_such_field": ["1"],
    }
    name = random.choice(list(odd))
    return post_form(file(), field(name, random.choice(odd[name])))


@kind(400)
def field_of_an_odd_name(random: Random) -> bytes:
    names = ["", "[]", "a" * 3000, "a" * 9000, "model[0]", "__proto__", "модель", "\0", "a; b", "name=", "🦞", "Model"]
    return post_form(file(), field(random.choice(names), "fake"))


@kind(404)
def model_of_nobody(random: Random) -> bytes:
    return post_form(file(), field("model", random.choice(["gpt-4o-transcribe-diarize", "FAKE", *ODD_TEXT])))


@kind(404)
def field_in_no_encoding(random: Random) -> bytes:
    return post_form(file(), field("model", b"\xff\xfe\x80" + random.randbytes(20).replace(b"\r", b"")))


@kind(415)
def file_in_base64(random: Random) -> bytes:
    """RFC 7578 deprecates Content-Transfer-Encoding, and nobody sends it."""
    head = 'name="file"; filename="a.wav"\r\nContent-Transfer-Encoding: base64'
    return post_form(part(EDGE, head, HELLO_BASE64.encode()))
