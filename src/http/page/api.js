// Requests to the server. Errors carry what the page says about them.

import { t } from "./i18n.js";
import { EventReader } from "./sse.js";
import { apiKey } from "./storage.js";

const TRANSCRIPTIONS = "v1/audio/transcriptions";
const TRANSLATIONS = "v1/audio/translations";
/** The paths whose presence in the API's document means that the server transcribes live. */
export const LIVE_PATH = "v1/audio/transcriptions/stream";

/** A refusal or failure: `status` (0 without an answer), `retryMs`, and a message for people. */
export class RequestError extends Error {
  constructor(status, { code = "", message = "", retryMs = null } = {}) {
    super(explanation(status, code, message, retryMs));
    Object.assign(this, { status, code, retryMs });
  }
}

/** The user cancelled the request. */
export class Cancelled extends Error {}

function explanation(status, code, message, retryMs) {
  const seconds = Math.ceil((retryMs ?? 1000) / 1000);
  const says = (what) => (message ? t("error.says", { what, message }) : what);
  if (status === 0) return t(code === "interrupted" ? "error.interrupted" : "error.unreachable");
  if (status === 401) return t(apiKey() ? "error.key.wrong" : "error.key");
  if (status === 413) return says(t("error.large"));
  if (status === 429) return t("error.busy", { seconds });
  if (status === 504) return t("error.timeout");
  if (code === "audio_too_short") return t("error.short");
  if (status === 400 && /audio|decode/i.test(message)) {
    // The list of formats before the reason helps programs.
    return t("error.says", { what: t("error.audio"), message: message.replace(/^.* Reason: /s, "") });
  }
  return status >= 500 || !message ? says(t("error.server")) : message;
}

function errorOf(status, text, retryHeader) {
  let error = null;
  try {
    error = JSON.parse(text).error;
  } catch {
    // A proxy may answer with a page of HTML.
  }
  const retryMs = retryHeader === null ? null : Number(retryHeader);
  return new RequestError(status, { code: error?.code ?? "", message: error?.message ?? "", retryMs });
}

export const authorization = () => (apiKey() ? { Authorization: `Bearer ${apiKey()}` } : {});

/** A JSON answer. */
export async function requestJson(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...authorization(), ...options.headers } });
  } catch {
    throw new RequestError(0);
  }
  const text = await answer.text();
  if (!answer.ok) throw errorOf(answer.status, text, answer.headers.get("retry-after-ms"));
  return JSON.parse(text);
}

/** The models on disk, without aliases. */
export async function listModels() {
  const { data } = await requestJson("v1/models");
  return data.filter((model) => !model.alias_of);
}

/** Whether the server transcribes live. */
export async function hasLive() {
  const { paths } = await requestJson("openapi.json");
  return Object.keys(paths).includes(`/${LIVE_PATH}`);
}

/**
 * Uploads a recording. `on.upload(share)` reports the upload, which `fetch` cannot; `on.segment(event)` each segment.
 * Returns `{ result, abort }`, where `result` becomes the whole transcript.
 */
export function transcribe(file, name, options, on) {
  const request = new XMLHttpRequest();
  const result = new Promise((resolve, reject) => {
    const reader = new EventReader();
    const handle = (event) => {
      if (event.error) reject(errorOf(500, JSON.stringify(event), null));
      else if (event.type === "transcript.text.segment") on.segment(event);
      else if (event.type === "transcript.text.done") resolve(event);
    };
    // A connection that breaks takes the status with it.
    let hasBegun = false;
    const isStream = () => request.getResponseHeader("content-type")?.startsWith("text/event-stream");
    request.open("POST", options.translate ? TRANSLATIONS : TRANSCRIPTIONS);
    for (const [header, value] of Object.entries(authorization())) request.setRequestHeader(header, value);
    request.upload.onprogress = ({ loaded, total }) => on.upload(total ? loaded / total : 1);
    request.upload.onload = () => on.upload(1);
    request.onprogress = () => {
      hasBegun ||= request.status === 200;
      if (request.status === 200 && isStream()) reader.read(request.responseText).forEach(handle);
    };
    request.onload = () => {
      if (request.status !== 200) {
        return reject(errorOf(request.status, request.responseText, request.getResponseHeader("retry-after-ms")));
      }
      if (!isStream()) return resolve(JSON.parse(request.responseText));
      reader.read(request.responseText).forEach(handle);
      // Has no effect after the last event.
      reject(new RequestError(0, { code: "interrupted" }));
    };
    request.onerror = () => reject(new RequestError(0, { code: hasBegun ? "interrupted" : "" }));
    request.onabort = () => reject(new Cancelled());
    request.send(form(file, name, options));
  });
  return { result, abort: () => request.abort() };
}

function form(file, name, options) {
  const data = new FormData();
  data.append("model", options.model || "whisper-1");
  data.append("response_format", "verbose_json");
  for (const unit of ["word", "segment"]) data.append("timestamp_granularities[]", unit);
  // With speakers the text comes all at once.
  if (options.channels && !options.translate) data.append("channels", "split");
  else if (options.diarize && !options.translate) data.append("diarize", "true");
  else data.append("stream", "true");
  if (options.language) data.append("language", options.language);
  if (options.prompt) data.append("prompt", options.prompt);
  for (const keyword of options.keywords ?? []) data.append("keywords[]", keyword);
  data.append("file", file, name);
  return data;
}
