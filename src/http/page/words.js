// Words with times: found by time, kept through edits. Pure functions.

import { cut, milliseconds, spread } from "./subtitles.js";

/** Below this probability a word is marked as doubtful. */
export const DOUBTFUL = 0.5;

/** A word that the model was unsure of. Words that a person wrote have no probability. */
export const isDoubtful = (word) => word.p !== null && word.p < DOUBTFUL;

/** The index of the last of `starts`, which are in order, that is not after `time`; -1 if there is none. */
export function lastAt(starts, time) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * The words of an edited text. Unchanged words keep their times. Where as many words were written as were replaced,
 * each takes the time of the one it replaces; otherwise they share the time between their unchanged neighbours.
 */
export function retime(segment, text, spaced) {
  const before = segment.words;
  const after = cut(text, spaced);
  const kept = unchanged(before.map((word) => word.text), after.map((unit) => unit.text));
  const words = [];
  let old = 0;
  for (let index = 0; index <= after.length; index += 1) {
    const anchor = index < after.length ? kept[index] : before.length;
    if (anchor === -1) continue;
    const written = after.slice(words.length, index);
    const replaced = before.slice(old, anchor);
    words.push(...timed(written, replaced, {
      start: words.at(-1)?.end ?? segment.start,
      end: before[anchor]?.start ?? segment.end,
    }));
    if (index < after.length) words.push({ ...before[anchor], after: after[index].after });
    old = anchor + 1;
  }
  return words;
}

/** Words in the place of others, with the times of these; in a gap, those of the gap. */
function timed(written, replaced, gap) {
  if (written.length === replaced.length) {
    return written.map((unit, index) => ({ ...unit, start: replaced[index].start, end: replaced[index].end, p: null }));
  }
  const start = replaced[0]?.start ?? gap.start;
  const end = replaced.at(-1)?.end ?? gap.end;
  return spread(written, milliseconds(start), milliseconds(end)).map(({ text, after, startMs, endMs }) =>
    ({ text, after, start: startMs / 1000, end: endMs / 1000, p: null }));
}

/** For each new text the index of the old one that it continues, or -1: a longest common subsequence. */
function unchanged(before, after) {
  const rows = before.length + 1;
  const columns = after.length + 1;
  const lengths = new Uint16Array(rows * columns);
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      lengths[i * columns + j] = before[i] === after[j]
        ? lengths[(i + 1) * columns + j + 1] + 1
        : Math.max(lengths[(i + 1) * columns + j], lengths[i * columns + j + 1]);
    }
  }
  const kept = new Array(after.length).fill(-1);
  for (let i = 0, j = 0; i < before.length && j < after.length;) {
    if (before[i] === after[j]) kept[j++] = i++;
    else if (lengths[(i + 1) * columns + j] >= lengths[i * columns + j + 1]) i += 1;
    else j += 1;
  }
  return kept;
}

/** The text of words, with the spaces between them and a leading one, as segments of the server have. */
export const joined = (words) => words.map((word) => (word.after ? ` ${word.text}` : word.text)).join("");

/** Where `query` stands in a text: `[from, to]` pairs. The case of letters follows `locale` unless it matters. */
export function findAll(text, query, { matchCase = false, locale = "en" } = {}) {
  if (!query) return [];
  const lengths = [];
  const fold = (whole) => {
    if (matchCase) return whole;
    let folded = "";
    for (const c of whole) {
      // Lower case may have another length: positions are mapped back.
      const lower = c.toLocaleLowerCase(locale);
      folded += lower;
      lengths.push({ folded: lower.length, original: c.length });
    }
    return folded;
  };
  const needle = matchCase ? query : [...query].map((c) => c.toLocaleLowerCase(locale)).join("");
  const haystack = fold(text);
  const original = (position) => {
    if (matchCase) return position;
    let at = 0;
    let from = 0;
    for (const { folded, original: size } of lengths) {
      if (at >= position) break;
      at += folded;
      from += size;
    }
    return from;
  };
  const found = [];
  for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + needle.length)) {
    found.push([original(at), original(at + needle.length)]);
  }
  return found;
}
