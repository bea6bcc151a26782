// The dialog with the key and with what the browser keeps.

import { $ } from "./dom.js";
import * as history from "./history.js";
import { locale, t } from "./i18n.js";
import { apiKey, isKeyKept, setApiKey } from "./storage.js";

/** Wires the dialog; `onKey()` is called when the key has changed. */
export function startSettings(onKey) {
  $("open-settings").onclick = openSettings;
  $("settings-form").onsubmit = () => {
    const wasKey = apiKey();
    setApiKey($("settings-key").value.trim(), $("settings-keep").checked);
    history.setKeeps($("settings-history").checked, $("settings-audio").checked);
    showPolicy();
    if (apiKey() !== wasKey) onKey();
  };
  $("settings-clear").onclick = async () => {
    if (!confirm(t("list.clear.ask"))) return;
    await history.clear();
    await showUsed();
  };
  $("settings-history").onchange = showDependent;
  showPolicy();
}

/** Says whether transcripts are kept. */
export function showPolicy() {
  $("list-policy").textContent = t(history.keepsTranscripts() ? "list.stays" : "list.notkept");
}

export function openSettings() {
  $("settings-key").value = apiKey();
  $("settings-keep").checked = isKeyKept();
  $("settings-history").checked = history.keepsTranscripts();
  $("settings-audio").checked = history.keepsAudio();
  showDependent();
  showUsed();
  if (!$("settings-dialog").open) $("settings-dialog").showModal();
}

function showDependent() {
  $("settings-audio").disabled = !$("settings-history").checked;
}

async function showUsed() {
  const mebibytes = (await history.usedBytes()) / 2 ** 20;
  const size = `${mebibytes.toLocaleString(locale(), { maximumFractionDigits: 1 })} MiB`;
  $("settings-used").textContent = t("settings.used", { size });
}
