// The recordings of this page: their data, the selected one, and the events that the views follow.

import { attachWords, isSpaced, units } from "./subtitles.js";

/** Newest first. */
export const recordings = [];
let selectedId = null;
const target = new EventTarget();

/** Calls `listener(detail)` for each event: added, removed, changed, segment, edited, selected, saved. */
export const on = (type, listener) => target.addEventListener(type, (event) => listener(event.detail));

export const emit = (type, detail) => target.dispatchEvent(new CustomEvent(type, { detail }));

export const selected = () => recordings.find((one) => one.id === selectedId) ?? null;

/** Makes a recording; `state` is waiting, uploading, listening, busy, done, failed or cancelled. */
export function create(properties) {
  return {
    id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`,
    name: "",
    created: Date.now(),
    blob: null,
    state: "waiting",
    share: 0,
    error: "",
    task: "transcribe",
    language: "",
    duration: 0,
    segments: [],
    speakers: {},
    // Changes that can be undone, and undone ones.
    past: [],
    future: [],
    ...properties,
  };
}

export function add(recording) {
  recordings.unshift(recording);
  emit("added", recording);
}

export function remove(recording) {
  const index = recordings.indexOf(recording);
  if (index < 0) return;
  recordings.splice(index, 1);
  emit("removed", recording);
  if (recording.id === selectedId) select(null);
}

export function select(recording) {
  if (recording && recording.id === selectedId) return;
  selectedId = recording?.id ?? null;
  emit("selected", recording);
}

/** Changes properties and tells the views. */
export function update(recording, properties) {
  Object.assign(recording, properties);
  emit("changed", recording);
}

/** Whether work on it is not over. */
export const isActive = ({ state }) => ["waiting", "uploading", "listening", "busy"].includes(state);

/** Adds a segment of a stream. Its language is not known yet, which only concerns languages without spaces. */
export function appendSegment(recording, event, options) {
  const spaced = isSpaced({ task: recording.task, language: options.languageName ?? "" });
  recording.segments.push(segmentOf(event, event.words ?? [], spaced));
  update(recording, { state: "listening" });
  emit("segment", { recording, index: recording.segments.length - 1 });
}

/** Takes over a whole `verbose_json`. */
export function finish(recording, whole) {
  const { task, language, duration } = whole;
  const spaced = isSpaced(whole);
  const rest = [...(whole.words ?? [])];
  const segments = (whole.segments ?? []).map((segment) => segmentOf(segment, takeWords(segment, rest), spaced));
  update(recording, { state: "done", share: 1, error: "", task, language, duration, segments });
  emit("edited", { recording, indices: null });
}

/** The words of a segment, which are the next ones of the transcript. */
function takeWords({ text }, rest) {
  let at = 0;
  let count = 0;
  while (count < rest.length) {
    const found = text.indexOf(rest[count].word, at);
    if (found < 0 || text.slice(at, found).trim() !== "") break;
    at = found + rest[count].word.length;
    count += 1;
  }
  return rest.splice(0, count);
}

function segmentOf({ start, end, text, speaker = null }, words, spaced) {
  const segment = { start, end, text, speaker, words: attachWords(text, words, spaced) };
  // Without times from the server they are estimated, so that every word can be clicked.
  if (words.length === 0) {
    segment.words = units(segment, spaced).map((unit) =>
      ({ text: unit.text, after: unit.after, start: unit.startMs / 1000, end: unit.endMs / 1000, p: null }));
  }
  return segment;
}
