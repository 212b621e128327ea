"""GET /: the page is served whole, to anybody, and asks nobody else for anything."""

from __future__ import annotations

import json
import re
import urllib.request
from importlib.resources import files

import pytest

from tests.conftest import Server

PARTS = sorted(part.name for part in files("aural.api.page").iterdir() if part.name.endswith((".js", ".css", ".svg")))
SVG = "http://www.w3.org/2000/svg"
BROWSER = "text/html,application/xhtml+xml"


def html(server: Server) -> str:
    status, body = server.send("GET", "/", Accept=BROWSER)
    assert status == 200
    return body.decode()


def test_browsers_get_the_page_and_programs_the_paths(fake: Server) -> None:
    assert html(fake).startswith("<!doctype html>")
    assert "/v1/models" in json.loads(fake.get("/")[1])["paths"]


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_served_and_names_nobody_else(fake: Server, name: str) -> None:
    status, body = fake.get(f"/page/{name}")
    assert status == 200
    assert re.findall(r"https?://[^\s\"']+", body.decode().replace(SVG, "")) == []


def test_what_the_page_refers_to_exists(fake: Server) -> None:
    assert {f"page/{name}" for name in PARTS} >= set(re.findall(r"page/[\w.]+", html(fake)))
    for name in PARTS:
        body = fake.get(f"/page/{name}")[1].decode()
        for other in re.findall(r"(?:from|URL\() ?\"(?:\./)?([\w.]+)\"", body):
            assert other in PARTS, f"{name} refers to {other}"


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2Fstatus.py", "%2Fetc%2Fpasswd"])
def test_nothing_but_the_page_is_served(fake: Server, name: str) -> None:
    assert fake.get(f"/page/{name}")[0] == 404


def test_a_server_with_a_key_shows_the_page_that_asks_for_it(guarded: Server) -> None:
    assert "key-dialog" in html(guarded)
    assert guarded.get("/page/main.js")[0] == 200
    assert guarded.send("GET", "/v1/models", Accept=BROWSER)[0] == 401


def test_every_text_of_the_page_is_there_in_both_languages(fake: Server) -> None:
    english, chinese = fake.get("/page/words.js")[1].decode().split("\n  zh: {", 1)
    names = [set(re.findall(r"^ {4,6}(\w+):", part, re.MULTILINE)) for part in (english, chinese)]
    assert names[0] == names[1]
    assert set(re.findall(r"data-say(?:-label)?=\"(\w+)\"", html(fake))) <= names[0]


def test_the_page_may_speak_to_its_own_server_alone(fake: Server) -> None:
    with urllib.request.urlopen(urllib.request.Request(fake.url + "/", headers={"Accept": BROWSER})) as answer:
        policy = answer.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
