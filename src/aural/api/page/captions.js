// What was said: one entry per utterance, made from the session's events, and drawn as it grows.

import { explain } from "./words.js";

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
    this.endMs = 0;
    this.view.list.replaceChildren();
    this.view.spoken.replaceChildren();
  }

  /** The next session begins where the last one ended. */
  beginSession() {
    this.offsetMs = this.endMs;
    this.byId.clear();
  }

  endSession(sentMs) {
    this.endMs = this.offsetMs + sentMs;
    for (const utterance of this.byId.values()) this.close(utterance);
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

  final(id, text, { words, start_ms: startMs, end_ms: endMs, language } = {}) {
    const utterance = this.get(id);
    utterance.committed = text;
    if (words) utterance.words = words.map((word) => this.placed(word));
    if (startMs !== undefined) utterance.startMs = this.offsetMs + startMs;
    if (endMs !== undefined) utterance.endMs = this.offsetMs + endMs;
    utterance.language = language;
    this.close(utterance);
    if (text.trim()) this.announce(text);
  }

  fail(id, message) {
    const utterance = this.get(id);
    utterance.failure = message;
    this.close(utterance);
  }

  /** The utterances that have text, for download. */
  get finished() {
    return this.utterances
      .filter((one) => one.committed.trim())
      .sort((a, b) => a.startMs - b.startMs)
      .map(({ startMs, endMs, committed, words, language }) => ({ startMs, endMs, text: committed.trim(), words, language }));
  }

  placed({ word, start, end }) {
    return { word, startMs: this.offsetMs + start * 1000, endMs: this.offsetMs + end * 1000 };
  }

  get(id) {
    if (!this.byId.has(id)) this.byId.set(id, { committed: "", draft: "", words: [], isOpen: true, startMs: this.offsetMs, endMs: this.offsetMs });
    return this.byId.get(id);
  }

  close(utterance) {
    utterance.isOpen = false;
    utterance.draft = "";
    this.draw(utterance);
  }

  draw(utterance) {
    const hasText = utterance.committed.trim() || utterance.draft.trim() || utterance.failure;
    if (!utterance.node) {
      if (!hasText) return;
      this.utterances.push(utterance);
      utterance.node = makeNode();
      this.view.list.append(utterance.node.row);
    }
    const { row, time, committed, space, draft } = utterance.node;
    row.hidden = !hasText;
    row.className = `utterance ${utterance.isOpen ? "open" : "final"} ${utterance.failure ? "failed" : ""}`;
    time.textContent = clock(utterance.startMs);
    committed.textContent = utterance.failure ? explain({ name: "failed", detail: utterance.failure }) : utterance.committed.trimStart();
    const tail = utterance.committed ? utterance.draft : utterance.draft.trimStart();
    draft.textContent = tail.trimStart();
    space.data = tail.slice(0, tail.length - tail.trimStart().length);
    if (utterance.language) committed.lang = utterance.language;
  }

  follow() {
    if (this.follows) this.view.scroller.scrollTop = this.view.scroller.scrollHeight;
  }

  announce(text) {
    const line = document.createElement("p");
    line.textContent = text;
    this.view.spoken.append(line);
    if (this.view.spoken.childElementCount > 5) this.view.spoken.firstElementChild.remove();
  }
}

function makeNode() {
  const row = document.createElement("div");
  const time = document.createElement("time");
  const line = document.createElement("p");
  const committed = document.createElement("span");
  const draft = document.createElement("span");
  committed.className = "committed";
  draft.className = "draft";
  const space = document.createTextNode("");
  line.append(committed, space, draft);
  row.append(time, line);
  return { row, time, committed, space, draft };
}

function clock(ms) {
  const total = Math.floor(ms / 1000);
  const parts = [Math.floor(total / 60) % 60, total % 60].map((part) => String(part).padStart(2, "0"));
  return total >= 3600 ? `${Math.floor(total / 3600)}:${parts.join(":")}` : parts.join(":");
}
