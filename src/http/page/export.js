// Writes a transcript, edited or not, in the formats of the server: untouched, the files are the server's own.

import { collapse, cues, milliseconds } from "./subtitles.js";
import { formatTime } from "./dom.js";

/** The formats, with the type of their files. */
export const FORMATS = {
  srt: "application/x-subrip",
  vtt: "text/vtt",
  txt: "text/plain",
  json: "application/json",
  tsv: "text/tab-separated-values",
};

/** The name that is shown for a speaker. */
export const nameOf = (transcript, speaker) => collapse(transcript.speakers?.[speaker] ?? "") || speaker;

/** The text of all segments. */
export const plainText = (transcript) => transcript.segments.map((segment) => segment.text).join("").trim();

/** The content of a file. `shape` is `{ width, lines, times }`, where 0 means no limit. */
export function write(transcript, format, shape = {}) {
  const label = (speaker) => (speaker === null || speaker === undefined ? "" : `${nameOf(transcript, speaker)}: `);
  switch (format) {
    case "srt": return srt(cues(transcript, shape, label));
    case "vtt": return vtt(transcript, cues(transcript, shape, () => ""));
    case "tsv": return tsv(transcript);
    case "json": return json(transcript);
    default: return text(transcript, shape, label);
  }
}

function srt(all) {
  return all.map((cue, index) =>
    `${index + 1}\n${stamp(cue.startMs, ",")} --> ${stamp(cue.endMs, ",")}\n${withoutArrows(cue.text)}\n\n`).join("");
}

function vtt(transcript, all) {
  const body = all.map((cue) => {
    const voice = cue.speaker === null ? "" : `<v ${escape(nameOf(transcript, cue.speaker))}>`;
    return `${stamp(cue.startMs, ".")} --> ${stamp(cue.endMs, ".")}\n${voice}${escape(cue.text)}\n\n`;
  });
  return `WEBVTT\n\n${body.join("")}`;
}

function tsv(transcript) {
  const line = (segment) =>
    `${milliseconds(segment.start)}\t${milliseconds(segment.end)}\t${collapse(segment.text)}\n`;
  return `start\tend\ttext\n${transcript.segments.map(line).join("")}`;
}

function text(transcript, { times = false }, label) {
  const { segments } = transcript;
  const hasSpeakers = segments.some((segment) => segment.speaker);
  if (!times && !hasSpeakers) return `${plainText(transcript)}\n`;
  const lines = segments.filter((segment) => collapse(segment.text)).map((segment) => {
    const time = times ? `[${formatTime(segment.start)}] ` : "";
    return `${time}${label(segment.speaker)}${collapse(segment.text)}\n`;
  });
  return lines.join("") || "\n";
}

function json(transcript) {
  const word = ({ text, start, end, p }) => ({ word: text, start, end, ...(p === null ? {} : { probability: p }) });
  const segment = ({ start, end, text, speaker, words }, id) => ({
    id, start, end, text, ...(speaker ? { speaker: nameOf(transcript, speaker) } : {}), words: (words ?? []).map(word),
  });
  const { task, language, duration } = transcript;
  const whole = { task, language, duration, text: plainText(transcript), segments: transcript.segments.map(segment) };
  return `${JSON.stringify(whole, null, 2)}\n`;
}

function stamp(ms, mark) {
  const pad = (number, digits) => String(number).padStart(digits, "0");
  const seconds = Math.floor(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return `${pad(Math.floor(minutes / 60), 2)}:${pad(minutes % 60, 2)}:${pad(seconds % 60, 2)}${mark}${pad(ms % 1000, 3)}`;
}

/** SubRip has no escapes: an arrow, which marks a line of times, loses dashes until it is none. */
const withoutArrows = (text) => text.replace(/-{2,}>/g, "->");

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
