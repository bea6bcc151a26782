// Widths, contrast and structure of every view. SCREENSHOTS names a folder for pictures of them.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import { AXE, SAMPLE, allRows, drop, openPage, repeated, startBrowser, startServer } from "./harness.mjs";

const FOLDER = process.env.SCREENSHOTS;
let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
  if (FOLDER) fs.mkdirSync(FOLDER, { recursive: true });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** What each view needs to be seen; each begins where the one before ended. */
const VIEWS = {
  start: async () => {},
  options: (page) => page.click("#options summary"),
  transcript: async (page) => {
    await page.click("#options summary");
    await drop(page, [{ name: "Interview with a rather long name, second part.wav", bytes: repeated(2) }, { name: "no audio.txt", bytes: Buffer.from("text") }]);
    await page.waitForSelector(".row[data-state=done]", { timeout: 180_000 });
    await page.waitForSelector(".row[data-state=failed]");
    await page.locator(".row-open").first().click();
    await page.waitForSelector(".has-waveform");
  },
  speakers: async (page) => {
    await page.click("#tool-speakers");
    await page.fill(".speaker-name", "Ada");
    await page.click("#speakers-new");
    await page.keyboard.type("Grace");
  },
  "with-speakers": async (page) => {
    await page.click("#speakers-form .main");
    for (const [index, key] of [[0, "1"], [1, "2"]]) {
      await page.locator(".segment").nth(index).focus();
      await page.keyboard.press(key);
    }
  },
  editing: async (page) => {
    await page.locator(".segment").nth(1).focus();
    await page.keyboard.press("Enter");
  },
  find: async (page) => {
    await page.keyboard.press("Escape");
    await page.click("#tool-find");
    await page.fill("#find-what", "your");
  },
  export: async (page) => {
    await page.click("#find-close");
    await page.click("#tool-export");
  },
  settings: async (page) => {
    await page.keyboard.press("Escape");
    await page.click("#open-settings");
  },
  live: async (page) => {
    await page.keyboard.press("Escape");
    await page.click("#open-live");
  },
};

const SETTINGS = [[320, "light", "tr"], [390, "dark", "en"], [390, "light", "tr"], [1100, "light", "en"], [1100, "dark", "tr"]];

for (const [width, colorScheme, locale] of SETTINGS) {
  test(`${width} px, ${colorScheme}, ${locale}: nothing is cut off, axe finds nothing serious`, async () => {
    const viewport = { width, height: width > 800 ? 800 : 760 };
    const { context, page, problems } = await openPage(browser, server.url, { viewport, colorScheme, locale, reducedMotion: "reduce" });
    for (const [name, show] of Object.entries(VIEWS)) {
      await show(page);
      if (FOLDER) await page.screenshot({ path: path.join(FOLDER, `${width}-${colorScheme}-${locale}-${name}.png`) });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${name} is ${over} px too wide`);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => axe.run());
      const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
      assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], name);
      const small = await smallTargets(page);
      if (width < 800) assert.deepEqual(small, [], name);
    }
    assert.deepEqual(problems, []);
    await context.close();
  });
}

/** Buttons and fields that a finger misses: the words and the times of a text are as high as its lines. */
const smallTargets = (page) => page.evaluate(() => {
  const root = document.querySelector("dialog[open]") ?? document.body;
  const all = root.querySelectorAll("button, select, input:not([type=checkbox], [type=radio]), summary");
  const isText = "segment-time speaker edit doubtful-count".split(" ");
  return [...all].filter((one) => one.checkVisibility({ opacityProperty: true }) && !isText.some((name) => one.classList.contains(name)))
    .filter((one) => !["name", "player-position"].includes(one.id))
    .filter((one) => one.getBoundingClientRect().height < 44 && one.getBoundingClientRect().width > 1)
    .map((one) => one.outerHTML.slice(0, 80));
});

test("a file row is not lost among many", async () => {
  const { context, page } = await openPage(browser, server.url, { viewport: { width: 390, height: 760 } });
  await drop(page, [{ name: "a.wav", path: SAMPLE }]);
  await allRows(page, "done", 1);
  assert.equal(await page.getAttribute("body", "data-view"), "list", "a phone goes on showing the list");
  await page.click(".row-open");
  assert.ok(await page.isVisible(".segment"));
  await page.click("#transcript .back");
  assert.ok(await page.isVisible("#queue"));
  await context.close();
});
