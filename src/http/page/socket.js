// The connection for live text: sends samples, receives text, connects again when it is lost.

import { LIVE_PATH, RequestError, requestJson } from "./api.js";
import { apiKey } from "./storage.js";

const SECRET_S = 600;
/** Samples that wait while there is no connection: 30 s of 100 ms. */
const MAX_WAITING = 300;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 8_000;
/** After the end of the audio the server may still write the last turn. */
const FINISH_MS = 20_000;

export class LiveConnection {
  #options;
  #on;
  #socket = null;
  #waiting = [];
  #pauseMs = FIRST_PAUSE_MS;
  #timer = 0;
  #state = "new";
  #finished = null;

  /** `on` has partial(text, committed), final(text), lost(), back() and failed(error). */
  constructor(options, on) {
    this.#options = options;
    this.#on = on;
  }

  /** Connects; a browser hides why an upgrade was refused, so the request before it tells. */
  async open() {
    const secret = await this.#secret();
    const protocols = ["realtime", ...(secret ? [`openai-insecure-api-key.${secret}`] : [])];
    await new Promise((resolve, reject) => {
      let socket;
      try {
        socket = new WebSocket(this.#url(), protocols);
      } catch {
        // A key with letters that a subprotocol cannot have.
        return reject(new RequestError(401));
      }
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        this.#attach(socket);
        resolve();
      };
      socket.onerror = () => reject(new RequestError(0));
    });
  }

  async #secret() {
    try {
      const body = JSON.stringify({ expires_after: { anchor: "created_at", seconds: SECRET_S } });
      const headers = { "content-type": "application/json" };
      return (await requestJson("v1/realtime/client_secrets", { method: "POST", body, headers })).value;
    } catch (error) {
      // A short key makes no secret: then the key itself is sent.
      if ([400, 404, 405].includes(error.status)) return apiKey();
      throw error;
    }
  }

  #url() {
    const url = new URL(LIVE_PATH, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const { rate, model, language } = this.#options;
    const query = { sample_rate: rate, enable_vad: "true", model, language };
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    return url;
  }

  #attach(socket) {
    this.#socket = socket;
    this.#state = this.#state === "finishing" ? "finishing" : "open";
    const openedAt = performance.now();
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = () => {
      this.#socket = null;
      if (this.#state === "finishing" || this.#state === "closed") return this.#end();
      // A connection that worked for a while starts with short pauses again.
      if (performance.now() - openedAt > MAX_PAUSE_MS) this.#pauseMs = FIRST_PAUSE_MS;
      this.#on.lost();
      this.#reconnectAfter(this.#pauseMs);
    };
    for (const buffer of this.#waiting.splice(0)) socket.send(buffer);
    if (this.#state === "finishing") this.#sendEnd();
  }

  #receive(event) {
    if (event.type === "transcript.partial") this.#on.partial(event.text, event.committed ?? 0);
    else if (event.type === "transcript.final") this.#on.final(event.text);
    else if (event.type === "error") this.#on.failed(new RequestError(500, { message: errorText(event) }));
  }

  #reconnectAfter(milliseconds) {
    this.#state = "lost";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      try {
        await this.open();
        this.#on.back();
      } catch (error) {
        if (this.#state === "closed") return;
        if (error.status === 401) return this.#on.failed(error);
        this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS);
        this.#reconnectAfter(Math.max(this.#pauseMs, error.retryMs ?? 0));
      }
    }, milliseconds);
  }

  /** Sends samples, or keeps the newest until there is a connection again. */
  send(buffer) {
    if (this.#socket?.readyState === WebSocket.OPEN) return this.#socket.send(buffer);
    this.#waiting.push(buffer);
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
  }

  /** Ends the audio and waits for the last text. */
  finish() {
    const wasOpen = this.#state === "open";
    this.#state = "finishing";
    const finished = new Promise((resolve) => { this.#finished = resolve; });
    if (wasOpen) this.#sendEnd();
    setTimeout(() => this.close(), wasOpen ? FINISH_MS : 0);
    return finished;
  }

  #sendEnd() {
    this.#socket?.send(JSON.stringify({ type: "audio.done" }));
  }

  /** Gives up at once. */
  close() {
    this.#state = "closed";
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.close();
    this.#end();
  }

  #end() {
    this.#finished?.();
    this.#finished = null;
  }
}

const errorText = (event) => event.text ?? event.message ?? event.error?.message ?? "";
