// Plays the selected recording, with its waveform where the browser can afford to decode it.

import { $, el, formatTime } from "./dom.js";
import { onLocale, t } from "./i18n.js";
import { audioOf } from "./history.js";
import { on, selected } from "./recordings.js";

/** Decoding an hour takes a browser 700 MB: above this a plain bar is shown. */
const MAX_WAVEFORM_S = 30 * 60;
/** The style element that wavesurfer.js writes holds this height; the policy of the page holds its hash. */
const HEIGHT = 56;
const PROBE_MS = 5_000;

/** A new element for each recording: an old one keeps the address of what it played. */
let audio = el("audio");
let waveform = null;
let url = "";
let loads = 0;
let frame = 0;
/** Where to start once the audio is there. */
let startAt = null;

export const player = {
  /** Called with the time for each frame while playing, and after each jump. */
  onTime: () => {},
  isPlaying: () => !audio.paused,
  toggle,
  playFrom(time) {
    if (!url) startAt = time;
    this.seek(time);
    if (url) audio.play().catch(() => {});
  },
  seek(time) {
    if (!url) return;
    audio.currentTime = Math.max(0, Math.min(time, length()));
    showTime();
  },
  skip(seconds) {
    this.seek(audio.currentTime + seconds);
  },
  time: () => audio.currentTime,
};

/** A recording of MediaRecorder does not tell its length. */
function length() {
  return Number.isFinite(audio.duration) && audio.duration > 0 ? audio.duration : selected()?.duration ?? 0;
}

function toggle() {
  if (!url) return;
  if (audio.paused) audio.play().catch(() => {});
  else audio.pause();
}

/** Follows the selected recording. */
export function startPlayer() {
  $("player").prepend(audio);
  unload();
  on("selected", load);
  $("player-toggle").onclick = toggle;
  $("player-back").onclick = () => player.skip(-5);
  $("player-forward").onclick = () => player.skip(5);
  $("player-speed").onchange = () => { audio.playbackRate = Number($("player-speed").value); };
  $("player-position").oninput = () => player.seek(Number($("player-position").value));
  $("attach").onchange = () => attach($("attach").files[0]);
  $("open-attach").onclick = () => $("attach").click();
  onLocale(showState);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => waveform?.setOptions(colors()));
}

function attach(file) {
  const recording = selected();
  $("attach").value = "";
  if (!file || !recording) return;
  recording.blob = file;
  load(recording);
}

async function load(recording) {
  const number = ++loads;
  unload();
  if (!recording) return;
  recording.blob ??= await audioOf(recording);
  if (number !== loads) return;
  $("player").classList.toggle("no-audio", !recording.blob);
  $("player-note").textContent = recording.blob ? "" : t("player.noaudio");
  if (!recording.blob) return;
  const seconds = await probe(recording.blob);
  if (number !== loads) return;
  if (seconds === null) {
    $("player-note").textContent = t("player.unplayable");
    $("player").classList.add("unplayable");
    return;
  }
  const isShort = (Number.isFinite(seconds) ? seconds : recording.duration) <= MAX_WAVEFORM_S;
  const decoded = isShort ? await openWaveform(recording.blob) : null;
  if (number !== loads) return;
  if (!isShort) audio.src = URL.createObjectURL(recording.blob);
  url = audio.src;
  audio.playbackRate = Number($("player-speed").value);
  showState();
  if (startAt !== null) player.playFrom(startAt);
  startAt = null;
  // What cannot be decoded at once may still be played: then the bar stays.
  if (isShort && (await decoded.done) && number === loads) $("player").classList.add("has-waveform");
}

function unload() {
  cancelAnimationFrame(frame);
  audio.pause();
  waveform?.destroy();
  waveform = null;
  if (url) URL.revokeObjectURL(url);
  url = "";
  const old = audio;
  audio = el("audio", { preload: "metadata" });
  for (const type of ["play", "pause", "ended"]) audio.addEventListener(type, showState);
  for (const type of ["seeked", "durationchange"]) audio.addEventListener(type, showTime);
  old.replaceWith(audio);
  $("player").classList.remove("has-waveform", "no-audio", "unplayable");
  showState();
}

/** The length in seconds, which may be infinite; null if the browser cannot play it. */
export function probe(blob) {
  const probed = URL.createObjectURL(blob);
  const element = new Audio();
  return new Promise((resolve) => {
    setTimeout(() => resolve(null), PROBE_MS);
    element.onloadedmetadata = () => resolve(element.duration);
    element.onerror = () => resolve(null);
    element.preload = "metadata";
    element.src = probed;
  }).finally(() => {
    element.removeAttribute("src");
    URL.revokeObjectURL(probed);
  });
}

/** Makes the waveform, which plays the file from now on; `done` becomes whether it is drawn. */
async function openWaveform(blob) {
  const { default: WaveSurfer } = await import("./vendor/wavesurfer.js");
  waveform?.destroy();
  waveform = WaveSurfer.create({
    container: $("waveform"), height: HEIGHT, media: audio, barWidth: 2, barGap: 1, barRadius: 2, cursorWidth: 2,
    dragToSeek: true, normalize: true, hideScrollbar: true, ...colors(),
  });
  waveform.on("interaction", showTime);
  return { done: waveform.loadBlob(blob).then(() => true, () => false) };
}

function colors() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  return { waveColor: color("--wave"), progressColor: color("--accent"), cursorColor: color("--text") };
}

function showState() {
  const isPlaying = !audio.paused;
  const button = $("player-toggle");
  button.setAttribute("aria-label", t(isPlaying ? "player.pause" : "player.play"));
  button.title = button.getAttribute("aria-label");
  button.querySelector("use").setAttribute("href", isPlaying ? "#i-pause" : "#i-play");
  for (const id of ["player-toggle", "player-back", "player-forward", "player-position"]) $(id).disabled = !url;
  cancelAnimationFrame(frame);
  if (isPlaying) frame = requestAnimationFrame(eachFrame);
  showTime();
}

function eachFrame() {
  player.onTime(audio.currentTime);
  showClock();
  frame = requestAnimationFrame(eachFrame);
}

function showTime() {
  showClock();
  if (url) player.onTime(audio.currentTime);
}

let shownClock = "";

/** The clock changes once a second: only then the page is touched. */
function showClock() {
  const clock = `${formatTime(audio.currentTime)} / ${formatTime(length())}`;
  if (clock === shownClock && audio.paused) return syncPosition();
  if (clock !== shownClock) {
    shownClock = clock;
    $("player-clock").textContent = clock;
    syncPosition();
  }
}

function syncPosition() {
  const position = $("player-position");
  position.max = String(Math.max(length(), 0.1));
  position.value = String(audio.currentTime);
  position.setAttribute("aria-valuetext", formatTime(audio.currentTime));
}
