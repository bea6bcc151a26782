// Breaks a transcript into subtitles by the server's rules (src/format/lines.rs, text_units.rs, cues.rs). One table of
// cases, tests/fixtures/subtitles.json, holds the two equal.

const BLANK = /[\p{White_Space}\p{Cc}]/u;
const BLANKS = /[\p{White_Space}\p{Cc}]+/u;
const MAX_SECONDS = 3.6e9;
/** Milliseconds from one word's start to the next one's from which on a new cue starts. */
const LONG_PAUSE_MS = 3_000;
const UNSPACED = new Set(["chinese", "japanese", "thai", "lao", "myanmar", "cantonese"]);

/** Whether a transcript's language separates its words by spaces; a translation is English. */
export const isSpaced = ({ task, language }) => task === "translate" || !UNSPACED.has(language);

/** White space and control characters become single spaces. */
export const collapse = (text) => text.split(BLANKS).filter(Boolean).join(" ");

/** Whole milliseconds. */
export const milliseconds = (seconds) =>
  Math.round(Math.min(Math.max(Number.isNaN(seconds) ? 0 : seconds, 0), MAX_SECONDS) * 1000);

const length = (text) => [...text].length;

/** Adds to each timed word whether a space stands before it, which the text of their segment tells. */
export function attachWords(text, words, spaced) {
  let at = 0;
  return words.map((word, index) => {
    const found = text.indexOf(word.word, at);
    const between = found < 0 ? " " : text.slice(at, found);
    if (found >= 0) at = found + word.word.length;
    const after = (spaced && index === 0) || BLANK.test(between);
    return { text: word.word, after, start: word.start, end: word.end, p: word.probability ?? null };
  });
}

/** Splits a text into units between which a line may break: `{ text, after }`. */
export function cut(text, spaced) {
  const units = [];
  let after = spaced;
  let before = null;
  for (const c of text) {
    if (BLANK.test(c)) {
      after = true;
      before = null;
      continue;
    }
    if (before !== null && (spaced || !mayBreak(before, c))) units.at(-1).text += c;
    else units.push({ text: c, after });
    after = false;
    before = c;
  }
  return units;
}

/** Gives units the times between two moments, in proportion to their characters. */
export function spread(units, startMs, endMs) {
  const lengths = units.map((unit) => length(unit.text));
  const spaces = units.slice(1).filter((unit) => unit.after).length;
  const total = spaces + lengths.reduce((sum, one) => sum + one, 0);
  const span = Math.max(0, endMs - startMs);
  const at = (chars) => startMs + Math.floor((span * chars) / total);
  let chars = 0;
  return units.map((unit, index) => {
    if (index > 0 && unit.after) chars += 1;
    const start = at(chars);
    chars += lengths[index];
    return { ...unit, startMs: start, endMs: at(chars) };
  });
}

function mayBreak(before, after) {
  const isSpacedScript = (c) => c < "\u0e00";
  const dependent = /[\u0e31\u0e33-\u0e3a\u0e45-\u0e4e\u0eb1\u0eb3-\u0ebc\u0ec8-\u0ece\u102b-\u103eぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮー々]/u;
  const leads = isOpening(before) || /[\u0e40-\u0e44\u0ec0-\u0ec4]/u.test(before);
  const trails = dependent.test(after) || !(/[\p{Alphabetic}\p{N}]/u.test(after) || isOpening(after));
  return !(leads || trails || (isSpacedScript(before) && isSpacedScript(after)));
}

const isOpening = (c) => "([{“‘「『（〈《【〔［｛".includes(c);

/** The units of a segment: its words, else its text with estimated times. */
export function units(segment, spaced) {
  const timed = (segment.words ?? []).map((word) => ({
    text: collapse(word.text),
    after: word.after,
    startMs: milliseconds(word.start),
    endMs: milliseconds(word.end),
  }));
  const words = timed.filter((word) => word.text);
  if (words.length > 0) return words;
  return spread(cut(segment.text, spaced), milliseconds(segment.start), milliseconds(segment.end));
}

/**
 * The cues `{ startMs, endMs, speaker, text }`. `width` 0 means one cue a segment; `lines` 0 means that segments are
 * kept apart. `label(speaker)` is what is written before a text.
 */
export function cues(transcript, { width = 0, lines = 0 }, label) {
  const all = width === 0
    ? transcript.segments.map((segment) => whole(segment, label)).filter(Boolean)
    : broken(transcript, width, lines, label);
  for (const cue of all) cue.endMs = Math.max(cue.endMs, cue.startMs + 1);
  return all.sort((a, b) => a.startMs - b.startMs);
}

function whole(segment, label) {
  const text = collapse(segment.text);
  if (!text) return null;
  const speaker = segment.speaker ?? null;
  return { startMs: milliseconds(segment.start), endMs: milliseconds(segment.end), speaker, text: label(speaker) + text };
}

function broken(transcript, width, lines, label) {
  const state = { width, maxLines: lines || Infinity, label, cues: [], lines: 0, chars: 0, lastStartMs: 0 };
  const spaced = isSpaced(transcript);
  for (const segment of transcript.segments) {
    let mayContinue = lines > 0;
    for (const unit of units(segment, spaced)) {
      push(state, unit, segment.speaker ?? null, mayContinue);
      mayContinue = true;
    }
  }
  return state.cues;
}

function push(state, unit, speaker, mayContinue) {
  const sinceLast = Math.max(0, unit.startMs - state.lastStartMs);
  state.lastStartMs = unit.startMs;
  const cue = state.cues.at(-1);
  if (!cue || !mayContinue || sinceLast > LONG_PAUSE_MS || cue.speaker !== speaker) return open(state, unit, speaker);
  const chars = (unit.after ? 1 : 0) + length(unit.text);
  if (state.chars + chars <= state.width) {
    state.chars += chars;
    cue.text += unit.after ? " " : "";
  } else if (state.lines < state.maxLines) {
    state.lines += 1;
    state.chars = length(unit.text);
    cue.text += "\n";
  } else {
    return open(state, unit, speaker);
  }
  cue.text += unit.text;
  cue.endMs = Math.max(cue.endMs, unit.endMs);
}

function open(state, unit, speaker) {
  const text = state.label(speaker) + unit.text;
  state.lines = 1;
  state.chars = length(text);
  state.cues.push({ startMs: unit.startMs, endMs: unit.endMs, speaker, text });
}
