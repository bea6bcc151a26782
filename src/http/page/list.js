// Shows the list of recordings with their states.

import { $, el, formatTime, iconButton } from "./dom.js";
import { locale, onLocale, plural, t } from "./i18n.js";
import * as history from "./history.js";
import { options } from "./options.js";
import * as queue from "./queue.js";
import { isActive, on, recordings, remove, select, selected } from "./recordings.js";

const rows = new Map();

/** Follows the recordings. */
export function showList() {
  on("added", (recording) => {
    rows.set(recording.id, row(recording));
    $("queue").prepend(rows.get(recording.id).element);
    refresh(recording);
    showCount();
  });
  on("removed", ({ id }) => {
    rows.get(id)?.element.remove();
    rows.delete(id);
    showCount();
  });
  on("changed", refresh);
  on("edited", ({ recording }) => refresh(recording));
  on("selected", () => recordings.forEach(refresh));
  onLocale(() => {
    for (const recording of recordings) {
      const fresh = row(recording);
      rows.get(recording.id).element.replaceWith(fresh.element);
      rows.set(recording.id, fresh);
      refresh(recording);
    }
    showCount();
  });
  $("clear-list").onclick = clear;
  showCount();
}

function clear() {
  if (!confirm(t("list.clear.ask"))) return;
  for (const recording of [...recordings]) {
    queue.cancel(recording);
    remove(recording);
  }
  history.clear();
}

/** The elements of a recording, which `refresh` fills. */
function row(recording) {
  const name = el("span", { className: "row-name" });
  const state = el("span", { className: "row-state" });
  const open = el("button", { type: "button", className: "row-open", onclick: () => select(recording) }, name, state);
  const bar = el("progress", { className: "row-progress", max: 1 });
  const actions = el("span", { className: "row-actions" });
  const element = el("li", { className: "row", dataset: { id: recording.id } }, open, actions, bar);
  return { element, open, name, state, bar, actions, shown: "" };
}

function refresh(recording) {
  const parts = rows.get(recording.id);
  if (!parts) return;
  const { state } = recording;
  const active = isActive(recording);
  parts.element.dataset.state = state;
  parts.name.textContent = recording.name;
  parts.name.title = recording.name;
  parts.state.textContent = describe(recording);
  parts.open.setAttribute("aria-current", String(selected() === recording));
  parts.bar.hidden = !["uploading", "listening"].includes(state);
  parts.bar.setAttribute("aria-label", parts.state.textContent);
  const share = progress(recording);
  if (share === null) parts.bar.removeAttribute("value");
  else parts.bar.value = share;
  // Buttons are kept while they do the same, so that the focus stays.
  const shown = `${active}${state}${recording.name}${Boolean(recording.blob)}`;
  if (parts.shown !== shown) parts.actions.replaceChildren(...actions(recording, active));
  parts.shown = shown;
}

/** The share of the work that is done; null while it is unknown. */
function progress(recording) {
  if (recording.state === "uploading") return recording.share;
  const last = recording.segments.at(-1);
  return last && recording.duration ? Math.min(1, last.end / recording.duration) : null;
}

/** The state in words. */
export function describe(recording) {
  const { state, share, seconds, segments, duration, error } = recording;
  switch (state) {
    case "uploading": return t("state.uploading", { percent: Math.floor(share * 100) });
    case "listening": return segments.length
      ? t("state.partial", { time: formatTime(segments.at(-1).end) }) : t("state.listening");
    case "busy": return t("state.busy", { seconds });
    case "failed": return error || t("state.failed");
    case "done": return [formatTime(duration), plural("meta.words", countWords(recording)), day(recording.created)]
      .filter(Boolean).join(" · ");
    default: return t(`state.${state}`);
  }
}

/** The day of an earlier recording; nothing for one of today. */
function day(created) {
  const date = new Date(created);
  const now = new Date();
  if (date.toDateString() === now.toDateString()) return "";
  const year = date.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString(locale(), { day: "numeric", month: "short", year });
}

const countWords = ({ segments }) => segments.reduce((sum, segment) => sum + segment.words.length, 0);

function actions(recording, active) {
  const { name, state, blob } = recording;
  if (active) return [iconButton("close", t("row.cancel", { name }), () => queue.cancel(recording))];
  const erase = () => {
    if (state === "done" && !confirm(t("row.delete.ask", { name }))) return;
    remove(recording);
    history.erase(recording.id);
  };
  const buttons = [iconButton("trash", t("row.delete", { name }), erase)];
  if (state !== "done" && blob) {
    buttons.unshift(iconButton("again", t("row.retry", { name }), () => queue.enqueue(recording, options())));
  }
  return buttons;
}

function showCount() {
  const isEmpty = recordings.length === 0;
  $("queue-empty").hidden = !isEmpty;
  $("clear-list").hidden = isEmpty;
  document.body.classList.toggle("has-recordings", !isEmpty);
}
