// What is said, brought to the server in as many sessions as that takes: a session that is lost or has grown too old is
// followed by another one, which hears all that has no final text yet.

import { Session } from "./session.js";
import { milliseconds, samples } from "./tape.js";

const REOPEN_AFTER_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000]; // then it is given up
const STEADY_MS = 30_000; // a session that lived so long was none of the failures in a row
const FINAL = "conversation.item.input_audio_transcription.completed";

export class Stream {
  /**
   * Opens at once. `wish()` says what to ask for: {key, model, language, include}.
   *
   * `listener.onOpen(offsetMs)` is called for each session, with where its clock starts on the tape's; `onEvent(event)`
   * for every event, `onSlow(isSlow)` with every frame, `onWait(error, delayMs)` when the next try comes after so long,
   * and once `onEnd(error|null)`.
   */
  constructor(tape, wish, listener) {
    Object.assign(this, { tape, wish, listener });
    this.unheard = tape.end; // the place from which on there is no final text yet
    this.resume = null; // how to go on with a session that grew too old
    this.failures = 0; // in a row
    this.wasOpen = false;
    this.openedAt = -Infinity;
    this.isWaiting = false; // for a connection, after a failure
    this.isFinishing = false;
    this.isOver = false;
    this.open();
  }

  /** PCM16 at 16 kHz, mono. */
  append(pcm) {
    if (this.isOver) return;
    this.tape.append(pcm);
    this.session.pump();
  }

  /** No more sound will come: ends when all is heard, or when no connection can be had. */
  finish() {
    this.isFinishing = true;
    this.session.finish();
  }

  /** End at once. */
  giveUp() {
    clearTimeout(this.timer);
    this.session.abandon();
    this.over(this.tape.end > this.unheard ? { name: "unheard" } : null);
  }

  open() {
    this.session = new Session(this.wish(), { tape: this.tape, from: this.unheard, ...this.resume }, this);
    if (this.isFinishing) this.session.finish();
  }

  onOpen() {
    this.resume = null;
    this.wasOpen = true;
    this.isWaiting = false;
    this.openedAt = performance.now();
    this.listener.onOpen(milliseconds(this.session.base));
  }

  onEvent(event) {
    this.listener.onEvent(event);
    if (event.type === FINAL) this.settle(event.end_ms);
  }

  onSlow(isSlow) {
    this.listener.onSlow(isSlow);
  }

  /** Finals come in order: all before the end of one is heard. */
  settle(endMs) {
    this.failures = 0;
    this.unheard = this.session.base + samples(endMs);
    this.tape.forget(this.unheard);
  }

  onEnd({ resume, error = null, isLost, retryAfterMs = 0 }) {
    if (resume) return this.goOn(resume);
    if (!this.isWaiting && performance.now() - this.openedAt > STEADY_MS) this.failures = 0;
    const mayRetry = isLost && (this.wasOpen || retryAfterMs > 0) && this.failures < REOPEN_AFTER_MS.length;
    if (!mayRetry) return this.over(error);
    const delayMs = Math.max(retryAfterMs, REOPEN_AFTER_MS[this.failures++] * (0.5 + Math.random() / 2));
    this.isWaiting = true;
    this.timer = setTimeout(() => this.open(), delayMs);
    this.listener.onWait(retryAfterMs > 0 ? error : { name: "lost" }, delayMs);
  }

  goOn(resume) {
    this.resume = resume;
    this.unheard = resume.from;
    this.open();
  }

  over(error) {
    this.isOver = true;
    this.listener.onEnd(error);
  }
}
