// The page in Chromium, against the real server with the real model.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import {
  SAMPLE, WORDS, allRows, drop, openPage, repeated, startBrowser, startServer, until, watch,
} from "./harness.mjs";

const MARKUP = "<img src=x onerror=alert(1)><script>alert(1)</script>";
let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Runs a test with its own page, and fails if anything went wrong in it. */
function onPage(name, run, options = {}) {
  test(name, async ({ skip }) => {
    const { context, page, problems } = await openPage(browser, server.url, options);
    try {
      await run(page, { context, problems, skip });
      assert.deepEqual(problems, []);
    } finally {
      await context.close();
    }
  });
}

/** Drops one file and waits for its transcript. */
async function transcribed(page, file = { name: "speech.wav", path: SAMPLE }) {
  await drop(page, [file]);
  await allRows(page, "done", 1);
  await page.waitForFunction(() => !document.querySelector("#player-toggle").disabled);
}

async function saved(page, format, { width = "", lines = "" } = {}) {
  await page.keyboard.press("Control+s");
  await page.check(`#export-formats [value=${format}]`);
  if (await page.isVisible("#export-shape")) {
    await page.fill("#export-width", String(width));
    await page.fill("#export-lines", String(lines));
  }
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export-save")]);
  return { name: download.suggestedFilename(), text: fs.readFileSync(await download.path(), "utf8") };
}

const plain = (text) => text.toLowerCase().replace(/[^\p{L}\s]/gu, "").split(/\s+/).filter(Boolean);

async function editSegment(page, index, text) {
  await page.locator(".segment").nth(index).locator(".edit").click();
  await page.locator(".segment-field").fill(text);
  await page.keyboard.press("Enter");
}

/** The transcripts in the browser's database, as JSON. */
const stored = (page) => page.evaluate(() => new Promise((resolve) => {
  indexedDB.open("halkspeech").onsuccess = ({ target }) => {
    const all = target.result.transaction("transcripts").objectStore("transcripts").getAll();
    all.onsuccess = () => {
      target.result.close();
      resolve(JSON.stringify(all.result));
    };
  };
}));

onPage("three dropped files become three transcripts with words, in order", async (page) => {
  const names = ["one.wav", "two.wav", "three.wav"];
  await drop(page, names.map((name) => ({ name, path: SAMPLE })));
  await allRows(page, "done", 3);
  assert.deepEqual(await page.locator(".row-name").allTextContents(), names);
  for (const index of [0, 1, 2]) {
    await page.locator(".row-open").nth(index).click();
    assert.equal(await page.inputValue("#name"), names[index]);
    const words = await page.locator(".word").allTextContents();
    assert.deepEqual(plain(words.join(" ")), WORDS);
  }
});

onPage("a click on a word plays from its start, and the playback marks words", async (page) => {
  await transcribed(page);
  const form = new FormData();
  for (const [name, value] of [["response_format", "verbose_json"], ["timestamp_granularities[]", "word"]]) form.append(name, value);
  form.append("file", new Blob([fs.readFileSync(SAMPLE)]), "a.wav");
  const answer = await fetch(`${server.url}/v1/audio/transcriptions`, { method: "POST", body: form });
  const { start } = (await answer.json()).words[9];
  const position = page.evaluate(() => new Promise((resolve) => {
    const audio = document.querySelector("#player audio");
    audio.addEventListener("seeked", () => resolve(audio.currentTime), { once: true });
  }));
  await page.locator(".word").nth(9).click();
  assert.ok(Math.abs((await position) - start) < 0.1, `${await position} for ${start}`);
  await page.waitForFunction(() => document.querySelector(".word.current")?.textContent === "what");
  await page.locator("#player-toggle").click();
  await page.waitForSelector("#player-toggle[aria-label=Play]");
});

onPage("an edited word is in the subtitles, with its times", async (page) => {
  await transcribed(page);
  const before = (await saved(page, "srt")).text;
  await editSegment(page, 0, (await page.locator(".segment-text").first().textContent()).replace("fellow", "dear"));
  for (const format of ["srt", "vtt", "txt", "json", "tsv"]) {
    const file = await saved(page, format);
    assert.equal(file.name, `speech.${format}`);
    assert.match(file.text, /dear Americans/, format);
    if (format === "srt") assert.equal(file.text, before.replace("fellow", "dear"));
    if (format === "json") {
      const word = JSON.parse(file.text).segments[0].words.find((one) => one.word === "dear");
      assert.ok(word.end > word.start && !("probability" in word));
    }
  }
  await page.keyboard.press("Escape");
  await page.click("#tool-undo");
  assert.equal((await saved(page, "srt")).text, before);
});

onPage("without edits the files are the server's own", async (page) => {
  const bytes = repeated(2);
  await transcribed(page, { name: "two.wav", bytes });
  for (const [format, shape] of [["srt", {}], ["vtt", {}], ["srt", { width: 42, lines: 2 }], ["vtt", { width: 20 }]]) {
    const form = new FormData();
    form.append("response_format", format);
    // Without a width the server does not measure words, by which a segment begins and ends more exactly.
    form.append("max_line_width", String(shape.width ?? 1_000));
    if (shape.lines) form.append("max_line_count", String(shape.lines));
    form.append("file", new Blob([bytes]), "two.wav");
    const answer = await fetch(`${server.url}/v1/audio/transcriptions`, { method: "POST", body: form });
    assert.equal((await saved(page, format, shape)).text, await answer.text(), `${format} ${JSON.stringify(shape)}`);
  }
});

onPage("cancelling frees the server", async (page) => {
  await drop(page, [{ name: "long.wav", bytes: repeated(30) }]);
  await page.waitForSelector(".row[data-state=listening]");
  await page.waitForSelector(".segment", { timeout: 120_000 });
  await page.waitForFunction(() => document.querySelector(".row-progress").position > 0);
  await page.locator(".row-actions button").click();
  await allRows(page, "cancelled", 1);
  const isFree = async () => (await server.metric("halkspeech_requests_in_flight")) === 0
    && (await server.metric("halkspeech_queued_windows")) === 0;
  await until(isFree, 1_000, () => "the server still works on it after a second");
});

onPage("find and replace, names of speakers, undo", async (page) => {
  await transcribed(page);
  await page.keyboard.press("Control+h");
  await page.fill("#find-what", "COUNTRY");
  assert.equal(await page.textContent("#find-count"), "1 of 2");
  await page.fill("#find-with", "land");
  await page.click("#find-all");
  await page.keyboard.press("Escape");
  await page.click("#tool-speakers");
  await page.fill(".speaker-name", "Ada");
  await page.click("#speakers-form .main");
  await page.locator(".segment").first().focus();
  await page.keyboard.press("1");
  assert.match((await saved(page, "txt")).text, /^Ada: And so.*your land can do.*your land\.\n$/s);
  assert.match((await saved(page, "vtt")).text, /<v Ada>And so/);
  for (let count = 0; count < 3; count += 1) await page.click("#tool-undo");
  assert.deepEqual(plain((await saved(page, "txt")).text), WORDS);
});

onPage("markup in names and texts stays text", async (page, { problems }) => {
  page.on("dialog", (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.click("#options summary");
  await page.fill("#option-prompt", MARKUP);
  await page.fill("#option-keywords", MARKUP);
  await transcribed(page, { name: `${MARKUP}.wav`, path: SAMPLE });
  await editSegment(page, 0, `${MARKUP} word`);
  await page.click("#tool-find");
  await page.fill("#find-what", "word");
  await page.fill("#find-with", MARKUP);
  await page.click("#find-all");
  await page.click("#find-close");
  await page.click("#tool-speakers");
  await page.fill(".speaker-name", MARKUP);
  await page.click("#speakers-form .main");
  await page.locator(".segment").first().focus();
  await page.keyboard.press("1");
  await page.fill("#name", `${MARKUP} title`);
  await page.locator("#name").blur();
  await page.click("#tool-export");
  const shown = await page.evaluate(() => [".row-name", ".segment-text", ".speaker", "#export-preview"]
    .map((one) => document.querySelector(one).textContent));
  for (const text of shown) assert.ok(text.includes(MARKUP), text);
  assert.equal(shown[1], `${MARKUP} ${MARKUP}`);
  await page.keyboard.press("Escape");
  await until(async () => (await stored(page)).includes("title"), 5_000);
  await page.reload();
  await page.waitForSelector(".row");
  await page.click(".row-open");
  assert.equal(await page.textContent(".row-name"), `${MARKUP} title`);
  assert.equal(await page.inputValue("#option-prompt"), MARKUP);
  assert.equal(await page.locator("body script, body [onerror], img:not(.brand img)").count(), 0);
});

onPage("transcripts are kept in the browser until they are deleted", async (page, { context }) => {
  await drop(page, [{ name: "one.wav", path: SAMPLE }, { name: "two.wav", path: SAMPLE }]);
  await allRows(page, "done", 2);
  const count = async () => JSON.parse(await stored(page)).length;
  await until(async () => (await count()) === 2, 5_000);
  await page.reload();
  await allRows(page, "done", 2);
  assert.match(await page.locator(".row-state").first().textContent(), /^0:11 · 22 words$/);
  await page.clock.setFixedTime(Date.now() + 2 * 86_400_000);
  await page.reload();
  await allRows(page, "done", 2);
  assert.match(await page.locator(".row-state").first().textContent(), /^0:11 · 22 words · [A-Z]/);
  await page.locator(".row-open").first().click();
  assert.deepEqual(plain((await page.locator(".word").allTextContents()).join(" ")), WORDS);
  assert.ok(await page.isVisible("#open-attach"), "the audio is not kept");
  await page.setInputFiles("#attach", SAMPLE);
  await page.waitForFunction(() => !document.querySelector("#player-toggle").disabled);
  page.on("dialog", (dialog) => dialog.accept());
  await page.locator(".row-actions button").first().click();
  await allRows(page, "done", 1);
  await until(async () => (await count()) === 1, 5_000);
  await page.click("#clear-list");
  await until(async () => (await count()) === 0, 5_000);
  const other = await watch(await context.newPage(), server.url, []);
  await other.goto(server.url);
  await other.waitForSelector("body[data-ready]");
  assert.equal(await other.locator(".row").count(), 0);
});

onPage("from a file to saved subtitles by keyboard alone", async (page) => {
  const press = async (key, selector) => {
    for (let count = 0; count < 60; count += 1) {
      if (await page.evaluate((one) => document.activeElement?.matches(one), selector)) return;
      await page.keyboard.press(key);
    }
    assert.fail(`${selector} is not reached`);
  };
  // Asked for early: the browser needs a moment to leave the choice to the test.
  const chooser = page.waitForEvent("filechooser");
  await press("Tab", "#open-files");
  await page.keyboard.press("Enter");
  await (await chooser).setFiles(SAMPLE);
  await allRows(page, "done", 1);
  await press("Tab", ".segment");
  const first = (await page.locator(".segment-text").first().textContent()).trim();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Control+End");
  await page.keyboard.type(" Amen.");
  await page.keyboard.press("Enter");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".segment")), "the focus stays");
  await page.keyboard.press("Control+s");
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  assert.equal(download.suggestedFilename(), "jfk.srt");
  assert.ok(fs.readFileSync(await download.path(), "utf8").includes(`\n${first} Amen.\n`));
});

onPage("the keys play, jump and move", async (page) => {
  await transcribed(page, { name: "two.wav", bytes: repeated(2) });
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.querySelector("#player audio").currentTime >= 5);
  await page.keyboard.press("Space");
  await page.waitForFunction(() => !document.querySelector("#player audio").paused);
  await page.keyboard.press("Space");
  await page.waitForFunction(() => document.querySelector("#player audio").paused);
  await page.keyboard.press("ArrowDown");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".segment")));
  await page.keyboard.press("?");
  assert.ok(await page.isVisible("#help"));
});

onPage("the page speaks Turkish where the browser does, and can be switched", async (page) => {
  assert.equal(await page.getAttribute("html", "lang"), "tr");
  assert.equal(await page.textContent("#drop-title"), "Ses veya videoyu buraya bırakın");
  await transcribed(page);
  assert.match(await page.textContent("#meta"), /İngilizce/);
  await page.selectOption("#ui-language", "en");
  assert.equal(await page.textContent("#drop-title"), "Drop audio or video here");
  assert.match(await page.textContent("#meta"), /English/);
  await page.reload();
  await page.waitForSelector("body[data-ready]");
  assert.equal(await page.getAttribute("html", "lang"), "en", "the choice is remembered");
}, { locale: "tr" });

onPage("the language is chosen by its name, and options are remembered", async (page) => {
  await page.click("#options summary");
  await page.fill("#option-language", "turkish");
  await page.fill("#option-keywords", "Kennedy, Washington");
  await page.locator("#option-keywords").blur();
  await page.evaluate(() => {
    const { append } = FormData.prototype;
    globalThis.sent = [];
    FormData.prototype.append = function record(name, value, ...rest) {
      if (typeof value === "string") sent.push(`${name}=${value}`);
      append.call(this, name, value, ...rest);
    };
  });
  await drop(page, [{ name: "a.wav", path: SAMPLE }]);
  const sent = await page.evaluate(() => globalThis.sent);
  for (const field of ["language=tr", "keywords[]=Kennedy", "keywords[]=Washington", "stream=true"]) {
    assert.ok(sent.includes(field), `${field} is not in ${sent}`);
  }
  await allRows(page, "done", 1);
  await page.reload();
  await page.waitForSelector("body[data-ready]");
  assert.equal(await page.inputValue("#option-language"), "Turkish");
  assert.equal(await page.textContent("#options-count"), "2");
});

onPage("speakers are told apart where the server has their networks", async (page, { skip }) => {
  await page.evaluate(() => { document.querySelector("#options").open = true; });
  const { data } = await page.evaluate(async () => (await fetch("v1/models")).json());
  const canDiarize = data.some(({ task }) => task === "speaker-diarization");
  await page.waitForFunction((shown) => document.querySelector("#diarize-field").hidden !== shown, canDiarize);
  if (!canDiarize) return skip("the networks are not there: scripts/fetch_models.sh speaker-diarization");
  await page.check("#option-diarize");
  await transcribed(page);
  const speakers = await page.locator(".segment .speaker").allTextContents();
  assert.ok(speakers.length > 0);
  assert.deepEqual(new Set(speakers), new Set(["A"]));
});

test("the page loads little, and nothing from elsewhere", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const problems = [];
  await watch(page, server.url, problems);
  let bytes = 0;
  page.on("requestfinished", async (request) => { bytes += (await request.sizes()).responseBodySize; });
  const violations = [];
  await page.exposeFunction("violated", (text) => violations.push(text));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => violated(event.violatedDirective)));
  await page.goto(server.url);
  await page.waitForSelector("body[data-ready]");
  await transcribed(page);
  await page.waitForSelector(".has-waveform");
  assert.deepEqual([problems, violations], [[], []]);
  assert.ok(bytes > 20_000 && bytes < 120_000, `${bytes} bytes`);
  await page.goto(`${server.url}/docs/`);
  await page.waitForSelector("#operations-tag-audio, .opblock");
  assert.deepEqual([problems, violations], [[], []]);
  await context.close();
});

test("folders are searched for recordings", async () => {
  const folder = fs.mkdtempSync(path.join(fs.realpathSync(process.env.TMPDIR || "/tmp"), "halkspeech-page-"));
  fs.copyFileSync(SAMPLE, path.join(folder, "speech.wav"));
  fs.writeFileSync(path.join(folder, "notes.txt"), "no sound");
  const { context, page, problems } = await openPage(browser, server.url);
  await page.setInputFiles("#choose-folder", folder);
  await allRows(page, "done", 1);
  assert.deepEqual(await page.locator(".row-name").allTextContents(), ["speech.wav"]);
  assert.deepEqual(problems, []);
  await context.close();
  fs.rmSync(folder, { recursive: true });
});
