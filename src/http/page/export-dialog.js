// The dialog that saves or copies a transcript in a format.

import { $, download, el, notify, stem } from "./dom.js";
import { FORMATS, plainText, write } from "./export.js";
import { onLocale, t } from "./i18n.js";
import { selected } from "./recordings.js";
import { load, save } from "./storage.js";

const PREVIEW_CHARS = 1_200;
/** The server's largest width: a cue is a segment, from the start of its first word to the end of its last. */
const NO_LIMIT = 1_000;

/** Wires the dialog. */
export function startExport() {
  const choice = (format) => el("label", { className: "choice" },
    el("input", { type: "radio", name: "format", value: format }),
    el("span", { textContent: format.toUpperCase() }));
  const fill = () => {
    const format = chosen();
    $("export-formats").replaceChildren(...Object.keys(FORMATS).map(choice));
    $("export-formats").querySelector(`[value=${format}]`).checked = true;
  };
  onLocale(fill);
  fill();
  for (const name of ["width", "lines"]) $(`export-${name}`).value = load(`export.${name}`, "");
  $("export-times").checked = load("export.times", false);
  $("export-form").addEventListener("input", show);
  $("export-form").onsubmit = saveFile;
  $("export-copy").onclick = () => copy(content());
}

const chosen = () =>
  $("export-formats").querySelector(":checked")?.value ?? load("export.format", "srt");

function shape() {
  const limit = (id) => Math.max(0, Math.floor(Number($(id).value) || 0));
  const times = $("export-times").checked;
  const width = limit("export-width");
  return width ? { width, lines: limit("export-lines"), times } : { width: NO_LIMIT, lines: 0, times };
}

const content = () => write(selected(), chosen(), shape());

export function openExport() {
  const recording = selected();
  if (!recording || recording.segments.length === 0) return;
  show();
  $("export").showModal();
  $("export-save").focus();
}

function show() {
  const isSubtitle = ["srt", "vtt"].includes(chosen());
  $("export-shape").hidden = !isSubtitle;
  $("export-times-field").hidden = chosen() !== "txt";
  $("export-about").textContent = t(`export.${chosen()}`);
  const text = content();
  $("export-preview").textContent = text.length > PREVIEW_CHARS ? `${text.slice(0, PREVIEW_CHARS)}…` : text;
}

function saveFile() {
  const recording = selected();
  const name = `${stem(recording.name)}.${chosen()}`;
  download(content(), name, `${FORMATS[chosen()]};charset=utf-8`);
  save("export.format", chosen());
  save("export.width", $("export-width").value);
  save("export.lines", $("export-lines").value);
  save("export.times", $("export-times").checked);
  notify(t("export.saved", { name }));
}

/** Copies the text of the selected transcript, with the names of its speakers. */
export function copyText() {
  const recording = selected();
  const hasSpeakers = recording.segments.some((segment) => segment.speaker);
  return copy(hasSpeakers ? write(recording, "txt") : plainText(recording));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    notify(t("copied"));
  } catch {
    copyByCommand(text);
  }
}

/** Pages without https have no clipboard of their own. */
function copyByCommand(text) {
  const host = document.querySelector("dialog[open]") ?? document.body;
  const field = el("textarea", { value: text, className: "hidden-field" });
  host.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  notify(t(isCopied ? "copied" : "copy.failed"), isCopied ? "info" : "error");
}
