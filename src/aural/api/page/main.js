// Joins the parts: sound → session → captions, and the buttons.

import { openFile, openMicrophone } from "./audio.js";
import { Captions } from "./captions.js";
import { TYPES, written } from "./exports.js";
import * as insights from "./insights.js";
import { Lag } from "./lag.js";
import { Session } from "./session.js";
import { currentLocale, explain, languageName, say, switchLocale, translate } from "./words.js";

const KEY = "aural.key";
const [DRAFTS, WORDS, DETAILS] = ["aural.drafts", "aural.words", "aural.details"]; // what there is beyond OpenAI's events
const LEVEL_GAIN = 1.6;
const SMOOTHING = 0.3;
const RETRY_MS = 2_000;
const REOPEN_AFTER_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000]; // then it is given up

const $ = (id) => document.getElementById(id);
const page = { models: [], source: null, session: null, lag: {}, shown: new Lag(), heard: null, wakeLock: null, isSlow: false, isKnown: false, failures: 0, reopening: null };
const captions = new Captions({ list: $("utterances"), scroller: $("transcript"), spoken: $("spoken") });

// --- state ---------------------------------------------------------------------------------------------------------

function setState(state) {
  document.body.dataset.state = state;
  const isBusy = state !== "idle";
  $("status").textContent = say(state);
  $("record").setAttribute("aria-pressed", String(isBusy));
  $("record-label").textContent = say(isBusy ? "stop" : "start");
  for (const id of ["file", "model", "language"]) $(id).disabled = isBusy;
  refresh();
}

const state = () => document.body.dataset.state;

function refresh() {
  $("welcome").hidden = !captions.isEmpty || state() !== "idle";
  $("clear").disabled = captions.isEmpty;
  for (const button of document.querySelectorAll("[data-format]")) button.disabled = captions.finished.length === 0;
}

function complain(error) {
  $("alert").textContent = error ? explain(error) : "";
}

// --- a session -----------------------------------------------------------------------------------------------------

async function start(openSource) {
  if (state() !== "idle") return;
  complain(null);
  setState("starting");
  page.lag = {};
  page.shown = new Lag();
  page.heard = $("language").value;
  page.isKnown = false;
  page.failures = 0;
  try {
    open();
    page.source = await openSource(onFrame);
    page.wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
    if (state() === "starting") setState("listening");
  } catch (error) {
    complain(error);
    await stop();
  }
}

/** A session; `waiting` is what was said since the one before was lost. */
function open(waiting) {
  captions.beginSession();
  page.session = new Session({
    key: sessionStorage.getItem(KEY),
    model: $("model").value,
    language: $("language").value,
    include: [...extras(), ...insights.include()],
    waiting,
    onEvent,
    onClose,
    onSlow,
  });
}

/** Try again after a while, ever longer, with what is said meanwhile. */
function reopen() {
  complain({ name: "lost" });
  setState("reconnecting");
  const delayMs = REOPEN_AFTER_MS[page.failures++] * (0.5 + Math.random() / 2);
  page.reopening = setTimeout(() => {
    page.reopening = null;
    open(page.session.waiting);
  }, delayMs);
}

/** Words have times where the model gives them. */
function extras() {
  return chosen()?.capabilities?.timestamps.includes("word") ? [DRAFTS, WORDS, DETAILS] : [DRAFTS, DETAILS];
}

async function stop() {
  if (state() === "idle" || state() === "finishing") return;
  setState("finishing");
  const { source, session } = page;
  page.source = null;
  await source?.stop();
  if (page.reopening === null) return session?.finish();
  clearTimeout(page.reopening);
  page.reopening = null;
  rest();
}

function onFrame({ pcm, peak }) {
  page.session?.append(pcm);
  $("record").style.setProperty("--level", Math.min(1, peak * LEVEL_GAIN).toFixed(2));
}

function onClose(error) {
  captions.endSession(page.session.clock.sentMs);
  if (error?.isLost && page.isKnown && page.source && page.failures < REOPEN_AFTER_MS.length) return reopen();
  if (error) complain(error);
  rest();
}

function rest() {
  page.session = null;
  page.source?.stop();
  page.source = null;
  page.wakeLock?.release();
  $("record").style.setProperty("--level", 0);
  setState("idle");
}

function onSlow(isSlow) {
  if (isSlow !== page.isSlow) complain(isSlow ? { name: "slow" } : null);
  page.isSlow = isSlow;
}

function onEvent(event) {
  switch (event.type) {
    case "session.updated":
      page.isKnown = true;
      page.failures = 0;
      if (state() !== "reconnecting") break;
      complain(null);
      setState("listening");
      break;
    case "input_audio_buffer.speech_started":
      captions.started(event.item_id, event.audio_start_ms);
      if (state() === "listening") setState("speaking");
      break;
    case "input_audio_buffer.speech_stopped":
      captions.stopped(event.item_id, event.audio_end_ms);
      page.stoppedMs = event.audio_end_ms;
      if (state() === "speaking") setState("listening");
      break;
    case "conversation.item.input_audio_transcription.delta":
      captions.grow(event.item_id, event.delta, event.words);
      page.shown.note(event.item_id, captions.shown(event.item_id));
      break;
    case "aural.draft":
      captions.redraft(event.item_id, event.draft);
      page.shown.note(event.item_id, captions.shown(event.item_id));
      break;
    case "conversation.item.input_audio_transcription.completed":
      captions.final(event.item_id, event.transcript, event);
      page.shown.note(event.item_id, event.transcript);
      smooth("word", page.shown.final(event.item_id, event.words, page.session.clock));
      smooth("final", sinceStopped());
      break;
    case "aural.language":
      page.heard = event.language;
      showMeters();
      break;
    case "conversation.item.input_audio_transcription.failed":
      captions.fail(event.item_id, event.error.message);
      break;
  }
  insights.onEvent(event, $("insights"));
  refresh();
}

/** Milliseconds since the server heard the speech stop. */
function sinceStopped() {
  const stopped = page.session.clock.capturedAt(page.stoppedMs);
  return stopped === null ? undefined : performance.now() - stopped;
}

function smooth(name, lag) {
  if (lag === undefined) return;
  page.lag[name] = page.lag[name] === undefined ? lag : page.lag[name] * (1 - SMOOTHING) + lag * SMOOTHING;
  showMeters();
}

function showMeters() {
  const shown = (lag) => (lag === undefined ? "–" : `${(Math.max(0, lag) / 1000).toFixed(1)} s`);
  $("word-lag").textContent = shown(page.lag.word);
  $("final-lag").textContent = shown(page.lag.final);
  $("heard-language").textContent = page.heard ? languageName(page.heard) : "–";
}

// --- choices -------------------------------------------------------------------------------------------------------

async function loadModels() {
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch("v1/models", { headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (answer.status === 401) return askForKey();
  page.models = (await answer.json()).data;
  $("model").replaceChildren(...page.models.map(({ id }) => new Option(id, id)));
  showLanguages();
  if (!chosen()?.capabilities) setTimeout(() => loadModels().catch(unreachable), RETRY_MS); // it is still loading
}

function askForKey() {
  $("key-dialog").showModal();
  $("key-dialog").onclose = () => {
    sessionStorage.setItem(KEY, $("key").value);
    loadModels().catch(unreachable);
  };
}

const chosen = () => page.models.find(({ id }) => id === $("model").value);

function showLanguages() {
  const before = $("language").value;
  const can = chosen()?.capabilities;
  if (!can) return;
  const named = can.languages.map((code) => new Option(languageName(code), code));
  named.sort((a, b) => a.text.localeCompare(b.text, currentLocale()));
  $("language").replaceChildren(...(can.detects_language ? [new Option(say("detect"), "")] : []), ...named);
  if (can.languages.includes(before)) $("language").value = before;
}

function unreachable() {
  complain(new Error("unreachable"));
}

function download(format) {
  const link = document.createElement("a");
  const file = new Blob([written(captions.finished, format)], { type: `${TYPES[format]};charset=utf-8` });
  link.href = URL.createObjectURL(file);
  link.download = `captions.${format}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function onKey(event) {
  const isFree = event.target === document.body || event.target === $("transcript");
  if (event.code === "Space" && isFree && !event.repeat) {
    event.preventDefault();
    $("record").click();
  }
}

// --- the page ------------------------------------------------------------------------------------------------------

$("record").onclick = () => (state() === "idle" ? start(openMicrophone) : stop());
$("file").onclick = () => $("file-input").click();
$("file-input").onchange = ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) start((onFrame) => openFile(file, onFrame, stop));
};
$("clear").onclick = () => {
  captions.clear();
  insights.onClear($("insights"));
  refresh();
};
$("model").onchange = showLanguages;
$("locale").onclick = () => {
  switchLocale();
  showAll();
};
for (const button of document.querySelectorAll("[data-format]")) button.onclick = () => download(button.dataset.format);
document.addEventListener("keydown", onKey);

function showAll() {
  translate();
  $("locale").textContent = say("other");
  $("locale").lang = currentLocale() === "zh" ? "en" : "zh";
  setState(state());
  showLanguages();
  showMeters();
}

showAll();
loadModels().catch(unreachable);
