// Runs beside the audio: whatever the context gives becomes mono PCM16 at 16 kHz in frames of 50 ms.

const RATE = 16_000;
const FRAME = RATE / 20;
const FULL_SCALE = 32_767;

class PcmTap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE;
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.sum = 0; // of the input samples, each weighed by its part, that make the next output sample
    this.need = this.step;
    this.peak = 0;
    this.port.onmessage = () => this.flush();
  }

  process([input]) {
    if (input.length > 0) {
      for (let i = 0; i < input[0].length; i++) {
        let mono = 0;
        for (const channel of input) mono += channel[i];
        this.take(mono / input.length);
      }
    }
    return true;
  }

  /** Average over the span of an output sample: a low-pass that is good enough where the context's own rate is kept. */
  take(sample) {
    let part = 1;
    while (part >= this.need) {
      this.emit((this.sum + sample * this.need) / this.step);
      part -= this.need;
      this.sum = 0;
      this.need = this.step;
    }
    this.sum += sample * part;
    this.need -= part;
  }

  emit(sample) {
    const clipped = Math.max(-1, Math.min(1, sample));
    this.peak = Math.max(this.peak, Math.abs(clipped));
    this.frame[this.filled++] = Math.round(clipped * FULL_SCALE);
    if (this.filled === FRAME) this.post();
  }

  post() {
    const pcm = this.frame.slice(0, this.filled);
    this.port.postMessage({ pcm, peak: this.peak }, [pcm.buffer]);
    this.filled = 0;
    this.peak = 0;
  }

  flush() {
    if (this.filled > 0) this.post();
    this.port.postMessage({ flushed: true });
  }
}

registerProcessor("pcm-tap", PcmTap);
