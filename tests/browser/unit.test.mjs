// The page's pure modules, without a browser.
import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";

import { EventReader } from "../../src/http/page/sse.js";
import { nextLabel, redo, setSpeakers, setTexts, speakerLabels, undo } from "../../src/http/page/edits.js";
import { write } from "../../src/http/page/export.js";
import en from "../../src/http/page/i18n/en.js";
import tr from "../../src/http/page/i18n/tr.js";
import { appendSegment, create, finish } from "../../src/http/page/recordings.js";
import { findAll, joined, lastAt, retime } from "../../src/http/page/words.js";
import { cases, transcriptOf } from "./shared_cases.mjs";

const PAGE = new URL("../../src/http/page/", import.meta.url);

test("every file of the shared cases is the server's", () => {
  for (const one of cases()) {
    for (const { format, width, lines, file } of one.outputs) {
      assert.equal(write(transcriptOf(one), format, { width, lines }), file, `${one.name} as ${format}`);
    }
  }
});

test("the languages have the same keys and values", () => {
  assert.deepEqual(Object.keys(tr), Object.keys(en));
  const values = (text) => [...text.matchAll(/\{\w+\}/g)].map(([name]) => name).sort();
  for (const key of Object.keys(en)) {
    assert.deepEqual(values(tr[key]), values(en[key]), key);
    assert.notEqual(tr[key].trim(), "", key);
  }
});

test("every text that the page uses exists, and every text is used", () => {
  const names = fs.readdirSync(PAGE).filter((name) => /\.(js|html)$/.test(name));
  const all = names.map((name) => fs.readFileSync(new URL(name, PAGE), "utf8")).join("\n");
  const used = [...all.matchAll(/data-t(?:-[a-z-]+)?="([^"]+)"/g)].map(([, key]) => key);
  for (const [, key] of all.matchAll(/\bt\("([^"]+)"/g)) used.push(key);
  for (const key of used) assert.ok(key in en, key);
  // Keys that are put together, or chosen by a condition.
  const mentioned = (key) => all.includes(`"${key}"`) || /^(state|export|meta|find)\./.test(key) || /\.(one|other)$/.test(key);
  for (const key of Object.keys(en)) assert.ok(mentioned(key), `${key} is not used`);
});

test("a stream is read as it grows", () => {
  const reader = new EventReader();
  const whole = ": keep-alive\n\ndata: {\"a\":1}\n\ndata: {\"b\":\"two\\n\\nlines\"}\n\n";
  const events = [];
  for (let end = 1; end <= whole.length; end += 1) events.push(...reader.read(whole.slice(0, end)));
  assert.deepEqual(events, [{ a: 1 }, { b: "two\n\nlines" }]);
});

const WORDS = [[0, 0.4, "The"], [0.4, 1, "beech"], [1, 1.2, "is"], [1.2, 2, "long."]];

function segment() {
  const words = WORDS.map(([start, end, text]) => ({ text, after: true, start, end, p: 0.9 }));
  return { start: 0, end: 2, text: " The beech is long.", speaker: null, words };
}

const times = (words) => words.map(({ text, start, end }) => `${text} ${start}-${end}`);

test("an edited word keeps its time, and its neighbours theirs", () => {
  const words = retime(segment(), "The beach is long.", true);
  assert.deepEqual(times(words), ["The 0-0.4", "beach 0.4-1", "is 1-1.2", "long. 1.2-2"]);
  assert.deepEqual(words.map((word) => word.p), [0.9, null, 0.9, 0.9]);
  assert.equal(joined(words), " The beach is long.");
});

test("where the number of words changes, they share the time by their length", () => {
  const two = retime(segment(), "The big beach is long.", true);
  assert.deepEqual(times(two), ["The 0-0.4", "big 0.4-0.6", "beach 0.666-1", "is 1-1.2", "long. 1.2-2"]);
  assert.deepEqual(times(retime(segment(), "The is long.", true)), ["The 0-0.4", "is 1-1.2", "long. 1.2-2"]);
  assert.deepEqual(times(retime(segment(), "The beech is very long.", true)).slice(2, 4), ["is 1-1.2", "very 1.2-1.2"]);
  assert.deepEqual(retime(segment(), "", true), []);
  assert.deepEqual(times(retime({ ...segment(), words: [] }, "ab cd", true)), ["ab 0-0.8", "cd 1.2-2"]);
});

test("a time finds the word that is being said", () => {
  const starts = [0, 0.4, 1, 1.2];
  assert.deepEqual([-1, 0, 0.39, 0.4, 99].map((time) => lastAt(starts, time)), [-1, 0, 0, 1, 3]);
  assert.equal(lastAt([], 1), -1);
});

test("text is found regardless of case, by the rules of the language", () => {
  assert.deepEqual(findAll("Ask not, ask", "ASK"), [[0, 3], [9, 12]]);
  assert.deepEqual(findAll("Ask not, ask", "ask", { matchCase: true }), [[9, 12]]);
  assert.deepEqual(findAll("İstanbul ılık", "istanbul", { locale: "tr" }), [[0, 8]]);
  assert.deepEqual(findAll("İstanbul ILIK", "ılık", { locale: "tr" }), [[9, 13]]);
  assert.deepEqual(findAll("İx İx", "x", { locale: "en" }), [[1, 2], [4, 5]]);
  assert.deepEqual(findAll("anything", ""), []);
});

function recording() {
  return create({ state: "done", language: "english", segments: [segment(), { ...segment(), start: 2, end: 4 }] });
}

test("changes are undone and repeated one by one", () => {
  const one = recording();
  assert.equal(setTexts(one, [[0, "The beach is long."], [1, " The  beech is long. "]]), true);
  setSpeakers(one, { A: "Ada" }, 1, "A");
  assert.equal(one.segments[0].text, " The beach is long.");
  assert.deepEqual([one.speakers, one.segments[1].speaker], [{ A: "Ada" }, "A"]);
  assert.equal(undo(one), true);
  assert.deepEqual([one.speakers, one.segments[1].speaker], [{}, null]);
  assert.equal(undo(one), true);
  assert.equal(one.segments[0].text, " The beech is long.");
  assert.equal(undo(one), false);
  assert.equal(redo(one) && redo(one), true);
  assert.equal(redo(one), false);
  assert.equal(write(one, "txt"), "The beach is long.\nAda: The beech is long.\n");
  assert.equal(setTexts(one, [[0, "The beach is long."]]), false, "the same text is no change");
});

test("speakers have labels in the order of the alphabet", () => {
  const labels = Array.from({ length: 28 }, () => "").reduce((all) => [...all, nextLabel(all)], []);
  assert.deepEqual([labels[0], labels[25], labels[26], labels[27]], ["A", "Z", "AA", "AB"]);
  const one = recording();
  one.segments[0].speaker = "AA";
  one.segments[1].speaker = "B";
  assert.deepEqual(speakerLabels(one), ["B", "AA"]);
});

test("a whole transcript replaces the streamed segments, with the words of each", () => {
  const one = create({ name: "a" });
  const words = [{ word: "東京", start: 0, end: 0.5, probability: 0.4 }, { word: "です。", start: 0.5, end: 1, probability: 0.9 }];
  appendSegment(one, { start: 0, end: 1, text: "東京です。", words }, { languageName: "" });
  const segments = [{ start: 0, end: 1, text: "東京です。" }, { start: 1, end: 2, text: " はい", speaker: "B" }];
  finish(one, {
    task: "transcribe", language: "japanese", duration: 2, segments,
    words: [...words, { word: "はい", start: 1, end: 2, probability: 1 }],
  });
  assert.equal(one.state, "done");
  assert.deepEqual(one.segments.map((each) => each.words.map(({ text, after, p }) => [text, after, p])),
    [[["東京", false, 0.4], ["です。", false, 0.9]], [["はい", true, 1]]]);
  assert.equal(one.segments[1].speaker, "B");
});

test("markup in a name stays text in every file", () => {
  const one = recording();
  setSpeakers(one, { A: "<script>\nalert(1)</script>" }, 0, "A");
  assert.match(write(one, "vtt"), /<v &lt;script&gt; alert\(1\)&lt;\/script&gt;>The beech/);
  assert.match(write(one, "srt"), /^<script> alert\(1\)<\/script>: The beech is long\.$/m);
});
