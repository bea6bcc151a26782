// Keeps transcripts in the browser's own database (IndexedDB): texts always, audio if wanted. Nothing goes elsewhere.

import { notify } from "./dom.js";
import { t } from "./i18n.js";
import { add, create, emit, on, recordings } from "./recordings.js";
import { load, save } from "./storage.js";

const SAVE_AFTER_MS = 400;
const pending = new Map();
let opened = null;
let wasFullTold = false;

export const keepsTranscripts = () => load("history", true);
export const keepsAudio = () => load("audio", false);

export function setKeeps(transcripts, audio) {
  save("history", transcripts);
  save("audio", audio);
}

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("halkspeech", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("transcripts", { keyPath: "id" });
      request.result.createObjectStore("audio");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Runs `work(stores)` in one transaction, and returns the result of the request that it returns. */
async function transact(mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(["transcripts", "audio"], mode);
    const request = work(transaction.objectStore("transcripts"), transaction.objectStore("audio"));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = () => reject(transaction.error);
    transaction.onerror = () => reject(transaction.error);
  });
}

/** Shows the kept transcripts, oldest first so that the newest is on top, and keeps what changes. */
export async function startHistory() {
  on("edited", ({ recording }) => saveSoon(recording));
  on("renamed", saveSoon);
  // A tab that is hidden may be closed without another sign.
  document.addEventListener("visibilitychange", () => document.hidden && saveNow());
  addEventListener("pagehide", saveNow);
  if (!keepsTranscripts()) return;
  try {
    const kept = await transact("readonly", (transcripts) => transcripts.getAll());
    kept.sort((a, b) => a.created - b.created);
    for (const transcript of kept) add(create({ ...transcript, state: "done" }));
  } catch {
    notify(t("error.history"), "error");
  }
}

/** The kept audio of a recording, or null. */
export async function audioOf(recording) {
  try {
    return (await transact("readonly", (_, audio) => audio.get(recording.id))) ?? null;
  } catch {
    return null;
  }
}

/** Whether an edit is not stored yet, or will never be. */
export const hasUnsaved = () =>
  pending.size > 0 || recordings.some((recording) => recording.past.length > 0 && !recording.isStored);

function saveSoon(recording) {
  recording.isStored = false;
  if (recording.state !== "done" || !keepsTranscripts()) return;
  clearTimeout(pending.get(recording.id));
  pending.set(recording.id, setTimeout(() => store(recording), SAVE_AFTER_MS));
}

function saveNow() {
  for (const [id, timer] of pending) {
    clearTimeout(timer);
    pending.delete(id);
    store(recordings.find((recording) => recording.id === id));
  }
}

async function store(recording) {
  if (!recording) return;
  pending.delete(recording.id);
  if (!recordings.includes(recording)) return;
  const { id, name, created, task, language, duration, segments, speakers } = recording;
  const transcript = { id, name, created, task, language, duration, segments, speakers };
  try {
    await transact("readwrite", (transcripts, audio) => {
      transcripts.put(transcript);
      if (keepsAudio() && recording.blob) audio.put(recording.blob, id);
    });
    recording.isStored = true;
    emit("saved", recording);
  } catch (error) {
    const isFull = error?.name === "QuotaExceededError";
    if (!isFull && wasFullTold) return;
    wasFullTold = true;
    notify(t(isFull ? "error.full" : "error.history", { name }), "error");
  }
}

/** Forgets one transcript. */
export async function erase(id) {
  clearTimeout(pending.get(id));
  pending.delete(id);
  await transact("readwrite", (transcripts, audio) => {
    transcripts.delete(id);
    audio.delete(id);
  }).catch(() => {});
}

/** Forgets all. */
export async function clear() {
  pending.forEach((timer) => clearTimeout(timer));
  pending.clear();
  await transact("readwrite", (transcripts, audio) => {
    transcripts.clear();
    audio.clear();
  }).catch(() => {});
}

/** Bytes in use by the page. */
export async function usedBytes() {
  const estimate = await navigator.storage?.estimate?.();
  return estimate?.usage ?? 0;
}
