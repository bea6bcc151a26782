// The options of a transcription, remembered by the browser.

import { $, el, notify } from "./dom.js";
import { languageName, locale, onLocale, t } from "./i18n.js";
import { load, save } from "./storage.js";

const FIELDS = ["model", "language", "translate", "channels", "prompt", "keywords"];
let languageCodes = ["en", "tr"];
let modelIds = [];

/** The codes of the languages of all models. */
export const codes = () => languageCodes;

/** Restores the fields, and stores each change. */
export function startOptions() {
  for (const name of FIELDS) {
    const field = $(`option-${name}`);
    const stored = load(`option.${name}`, "");
    if (field.type === "checkbox") field.checked = Boolean(stored);
    else if (name !== "model" && name !== "language") field.value = stored;
    field.onchange = () => {
      const value = name === "language" ? languageCode() : field.type === "checkbox" ? field.checked : field.value;
      if (value === null) return notify(t("option.language.unknown"), "error");
      save(`option.${name}`, value);
      showActive();
    };
  }
  $("option-language").oninput = () => $("option-language").setAttribute("aria-invalid", String(languageCode() === null));
  onLocale(fill);
  fill();
  if (activeCount() > 0) $("options").open = load("options.open", false);
  $("options").ontoggle = () => save("options.open", $("options").open);
}

/** Offers the models and the languages that they know. */
export function showModels(models) {
  modelIds = models.map((model) => model.id);
  const known = new Set(models.flatMap((model) => model.language ?? []));
  if (known.size > 0) languageCodes = [...known];
  fill();
}

function fill() {
  const model = load("option.model", "");
  $("option-model").replaceChildren(
    new Option(t("option.model.default"), ""), ...modelIds.map((id) => new Option(id, id)));
  $("option-model").value = modelIds.includes(model) ? model : "";
  const names = languageCodes.map(languageName).sort(new Intl.Collator(locale()).compare);
  $("language-names").replaceChildren(...names.map((value) => el("option", { value })));
  const language = load("option.language", "");
  $("option-language").value = language ? languageName(language) : "";
  showActive();
}

/** The code of the language in the field: "" to detect it, null if there is no such language. */
function languageCode() {
  const collator = new Intl.Collator(locale(), { sensitivity: "base" });
  const typed = $("option-language").value.trim();
  if (!typed) return "";
  const code = languageCodes.find((one) => collator.compare(languageName(one), typed) === 0);
  return code ?? languageCodes.find((one) => one === typed.toLowerCase()) ?? null;
}

/** The options as they are now. */
export function options() {
  const language = languageCode() ?? "";
  return {
    model: $("option-model").value,
    language,
    languageName: language
      ? new Intl.DisplayNames(["en"], { type: "language" }).of(language).toLowerCase() : "",
    translate: $("option-translate").checked,
    channels: $("option-channels").checked,
    prompt: $("option-prompt").value.trim(),
    keywords: $("option-keywords").value.split(/[,\n]/).map((word) => word.trim()).filter(Boolean),
  };
}

function activeCount() {
  return FIELDS.filter((name) => load(`option.${name}`, "")).length;
}

/** The number of options that are not the defaults stands beside the folded title. */
function showActive() {
  const count = activeCount();
  $("options-count").textContent = count ? String(count) : "";
  $("options-count").hidden = count === 0;
}
