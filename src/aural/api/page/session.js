// One live session: OpenAI's Realtime transcription protocol over a WebSocket, and the clock of what was sent.

import { RATE } from "./audio.js";

const SLOW_BYTES = 5 * RATE * 2 * (4 / 3); // five seconds of audio as base64 that the network has not taken yet
const REMEMBERED_FRAMES = 2_400; // two minutes of 50 ms
const FINISH_WITHIN_MS = 15_000;
const KEPT_FRAMES = 1_200; // a minute of what is said while there is no connection
const LOST_CODES = new Set([1001, 1005, 1006, 1012, 1013]); // the network, or a server that goes away or is full

export class Session {
  /** Opens at once. `onEvent(event)` gets every event of the server, `onClose(error|null)` is called once. */
  constructor({ key, model, language, include, waiting = [], onEvent, onClose, onSlow }) {
    this.handlers = { onEvent, onClose, onSlow };
    this.wish = { model, language, include };
    this.clock = new Clock();
    this.waiting = waiting; // frames from before the session was configured, or from after it was lost: {pcm, at}
    this.state = "opening";
    const url = new URL("v1/realtime?intent=transcription", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = new WebSocket(url, key ? ["realtime", `openai-insecure-api-key.${key}`] : ["realtime"]);
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = (close) => this.end(close);
    this.done = new Promise((resolve) => (this.resolveDone = resolve));
  }

  /** PCM16 at 16 kHz, mono. */
  append(pcm) {
    const frame = { pcm, at: performance.now() };
    if (this.state === "opening" || this.state === "closed") {
      this.waiting.push(frame);
      if (this.waiting.length > KEPT_FRAMES) this.waiting.shift();
    } else if (this.socket.readyState === WebSocket.OPEN) {
      this.transmit(frame);
      this.handlers.onSlow(this.socket.bufferedAmount > SLOW_BYTES);
    }
  }

  transmit({ pcm, at }) {
    this.clock.note(pcm.length, at);
    this.send({ type: "input_audio_buffer.append", audio: base64(pcm) });
  }

  /** Ask for what is still unsaid, wait for the last words, close. */
  async finish() {
    if (this.state === "opening") this.finishWhenOpen = true;
    else if (this.state === "open") this.sayFinished();
    const timer = setTimeout(() => this.socket.close(1000), FINISH_WITHIN_MS);
    await this.done;
    clearTimeout(timer);
  }

  sayFinished() {
    this.state = "finishing";
    this.send({ type: "aural.finish" });
  }

  send(event) {
    this.socket.send(JSON.stringify(event));
  }

  receive(event) {
    switch (event.type) {
      case "session.created":
        this.configure();
        break;
      case "session.updated":
        this.begin();
        break;
      case "aural.ended":
        this.socket.close(1000);
        break;
      case "error":
        this.failure ??= new Error(event.error.message);
        if (this.state === "opening") this.socket.close(1000);
    }
    this.handlers.onEvent(event);
  }

  configure() {
    const { model, language, include } = this.wish;
    const transcription = { ...(model && { model }), ...(language && { language }) };
    const input = {
      format: { type: "audio/pcm", rate: RATE },
      transcription,
      turn_detection: { type: "server_vad" },
    };
    this.send({ type: "session.update", session: { type: "transcription", audio: { input }, include } });
  }

  begin() {
    if (this.state !== "opening") return;
    this.state = "open";
    for (const frame of this.waiting.splice(0)) this.transmit(frame);
    if (this.finishWhenOpen) this.sayFinished();
  }

  end({ code, reason }) {
    const wasFinishing = this.state === "finishing";
    this.state = "closed";
    let error = this.failure ?? null;
    if (!error && !(wasFinishing && code === 1000)) {
      error = new Error(code === 1006 && !this.clock.sentSamples ? "unreachable" : "closed");
      error.detail = reason || (code === 1006 ? "" : String(code));
    }
    if (error) error.isLost = LOST_CODES.has(code) && !wasFinishing;
    this.resolveDone();
    this.handlers.onClose(error);
  }
}

/** When the sound at a place of the session's audio was captured, by the page's own clock. */
class Clock {
  constructor() {
    this.sentSamples = 0;
    this.frames = [];
  }

  /** `at` is when the last of them was captured. */
  note(samples, at) {
    this.sentSamples += samples;
    this.frames.push({ endMs: (this.sentSamples * 1000) / RATE, at });
    if (this.frames.length > REMEMBERED_FRAMES) this.frames.shift();
  }

  get sentMs() {
    return (this.sentSamples * 1000) / RATE;
  }

  /** When the sound at `ms` was captured, on the clock of performance.now(), or null where that is long ago. */
  capturedAt(ms) {
    const frame = this.frames.find((one) => one.endMs >= ms);
    return !frame || frame === this.frames[0] ? null : frame.at - (frame.endMs - ms);
  }
}

function base64(pcm) {
  return btoa(String.fromCharCode(...new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength)));
}
