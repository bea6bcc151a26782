// Shows the selected transcript: segments with times and words, follows the playback, edits in place.

import { $, el, formatTime, icon, iconButton } from "./dom.js";
import { setSpeakers, setTexts, speakerLabels } from "./edits.js";
import { nameOf } from "./export.js";
import { onLocale, t } from "./i18n.js";
import { player } from "./player.js";
import { isActive, on, selected } from "./recordings.js";
import { openSpeakers } from "./speakers.js";
import { isDoubtful, lastAt } from "./words.js";

/** After the reader has scrolled, the text does not follow the playback for this long. */
const READING_MS = 4_000;

/** The words on the page in the order of their starts, with their elements. */
let flat = [];
let starts = [];
const wordOf = new WeakMap();
let currentWord = null;
let currentSegment = null;
let scrolledAt = -Infinity;

/** Follows the selected recording and the player. */
export function showTranscript() {
  on("selected", show);
  on("segment", ({ recording, index }) => {
    if (recording !== selected()) return;
    $("segments").append(segmentElement(recording, index));
    indexWords(recording);
    $("live-text").textContent = recording.segments[index].text;
  });
  on("edited", ({ recording, indices }) => {
    if (recording !== selected()) return;
    if (!indices) return show(recording);
    for (const index of indices) replaceSegment(recording, index);
    indexWords(recording);
  });
  on("changed", (recording) => {
    if (recording === selected()) $("transcript").dataset.state = recording.state;
  });
  onLocale(() => show(selected()));
  $("segments").addEventListener("click", clicked);
  $("segments").addEventListener("dblclick", (event) => {
    const segment = event.target.closest?.(".segment-text")?.closest(".segment");
    if (segment) editSegment(Number(segment.dataset.index));
  });
  $("segments").addEventListener("keydown", segmentKey);
  for (const type of ["wheel", "touchmove"]) {
    document.addEventListener(type, () => { scrolledAt = performance.now(); }, { passive: true });
  }
  player.onTime = highlight;
}

function show(recording) {
  currentWord = currentSegment = null;
  const segments = recording?.segments ?? [];
  $("segments").replaceChildren(...segments.map((_, index) => segmentElement(recording, index)));
  if (recording) {
    $("transcript").dataset.state = recording.state;
    $("segments").classList.toggle("has-speakers", speakerLabels(recording).length > 0);
    indexWords(recording);
  }
}

function replaceSegment(recording, index) {
  const old = $("segments").children[index];
  const hadFocus = old?.contains(document.activeElement);
  old?.replaceWith(segmentElement(recording, index));
  if (hadFocus) focusSegment(index);
}

function segmentElement(recording, index) {
  const segment = recording.segments[index];
  const time = formatTime(segment.start);
  const edit = iconButton("edit", t("segment.edit", { time }), () => editSegment(index), { className: "icon-button edit" });
  return el("li", { className: "segment", tabIndex: index === 0 ? 0 : -1, dataset: { index } },
    el("button", {
      type: "button", className: "segment-time", textContent: time, tabIndex: -1,
      attributes: { "aria-label": t("segment.at", { time }) },
    }),
    speakerChip(recording, index, time),
    el("p", { className: "segment-text" }, ...wordNodes(segment)),
    isActive(recording) ? null : edit);
}

function speakerChip(recording, index, time) {
  const { speaker } = recording.segments[index];
  const name = speaker ? nameOf(recording, speaker) : "";
  const label = name ? t("segment.speaker", { time, name }) : t("segment.speaker.none", { time });
  const chip = el("button", {
    type: "button",
    className: "speaker",
    onclick: () => openSpeakers(recording, index),
    attributes: { "aria-label": label },
    dataset: { color: speaker ? (speaker.charCodeAt(speaker.length - 1) - 65) % 6 : "none" },
  });
  chip.append(...(name ? [name] : [icon("person"), t("segment.speaker.add")]));
  return chip;
}

/** The words as elements, with the white space between them as text. */
function wordNodes(segment) {
  if (segment.words.length === 0) return [el("span", { className: "empty", textContent: t("segment.empty") })];
  return segment.words.flatMap((word, index) => {
    const span = el("span", { className: "word", textContent: word.text });
    if (isDoubtful(word)) {
      span.classList.add("doubtful");
      span.title = t("word.probability", { percent: Math.round(word.p * 100) });
    }
    wordOf.set(span, word);
    return index > 0 && word.after ? [" ", span] : [span];
  });
}

function indexWords(recording) {
  const spans = [...$("segments").querySelectorAll(".word")];
  flat = spans.map((span) => ({ span, ...wordOf.get(span) })).sort((a, b) => a.start - b.start);
  starts = flat.map((word) => word.start);
  currentWord = null;
  const count = spans.filter((span) => span.classList.contains("doubtful")).length;
  document.dispatchEvent(new CustomEvent("doubtful", { detail: { recording, count } }));
}

/** Marks the word and the segment at this time. Called for each frame of the playback. */
function highlight(time) {
  // Times are rounded to a millisecond, and a player may stop just before the one it was sent to.
  const word = flat[lastAt(starts, time + 0.01)]?.span ?? null;
  if (word === currentWord) return;
  currentWord?.classList.remove("current");
  word?.classList.add("current");
  currentWord = word;
  const segment = word?.closest(".segment") ?? null;
  if (segment === currentSegment) return;
  currentSegment?.classList.remove("current");
  segment?.classList.add("current");
  currentSegment = segment;
  if (segment && player.isPlaying() && performance.now() - scrolledAt > READING_MS) reveal(segment);
}

/** Scrolls to a segment: at once where it is far, because the heights on the way are estimates until they are seen. */
function reveal(element) {
  const { top } = element.getBoundingClientRect();
  const isFar = top < -innerHeight || top > 2 * innerHeight;
  const isCalm = isFar || matchMedia("(prefers-reduced-motion: reduce)").matches;
  element.scrollIntoView({ block: "nearest", behavior: isCalm ? "auto" : "smooth" });
}

function clicked(event) {
  const word = wordOf.get(event.target);
  if (word) return player.playFrom(word.start);
  const time = event.target.closest(".segment-time");
  if (time) player.playFrom(selected().segments[Number(time.parentElement.dataset.index)].start);
}

/** Moves the focus to a segment, which alone is in the order of the Tab key. */
export function focusSegment(index) {
  const all = $("segments").children;
  const segment = all[Math.max(0, Math.min(index, all.length - 1))];
  if (!segment) return;
  for (const one of $("segments").querySelectorAll(".segment[tabindex='0']")) one.tabIndex = -1;
  segment.tabIndex = 0;
  segment.focus({ preventScroll: true });
  reveal(segment);
}

/** The segment that has the focus, else the one that is played, else the first. */
export function currentIndex() {
  const segment = document.activeElement?.closest?.(".segment") ?? currentSegment;
  return segment?.isConnected ? Number(segment.dataset.index) : -1;
}

function segmentKey(event) {
  if (!event.target.classList.contains("segment") || event.ctrlKey || event.altKey || event.metaKey) return;
  const index = Number(event.target.dataset.index);
  if (event.key === "Enter") {
    event.preventDefault();
    editSegment(index);
  } else if (/^[1-9]$/.test(event.key)) {
    const label = speakerLabels(selected())[Number(event.key) - 1];
    if (label) setSpeakers(selected(), selected().speakers, index, label);
  }
}

/** Moves to the next word that the model was unsure of. */
export function nextDoubtful() {
  const doubtful = [...$("segments").querySelectorAll(".doubtful")];
  if (doubtful.length === 0) return;
  const from = $("segments").querySelector(".doubtful.visited");
  const next = doubtful[doubtful.indexOf(from) + 1] ?? doubtful[0];
  from?.classList.remove("visited");
  next.classList.add("visited");
  player.seek(wordOf.get(next).start);
  focusSegment(Number(next.closest(".segment").dataset.index));
}

/** Replaces the words of a segment by a field with their text. */
export function editSegment(index) {
  const recording = selected();
  const element = $("segments").children[index];
  if (!recording || !element || isActive(recording) || element.querySelector("textarea")) return;
  const segment = recording.segments[index];
  const field = el("textarea", {
    className: "segment-field",
    value: segment.text.trim(),
    rows: 1,
    lang: "",
    attributes: { "aria-label": t("segment.text", { time: formatTime(segment.start) }) },
  });
  const hint = el("small", { className: "hint", textContent: t("edit.hint") });
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  let isOver = false;
  const end = (keep) => {
    if (isOver) return;
    isOver = true;
    const changed = keep && setTexts(recording, [[index, field.value]]);
    if (!changed && recording === selected()) {
      replaceSegment(recording, index);
      indexWords(recording);
    }
  };
  field.oninput = fit;
  field.onblur = () => end(true);
  field.onkeydown = (event) => {
    const isLast = index === recording.segments.length - 1;
    if (event.key === "Escape" || (event.key === "Enter" && !event.isComposing)) {
      event.preventDefault();
      end(event.key === "Enter");
      focusSegment(index);
    } else if (event.key === "Tab" && !event.shiftKey && !isLast) {
      event.preventDefault();
      end(true);
      editSegment(index + 1);
    }
    event.stopPropagation();
  };
  element.querySelector(".segment-text").replaceWith(el("div", { className: "segment-text" }, field, hint));
  fit();
  field.focus();
}
