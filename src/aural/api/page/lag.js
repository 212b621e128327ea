// How soon words were shown after they were spoken. Their times are known once an utterance is final; what was on the
// screen by when is remembered until then.

const letters = (text) => text.replace(/\s/g, "").length;

export class Lag {
  constructor() {
    this.histories = new Map(); // utterance → [{at, length}], as its shown text grew
  }

  /** `text` of an utterance, its draft included, is on the screen now. */
  note(id, text) {
    const history = this.histories.get(id) ?? [];
    const length = letters(text);
    if (length > (history.at(-1)?.length ?? 0)) history.push({ at: performance.now(), length });
    this.histories.set(id, history);
  }

  /** Mean milliseconds from the end of each word to when it was first shown, or undefined where that is not known. */
  final(id, words, clock) {
    const history = this.histories.get(id) ?? [];
    this.histories.delete(id);
    const lags = [];
    let length = 0;
    for (const { word, end } of words ?? []) {
      length += letters(word);
      const shown = history.find((one) => one.length >= length);
      const captured = clock.capturedAt(end * 1000);
      if (shown && captured !== null) lags.push(shown.at - captured);
    }
    return lags.length ? lags.reduce((sum, lag) => sum + lag, 0) / lags.length : undefined;
  }
}
