// Joins the parts: sound → stream → captions, and the buttons.

import { openFile, openMicrophone } from "./audio.js";
import { Captions } from "./captions.js";
import { TYPES, written } from "./exports.js";
import * as insights from "./insights.js";
import { Lag } from "./lag.js";
import { Stream } from "./stream.js";
import { Tape } from "./tape.js";
import { currentLocale, explain, languageName, say, switchLocale, translate } from "./words.js";

const KEY = "aural.key";
const [DRAFTS, WORDS, DETAILS] = ["aural.drafts", "aural.words", "aural.details"]; // what there is beyond OpenAI's events
const TRANSCRIPTION = "conversation.item.input_audio_transcription";
const LEVEL_GAIN = 1.6;
const SMOOTHING = 0.3;
const RETRY_MS = 2_000;

const $ = (id) => document.getElementById(id);
const captions = new Captions({ list: $("utterances"), scroller: $("transcript"), spoken: $("spoken") });
const page = { models: [], loading: null, tape: new Tape(), run: null, latest: null, complaint: null, wakeLock: null };
// run: from the press of a button to the last word, {source, stream, isStopping, lag: Lag, meters, heard: a language}

// --- state ---------------------------------------------------------------------------------------------------------

function setState(state) {
  document.body.dataset.state = state;
  const isBusy = state !== "idle";
  $("status").textContent = say(state);
  tell(say(state === "speaking" ? "listening" : state));
  $("record").setAttribute("aria-pressed", String(isBusy));
  $("record-label").textContent = say(isBusy ? "stop" : "start");
  for (const id of ["file", "model", "language"]) $(id).disabled = isBusy;
  refresh();
}

/** To screen readers, which would not get a word in if each pause were told. */
function tell(text) {
  if ($("told").textContent !== text) $("told").textContent = text;
}

const state = () => document.body.dataset.state;

function refresh() {
  $("welcome").hidden = !captions.isEmpty || state() !== "idle";
  $("clear").disabled = captions.isEmpty;
  for (const button of document.querySelectorAll("[data-format]")) button.disabled = !captions.hasText;
}

function complain(error) {
  page.complaint = error;
  $("alert").textContent = error ? explain(error) : "";
}

/** A trouble that comes and goes. */
function trouble(name, isThere) {
  if (isThere !== (page.complaint?.name === name)) complain(isThere ? { name } : null);
}

// --- a run ---------------------------------------------------------------------------------------------------------

async function start(openSource) {
  if (page.run) return;
  complain(null);
  const run = { source: null, stream: null, isStopping: false, lag: new Lag((ms) => page.tape.capturedAt(ms)), meters: {}, heard: $("language").value };
  page.run = page.latest = run;
  setState("starting");
  showMeters();
  try {
    run.stream = new Stream(page.tape, wish, listener(run));
    const source = await openSource(sourceListener(run));
    if (page.run !== run || run.isStopping) return source.stop(); // somebody pressed stop before there was a source
    run.source = source;
    if (state() === "starting") setState("listening");
    stayAwake();
  } catch (error) {
    if (page.run !== run) return;
    complain(error);
    press(run);
  }
}

function wish() {
  return { key: sessionStorage.getItem(KEY), model: $("model").value, language: $("language").value, include: [...extras(), ...insights.include()] };
}

/** Words have times where the model gives them. */
function extras() {
  return chosen()?.capabilities?.timestamps.includes("word") ? [DRAFTS, WORDS, DETAILS] : [DRAFTS, DETAILS];
}

function sourceListener(run) {
  return {
    onFrame({ pcm, peak }) {
      if (page.run !== run) return;
      run.stream.append(pcm);
      $("record").style.setProperty("--level", Math.min(1, peak * LEVEL_GAIN).toFixed(2));
    },
    onEnd(error) {
      if (page.run !== run || run.isStopping) return;
      if (error) complain(error);
      stop(run);
    },
    onPause: (isPaused) => page.run === run && trouble("paused", isPaused),
  };
}

function listener(run) {
  return {
    onOpen(offsetMs) {
      captions.begin(offsetMs);
      if (state() !== "reconnecting") return;
      complain(null);
      setState(run.isStopping ? "finishing" : run.source ? "listening" : "starting");
    },
    onEvent: (event) => onEvent(run, event),
    onSlow: (isSlow) => trouble("slow", isSlow),
    onWait(error, delayMs) {
      complain({ ...error, seconds: Math.ceil(delayMs / 1000) });
      setState("reconnecting");
    },
    onEnd(error) {
      captions.end(page.tape.endMs);
      if (error) complain(error);
      rest();
    },
  };
}

/** Hear what was said to its end. */
async function stop(run) {
  if (run.isStopping) return;
  run.isStopping = true;
  if (state() !== "reconnecting") setState("finishing");
  await run.source?.stop();
  if (page.run !== run) return;
  if (run.stream) run.stream.finish();
  else rest();
}

/** Somebody wants it to end: what cannot be heard now is let go. */
async function press(run) {
  if (state() !== "reconnecting") return stop(run);
  run.isStopping = true;
  await run.source?.stop();
  if (page.run === run) run.stream.giveUp();
}

function rest() {
  page.run?.source?.stop();
  page.run = null;
  page.wakeLock?.release();
  page.wakeLock = null;
  for (const name of ["paused", "slow"]) trouble(name, false);
  $("record").style.setProperty("--level", 0);
  setState("idle");
}

/** The screen stays on during a run; a page that was hidden has lost its lock, and perhaps its sound. */
async function stayAwake() {
  if (!page.run || document.hidden) return;
  page.run.source?.wake();
  const lock = await navigator.wakeLock?.request("screen").catch(() => null);
  if (page.run) page.wakeLock = lock;
  else lock?.release();
}

function onEvent(run, event) {
  const { type, item_id: id } = event;
  switch (type) {
    case "input_audio_buffer.speech_started":
      captions.started(id, event.audio_start_ms);
      if (state() === "listening") setState("speaking");
      break;
    case "input_audio_buffer.speech_stopped":
      captions.stopped(id, event.audio_end_ms);
      run.lag.stopped(id, captions.offsetMs + event.audio_end_ms);
      if (state() === "speaking") setState("listening");
      break;
    case `${TRANSCRIPTION}.delta`:
      captions.grow(id, event.delta, event.words);
      run.lag.note(id, captions.shown(id));
      break;
    case "aural.draft":
      captions.redraft(id, event.draft);
      run.lag.note(id, captions.shown(id));
      break;
    case `${TRANSCRIPTION}.completed`:
      captions.final(id, event.transcript, event);
      run.lag.note(id, event.transcript);
      smooth(run, run.lag.final(id, captions.wordsOf(id)));
      break;
    case "aural.language":
      run.heard = event.language;
      showMeters();
      break;
    case `${TRANSCRIPTION}.failed`:
      captions.fail(id, event.error.message);
      break;
  }
  insights.onEvent(event, $("insights"), captions.offsetMs);
  refresh();
}

function smooth(run, lags) {
  for (const [name, lag] of Object.entries(lags)) {
    if (lag === undefined) continue;
    const before = run.meters[name];
    run.meters[name] = before === undefined ? lag : before * (1 - SMOOTHING) + lag * SMOOTHING;
  }
  showMeters();
}

function showMeters() {
  const { meters, heard } = page.latest ?? { meters: {} };
  const shown = (lag) => (lag === undefined ? "–" : `${(Math.max(0, lag) / 1000).toFixed(1)} s`);
  $("word-lag").textContent = shown(meters.word);
  $("final-lag").textContent = shown(meters.final);
  $("heard-language").textContent = heard ? languageName(heard) : "–";
}

// --- choices -------------------------------------------------------------------------------------------------------

async function loadModels() {
  clearTimeout(page.loading);
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch("v1/models", { headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (answer.status === 401) return askForKey();
  page.models = (await answer.json()).data;
  offer($("model"), page.models.map(({ id }) => new Option(id, id)));
  showLanguages();
}

/** Choices that are new, without changing what is chosen. */
function offer(select, options) {
  const known = [...select.options].map(({ value, text }) => `${value} ${text}`).join("\n");
  if (known === options.map(({ value, text }) => `${value} ${text}`).join("\n")) return;
  const before = select.value;
  select.replaceChildren(...options);
  if (options.some(({ value }) => value === before)) select.value = before;
}

function askForKey() {
  $("key-dialog").showModal();
  $("key-dialog").onclose = () => {
    sessionStorage.setItem(KEY, $("key").value);
    loadModels().catch(unreachable);
  };
}

const chosen = () => page.models.find(({ id }) => id === $("model").value);

/** The languages of the model that is chosen; while it is loading nobody knows them. */
function showLanguages() {
  const can = chosen()?.capabilities;
  if (!can) return askAgain();
  const named = can.languages.map((code) => new Option(languageName(code), code));
  named.sort((a, b) => a.text.localeCompare(b.text, currentLocale()));
  offer($("language"), [...(can.detects_language ? [new Option(say("detect"), "")] : []), ...named]);
}

function askAgain() {
  clearTimeout(page.loading);
  if (chosen()) page.loading = setTimeout(() => loadModels().catch(unreachable), RETRY_MS);
}

function unreachable() {
  complain(new Error("unreachable"));
}

function download(format) {
  const link = document.createElement("a");
  const file = new Blob([written(captions.finished(page.tape.endMs), format)], { type: `${TYPES[format]};charset=utf-8` });
  link.href = URL.createObjectURL(file);
  link.download = `captions.${format}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function clear() {
  captions.clear();
  insights.onClear($("insights"));
  if (!page.run) page.tape = new Tape(); // the next run begins at zero
  refresh();
}

function onKey(event) {
  const isFree = event.target === document.body || event.target === $("transcript");
  if (event.code === "Space" && isFree && !event.repeat) {
    event.preventDefault();
    $("record").click();
  }
}

// --- the page ------------------------------------------------------------------------------------------------------

$("record").onclick = () => (page.run ? press(page.run) : start(openMicrophone));
$("file").onclick = () => $("file-input").click();
$("file-input").onchange = ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) start((listener) => openFile(file, listener));
};
$("clear").onclick = clear;
$("model").onchange = showLanguages;
$("locale").onclick = () => {
  switchLocale();
  showAll();
};
for (const button of document.querySelectorAll("[data-format]")) button.onclick = () => download(button.dataset.format);
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", stayAwake);

function showAll() {
  translate();
  $("locale").textContent = say("other");
  $("locale").lang = currentLocale() === "zh" ? "en" : "zh";
  setState(state());
  showLanguages();
  showMeters();
  captions.redraw();
  insights.onLocale($("insights"));
  complain(page.complaint);
}

showAll();
loadModels().catch(unreachable);
