// Starts the page: the views, the header of a transcript, and what happens when something fails.

import { listModels } from "./api.js";
import { $, formatTime, notify } from "./dom.js";
import { redo, undo } from "./edits.js";
import { copyText, openExport, startExport } from "./export-dialog.js";
import { openFind, startFind } from "./find.js";
import * as history from "./history.js";
import { locale, onLocale, plural, setLocale, t, translate, translatedLanguage } from "./i18n.js";
import { watchIntake } from "./intake.js";
import { startKeyboard } from "./keyboard.js";
import { describe, showList } from "./list.js";
import { isRecording, startLive } from "./live.js";
import { codes, options, showModels, startOptions } from "./options.js";
import { startPlayer } from "./player.js";
import { enqueue, enqueueFiles } from "./queue.js";
import { emit, isActive, on, recordings, select, selected } from "./recordings.js";
import { openSettings, showPolicy, startSettings } from "./settings.js";
import { openSpeakers } from "./speakers.js";
import { nextDoubtful, showTranscript } from "./transcript.js";

/** Shows one of `welcome`, `transcript` and `live`; on a phone it takes the place of the list, or not. */
function showView(main, side = "main") {
  document.body.dataset.main = main;
  document.body.dataset.view = side;
  for (const id of ["welcome", "transcript", "live"]) $(id).hidden = id !== main;
}

function startViews() {
  on("selected", (recording) => {
    // A phone goes on showing the list when a file was added.
    const side = recording && document.activeElement?.closest(".row") ? "main" : document.body.dataset.view;
    if (recording) showView("transcript", side);
    else if (document.body.dataset.main === "transcript") showView("welcome", "list");
    showHeader();
  });
  $("queue").addEventListener("click", (event) => {
    if (event.target.closest(".row-open")) showView("transcript");
  });
  $("open-live").onclick = () => {
    showView("live");
    $("live-toggle").focus();
  };
  for (const button of document.querySelectorAll(".back")) {
    button.onclick = () => {
      if (!isRecording() && selected() && button.dataset.to !== "list") showView("transcript");
      document.body.dataset.view = "list";
    };
  }
}

function startHeader() {
  $("name").onchange = () => {
    const recording = selected();
    recording.name = $("name").value.trim() || recording.name;
    emit("changed", recording);
    emit("renamed", recording);
  };
  $("tool-find").onclick = openFind;
  $("tool-undo").onclick = () => undo(selected()) && notify(t("undone"));
  $("tool-redo").onclick = () => redo(selected());
  $("tool-copy").onclick = copyText;
  $("tool-export").onclick = openExport;
  $("tool-speakers").onclick = () => openSpeakers(selected());
  $("doubtful").onclick = nextDoubtful;
  $("refine").onclick = () => {
    selected().isLive = false;
    enqueue(selected(), options());
  };
  on("changed", (recording) => recording === selected() && showHeader());
  on("edited", ({ recording }) => recording === selected() && showHeader());
  document.addEventListener("doubtful", ({ detail }) => {
    $("doubtful").hidden = detail.count === 0;
    $("doubtful").textContent = plural("meta.doubtful", detail.count);
  });
}

function showHeader() {
  const recording = selected();
  if (!recording) return;
  const { name, state, segments, duration, language, task } = recording;
  if (document.activeElement !== $("name")) $("name").value = name;
  $("name").title = name;
  const spoken = task === "translate" ? "english" : language;
  const parts = [duration ? formatTime(duration) : "",
    spoken && spoken !== "unknown" ? translatedLanguage(spoken, codes()) : ""];
  $("meta").textContent = parts.filter(Boolean).join(" · ");
  const isSilent = state === "done" && segments.length === 0;
  const hint = isSilent ? t("meta.nospeech") : state === "done" ? "" : describe(recording);
  $("transcript-state").textContent = hint;
  $("transcript-state").dataset.kind = state === "failed" ? "error" : "info";
  $("transcript-state").hidden = !hint;
  const canEdit = segments.length > 0 && !isActive(recording);
  for (const id of ["tool-find", "tool-copy", "tool-export", "tool-speakers"]) $(id).disabled = !canEdit;
  $("tool-undo").disabled = recording.past.length === 0;
  $("tool-redo").disabled = recording.future.length === 0;
  $("refine").hidden = !(recording.isLive && recording.blob && state === "done");
  if (segments.length === 0) $("doubtful").hidden = true;
}

/** Whether the server answered. */
async function loadModels() {
  try {
    showModels(await listModels());
    $("server-note").hidden = true;
    return true;
  } catch (error) {
    $("server-note").hidden = false;
    $("server-note-text").textContent = error.message;
    $("server-note-key").hidden = error.status !== 401;
    return false;
  }
}

/** Sends the recordings again that were refused with 401, if the new key works. */
async function useKey() {
  if (!(await loadModels())) return;
  const refused = recordings.filter(({ state, status }) => state === "failed" && status === 401);
  for (const recording of refused.reverse()) enqueue(recording, recording.options);
}

function watchLeaving() {
  addEventListener("beforeunload", (event) => {
    if (recordings.some(isActive) || isRecording() || history.hasUnsaved()) event.preventDefault();
  });
}

function startLanguage() {
  $("ui-language").value = locale();
  $("ui-language").onchange = () => setLocale($("ui-language").value);
  onLocale(() => {
    showHeader();
    showPolicy();
    $("drop-title").textContent = t("drop.title");
  });
}

for (const dialog of document.querySelectorAll("dialog")) {
  // A click on the backdrop closes it, as Esc does.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  for (const button of dialog.querySelectorAll(".close")) button.onclick = () => dialog.close();
}

translate();
showList();
startOptions();
startPlayer();
showTranscript();
startViews();
startHeader();
startLanguage();
startFind();
startExport();
startKeyboard();
startSettings(useKey);
watchIntake((files) => enqueueFiles(files, options));
watchLeaving();
on("failed", ({ recording, error }) => {
  if (error.status === 401) openSettings();
  // The list shows the reason too; where it is not on the screen, a message does.
  else if ($("queue").offsetParent) $("live-text").textContent = `${recording.name}: ${error.message}`;
  else notify(error.message, "error");
});
$("open-help").onclick = () => $("help").showModal();
$("server-note-key").onclick = openSettings;
showView("welcome", "list");
document.body.removeAttribute("data-starting");
history.startHistory().then(() => document.body.dataset.ready = "true");
loadModels();
startLive();
