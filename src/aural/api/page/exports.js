// Captions as files. Pure: utterances {startMs, endMs, text, words: [{word, startMs, endMs}], language} in, text out.

const LONGEST_CUE = 84; // characters: two lines of television
const LONGEST_CUE_MS = 7_000;

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
      text: utterances.map(({ text }) => text).join(" "),
      segments: utterances.map(({ startMs, endMs, text, words, language }) => ({
        start: seconds(startMs),
        end: seconds(endMs),
        text,
        ...(language && { language }),
        words: words.map(({ word, startMs: start, endMs: end }) => ({ word, start: seconds(start), end: seconds(end) })),
      })),
    },
    null,
    2,
  );

function cues(utterances) {
  return utterances.flatMap((utterance) => (isLong(utterance) && utterance.words.length > 1 ? split(utterance) : [utterance]));
}

const isLong = ({ startMs, endMs, text }) => text.length > LONGEST_CUE || endMs - startMs > LONGEST_CUE_MS;

/** Cues of whole words, none longer than people can read at a glance. */
function split({ words, text }) {
  const glue = /\s/.test(text) ? " " : "";
  const found = [];
  for (const { word, startMs, endMs } of words) {
    const last = found.at(-1);
    const longer = last && last.text + glue + word.trim();
    if (longer && longer.length <= LONGEST_CUE && endMs - last.startMs <= LONGEST_CUE_MS) {
      last.text = longer;
      last.endMs = endMs;
    } else found.push({ startMs, endMs, text: word.trim() });
  }
  return found;
}

const safe = (text) => text.replaceAll("-->", "→");
const escaped = (text) => safe(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function stamp(ms, point) {
  const whole = Math.round(ms);
  const pad = (value, width) => String(value).padStart(width, "0");
  const clock = [whole / 3_600_000, (whole / 60_000) % 60, (whole / 1000) % 60].map((part) => pad(Math.floor(part), 2));
  return clock.join(":") + point + pad(whole % 1000, 3);
}
