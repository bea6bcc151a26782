// What the page says when something fails, and how it goes on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { SAMPLE, allRows, drop, openPage, repeated, startBrowser, startServer, wav } from "./harness.mjs";

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser?.close());

/** A page of a server with these settings; both are closed after the test. */
async function withServer(settings, run, options = {}) {
  const server = await startServer(settings);
  const { context, page, problems } = await openPage(browser, server.url, options);
  try {
    await run(page, server, context);
    assert.deepEqual(problems, []);
  } finally {
    await context.close();
    await server.stop();
  }
}

const state = (page) => page.locator(".row-state").first().textContent();

test("a key is asked for, works, and is forgotten with the session", () =>
  withServer({ API_KEY: "a secret of the tests" }, async (page, server, context) => {
    await page.waitForSelector("#server-note:not([hidden])");
    assert.equal(await page.textContent("#server-note-text"), "The server requires an API key.");
    await drop(page, [{ name: "a.wav", path: SAMPLE }]);
    await page.waitForSelector("#settings-dialog[open]");
    await page.fill("#settings-key", "wrong");
    await page.click("#settings-form .main");
    await page.waitForFunction(() => document.querySelector("#server-note-text").textContent === "The server does not accept this API key.");
    await page.click("#server-note-key");
    await page.fill("#settings-key", "a secret of the tests");
    await page.click("#settings-form .main");
    await page.waitForSelector("#server-note", { state: "hidden" });
    await allRows(page, "done", 1);
    const other = await context.newPage();
    await other.goto(server.url);
    await other.waitForSelector("#server-note:not([hidden])");
    const stored = await other.evaluate(() => JSON.stringify(localStorage));
    assert.ok(!stored.includes("secret"), stored);
  }));

test("a busy server is tried again at the time that it names", () =>
  withServer({ WHISPER__MAX_CONCURRENT_REQUESTS: "1" }, async (page) => {
    await drop(page, [{ name: "a.wav", bytes: repeated(3) }, { name: "b.wav", path: SAMPLE }]);
    await page.waitForSelector(".row[data-state=busy]");
    assert.match(await page.locator(".row[data-state=busy] .row-state").textContent(), /^The server is busy\. Next try in \d+ s$/);
    await allRows(page, "done", 2);
  }));

test("a file that is no audio, an upload that is too large, a server that is gone", () =>
  withServer({ SERVER__MAX_UPLOAD_MIB: "1" }, async (page, server) => {
    await drop(page, [{ name: "notes.txt", bytes: Buffer.from("no sound at all") }]);
    await page.waitForSelector(".row[data-state=failed]");
    assert.match(await state(page), /^This is not audio that the server can read\. It says: could not decode a text file/);
    await drop(page, [{ name: "empty.wav", bytes: Buffer.alloc(0) }]);
    await page.waitForFunction(() => document.querySelector("#status").textContent === "The file is empty.");
    await drop(page, [{ name: "short.wav", bytes: wav(new Int16Array(1)) }]);
    await allRows(page, "failed", 2);
    assert.equal(await state(page), "The recording is too short.");
    await drop(page, [{ name: "large.wav", bytes: repeated(4) }]);
    await allRows(page, "failed", 3);
    assert.match(await state(page), /^The file is too large for this server\. It says: /);
    await server.stop();
    await drop(page, [{ name: "a.wav", path: SAMPLE }]);
    await allRows(page, "failed", 4);
    assert.equal(await state(page), "The server cannot be reached. Is it running?");
  }));

test("a server that dies while it writes", () =>
  withServer({}, async (page, server) => {
    await drop(page, [{ name: "long.wav", bytes: repeated(20) }]);
    await page.waitForSelector(".segment", { timeout: 120_000 });
    server.kill();
    await page.waitForSelector(".row[data-state=failed]");
    assert.equal(await state(page), "The connection was lost before the text was complete.");
    assert.ok((await page.locator(".segment").count()) > 0, "what came stays");
  }));

test("without the page nothing of it is served", async () => {
  const server = await startServer({ ENABLE_UI: "false" });
  for (const path of ["/", "/page/app.js", "/docs/"]) {
    assert.equal((await fetch(server.url + path)).status, 404, path);
  }
  await server.stop();
});
