// The mood of a conversation, drawn over its time.

import { currentLocale } from "./words.js";

const WIDTH = 240;
const HEIGHT = 56;
const EDGE = 4;
const MOST_POINTS = 120; // a longer conversation is drawn by means of its sentences
const SVG = "http://www.w3.org/2000/svg";

const TEXTS = {
  en: (all, up, down) => `Mood over ${all} ${all === 1 ? "sentence" : "sentences"}: ${up} pleasant, ${down} unpleasant.`,
  zh: (all, up, down) => `共 ${all} 句的情绪：${up} 句愉快，${down} 句不快。`,
};

/** A curve of moods {ms, valence, sentiment}, which come in order: up is pleasant, the line in the middle is neither. */
export function curve(moods) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "insight-curve", preserveAspectRatio: "xMinYMid", role: "img", "aria-label": inWords(moods) });
  const points = thinned(moods);
  const [first, last] = [points[0], points.at(-1)];
  const x = ({ ms }) => (last.ms > first.ms ? EDGE + ((ms - first.ms) * (WIDTH - 2 * EDGE)) / (last.ms - first.ms) : WIDTH / 2);
  const y = ({ valence }) => HEIGHT / 2 - (valence * (HEIGHT - 12)) / 2;
  svg.append(
    shape("line", { x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "insight-axis" }),
    shape("polyline", { points: points.map((one) => `${x(one).toFixed(1)},${y(one).toFixed(1)}`).join(" "), class: "insight-line" }),
    shape("circle", { cx: x(last), cy: y(last), r: 4, class: "insight-dot" }),
  );
  return svg;
}

/** Few enough to draw: each the mean of as many. */
function thinned(moods) {
  const each = Math.ceil(moods.length / MOST_POINTS);
  const parts = Array.from({ length: Math.ceil(moods.length / each) }, (_, i) => moods.slice(i * each, (i + 1) * each));
  const mean = (part, name) => part.reduce((sum, one) => sum + one[name], 0) / part.length;
  return parts.map((part) => ({ ms: mean(part, "ms"), valence: mean(part, "valence") }));
}

function inWords(moods) {
  const count = (wanted) => moods.filter(({ sentiment }) => sentiment === wanted).length;
  return TEXTS[currentLocale()](moods.length, count("POSITIVE"), count("NEGATIVE"));
}

function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
