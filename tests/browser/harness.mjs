// Starts servers and a browser for the tests of the page.
//
// HALKSPEECH_BIN, MODELS_DIR, SAMPLES_DIR: as for tests/e2e. BROWSER_ENV: the folder with the packages of package.json.
// CHROMIUM: the browser, by default the first of chromium and google-chrome in PATH.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "halkspeech");
const BROWSER_ENV = process.env.BROWSER_ENV || path.join(CACHE, "browser");
const MODELS = process.env.MODELS_DIR || path.join(CACHE, "models");
const PROGRAM = process.env.HALKSPEECH_BIN
  || path.join(process.env.CARGO_TARGET_DIR || path.join(CACHE, "target"), "release", "halkspeech");
export const SAMPLE = path.join(process.env.SAMPLES_DIR || path.join(CACHE, "samples"), "jfk.wav");
/** The words of the sample. */
export const WORDS = ("and so my fellow americans ask not what your country can do for you ask what you can do for your "
  + "country").split(" ");
/** Variables that would change the server under test. */
const IGNORED = /^(WHISPER__|SERVER__|AUDIO__|MODELS__|API_KEY|UVICORN_|LOG_|ENABLE_UI|ALLOW)/;

const require = createRequire(path.join(BROWSER_ENV, "package.json"));
export const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

function chromiumPath() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ["chromium", "google-chrome", "chromium-browser"]) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch {
      // The next name.
    }
  }
  throw new Error("no Chromium: scripts/setup.sh browser installs it, CHROMIUM names another one");
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A running server. */
export async function startServer(settings = {}) {
  const port = await freePort();
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !IGNORED.test(name)));
  const env = { ...inherited, WHISPER__MODEL: "base", LOG_LEVEL: "warning", ...settings };
  const child = spawn(PROGRAM, ["serve", "--host", "127.0.0.1", "--port", String(port), "--models-dir", MODELS],
    { env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { log += data; });
  const exited = new Promise((resolve) => child.on("exit", resolve));
  const url = `http://127.0.0.1:${port}`;
  const isReady = async () => (await fetch(`${url}/ready`).catch(() => null))?.ok;
  await until(isReady, 60_000, () => `the server is not ready: ${log}`);
  return {
    url,
    kill: () => child.kill("SIGKILL"),
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
    },
    /** The value of a metric without labels. */
    metric: async (name) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(text.match(new RegExp(`^${name} (\\S+)$`, "m"))[1]);
    },
  };
}

/** Polls until the condition holds. */
export async function until(condition, milliseconds, message = () => "the condition never held") {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    assert.ok(Date.now() < end, message());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Starts Chromium; `microphone` is a WAV file that the fake microphone plays once. */
export async function startBrowser({ microphone = null, denied = false } = {}) {
  const { chromium } = require("playwright-core");
  const args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"];
  if (microphone) args.push("--use-fake-device-for-media-stream", `--use-file-for-fake-audio-capture=${microphone}%noloop`);
  if (!denied) args.push("--use-fake-ui-for-media-stream");
  return chromium.launch({ executablePath: chromiumPath(), args });
}

/**
 * A page with nothing stored. What goes wrong in it is collected in `problems`: errors of scripts, violations of the
 * policy, requests to another origin.
 */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, locale: "en", ...options });
  const problems = [];
  const page = await watch(await context.newPage(), url, problems);
  await page.goto(url);
  await page.waitForSelector("body[data-ready]");
  return { context, page, problems };
}

export async function watch(page, url, problems) {
  page.on("pageerror", (error) => problems.push(error.stack || `an error without a stack: ${error}`));
  page.on("console", (message) => {
    // Chromium reports each refused request as an error, which tests provoke.
    const isRefusal = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !isRefusal) problems.push(`${message.text()} (${message.location().url})`);
  });
  page.on("request", (request) => {
    const isOwn = [url, "blob:", "data:"].some((start) => request.url().startsWith(start));
    if (!isOwn) problems.push(`a request to ${request.url()}`);
  });
  return page;
}

/** Drops files on the page: `[{ name, path }]` or `[{ name, bytes }]`. */
export async function drop(page, files) {
  const sent = files.map(({ name, path: from, bytes }) =>
    ({ name, base64: (bytes ?? fs.readFileSync(from)).toString("base64") }));
  await page.evaluate(async (all) => {
    const transfer = new DataTransfer();
    for (const { name, base64 } of all) {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type: /\.wav$/.test(name) ? "audio/wav" : "" }));
    }
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, sent);
}

/** Waits until every recording of the list has this state. */
export const allRows = (page, state, count) => page.waitForFunction(([wanted, n]) => {
  const rows = [...document.querySelectorAll(".row")];
  return rows.length === n && rows.every((row) => row.dataset.state === wanted);
}, [state, count], { timeout: 120_000 });

/** Samples of 16 bits and one channel at 16 kHz from a WAV file, and the other way round. */
export function readWav(file) {
  const bytes = fs.readFileSync(file);
  const at = bytes.indexOf("data") + 8;
  const body = bytes.subarray(at, at + bytes.readUInt32LE(at - 4));
  return new Int16Array(new Uint8Array(body).buffer);
}

export function wav(samples, rate = 16_000) {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.byteLength, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.byteLength, 40);
  return Buffer.concat([header, Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)]);
}

/** The sample several times, with a second of silence before each. */
export function repeated(times) {
  const once = readWav(SAMPLE);
  const all = new Int16Array((once.length + 16_000) * times);
  for (let index = 0; index < times; index += 1) all.set(once, index * (once.length + 16_000) + 16_000);
  return wav(all);
}

/** The sample at 48 kHz, which a fake microphone needs, after half a second and with three of silence behind it. */
export function microphoneFile(folder) {
  const once = readWav(SAMPLE);
  const rate = 48_000;
  const all = new Int16Array(once.length * 3 + rate * 3.5);
  for (let index = 0; index < once.length * 3; index += 1) {
    const before = once[Math.floor(index / 3)];
    const after = once[Math.min(Math.floor(index / 3) + 1, once.length - 1)];
    all[rate / 2 + index] = before + ((after - before) * (index % 3)) / 3;
  }
  const file = path.join(folder, "microphone.wav");
  fs.writeFileSync(file, wav(all, rate));
  return file;
}
