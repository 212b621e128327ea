// Captions as files. Pure: utterances {startMs, endMs, text, words: [{word, startMs, endMs}], language} in, text out.

const LONGEST_CUE = 84; // characters: two lines of television
const LONGEST_CUE_MS = 7_000;
const MARKS = /^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu;
const SPACELESS = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]/; // scripts without spaces between words, and their marks

export const TYPES = { txt: "text/plain", srt: "application/x-subrip", vtt: "text/vtt", json: "application/json" };

export function written(utterances, format) {
  return { txt, srt, vtt, json }[format](utterances);
}

const txt = (utterances) => utterances.map(({ text }) => `${text}\n`).join("");

const srt = (utterances) =>
  cues(utterances)
    .map(({ startMs, endMs, text }, i) => `${i + 1}\n${stamp(startMs, ",")} --> ${stamp(endMs, ",")}\n${safe(text)}\n`)
    .join("\n");

const vtt = (utterances) =>
  ["WEBVTT\n", ...cues(utterances).map(({ startMs, endMs, text }) => `${stamp(startMs, ".")} --> ${stamp(endMs, ".")}\n${escaped(text)}\n`)].join("\n");

const seconds = (ms) => Math.round(ms) / 1000;

const json = (utterances) =>
  JSON.stringify(
    {
      text: joined(utterances.map(({ text }) => text)),
      segments: utterances.map(({ startMs, endMs, text, words, language }) => ({
        start: seconds(startMs),
        end: seconds(endMs),
        text,
        ...(language && { language }),
        words: placed({ text, words }).map(({ from, to, startMs: start, endMs: end }) => ({ word: text.slice(from, to).trim(), start: seconds(start), end: seconds(end) })),
      })),
    },
    null,
    2,
  );

/** Sentences one after the other, with a space between them where their language has spaces. */
function joined(texts) {
  return texts.reduce((all, text) => {
    const isClose = !all || SPACELESS.test([...all].at(-1)) || SPACELESS.test([...text][0]);
    return all + (isClose ? "" : " ") + text;
  }, "");
}

function cues(utterances) {
  return utterances.flatMap((utterance) => (isLong(utterance) ? split(utterance) : [utterance]));
}

const isLong = ({ startMs, endMs, text }) => text.length > LONGEST_CUE || endMs - startMs > LONGEST_CUE_MS;

/** Cues of whole words, none longer than people can read at a glance; together they are the text. */
function split(utterance) {
  const { text } = utterance;
  const found = [];
  for (const { from, to, startMs, endMs } of placed(utterance)) {
    const last = found.at(-1);
    if (last && to - last.from <= LONGEST_CUE && endMs - last.startMs <= LONGEST_CUE_MS) Object.assign(last, { to, endMs });
    else found.push({ from, to, startMs, endMs });
  }
  if (found.length < 2) return [utterance];
  return found.map(({ from, to, startMs, endMs }) => ({ startMs, endMs, text: text.slice(from, to).trim() }));
}

/** The words as they stand in the text, each with the marks around it; those that do not stand there are left out. */
function placed({ text, words }) {
  const found = [];
  let at = 0;
  for (const { word, startMs, endMs } of words) {
    const bare = word.replace(MARKS, ""); // marks may have changed after it was heard
    const from = text.indexOf(bare, at);
    if (!bare || from < 0) continue;
    at = from + bare.length;
    found.push({ from, end: at, startMs, endMs });
  }
  const cuts = found.map(({ from }, i) => (i ? cut(text, found[i - 1].end, from) : 0));
  return found.map(({ startMs, endMs }, i) => ({ from: cuts[i], to: cuts[i + 1] ?? text.length, startMs, endMs }));
}

/** Where what lies between two words is parted: after its last space, or before the second word. */
function cut(text, from, to) {
  const space = text.slice(from, to).search(/\s\S*$/);
  return space < 0 ? to : from + space + 1;
}

const safe = (text) => text.replaceAll("-->", "→");
const escaped = (text) => safe(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function stamp(ms, point) {
  const whole = Math.round(ms);
  const pad = (value, width) => String(value).padStart(width, "0");
  const clock = [whole / 3_600_000, (whole / 60_000) % 60, (whole / 1000) % 60].map((part) => pad(Math.floor(part), 2));
  return clock.join(":") + point + pad(whole % 1000, 3);
}
