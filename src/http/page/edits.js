// Changes of a transcript that can be undone: texts and speakers of segments, names of speakers.

import { collapse, isSpaced } from "./subtitles.js";
import { emit } from "./recordings.js";
import { joined, retime } from "./words.js";

/** Applies a change `{ segments: Map(index → segment), speakers }`; returns the one that reverses it, and the event. */
function apply(recording, change) {
  const inverse = { segments: new Map(), speakers: recording.speakers };
  for (const [index, segment] of change.segments) {
    inverse.segments.set(index, recording.segments[index]);
    recording.segments[index] = segment;
  }
  const renamed = change.speakers !== recording.speakers;
  recording.speakers = change.speakers;
  return { inverse, edited: { recording, indices: renamed ? null : [...change.segments.keys()] } };
}

function edit(recording, change) {
  const { inverse, edited } = apply(recording, { speakers: recording.speakers, segments: new Map(), ...change });
  recording.past.push(inverse);
  recording.future = [];
  emit("edited", edited);
}

/** Undoes the last change; whether there was one. */
export const undo = (recording) => step(recording, recording.past, recording.future);

/** Repeats the last undone change; whether there was one. */
export const redo = (recording) => step(recording, recording.future, recording.past);

function step(recording, from, to) {
  const change = from.pop();
  if (!change) return false;
  const { inverse, edited } = apply(recording, change);
  to.push(inverse);
  emit("edited", edited);
  return true;
}

/** The segment with another text; words that stay keep their times. */
function withText(recording, segment, text) {
  const words = retime(segment, text, isSpaced(recording));
  return { ...segment, words, text: joined(words) };
}

/** Writes texts, by the index of their segment; whether anything changed. */
export function setTexts(recording, texts) {
  const changed = [...texts].filter(([index, text]) => collapse(text) !== collapse(recording.segments[index].text));
  if (changed.length === 0) return false;
  const segments = changed.map(([index, text]) => [index, withText(recording, recording.segments[index], text)]);
  edit(recording, { segments: new Map(segments) });
  return true;
}

/** Names speakers, and says who speaks in one segment. */
export function setSpeakers(recording, speakers, index, speaker) {
  const segments = new Map();
  if (index !== null && recording.segments[index].speaker !== speaker) {
    segments.set(index, { ...recording.segments[index], speaker });
  }
  const isSame = JSON.stringify(speakers) === JSON.stringify(recording.speakers);
  if (isSame && segments.size === 0) return;
  edit(recording, { segments, speakers: isSame ? recording.speakers : speakers });
}

/** The labels in use, in order: those of segments and those that have names. */
export function speakerLabels(recording) {
  const labels = new Set(recording.segments.map((segment) => segment.speaker).filter(Boolean));
  for (const label of Object.keys(recording.speakers)) labels.add(label);
  return [...labels].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
}

/** The first label that is not in use: A to Z, AA to … */
export function nextLabel(labels) {
  for (let number = 0; ; number += 1) {
    const last = String.fromCharCode(65 + (number % 26));
    const label = number < 26 ? last : String.fromCharCode(64 + Math.floor(number / 26)) + last;
    if (!labels.includes(label)) return label;
  }
}
