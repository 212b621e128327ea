// How soon words were shown after they were spoken, and how soon an utterance was final after its end was noticed. The
// times of words are known once it is final; what was on the screen by when is remembered until then.

const letters = (text) => text.replace(/\s/g, "").length;

export class Lag {
  /** `capturedAt(ms)` says when a sound was captured, or null. */
  constructor(capturedAt) {
    this.capturedAt = capturedAt;
    this.known = new Map(); // utterance → {shown: [{at, length}] as its text grew, stoppedAt}
  }

  /** `text` of an utterance, its draft included, is on the screen now. */
  note(id, text) {
    const { shown } = this.get(id);
    const length = letters(text);
    if (length > (shown.at(-1)?.length ?? 0)) shown.push({ at: performance.now(), length });
  }

  /** The server heard its speech end at `ms`. */
  stopped(id, ms) {
    this.get(id).stoppedAt = this.capturedAt(ms);
  }

  /**
   * The utterance is final. Milliseconds, undefined where they are not known: `word`, the mean from the end of each of
   * its words {word, endMs} to when it was first shown, and `final`, since its speech stopped.
   */
  final(id, words) {
    const { shown, stoppedAt } = this.get(id);
    this.known.delete(id);
    const lags = [];
    let length = 0;
    for (const { word, endMs } of words) {
      length += letters(word);
      const first = shown.find((one) => one.length >= length);
      const captured = this.capturedAt(endMs);
      if (first && captured !== null) lags.push(first.at - captured);
    }
    return { word: mean(lags), final: stoppedAt == null ? undefined : performance.now() - stoppedAt };
  }

  get(id) {
    if (!this.known.has(id)) this.known.set(id, { shown: [], stoppedAt: null });
    return this.known.get(id);
  }
}

const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : undefined);
