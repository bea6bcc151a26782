// The options of a transcription, remembered by the browser.

import { $, el, notify } from "./dom.js";
import { languageName, locale, onLocale, t } from "./i18n.js";
import { load, save } from "./storage.js";

const FIELDS = ["model", "language", "translate", "channels", "diarize", "prompt", "keywords"];
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

/** Offers the models that transcribe and the languages that they know; and speakers, if the server can tell them apart. */
export function showModels(models) {
  const transcribing = models.filter(({ task }) => task === "automatic-speech-recognition");
  modelIds = transcribing.map((model) => model.id);
  const known = new Set(transcribing.flatMap((model) => model.language ?? []));
  const canDiarize = models.some(({ task }) => task === "speaker-diarization");
  for (const id of ["diarize-field", "diarize-hint"]) $(id).hidden = !canDiarize;
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
    diarize: $("option-diarize").checked && !$("diarize-field").hidden,
    prompt: $("option-prompt").value.trim(),
    keywords: $("option-keywords").value.split(/[,\n]/).map((word) => word.trim()).filter(Boolean),
  };
}

function activeCount() {
  const isShown = (name) => name !== "diarize" || !$("diarize-field").hidden;
  return FIELDS.filter((name) => isShown(name) && load(`option.${name}`, "")).length;
}

/** The number of options that are not the defaults stands beside the folded title. */
function showActive() {
  const count = activeCount();
  $("options-count").textContent = count ? String(count) : "";
  $("options-count").hidden = count === 0;
}
