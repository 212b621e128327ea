// The sound that the page has captured, on one clock since it was opened: places are samples. What has no final text yet
// is kept, with the moment at which it was captured.

export const RATE = 16_000;

const MOST_KEPT = 180 * RATE; // three minutes

export const milliseconds = (samples) => (samples * 1000) / RATE;
export const samples = (ms) => Math.round((ms * RATE) / 1000);

export class Tape {
  constructor() {
    this.frames = []; // {start, end, pcm, at}: `at` is when the last of its samples was captured
    this.end = 0;
  }

  /** Where what is kept begins. */
  get start() {
    return this.frames[0]?.start ?? this.end;
  }

  get endMs() {
    return milliseconds(this.end);
  }

  /** PCM16 at 16 kHz, mono. */
  append(pcm, at = performance.now()) {
    this.frames.push({ start: this.end, end: this.end + pcm.length, pcm, at });
    this.end += pcm.length;
    this.forget(this.end - MOST_KEPT);
  }

  /** What lies before this place is not needed any more. */
  forget(place) {
    const first = this.frames.findIndex(({ end }) => end > place);
    this.frames.splice(0, first < 0 ? this.frames.length : first);
  }

  /** What is kept from this place on, as Int16Arrays. */
  from(place) {
    const wanted = this.frames.filter(({ end }) => end > place);
    return wanted.map(({ start, pcm }) => pcm.subarray(Math.max(0, place - start)));
  }

  /** When the sound at `ms` was captured, on the clock of performance.now(), or null where that is not kept. */
  capturedAt(ms) {
    const place = samples(ms);
    const frame = this.frames.find(({ end }) => end >= place);
    return !frame || frame.start > place ? null : frame.at - milliseconds(frame.end - place);
  }
}
