"""The parts of the caption page, each by itself, in a real browser."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from tests.api.captions_page import PATIENCE_S, page, run
from tests.browser import chromium
from tests.conftest import Server

pytestmark = pytest.mark.slow

MAKE_CAPTIONS = """const {Captions} = await import('/page/captions.js');
const {written} = await import('/page/exports.js');
const [list, scroller, spoken] = ['utterances', 'transcript', 'spoken'].map((id) => document.getElementById(id));
const captions = new Captions({list, scroller, spoken});
const words = (text, start, each) => text.split(' ').map((word, i) => (
  {word: ' ' + word, start: start + i * each, end: start + (i + 1) * each}));
"""
MAKE_PANEL = """const insights = await import('/page/insights.js');
const panel = document.getElementById('insights');
const marked = () => [...(CSS.highlights.get('insight') ?? [])].map(String);
const notice = (id, transcript, more) => insights.onEvent(
  {type: 'aural.utterance_insights', item_id: id, transcript, begin_offset_ms: 0, ...more}, panel, 60_000);
"""
MAKE_SOCKETS = """const {Session} = await import('/page/session.js');
const {Stream} = await import('/page/stream.js');
const {Tape} = await import('/page/tape.js');
const sockets = [], timers = new Map(), ends = [];
let count = 0, now = 0;
window.performance.now = () => now;
window.setTimeout = (run) => (timers.set(++count, run), count);
window.clearTimeout = (id) => timers.delete(id);
window.WebSocket = class {
  static OPEN = 1; readyState = 1; bufferedAmount = 0; sent = [];
  constructor() { sockets.push(this); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() {}
};
const hear = (socket, event) => socket.onmessage({data: JSON.stringify(event)});
const elapse = () => { for (const [id, run] of timers) { timers.delete(id); run(); } };
const listener = {onOpen() {}, onEvent() {}, onSlow() {}, onWait() {}, onEnd: (outcome) => ends.push(outcome)};
"""


@pytest.fixture(scope="module", autouse=True)
def _browser() -> None:
    chromium()


def value(server: Server, code: str) -> Any:
    """What the body of an async function returns in the page."""
    got: list[Any] = []

    async def scenario() -> None:
        async with page(server) as tab:
            got.append(await tab.run(f"(async () => {{{code}}})()"))

    run(scenario)
    return got[0]


def written(server: Server, utterances: list[dict[str, Any]], form: str) -> str:
    given = json.dumps([{"words": []} | one for one in utterances])
    text: str = value(
        server, f"const {{written}} = await import('/page/exports.js'); return written({given}, '{form}');"
    )
    return text


def test_the_tape_keeps_what_is_wanted_and_knows_when_it_was_captured(fake: Server) -> None:
    code = """const {Tape} = await import('/page/tape.js');
    const tape = new Tape();
    for (let i = 0; i < 4; i++) tape.append(new Int16Array(800).fill(i), 1000 + 50 * (i + 1));
    tape.forget(1000);
    const long = new Tape();
    for (let i = 0; i < 200; i++) long.append(new Int16Array(16_000));
    return [tape.start, tape.end, tape.from(1200).map((pcm) => [pcm.length, pcm[0]]),
      [40, 100, 125, 201].map((ms) => tape.capturedAt(ms)), long.endMs - long.start / 16];"""
    start, end, parts, moments, kept_ms = value(fake, code)
    assert (start, end) == (800, 3200)
    assert parts == [[400, 1], [800, 2], [800, 3]]
    assert moments == [None, 1100, 1125, None]
    assert kept_ms == 180_000


def test_the_last_words_are_waited_for_while_anything_comes(fake: Server) -> None:
    code = """const session = new Session({include: []}, {tape: new Tape(), from: 0}, listener);
    session.finish();
    const before = [...timers.keys()];
    hear(sockets[0], {type: 'aural.draft'});
    const after = [...timers.keys()];
    elapse();
    return [before, after, ends];"""
    assert value(fake, MAKE_SOCKETS + code) == [[1], [2], [{"error": {"name": "unheard"}}]]


def test_a_refusal_for_now_says_why_and_when_to_ask_again(fake: Server) -> None:
    code = """for (const code of ['not_ready', 'overloaded']) {
      new Session({include: []}, {tape: new Tape(), from: 0}, listener);
      hear(sockets.at(-1), {type: 'error', error: {code, message: 'no', retry_after_s: 2}});
      sockets.at(-1).onclose({code: 1013});
    }
    return ends;"""
    assert value(fake, MAKE_SOCKETS + code) == [
        {"isLost": True, "retryAfterMs": 2000, "error": {"name": name}} for name in ("loading", "full")
    ]


def test_a_server_that_stays_away_is_given_up(fake: Server) -> None:
    code = """new Stream(new Tape(), () => ({include: []}), listener);
    hear(sockets[0], {type: 'session.updated'});
    for (let i = 0; i < 20; i++) {
      now += 60_000;
      sockets.at(-1).onclose({code: 1006});
      elapse();
    }
    return [sockets.length, ends];"""
    tries, ends = value(fake, MAKE_SOCKETS + code)
    assert tries == 8
    assert ends == [{"name": "unreachable"}]


def test_after_a_loss_the_next_session_hears_from_the_last_final_on(fake: Server) -> None:
    code = """const offsets = [];
    const stream = new Stream(new Tape(), () => ({include: []}), {...listener, onOpen: (ms) => offsets.push(ms)});
    hear(sockets[0], {type: 'session.updated'});
    for (let i = 0; i < 20; i++) stream.append(new Int16Array(1600));
    const type = 'conversation.item.input_audio_transcription.completed';
    hear(sockets[0], {type, end_ms: 1250});
    sockets[0].onclose({code: 1006});
    stream.append(new Int16Array(1600));
    elapse();
    hear(sockets[1], {type: 'session.updated'});
    hear(sockets[1], {type: 'aural.going_away', audio_end_ms: 500, resume: 'TOKEN'});
    hear(sockets[1], {type: 'aural.ended'});
    sockets[1].onclose({code: 1000});
    hear(sockets[2], {type: 'session.updated'});
    const sent = sockets.map((one) => one.sent.reduce((sum, {audio = ''}) => sum + atob(audio).length / 32, 0));
    return [offsets, sent, ends];"""
    offsets, sent, ends = value(fake, MAKE_SOCKETS + code)
    assert offsets == [0, 1250, 1250]
    assert sent == [2000, 2100 - 1250, 2100 - 1250 - 500]
    assert ends == []


def test_a_figure_is_of_its_own_utterance_or_there_is_none(fake: Server) -> None:
    code = """const {Lag} = await import('/page/lag.js');
    const began = performance.now();
    const lag = new Lag((ms) => began + ms);
    lag.note('a', 'one two');
    lag.stopped('a', -5000);
    lag.stopped('b', -1000);
    return [lag.final('a', [{word: 'one', endMs: -2000}]), lag.final('b', []), lag.final('c', [])];"""
    a, b, c = value(fake, code)
    assert a["final"] >= 5000
    assert a["final"] > b["final"] >= 1000
    assert a["word"] >= 2000
    assert "word" not in b
    assert c == {}


def test_what_is_still_spoken_is_downloaded_with_a_length(fake: Server) -> None:
    code = """captions.begin(60_000);
    captions.started('a', 1000);
    captions.grow('a', 'and so', words('and so', 2, 0.5));
    captions.started('b', 4000);
    captions.grow('b', 'without times', []);
    return captions.finished(70_000).map(({startMs, endMs}) => [startMs, endMs]);"""
    assert value(fake, MAKE_CAPTIONS + code) == [[61_000, 63_000], [64_000, 70_000]]


def test_sessions_follow_each_other_and_what_was_open_is_heard_again(fake: Server) -> None:
    code = """captions.begin(0);
    captions.final('a', 'One.', {start_ms: 500, end_ms: 900});
    captions.started('b', 1000);
    captions.grow('b', 'Two', []);
    captions.begin(900);
    captions.final('c', 'Two again.', {start_ms: 100, end_ms: 2100});
    captions.end(3000);
    captions.begin(3_700_000);
    captions.final('d', 'Three.', {start_ms: 1000, end_ms: 2000});
    const shown = [...list.children].map((row) => row.textContent);
    return [shown, written(captions.finished(0), 'srt')];"""
    shown, srt = value(fake, MAKE_CAPTIONS + code)
    assert shown == ["00:00One.", "00:01Two again.", "1:01:41Three."]
    assert srt.splitlines() == [
        *("1", "00:00:00,500 --> 00:00:00,900", "One.", ""),
        *("2", "00:00:01,000 --> 00:00:03,000", "Two again.", ""),
        *("3", "01:01:41,000 --> 01:01:42,000", "Three."),
    ]


def test_cues_and_words_are_cut_from_the_text_that_is_shown(fake: Server) -> None:
    said = 'He said, "wait — 5 < 6 & 7 > 6" and then he went on --> for quite a while about nothing at all.'
    heard = "He said wait, 5 < 6 & 7 > 6 and then he went on for quite a while about nothing at all"
    code = f"""captions.grow('a', {json.dumps(said)}, words({json.dumps(heard)}, 10, 0.5));
    const others = words('Other words than those', 10, 1);
    captions.final('a', {json.dumps(said)}, {{start_ms: 10_000, end_ms: 25_000, words: others}});
    return ['txt', 'vtt', 'json'].map((form) => written(captions.finished(0), form));"""
    txt, vtt, whole = value(fake, MAKE_CAPTIONS + code)
    assert txt == said + "\n"
    cues = [cue.split("\n", 1)[1] for cue in vtt.removeprefix("WEBVTT\n\n").strip().split("\n\n")]
    assert len(cues) > 1
    escaped = said.replace("-->", "→").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert " ".join(cues) == escaped
    [segment] = json.loads(whole)["segments"]
    assert " ".join(word["word"] for word in segment["words"]) == said
    assert segment["words"][0] == {"word": "He", "start": 10, "end": 10.5}


def test_chinese_has_no_spaces_between_its_sentences_and_words(fake: Server) -> None:
    words = [
        {"word": word, "startMs": 2000 * i, "endMs": 2000 * (i + 1)}
        for i, word in enumerate(["你好,", "用", "GPT 4", "吗"])
    ]
    one = {"startMs": 0, "endMs": 8000, "text": "你好，用 GPT 4 吗？", "words": words}
    other = {"startMs": 9000, "endMs": 9500, "text": "好。"}
    english = [{"startMs": 0, "endMs": 1, "text": "Yes."}, {"startMs": 2, "endMs": 3, "text": "No."}]
    assert json.loads(written(fake, [one, other], "json"))["text"] == "你好，用 GPT 4 吗？好。"
    assert json.loads(written(fake, english, "json"))["text"] == "Yes. No."
    cues = written(fake, [one], "srt").strip().split("\n\n")
    assert [cue.split("\n")[2] for cue in cues] == ["你好，用 GPT 4", "吗？"]


def test_marks_are_where_things_were_found_and_stay_there(fake: Server) -> None:
    code = """captions.final('a', '😀 start of the art. Art!', {});
    notice('a', '😀 start of the art. Art!', {
      keywords: [{text: 'art', character_offsets: {begin: 15, end: 18}}], terms: [{text: 'start'}]});
    captions.final('b', '退款，我要退款', {});
    notice('b', '退款，我要退款', {terms: [{text: '退款'}]});
    captions.end(0);
    captions.redraw();
    const all = marked();
    insights.onClear(panel);
    return [all, marked()];"""
    marked, left = value(fake, MAKE_CAPTIONS + MAKE_PANEL + code)
    assert marked == ["art", "start", "退款", "退款"]
    assert left == []


def test_alerts_are_told_once_with_the_times_of_the_page_in_the_language_of_the_page(fake: Server) -> None:
    code = """const alert = (name, ms) => insights.onEvent({type: 'aural.alert', name, offset_ms: ms}, panel, 60_000);
    alert('angry', 5000);
    const [first] = panel.querySelectorAll('[role=alert]');
    alert('silent', 3_600_000);
    notice('a', 'x', {intents: [{intent: 'cancel_service'}]});
    const stays = panel.querySelectorAll('[role=alert]')[1] === first;
    const english = panel.innerText;
    document.getElementById('locale').click();
    return [stays, panel.querySelectorAll('[role=alert]').length, english, panel.innerText];"""
    stays, count, english, chinese = value(fake, MAKE_PANEL + code)
    assert stays
    assert count == 2
    for text in ("Alerts", "01:05 angry", "1:01:00 silent", "Wants", "cancel service"):
        assert text in english
    for text in ("提醒", "01:05 angry", "意图", "取消服务"):
        assert text in chinese


def test_the_mood_of_a_long_call_is_drawn_whole_and_said_in_a_sentence(fake: Server) -> None:
    code = """const emotion = {label: 'joy', confidence: 0.9};
    for (let i = 0; i < 1000; i++) notice(`u${i}`, 'x', {
      begin_offset_ms: 1000 * i, emotion,
      sentiment: i < 300 ? {label: 'NEGATIVE', score: -0.8} : {label: 'POSITIVE', score: 0.5}});
    const points = panel.querySelector('polyline').getAttribute('points').split(' ');
    return [points.map((one) => one.split(',').map(Number)), panel.querySelector('svg').getAttribute('aria-label')];"""
    points, label = value(fake, MAKE_PANEL + code)
    assert 60 < len(points) <= 120
    down = [x for x, y in points if y > 28]
    assert 0.28 < len(down) / len(points) < 0.32
    assert label == "Mood over 1000 sentences: 700 pleasant, 300 unpleasant."


def test_an_utterance_that_is_told_again_counts_once(fake: Server) -> None:
    code = """const sure = (label, sentiment, more) => ({
      emotion: {label, confidence: 0.9}, sentiment: {label: sentiment, score: 0}, keywords: [{text: 'refund'}],
      ...more});
    notice('u1', 'refund', sure('joy', 'POSITIVE'));
    notice('u2', 'refund', sure('joy', 'POSITIVE'));
    notice('u1', 'refund', sure('anger', 'NEGATIVE', {engine: {language_model: {}}}));
    return [panel.innerText, panel.querySelector('svg').getAttribute('aria-label')];"""
    shown, label = value(fake, MAKE_PANEL + code)
    assert "refund ×2" in shown
    assert label == "Mood over 2 sentences: 1 pleasant, 1 unpleasant."


def test_notes_of_the_session_before_stay(fake: Server) -> None:
    code = """const call = (text) => insights.onEvent({type: 'aural.call_insights', issues: [{text}]}, panel, 0);
    call('the router is dead');
    insights.onEvent({type: 'session.created'}, panel, 0);
    call('and so is the phone');
    return panel.innerText;"""
    shown = value(fake, MAKE_PANEL + code)
    assert shown.index("router") < shown.index("phone")


def test_ready_intents_have_chinese_names(fake: Server) -> None:
    ready = tomllib.loads(files("aural.insight.data").joinpath("intents.toml").read_text())
    code = fake.get("/page/insights.js")[1].decode()
    assert [label for label in ready if f"{label}: " not in code] == []


def test_a_model_that_is_loading_does_not_undo_the_choice(fake: Server) -> None:
    loading = """window.asked = 0;
    window.fetch = async () => {
      asked++;
      return {status: 200, json: async () => ({data: ['first', 'other'].map((id) => ({id, capabilities: null}))})};
    }"""

    async def scenario() -> None:
        async with page(fake) as tab:
            await tab.do("Page.addScriptToEvaluateOnNewDocument", source=loading)
            await tab.do("Page.reload")
            await tab.until("window.asked > 0 && document.getElementById('model')?.options.length === 2", PATIENCE_S)
            await tab.run("document.getElementById('model').value = 'other'")
            await tab.until("asked > 2", PATIENCE_S)
            assert await tab.run("document.getElementById('model').value") == "other"

    run(scenario)
