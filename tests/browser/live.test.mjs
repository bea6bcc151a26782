// Recording and live text, with a fake microphone that says the sample.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { WORDS, allRows, microphoneFile, openPage, startBrowser, startServer } from "./harness.mjs";

const SPEECH_MS = 13_000;
let server;
let folder;
let microphone;
let hasLive;

before(async () => {
  server = await startServer();
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "halkspeech-live-"));
  microphone = microphoneFile(folder);
  const { paths } = await (await fetch(`${server.url}/openapi.json`)).json();
  hasLive = "/v1/audio/transcriptions/stream" in paths;
});
after(async () => {
  await server?.stop();
  fs.rmSync(folder, { recursive: true });
});

const plain = (text) => text.toLowerCase().replace(/[^\p{L}\s]/gu, "").split(/\s+/).filter(Boolean);

/** How many words of the sample are in a text, in order. */
function wordsSaid(text) {
  const said = plain(text);
  let at = 0;
  return WORDS.filter((word) => {
    const found = said.indexOf(word, at);
    if (found < 0 || found > at + 3) return false;
    at = found + 1;
    return true;
  }).length;
}

const ALLOWED = { permissions: ["microphone"] };

async function withMicrophone(options, run, contextOptions = ALLOWED, { url } = server) {
  const browser = await startBrowser(options);
  try {
    const { page, problems } = await openPage(browser, url, contextOptions);
    await page.click("#open-live");
    await run(page);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
}

test("a recording is kept and transcribed", () => withMicrophone({ microphone }, async (page) => {
  const label = await page.textContent("#open-live-label");
  assert.equal(label, hasLive ? "Live" : "Record");
  await page.click("#live-toggle");
  await page.waitForFunction(() => document.querySelector("#live-level").style.transform > "scaleX(0.3)");
  await page.waitForFunction((seconds) => document.querySelector("#live-time").textContent >= seconds, "0:13", { timeout: 2 * SPEECH_MS });
  await page.click("#live-toggle");
  await page.waitForSelector(".row", { timeout: 30_000 });
  if (hasLive) {
    await page.click("#refine");
    await page.waitForSelector(".row:not([data-state=done])");
  }
  await allRows(page, "done", 1);
  const text = await page.locator("#segments").textContent();
  assert.ok(wordsSaid(await page.evaluate(() => [...document.querySelectorAll(".word")].map((one) => one.textContent).join(" "))) >= 20, text);
  await page.waitForSelector(".has-waveform");
}));

test("the text comes while one speaks", async (context) => {
  if (!hasLive) return context.skip("the server has no live transcription");
  await withMicrophone({ microphone }, async (page) => {
    await page.click("#live-toggle");
    await page.waitForSelector(".live-line");
    assert.ok((await page.textContent("#live-time")) < "0:11", "the first words come before the last are said");
    await page.waitForFunction((seconds) => document.querySelector("#live-time").textContent >= seconds, "0:13", { timeout: 2 * SPEECH_MS });
    await page.click("#live-toggle");
    await page.waitForSelector(".row[data-state=done]", { timeout: 30_000 });
    const text = await page.evaluate(() => [...document.querySelectorAll(".word")].map((one) => one.textContent).join(" "));
    assert.ok(wordsSaid(text) >= 20, text);
  });
});

test("a refused microphone is explained", () => withMicrophone({ microphone, denied: true }, async (page) => {
  await page.click("#live-toggle");
  await page.waitForSelector("#live-state[data-kind=error]");
  const shown = await page.textContent("#live-state");
  assert.equal(shown, "The microphone was refused. Allow it in the address bar of the browser.");
}, {}));

test("without a microphone the page says so", () => withMicrophone({}, async (page) => {
  await page.click("#live-toggle");
  await page.waitForSelector("#live-state[data-kind=error]");
  assert.equal(await page.textContent("#live-state"), "There is no microphone.");
}));

test("a connection that is lost is told, and text and recording are kept", async (context) => {
  if (!hasLive) return context.skip("the server has no live transcription");
  const own = await startServer();
  await withMicrophone({ microphone }, async (page) => {
    await page.click("#live-toggle");
    await page.waitForSelector(".live-line");
    own.kill();
    await page.waitForSelector("#live-state[data-kind=error]");
    const shown = await page.textContent("#live-state");
    assert.equal(shown, "Bağlantı koptu. Yeniden bağlanılıyor; söyledikleriniz kaybolmaz.");
    await page.click("#live-toggle");
    await page.waitForSelector("#refine:not([hidden])");
    assert.match(await page.textContent("#segments"), /and so/i);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `${over} px too wide`);
  }, { ...ALLOWED, locale: "tr", viewport: { width: 320, height: 700 } }, own);
});
