// What the captions mean, beside them: alerts, mood over time, intent, keywords, notes. The page calls the functions that
// are exported; nothing else knows of insights.

import { curve } from "./mood.js";
import { clock, currentLocale } from "./words.js";

const TEXTS = {
  en: { alerts: "Alerts", mood: "Mood", intents: "Wants", keywords: "Keywords", notes: "So far", issue: "issue", outcome: "outcome", action_item: "to do", skipped: "Too busy to look at every sentence" },
  zh: { alerts: "提醒", mood: "情绪", intents: "意图", keywords: "关键词", notes: "要点", issue: "问题", outcome: "结果", action_item: "待办", skipped: "太忙，未能分析每一句" },
};
const LABELS = {
  en: {},
  zh: {
    anger: "生气", disgust: "厌恶", fear: "担心", joy: "高兴", sadness: "难过", surprise: "惊讶", neutral: "平静",
    report_outage: "报告故障", technical_support: "技术支持", account_access: "账户登录", update_details: "更改资料",
    cancel_service: "取消服务", start_service: "开通服务", change_plan: "更改套餐", billing_question: "账单疑问",
    make_payment: "付款", payment_difficulty: "付款困难", check_balance: "查询余额", transfer_money: "转账",
    dispute_charge: "质疑扣款", lost_or_stolen: "遗失或被盗", report_fraud: "举报诈骗", order_status: "订单状态",
    place_order: "下单", change_order: "更改订单", return_or_refund: "退货退款", book_appointment: "预约",
    change_appointment: "更改预约", make_claim: "理赔", get_document: "索取文件", complaint: "投诉",
    speak_to_human: "转人工", general_information: "一般咨询",
  },
};
const MOST = { keywords: 12, intents: 5, alerts: 4, notes: 12 };
const LEAST_SCORE = 0.35; // of an emotion that is worth a word
const HIGHLIGHT = "insight";
const PARTS = ["alerts", "mood", "intents", "keywords", "notes"];

let heard = fresh();

function fresh() {
  return { alerts: [], moods: [], intents: [], keywords: new Map(), notes: [], earlier: [], summary: "", isSkipping: false };
}

/** What a session is asked for beside captions: names for `session.include` of session.update. */
export function include() {
  return ["aural.insights"];
}

/** Any event of a session, in order; `offsetMs` is when it began in the time of the page. */
export function onEvent(event, panel, offsetMs) {
  switch (event.type) {
    case "session.created":
      heard.earlier = notes().slice(-MOST.notes); // the server knows of this session alone
      [heard.notes, heard.summary] = [[], ""];
      break;
    case "aural.utterance_insights":
      noteUtterance(event, offsetMs);
      break;
    case "aural.alert":
      heard.alerts = [{ name: event.name, ms: offsetMs + event.offset_ms }, ...heard.alerts].slice(0, MOST.alerts);
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
  draw(panel);
}

/** The page has another language. */
export function onLocale(panel) {
  draw(panel);
}

function noteUtterance(event, offsetMs) {
  heard.isSkipping = false;
  const [intent] = event.intents ?? [];
  if (intent && intent.intent !== "other") {
    heard.intents = [intent.intent, ...heard.intents.filter((one) => one !== intent.intent)].slice(0, MOST.intents);
  }
  if (event.sentiment && event.emotion) {
    const { label: sentiment, score: valence } = event.sentiment;
    const mood = { id: event.item_id, ms: offsetMs + event.begin_offset_ms, valence, sentiment, emotion: event.emotion };
    const at = heard.moods.findLastIndex(({ id }) => id === event.item_id);
    heard.moods[at < 0 ? heard.moods.length : at] = mood;
  }
  if (event.engine?.language_model) return; // an utterance told again: its words are counted and marked
  const said = [...(event.keywords ?? []), ...(event.terms ?? [])].map(({ text }) => text.toLowerCase());
  for (const text of new Set(said)) heard.keywords.set(text, (heard.keywords.get(text) ?? 0) + 1);
  mark(event);
}

function noteCall(event) {
  heard.summary = event.summary?.short ?? "";
  heard.notes = ["issue", "outcome", "action_item"].flatMap((kind) =>
    (event[`${kind}s`] ?? []).map(({ text }) => ({ kind, text })),
  );
}

const notes = () => [...heard.earlier, ...(heard.summary ? [{ text: heard.summary }] : []), ...heard.notes];

// --- marks in the captions -----------------------------------------------------------------------------------------

/** Mark what was found in the caption of an utterance: keywords where they stand, terms wherever they stand as words. */
function mark({ item_id: id, transcript, keywords = [], terms = [] }) {
  if (!globalThis.CSS?.highlights || !globalThis.Highlight) return;
  const node = document.querySelector(`[data-item="${CSS.escape(id)}"] .committed`)?.firstChild;
  if (node?.data.trim() !== transcript) return;
  if (!CSS.highlights.has(HIGHLIGHT)) CSS.highlights.set(HIGHLIGHT, new Highlight());
  const places = [...keywords.map(({ character_offsets: at }) => units(transcript, at)), ...terms.flatMap(({ text }) => whereIs(text, node.data))];
  for (const [start, end] of places) {
    const range = new Range();
    range.setStart(node, start);
    range.setEnd(node, end);
    CSS.highlights.get(HIGHLIGHT).add(range);
  }
}

/** Offsets that count characters as offsets that count UTF-16 units. */
function units(text, { begin, end }) {
  const characters = [...text];
  const start = characters.slice(0, begin).join("").length;
  return [start, start + characters.slice(begin, end).join("").length];
}

/** Where a term stands, but not inside of another word; in scripts without spaces it may stand anywhere. */
function whereIs(term, text) {
  const quoted = term.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const isSpaced = /^[\p{Script=Latin}\p{Script=Cyrillic}\p{Script=Greek}\p{N}]/u.test(term);
  const wanted = new RegExp(isSpaced ? `(?<![\\p{L}\\p{N}])${quoted}(?![\\p{L}\\p{N}])` : quoted, "giu");
  return [...text.matchAll(wanted)].map(({ 0: found, index }) => [index, index + found.length]);
}

// --- the panel -----------------------------------------------------------------------------------------------------

const named = (label) => LABELS[currentLocale()][label] ?? label.replaceAll("_", " ");

function draw(panel) {
  const say = TEXTS[currentLocale()];
  if (!panel.firstChild) panel.append(...PARTS.map(makeSection), makeLine("insight-skipped", { text: "" }));
  const ranked = [...heard.keywords].sort((a, b) => b[1] - a[1]).slice(0, MOST.keywords);
  fill(panel, "alerts", heard.alerts.map(({ name, ms }) => ({ text: `${clock(ms)} ${name}`, role: "alert" })), "insight-alert");
  fill(panel, "intents", heard.intents.map((one) => ({ text: named(one) })), "insight-chip");
  fill(panel, "keywords", ranked.map(([text, count]) => ({ text: count > 1 ? `${text} ×${count}` : text })), "insight-chip");
  fill(panel, "notes", notes().map(({ kind, text }) => ({ text: kind ? `${say[kind]}: ${text}` : text })), "insight-note");
  drawMood(panel);
  const skipped = panel.querySelector(".insight-skipped");
  skipped.textContent = say.skipped;
  skipped.hidden = !heard.isSkipping;
  for (const part of PARTS) panel.querySelector(`[data-part=${part}] h2`).textContent = say[part];
  panel.hidden = [...panel.children].every(({ hidden }) => hidden);
}

function makeSection(part) {
  const node = document.createElement("section");
  node.dataset.part = part;
  node.append(document.createElement("h2"), document.createElement("div"));
  return node;
}

/** Show these lines, most of which are there already: nobody is told of a line twice. */
function fill(panel, part, lines, className) {
  const section = panel.querySelector(`[data-part=${part}]`);
  const place = section.lastChild;
  const known = new Map([...place.children].map((node) => [node.textContent, node]));
  const wanted = new Map(lines.map((line) => [line.text, line])); // each once
  const nodes = [...wanted].map(([text, line]) => known.get(text) ?? makeLine(className, line));
  nodes.forEach((node, i) => place.children[i] !== node && place.insertBefore(node, place.children[i] ?? null));
  while (place.childElementCount > nodes.length) place.lastChild.remove();
  section.hidden = nodes.length === 0;
}

function makeLine(className, { text, role }) {
  const node = document.createElement("p");
  node.className = className;
  node.textContent = text;
  if (role) node.setAttribute("role", role);
  return node;
}

function drawMood(panel) {
  const section = panel.querySelector("[data-part=mood]");
  section.hidden = heard.moods.length === 0;
  if (section.hidden) return;
  const { emotion } = heard.moods.at(-1);
  const label = emotion.confidence < LEAST_SCORE ? "neutral" : emotion.label;
  section.lastChild.replaceChildren(curve(heard.moods), makeLine("insight-emotion", { text: named(label) }));
}
