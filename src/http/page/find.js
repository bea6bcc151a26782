// Finds and replaces in the selected transcript.

import { $, notify } from "./dom.js";
import { setTexts } from "./edits.js";
import { locale, plural, t } from "./i18n.js";
import { on, selected } from "./recordings.js";
import { focusSegment } from "./transcript.js";
import { findAll } from "./words.js";

/** Every place: `{ index, from, to }`. */
let places = [];
let at = 0;

/** Wires the bar. */
export function startFind() {
  $("find-what").oninput = () => search(0);
  $("find-case").onchange = () => search(0);
  $("find-next").onclick = () => go(1);
  $("find-previous").onclick = () => go(-1);
  $("find-one").onclick = replaceOne;
  $("find-all").onclick = replaceAll;
  $("find-close").onclick = close;
  $("find").addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && event.target === $("find-what")) {
      event.preventDefault();
      go(event.shiftKey ? -1 : 1);
    }
    if (event.key === "Enter" && event.target === $("find-with")) {
      event.preventDefault();
      replaceOne();
    }
  });
  on("selected", close);
  on("edited", ({ recording }) => {
    if (!$("find").hidden && recording === selected()) search(at);
  });
}

export function openFind() {
  if (!selected()) return;
  $("find").hidden = false;
  const marked = String(getSelection()).trim();
  if (marked && !marked.includes("\n")) $("find-what").value = marked;
  $("find-what").select();
  $("find-what").focus();
  search(0);
}

function close() {
  if ($("find").hidden) return;
  const place = places[at];
  $("find").hidden = true;
  mark([]);
  if (place) focusSegment(place.index);
}

function search(position) {
  const what = $("find-what").value;
  const matchCase = $("find-case").checked;
  places = (selected()?.segments ?? []).flatMap((segment, index) =>
    findAll(segment.text, what, { matchCase, locale: locale() }).map(([from, to]) => ({ index, from, to })));
  at = Math.max(0, Math.min(position, places.length - 1));
  show();
}

function go(step) {
  if (places.length === 0) return;
  at = (at + step + places.length) % places.length;
  show();
}

function show() {
  const n = places.length;
  $("find-count").textContent = n > 0 ? t("find.count", { at: at + 1, n }) : $("find-what").value ? t("find.none") : "";
  for (const id of ["find-next", "find-previous", "find-one", "find-all"]) $(id).disabled = n === 0;
  mark(places);
  const place = places[at];
  if (place) $("segments").children[place.index]?.scrollIntoView({ block: "nearest" });
}

/** Highlights without touching the elements of the words. */
function mark(all) {
  if (!CSS.highlights) return;
  const ranges = all.map(rangeOf);
  CSS.highlights.set("found", new Highlight(...ranges.filter((range, index) => range && index !== at)));
  CSS.highlights.set("found-now", new Highlight(...[ranges[at]].filter(Boolean)));
}

/** A place in the text of a segment as a range of the page, whose text has no leading space. */
function rangeOf({ index, from, to }) {
  const paragraph = $("segments").children[index]?.querySelector("p.segment-text");
  if (!paragraph) return null;
  const text = selected().segments[index].text;
  const lead = text.length - text.trimStart().length;
  const start = position(paragraph, from - lead);
  const end = position(paragraph, to - lead);
  if (!start || !end) return null;
  const range = new Range();
  range.setStart(...start);
  range.setEnd(...end);
  return range;
}

function position(root, offset) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  let left = Math.max(0, offset);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (left <= node.length) return [node, left];
    left -= node.length;
  }
  return null;
}

function replaced(index, chosen) {
  const { text } = selected().segments[index];
  const put = $("find-with").value;
  let result = "";
  let end = 0;
  for (const { from, to } of chosen) {
    result += text.slice(end, from) + put;
    end = to;
  }
  return result + text.slice(end);
}

function replaceOne() {
  const place = places[at];
  if (!place) return;
  if (!setTexts(selected(), [[place.index, replaced(place.index, [place])]])) go(1);
}

function replaceAll() {
  const n = places.length;
  const indices = new Set(places.map((place) => place.index));
  const texts = [...indices].map((index) => [index, replaced(index, places.filter((place) => place.index === index))]);
  setTexts(selected(), texts);
  notify(plural("find.replaced", n));
}
