// One live session: OpenAI's Realtime transcription protocol over a WebSocket.

import { RATE, samples } from "./tape.js";

const SLOW_BYTES = 5 * RATE * 2 * (4 / 3); // five seconds of audio as base64 that the network has not taken yet
const SILENT_MS = 15_000; // how long the server may say nothing when it was asked for the last words
const LOST_CODES = new Set([1001, 1005, 1006, 1012, 1013]); // the network, or a server that goes away or is full
const KEY = "aural-key."; // a subprotocol has few characters, a key may have any

export class Session {
  /**
   * Opens at once, and sends the tape from the place `from` on. `base` is the place at which the session's own clock
   * starts; `token` goes on with a session that grew too old.
   *
   * `listener.onOpen()` is called when sound is about to be sent, `onEvent(event)` for every event of the server,
   * `onSlow(isSlow)` with every frame, and once `onEnd({resume, error, isLost, retryAfterMs})`: how to go on, or what
   * went wrong and whether another try may help, or nothing when all was heard.
   */
  constructor({ key, model, language, include }, { tape, from, base = from, token }, listener) {
    Object.assign(this, { language, include, tape, base, listener });
    this.next = from; // the place that is sent next
    this.state = "opening"; // then open, then closed
    this.isFinishing = false;
    this.hasEnded = false; // the server has said its last
    this.isCatchingUp = true; // what was kept is sent faster than it was spoken
    this.resume = null;
    this.failure = null; // the server's error, when nothing came after it
    this.socket = new WebSocket(address(model, token), ["realtime", ...(key ? [KEY + base64url(key)] : [])]);
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = (close) => this.end(this.outcome(close));
  }

  /** Send what has come onto the tape. */
  pump() {
    if (this.state !== "open" || this.socket.readyState !== WebSocket.OPEN) return;
    for (const pcm of this.tape.from(this.next)) {
      this.send({ type: "input_audio_buffer.append", audio: base64(pcm) });
      this.next += pcm.length;
    }
    const isBehind = this.socket.bufferedAmount > SLOW_BYTES;
    this.isCatchingUp &&= isBehind;
    this.listener.onSlow(isBehind && !this.isCatchingUp);
  }

  /** No more sound will come: the session ends after its last words, or when nothing is heard of the server for long. */
  finish() {
    if (this.state === "closed") return;
    this.isFinishing = true;
    this.wait();
    if (this.state === "open") this.send({ type: "aural.finish" });
  }

  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.abandon();
      this.listener.onEnd({ error: { name: "unheard" } });
    }, SILENT_MS);
  }

  /** End without a word to anybody. */
  abandon() {
    this.state = "closed";
    clearTimeout(this.timer);
    this.socket.close();
  }

  send(event) {
    this.socket.send(JSON.stringify(event));
  }

  receive(event) {
    if (this.state === "closed") return;
    if (this.isFinishing) this.wait();
    this.failure = event.type === "error" ? event.error : null;
    this.listener.onEvent(event);
    switch (event.type) {
      case "session.created":
        this.configure();
        break;
      case "session.updated":
        this.begin();
        break;
      case "aural.going_away":
        this.resume = { token: event.resume, base: this.base, from: this.base + samples(event.audio_end_ms) };
        break;
      case "aural.ended":
        this.hasEnded = true;
        this.socket.close(1000);
        break;
      case "error":
        if (this.state === "opening") this.socket.close(1000);
    }
  }

  configure() {
    const input = {
      format: { type: "audio/pcm", rate: RATE },
      transcription: { ...(this.language && { language: this.language }) },
      turn_detection: { type: "server_vad" },
    };
    this.send({ type: "session.update", session: { type: "transcription", audio: { input }, include: this.include } });
  }

  begin() {
    if (this.state !== "opening") return;
    this.state = "open";
    const skipped = Math.max(0, this.tape.start - this.next); // waited longer than the tape is
    this.next += skipped;
    this.base += skipped;
    this.listener.onOpen();
    this.pump();
    if (this.isFinishing) this.send({ type: "aural.finish" });
  }

  outcome({ code, reason }) {
    const { resume, failure } = this;
    if (resume) return { resume };
    if (this.hasEnded && this.isFinishing) return {};
    const isLost = LOST_CODES.has(code) || this.hasEnded; // it ended though nobody asked it to
    if (failure?.retry_after_s) return refusal(failure);
    if (failure) return { isLost, error: { name: "refused", detail: failure.message } };
    if (code === 1006) return { isLost, error: { name: this.state === "opening" ? "unreachable" : "closed" } };
    return { isLost, error: { name: "closed", detail: reason || String(code) } };
  }

  end(outcome) {
    if (this.state === "closed") return;
    this.state = "closed";
    clearTimeout(this.timer);
    this.listener.onEnd(outcome);
  }
}

function refusal({ code, retry_after_s: seconds }) {
  return { isLost: true, retryAfterMs: seconds * 1000, error: { name: code === "not_ready" ? "loading" : "full" } };
}

function address(model, token) {
  const url = new URL("v1/realtime?intent=transcription", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  if (model) url.searchParams.set("model", model);
  if (token) url.searchParams.set("resume", token);
  return url;
}

function base64(pcm) {
  return encoded(new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength));
}

function base64url(text) {
  return encoded(new TextEncoder().encode(text)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const encoded = (bytes) => btoa(String.fromCharCode(...bytes));
