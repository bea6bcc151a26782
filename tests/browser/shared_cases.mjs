// The cases of tests/fixtures/subtitles.json, as transcripts of the page.
// `node tests/browser/shared_cases.mjs` writes the files of all cases again, by the page's modules; the tests in Rust
// and in tests/browser then tell whether the server writes the same.

import fs from "node:fs";
import { fileURLToPath } from "node:url";

import { write } from "../../src/http/page/export.js";
import { attachWords, isSpaced } from "../../src/http/page/subtitles.js";

const PATH = new URL("../fixtures/subtitles.json", import.meta.url);
const SHAPES = [[0, 0], [12, 2], [10, 0], [42, 2], [1, 1], [3, 9]];

export const cases = () => JSON.parse(fs.readFileSync(PATH, "utf8"));

/** A transcript as the page has it after it got it from the server. */
export function transcriptOf({ task, language, segments }) {
  const spaced = isSpaced({ task, language });
  return {
    task,
    language,
    speakers: {},
    segments: segments.map(({ start, end, text, speaker, words }) => {
      const sent = words.map(([wordStart, wordEnd, word]) => ({ word: word.trim(), start: wordStart, end: wordEnd }));
      const label = speaker === null ? null : String.fromCharCode(65 + speaker);
      return { start, end, text, speaker: label, words: attachWords(text, sent.filter(({ word }) => word), spaced) };
    }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const all = cases().map((one) => {
    const transcript = transcriptOf(one);
    const of = (format, width, lines) => ({ format, width, lines, file: write(transcript, format, { width, lines }) });
    const subtitles = SHAPES.flatMap(([width, lines]) => [of("srt", width, lines), of("vtt", width, lines)]);
    return { ...one, outputs: [...subtitles, of("txt", 0, 0), of("tsv", 0, 0)] };
  });
  fs.writeFileSync(PATH, `${JSON.stringify(all, null, 1)}\n`);
}
