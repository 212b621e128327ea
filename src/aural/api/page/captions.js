// What was said: one entry per utterance, made from the session's events, and drawn as it grows. Times are those of the
// page's tape.

import { clock, explain } from "./words.js";

const AT_BOTTOM_PX = 80;
const BY_HAND_MS = 1_000;

export class Captions {
  constructor({ list, scroller, spoken }) {
    this.view = { list, scroller, spoken };
    this.follows = true; // the newest words are kept in view, until somebody scrolls away from them
    let touchedAt = -Infinity;
    for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) {
      scroller.addEventListener(kind, () => (touchedAt = performance.now()), { passive: true });
    }
    scroller.addEventListener("scroll", () => {
      const isAtBottom = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < AT_BOTTOM_PX;
      if (isAtBottom) this.follows = true;
      else if (performance.now() - touchedAt < BY_HAND_MS) this.follows = false; // new sizes scroll, too
    });
    const resized = new ResizeObserver(() => this.follow());
    resized.observe(scroller);
    resized.observe(list);
    this.offsetMs = 0; // of the running session in the time of the page
    this.clear();
  }

  /** Forget what was said. The clock of a running session goes on. */
  clear() {
    this.utterances = [];
    this.byId = new Map();
    this.view.list.replaceChildren();
    this.view.spoken.replaceChildren();
  }

  /** A session begins. What the one before left open is heard again in this one. */
  begin(offsetMs) {
    this.offsetMs = offsetMs;
    for (const [id, utterance] of this.byId) if (utterance.isOpen) this.drop(id, utterance);
  }

  /** Nothing more will be heard of what is open. */
  end(nowMs) {
    for (const utterance of this.byId.values()) {
      if (!utterance.isOpen) continue;
      utterance.endMs = endOf(utterance, nowMs);
      this.close(utterance);
    }
  }

  get isEmpty() {
    return this.utterances.length === 0;
  }

  started(id, ms) {
    const utterance = this.get(id);
    utterance.startMs = this.offsetMs + ms;
    utterance.endMs = utterance.startMs;
  }

  stopped(id, ms) {
    this.get(id).endMs = this.offsetMs + ms;
  }

  grow(id, delta, words = []) {
    const utterance = this.get(id);
    utterance.committed += delta;
    utterance.words.push(...words.map((word) => this.placed(word)));
    utterance.draft = "";
    this.draw(utterance);
  }

  redraft(id, text) {
    const utterance = this.get(id);
    utterance.draft = text;
    this.draw(utterance);
  }

  /** All that is on the screen of an utterance. */
  shown(id) {
    const { committed, draft } = this.get(id);
    return committed + draft;
  }

  wordsOf(id) {
    return this.get(id).words;
  }

  final(id, text, { words = [], start_ms: startMs, end_ms: endMs, language } = {}) {
    const utterance = this.get(id);
    utterance.committed = text;
    if (spell(words, text)) utterance.words = words.map((word) => this.placed(word));
    if (startMs !== undefined) utterance.startMs = this.offsetMs + startMs;
    if (endMs !== undefined) utterance.endMs = this.offsetMs + endMs;
    utterance.language = language;
    this.close(utterance);
    if (text.trim()) this.announce(text, language);
  }

  fail(id, message) {
    const utterance = this.get(id);
    utterance.failure = message;
    this.close(utterance);
  }

  /** The utterances that have text, for download; one that is still spoken ends with its last word. */
  finished(nowMs) {
    return this.utterances
      .filter((one) => one.committed.trim())
      .sort((a, b) => a.startMs - b.startMs)
      .map((one) => ({ startMs: one.startMs, endMs: endOf(one, nowMs), text: one.committed.trim(), words: one.words, language: one.language }));
  }

  get hasText() {
    return this.utterances.some((one) => one.committed.trim());
  }

  placed({ word, start, end }) {
    return { word, startMs: this.offsetMs + start * 1000, endMs: this.offsetMs + end * 1000 };
  }

  get(id) {
    if (!this.byId.has(id)) this.byId.set(id, { id, committed: "", draft: "", words: [], isOpen: true, startMs: this.offsetMs, endMs: this.offsetMs });
    return this.byId.get(id);
  }

  drop(id, utterance) {
    this.byId.delete(id);
    this.utterances = this.utterances.filter((one) => one !== utterance);
    utterance.node?.row.remove();
  }

  close(utterance) {
    utterance.isOpen = false;
    utterance.draft = "";
    this.draw(utterance);
  }

  /** The same in the language that the page has now. */
  redraw() {
    for (const utterance of this.utterances) this.draw(utterance);
  }

  draw(utterance) {
    const hasText = utterance.committed.trim() || utterance.draft.trim() || utterance.failure;
    if (!utterance.node) {
      if (!hasText) return;
      this.utterances.push(utterance);
      utterance.node = makeNode(utterance.id);
      this.view.list.append(utterance.node.row);
    }
    const { row, time, committed, space, draft } = utterance.node;
    row.hidden = !hasText;
    row.className = `utterance ${utterance.isOpen ? "open" : "final"} ${utterance.failure ? "failed" : ""}`;
    time.textContent = clock(utterance.startMs);
    write(committed, utterance.failure ? explain({ name: "failed", detail: utterance.failure }) : utterance.committed.trimStart());
    const tail = utterance.committed ? utterance.draft : utterance.draft.trimStart();
    draft.textContent = tail.trimStart();
    space.data = tail.slice(0, tail.length - tail.trimStart().length);
    if (utterance.language) committed.lang = draft.lang = utterance.language;
  }

  follow() {
    if (this.follows) this.view.scroller.scrollTop = this.view.scroller.scrollHeight;
  }

  announce(text, language) {
    const line = document.createElement("p");
    line.textContent = text;
    if (language) line.lang = language;
    this.view.spoken.append(line);
    if (this.view.spoken.childElementCount > 5) this.view.spoken.firstElementChild.remove();
  }
}

/** Text that is there already stays the same node: what is marked or selected in it stays so. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const letters = (text) => text.replace(/\s/g, "");

/** Whether words are those of the text, which may have been committed from an earlier hearing. */
const spell = (words, text) => words.length > 0 && letters(words.map(({ word }) => word).join("")) === letters(text);

function endOf({ startMs, endMs, words }, nowMs) {
  return endMs > startMs ? endMs : Math.max(startMs, words.at(-1)?.endMs ?? nowMs);
}

function makeNode(id) {
  const row = document.createElement("div");
  const time = document.createElement("time");
  const line = document.createElement("p");
  const committed = document.createElement("span");
  const draft = document.createElement("span");
  row.dataset.item = id;
  committed.className = "committed";
  draft.className = "draft";
  const space = document.createTextNode("");
  line.append(committed, space, draft);
  row.append(time, line);
  return { row, time, committed, space, draft };
}
