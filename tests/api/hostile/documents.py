"""JSON that is none, or says what nobody understands."""

from __future__ import annotations

from random import Random

from tests.api.hostile.base import HELLO, HELLO_BASE64, ODD_TEXT, kind, post, post_json


@kind(400)
def json_that_is_none(random: Random) -> bytes:
    odd = [b"", b"{", b"}", b"{'audio': 1}", b'{"audio": NaN}', b'{"audio": "a",}', b"\xff\xfe{\0}\0", b"\xef\xbb\xbf"]
    odd += [
        b'{"audio": "\\ud800"}',
        b'{"audio": "\xc3("}',
        b"undefined",
        b'{"a": 1e999}',
        b'{"audio": "a"} {}',
        b'{"\0": 1',
    ]
    return post(random.choice(odd), "application/json")


@kind(400)
def json_in_depth(random: Random) -> bytes:
    depth = random.randrange(2000, 100_000)
    return post(random.choice([b"[" * depth, b'{"audio":' * depth, b"[" * depth + b"]" * depth]), "application/json")


@kind(400)
def json_of_another_shape(random: Random) -> bytes:
    odd = [None, 1, "audio", [], {}, [{"audio": HELLO_BASE64}], {"inputs": HELLO_BASE64}, {"transcription": None}]
    odd += [{"transcription": {}}, {"transcription": []}, {"Audio": HELLO_BASE64}, {"": ""}, {"a" * 50_000: 1}]
    return post_json(random.choice(odd))


@kind(400)
def json_audio_of_another_type(random: Random) -> bytes:
    odd = [None, True, 1, 1.5, [], {}, [HELLO_BASE64], {"path": "/etc/passwd"}, {"url": "http://127.0.0.1/"}]
    odd += [{"data": None}, {"data": {"data": HELLO_BASE64}}, {"data": HELLO_BASE64, "path": "a"}, {"data": [1, 2]}]
    audio = random.choice(odd)
    documents = [{"audio": audio}, {"audio_input": audio}, {"transcription": {"audio": audio}}]
    return post_json(random.choice(documents))


@kind(400)
def json_of_paths_and_addresses(random: Random) -> bytes:
    odd = ["/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/latest/", "s3://bucket/key", "..\\..\\a.wav"]
    return post_json({"audio": random.choice(odd)})


@kind(400)
def base64_broken(random: Random) -> bytes:
    odd = [
        HELLO_BASE64[:-3],
        HELLO_BASE64 + "=",
        "====",
        "a",
        HELLO_BASE64.replace("A", "-"),
        "é" * 8,
        HELLO_BASE64 + "\n",
    ]
    odd += ["data:audio/wav;base64,%%%%", "\0\0\0\0", "🦞🦞"]
    return post_json({"audio": {"data": random.choice(odd)}})


@kind(400)
def hex_broken(random: Random) -> bytes:
    odd = [HELLO.hex()[:-1], "0x" + HELLO.hex(), "zz", "é", "0", "\0\0", HELLO_BASE64, "1 2"]
    return post_json({"audio_input": random.choice(odd)})


@kind(400)
def json_option_out_of_range(random: Random) -> bytes:
    odd = {
        "language": ["klingon", "xx", 7, [], {"code": "en"}, "fr", *ODD_TEXT],
        "task": ["sing", 1, True, [], "TRANSCRIBE", "translate"],
        "temperature": [-1, 2, "hot", True, [], {}, 10**30],
        "beam_size": [0, -5, 1.5, 10**30, "many", None, True, []],
        "timestamps": ["phoneme", 2, [], {}, "word"],
        "prompt": [1, [], {}],
        "diarize": [True],
        "x" * 9999: [1],
        "\0": [1],
    }
    name = random.choice(list(odd))
    return post_json({"audio": HELLO_BASE64, name: random.choice(odd[name])})


@kind(404)
def json_model_of_nobody(random: Random) -> bytes:
    return post_json({"audio": HELLO_BASE64, "model": random.choice(["gpt-4o", "fake ", "FAKE", *ODD_TEXT])})


@kind(400)
def json_under_another_name(random: Random) -> bytes:
    return post(random.choice([HELLO, b"\0" * 99, random.randbytes(999)]), "application/json; charset=utf-16")
