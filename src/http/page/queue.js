// Sends recordings to the server, a few at a time.

import { Cancelled, transcribe } from "./api.js";
import { notify } from "./dom.js";
import { t } from "./i18n.js";
import { probe } from "./player.js";
import * as list from "./recordings.js";

/** At a time: one is uploaded while the other is transcribed. */
const MAX_ACTIVE = 2;
/** Tries while the server cannot answer; while it is busy there is no limit. */
const MAX_FAILURES = 3;

const waiting = [];
let active = 0;
/** What ends the work on a recording. */
const aborts = new Map();

/** Adds recordings from files; `optionsOf()` are the options at this moment. */
export function enqueueFiles(files, optionsOf) {
  // The list shows the newest first, and the first file of several on top.
  const added = [...files].reverse().map((file) => {
    const recording = list.create({ name: file.name || t("live.record"), blob: file });
    list.add(recording);
    return recording;
  });
  for (const recording of added.reverse()) enqueue(recording, optionsOf());
  if (!list.selected()) list.select(added[0]);
}

/** Sends a recording, again if it was sent before. */
export function enqueue(recording, options) {
  const task = options.translate ? "translate" : "transcribe";
  Object.assign(recording, { options, task, segments: [], past: [], future: [] });
  list.update(recording, { state: "waiting", share: 0, error: "" });
  list.emit("edited", { recording, indices: null });
  waiting.push(recording);
  startNext();
}

/** Ends the work on a recording; the server frees what it held. */
export function cancel(recording) {
  const index = waiting.indexOf(recording);
  if (index >= 0) waiting.splice(index, 1);
  aborts.get(recording.id)?.();
  if (list.isActive(recording)) list.update(recording, { state: "cancelled" });
}

function startNext() {
  while (active < MAX_ACTIVE && waiting.length > 0) {
    active += 1;
    const recording = waiting.shift();
    run(recording).finally(() => {
      aborts.delete(recording.id);
      active -= 1;
      startNext();
    });
  }
}

async function run(recording) {
  for (let failures = 0; ;) {
    try {
      const whole = await send(recording);
      list.finish(recording, whole);
      // The selected one is seen to end.
      if (recording !== list.selected()) notify(t("done.one", { name: recording.name }));
      return;
    } catch (error) {
      if (error instanceof Cancelled || recording.state === "cancelled") {
        return list.update(recording, { state: "cancelled" });
      }
      const isBusy = error.status === 429;
      failures += isBusy ? 0 : 1;
      const mayRetry = error.retryMs !== null && (isBusy || (error.status === 503 && failures < MAX_FAILURES));
      if (!mayRetry) return fail(recording, error);
      if (!(await pause(recording, error.retryMs))) return;
    }
  }
}

function send(recording) {
  list.update(recording, { state: "uploading", share: 0, segments: [] });
  list.emit("edited", { recording, indices: null });
  measure(recording);
  const { result, abort } = transcribe(recording.blob, recording.name, recording.options, {
    upload: (share) => list.update(recording, share < 1 ? { state: "uploading", share } : { state: "listening", share: 1 }),
    segment: (event) => list.appendSegment(recording, event, recording.options),
  });
  aborts.set(recording.id, abort);
  return result;
}

/** The length of a file, where the browser knows it before the server does: the bar needs it. */
async function measure(recording) {
  if (recording.duration) return;
  const duration = await probe(recording.blob);
  if (Number.isFinite(duration) && list.isActive(recording)) list.update(recording, { duration });
}

function fail(recording, error) {
  list.update(recording, { state: "failed", error: error.message, status: error.status });
  list.emit("failed", { recording, error });
}

/** Waits for the time that the server named, and counts it down; false if cancelled meanwhile. */
async function pause(recording, milliseconds) {
  const end = performance.now() + milliseconds;
  const sleep = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    aborts.set(recording.id, () => {
      clearTimeout(timer);
      resolve();
    });
  });
  for (let left = milliseconds; left > 0; left = end - performance.now()) {
    list.update(recording, { state: "busy", seconds: Math.ceil(left / 1000) });
    await sleep(Math.min(left, 1000));
    if (recording.state === "cancelled") return false;
  }
  return true;
}
