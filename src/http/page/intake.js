// Takes recordings in: dropped, pasted, chosen, in folders.

import { $, notify } from "./dom.js";
import { t } from "./i18n.js";

const MEDIA = /\.(3gp|aac|ac3|aif[fc]?|alac|amr|ape|au|avi|caf|flac|flv|m2ts|m4[abv]|mka|mkv|mov|mp[234]|mpe?g|mts|og[agvx]|opus|ra|ts|tta|wav|weba|webm|wm[av]|wv)$/i;

const isMedia = (file) => /^(audio|video)\//.test(file.type) || MEDIA.test(file.name);

/** Calls `take(files)` with what the user brings. */
export function watchIntake(take) {
  // A file that somebody chose is sent as it is, a folder may hold anything.
  const takeFiles = (files, fromFolder) => {
    const chosen = [...files].filter((file) => file.size > 0 && (!fromFolder || isMedia(file)));
    if (chosen.length > 0) take(chosen);
    else notify(t(files.length > 0 && !fromFolder ? "drop.empty" : "drop.none"), "error");
  };
  for (const [id, fromFolder] of [["files", false], ["folder", true]]) {
    const input = $(`choose-${id}`);
    input.onchange = () => {
      takeFiles(input.files, fromFolder);
      input.value = "";
    };
    $(`open-${id}`).onclick = () => input.click();
  }
  watchDrop(takeFiles);
  document.addEventListener("paste", (event) => {
    const { files } = event.clipboardData;
    if (files.length === 0) return;
    event.preventDefault();
    takeFiles(files, false);
  });
}

function watchDrop(takeFiles) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (isOver) => {
    document.body.classList.toggle("dropping", isOver);
    $("drop-title").textContent = t(isOver ? "drop.over" : "drop.title");
  };
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) show(false);
  });
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show(false);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    // The list of files is emptied when this handler returns.
    const files = [...event.dataTransfer.files];
    if (!entries.some((entry) => entry.isDirectory)) return takeFiles(files, false);
    takeFiles((await Promise.all(entries.map(filesOf))).flat(), true);
  });
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const all = [];
  for (;;) {
    // Browsers return at most a hundred at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...(await Promise.all(some.map(filesOf))).flat());
  }
}
