// Keys of the whole page.

import { $ } from "./dom.js";
import { redo, undo } from "./edits.js";
import { openExport } from "./export-dialog.js";
import { openFind } from "./find.js";
import { player } from "./player.js";
import { selected } from "./recordings.js";
import { currentIndex, focusSegment, nextDoubtful } from "./transcript.js";

const FIELDS = "input:not([type=radio], [type=checkbox], [type=button]), textarea, select, [contenteditable]";

/** Listens to the keys. A field keeps those that it needs. */
export function startKeyboard() {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const control = event.ctrlKey || event.metaKey;
    const inField = event.target.closest?.(FIELDS) !== null;
    const action = control ? withControl(event, inField) : inField ? null : plain(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function withControl(event, inField) {
  const key = event.key.toLowerCase();
  if (key === "s") return openExport;
  if (key === "h") return openFind;
  if (inField || !selected()) return null;
  if (key === "z") return () => (event.shiftKey ? redo : undo)(selected());
  return key === "y" ? () => redo(selected()) : null;
}

function plain(event) {
  if (event.altKey) return null;
  const onButton = event.target.closest?.("button, a, summary, label, input") !== null;
  switch (event.key) {
    case " ": return onButton ? null : player.toggle;
    case "ArrowLeft": return () => player.skip(-5);
    case "ArrowRight": return () => player.skip(5);
    case "ArrowUp": return selected() ? () => step(-1) : null;
    case "ArrowDown": return selected() ? () => step(1) : null;
    case "d": return nextDoubtful;
    case "?": return () => $("help").showModal();
    default: return null;
  }
}

/** The previous or the next segment, which is also where the playback goes. */
function step(by) {
  const segments = selected()?.segments ?? [];
  if (segments.length === 0) return;
  const index = Math.max(0, Math.min(currentIndex() + by, segments.length - 1));
  focusSegment(index);
  player.seek(segments[index].start);
}
