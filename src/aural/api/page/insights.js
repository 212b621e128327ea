// What the captions mean, beside them: alerts, mood over time, intent, keywords, notes. The page calls the three
// functions that are exported; nothing else knows of insights.

import { currentLocale } from "./words.js";

const TEXTS = {
  en: { title: "Understanding", alerts: "Alerts", mood: "Mood", intent: "Wants", keywords: "Keywords", notes: "So far", issue: "issue", outcome: "outcome", action_item: "to do", skipped: "Too busy to look at every sentence" },
  zh: { title: "理解", alerts: "提醒", mood: "情绪", intent: "意图", keywords: "关键词", notes: "要点", issue: "问题", outcome: "结果", action_item: "待办", skipped: "太忙，未能分析每一句" },
};
const EMOTIONS = {
  en: {},
  zh: { anger: "生气", disgust: "厌恶", fear: "担心", joy: "高兴", sadness: "难过", surprise: "惊讶", neutral: "平静" },
};
const MOST = { keywords: 12, intents: 5, alerts: 4, moods: 60 };
const LEAST_SCORE = 0.35; // of an emotion that is worth a word
const WIDTH = 240;
const HEIGHT = 56;
const HIGHLIGHT = "insight";

let heard = fresh();

function fresh() {
  return { alerts: [], moods: [], intents: [], keywords: new Map(), notes: [], summary: "", isSkipping: false };
}

/** What a session is asked for beside captions: names for `session.include` of session.update. */
export function include() {
  return ["aural.insights"];
}

/** Any event of the session, in order. */
export function onEvent(event, panel) {
  switch (event.type) {
    case "aural.utterance_insights":
      noteUtterance(event);
      break;
    case "aural.alert":
      heard.alerts = [{ name: event.name, ms: event.offset_ms }, ...heard.alerts].slice(0, MOST.alerts);
      break;
    case "aural.call_insights":
      noteCall(event);
      break;
    case "aural.insights_skipped":
      heard.isSkipping = event.code === "overloaded";
      break;
    default:
      return;
  }
  draw(panel);
}

/** The captions were cleared. */
export function onClear(panel) {
  heard = fresh();
  globalThis.CSS?.highlights?.delete(HIGHLIGHT);
  panel.replaceChildren();
  panel.hidden = true;
}

function noteUtterance(event) {
  heard.isSkipping = false;
  const [intent] = event.intents ?? [];
  if (intent && intent.intent !== "other") {
    heard.intents = [intent.intent, ...heard.intents.filter((one) => one !== intent.intent)].slice(0, MOST.intents);
  }
  if (event.sentiment && event.emotion) {
    heard.moods = [...heard.moods, { valence: event.sentiment.score, emotion: event.emotion }].slice(-MOST.moods);
  }
  const said = [...(event.keywords ?? []).map(({ text }) => text), ...(event.terms ?? []).map(({ text }) => text)];
  for (const text of new Set(said.map((one) => one.toLowerCase()))) {
    heard.keywords.set(text, (heard.keywords.get(text) ?? 0) + 1);
  }
  mark(event.transcript, said);
}

function noteCall(event) {
  heard.summary = event.summary?.short ?? "";
  heard.notes = ["issue", "outcome", "action_item"].flatMap((kind) =>
    (event[`${kind}s`] ?? []).map(({ text }) => ({ kind, text })),
  );
}

/** Mark words in the caption that reads so. */
function mark(transcript, said) {
  const highlights = globalThis.CSS?.highlights;
  if (!highlights || !globalThis.Highlight) return;
  const lines = [...document.querySelectorAll("#utterances .committed")].reverse();
  const node = lines.find((line) => line.textContent.trim() === transcript)?.firstChild;
  if (!node) return;
  if (!highlights.has(HIGHLIGHT)) highlights.set(HIGHLIGHT, new Highlight());
  const text = node.data.toLowerCase();
  for (const word of said) {
    for (let at = text.indexOf(word.toLowerCase()); at >= 0; at = text.indexOf(word.toLowerCase(), at + 1)) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + word.length);
      highlights.get(HIGHLIGHT).add(range);
    }
  }
}

// --- the panel -----------------------------------------------------------------------------------------------------

function draw(panel) {
  const say = TEXTS[currentLocale()] ?? TEXTS.en;
  const ranked = [...heard.keywords].sort((a, b) => b[1] - a[1]).slice(0, MOST.keywords);
  const parts = [
    section(say.alerts, heard.alerts.map(({ name, ms }) => line("insight-alert", `${clock(ms)} ${name}`))),
    section(say.mood, heard.moods.length ? [curve(heard.moods), line("insight-emotion", moodNow())] : []),
    section(say.intent, heard.intents.map((one) => line("insight-chip", one.replaceAll("_", " ")))),
    section(say.keywords, ranked.map(([text, count]) => line("insight-chip", count > 1 ? `${text} ×${count}` : text))),
    section(say.notes, [
      ...(heard.summary ? [line("insight-note", heard.summary)] : []),
      ...heard.notes.map(({ kind, text }) => line("insight-note", `${say[kind]}: ${text}`)),
    ]),
    ...(heard.isSkipping ? [line("insight-skipped", say.skipped)] : []),
  ].filter(Boolean);
  panel.replaceChildren(...parts);
  panel.hidden = parts.length === 0;
}

function section(title, children) {
  if (children.length === 0) return null;
  const node = document.createElement("section");
  const heading = document.createElement("h2");
  heading.textContent = title;
  node.append(heading, ...children);
  return node;
}

function line(className, text) {
  const node = document.createElement("p");
  node.className = className;
  node.textContent = text;
  return node;
}

function moodNow() {
  const { emotion } = heard.moods.at(-1);
  const label = emotion.confidence < LEAST_SCORE ? "neutral" : emotion.label;
  return EMOTIONS[currentLocale()]?.[label] ?? label;
}

/** Valence over the utterances: up is pleasant, the line in the middle is neither. */
function curve(moods) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("class", "insight-curve");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", moods.map(({ valence }) => valence.toFixed(1)).join(", "));
  const x = (i) => (moods.length === 1 ? WIDTH / 2 : 4 + (i * (WIDTH - 8)) / (moods.length - 1));
  const y = (valence) => HEIGHT / 2 - (valence * (HEIGHT - 12)) / 2;
  const shape = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    svg.append(node);
  };
  shape("line", { x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "insight-axis" });
  shape("polyline", { points: moods.map(({ valence }, i) => `${x(i)},${y(valence)}`).join(" "), class: "insight-line" });
  shape("circle", { cx: x(moods.length - 1), cy: y(moods.at(-1).valence), r: 4, class: "insight-dot" });
  return svg;
}

function clock(ms) {
  const total = Math.floor(ms / 1000);
  return [Math.floor(total / 60), total % 60].map((part) => String(part).padStart(2, "0")).join(":");
}
