// Live: records, shows the text as it comes where the server can, and keeps the recording.

import { hasLive } from "./api.js";
import { capture, CaptureError } from "./capture.js";
import { $, el, formatTime } from "./dom.js";
import { locale, onLocale, t } from "./i18n.js";
import { options } from "./options.js";
import { enqueue } from "./queue.js";
import { add, create, emit, select } from "./recordings.js";
import { LiveConnection } from "./socket.js";
import { units } from "./subtitles.js";

/** Root mean square from which on sound may be speech. */
const LOUD = 0.01;
const MAX_LAG_S = 3;

let canTranscribe = false;
let session = null;

export const isRecording = () => session !== null;

/** Wires the panel; the text comes live only if the server's own document lists the route. */
export async function startLive() {
  $("live-toggle").onclick = () => (session ? stop() : start());
  onLocale(showIdle);
  showIdle();
  if (!navigator.mediaDevices?.getDisplayMedia) $("live-source-field").hidden = true;
  canTranscribe = await hasLive().catch(() => false);
  showIdle();
}

function showIdle() {
  $("open-live-label").textContent = t(canTranscribe ? "live.open" : "live.record");
  $("live-title").textContent = t(canTranscribe ? "live.title" : "live.title.record");
  if (session) return;
  $("live-toggle-label").textContent = t("live.start");
  say(t(canTranscribe ? "live.ready" : "live.ready.record"));
}

function say(text, kind = "info") {
  $("live-state").textContent = text;
  $("live-state").dataset.kind = kind;
}

async function start() {
  session = { turns: [], seconds: 0, loudSince: null, turnStart: null, partial: "", connection: null, capture: null };
  const own = session;
  $("live-lines").replaceChildren();
  $("live").dataset.state = "running";
  $("live-toggle-label").textContent = t("live.stop");
  say(t("live.connecting"));
  try {
    const early = [];
    own.capture = await capture($("live-source").value, (buffer, level) => {
      showLevel(own, level);
      if (own.connection) own.connection.send(buffer);
      else if (canTranscribe) early.push(buffer);
    }, () => session === own && stop());
    if (canTranscribe) await connect(own, early);
    say(t(canTranscribe ? "live.running" : "live.recording"));
  } catch (error) {
    await own.capture?.stop();
    end();
    say(error instanceof CaptureError ? t(error.key, { message: error.message }) : error.message, "error");
  }
}

async function connect(own, early) {
  const { model, language } = options();
  const connection = new LiveConnection({ rate: own.capture.rate, model, language }, {
    partial: (text, committed) => showPartial(own, text, committed),
    final: (text) => endTurn(own, text),
    lost: () => {
      // A new connection begins with a new turn: what was shown stays.
      if (own.partial) endTurn(own, own.partial);
      say(t("live.lost"), "error");
    },
    back: () => say(t("live.again")),
    failed: (error) => say(error.message, "error"),
  });
  await connection.open();
  early.splice(0).forEach((buffer) => connection.send(buffer));
  own.connection = connection;
}

function showLevel(own, level) {
  own.seconds += 0.1;
  // From -50 dB to -10 dB.
  const share = Math.max(0, Math.min(1, (20 * Math.log10(level + 1e-6) + 50) / 40));
  $("live-level").style.transform = `scaleX(${share.toFixed(2)})`;
  $("live-time").textContent = formatTime(own.seconds);
  if (level > LOUD) {
    own.loudSince ??= own.seconds;
    own.turnStart ??= own.seconds - 0.1;
  }
  const lag = own.loudSince === null || !own.connection ? 0 : own.seconds - own.loudSince;
  $("live-lag").hidden = lag < MAX_LAG_S;
  if (lag >= MAX_LAG_S) $("live-lag").textContent = t("live.lag", { seconds: Math.floor(lag) });
}

/** The element of the turn that is being spoken. */
function openLine() {
  const last = $("live-lines").lastElementChild;
  if (last?.classList.contains("open")) return last;
  const line = el("p", { className: "live-line open" }, el("span", { className: "firm" }), el("span", { className: "tail" }));
  $("live-lines").append(line);
  return line;
}

function showPartial(own, text, committed) {
  own.loudSince = null;
  own.partial = text;
  const line = openLine();
  const characters = [...text];
  line.firstChild.textContent = characters.slice(0, committed).join("");
  line.lastChild.textContent = characters.slice(committed).join("");
  line.scrollIntoView({ block: "nearest" });
}

function endTurn(own, text) {
  own.loudSince = null;
  own.partial = "";
  if (text.trim()) {
    const line = openLine();
    line.firstChild.textContent = text;
    line.lastChild.textContent = "";
    line.classList.remove("open");
    const start = Math.max(own.turns.at(-1)?.end ?? 0, own.turnStart ?? 0);
    own.turns.push({ start, end: Math.max(own.seconds, start + 0.1), text: ` ${text.trim()}` });
    $("live-text").textContent = text;
  }
  own.turnStart = null;
}

async function stop() {
  const own = session;
  if (!own?.capture || own.isStopping) return;
  own.isStopping = true;
  say(t("live.finishing"));
  $("live-toggle").disabled = true;
  const blob = await own.capture.stop();
  await own.connection?.finish();
  if (own.partial) endTurn(own, own.partial);
  end();
  showIdle();
  keep(own, blob);
}

function end() {
  session = null;
  $("live").dataset.state = "idle";
  $("live-toggle").disabled = false;
  $("live-toggle-label").textContent = t("live.start");
  $("live-level").style.transform = "scaleX(0)";
  $("live-lag").hidden = true;
}

/** Adds the recording to the list, with the text that came live, or to be transcribed. */
function keep(own, blob) {
  const date = new Date().toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" });
  const chosen = options();
  const recording = create({ name: t("live.name", { date }), blob, duration: own.seconds, isLive: canTranscribe });
  add(recording);
  if (own.turns.length > 0) {
    const segments = own.turns.map((turn) => ({ ...turn, speaker: null, words: wordsOf(turn) }));
    Object.assign(recording, { state: "done", language: chosen.languageName, segments });
    emit("edited", { recording, indices: null });
  } else {
    enqueue(recording, chosen);
  }
  select(recording);
}

const wordsOf = (turn) => units({ ...turn, words: [] }, true).map((unit) =>
  ({ text: unit.text, after: unit.after, start: unit.startMs / 1000, end: unit.endMs / 1000, p: null }));
