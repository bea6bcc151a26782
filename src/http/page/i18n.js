// The page's languages.

import en from "./i18n/en.js";
import tr from "./i18n/tr.js";
import { load, save } from "./storage.js";

const TEXTS = { en, tr };
const listeners = [];

let current = load("language", null) ?? preferred();
if (!TEXTS[current]) current = "en";

/** The first language of the browser that the page has. */
function preferred() {
  const codes = navigator.languages.map((tag) => tag.split("-")[0]);
  return codes.find((code) => TEXTS[code]) ?? "en";
}

/** The code of the page's language. */
export const locale = () => current;

/** The text of a key, with its `{values}`. A function chooses the form for a number. */
export function t(key, values = {}) {
  const text = TEXTS[current][key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The text of `<key>.one` or `<key>.other`, by the rule of the language for `{n}`. */
export function plural(key, n, values = {}) {
  const form = new Intl.PluralRules(current).select(n) === "one" ? "one" : "other";
  return t(`${key}.${form}`, { n: n.toLocaleString(current), ...values });
}

/** Fills the elements that name their text by `data-t`, and attributes by `data-t-<attribute>`. */
export function translate(root = document) {
  document.documentElement.lang = current;
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const attribute of ["aria-label", "placeholder", "title"]) {
    for (const element of root.querySelectorAll(`[data-t-${attribute}]`)) {
      element.setAttribute(attribute, t(element.getAttribute(`data-t-${attribute}`)));
    }
  }
}

/** Changes the language and tells the listeners. */
export function setLocale(code) {
  current = code;
  save("language", code);
  translate();
  for (const listener of listeners) listener();
}

/** Calls `listener` after each change of the language. */
export const onLocale = (listener) => listeners.push(listener);

/** The name of a language in the page's language; `code` is one of Whisper's. */
export function languageName(code) {
  const names = new Intl.DisplayNames([current], { type: "language" });
  const name = names.of(OTHER_CODES[code] ?? code);
  return name.charAt(0).toLocaleUpperCase(current) + name.slice(1);
}

/** Whisper's codes that are not in CLDR. */
const OTHER_CODES = { jw: "jv" };

/** The name of a language that the server names in English, as in `verbose_json`. */
export function translatedLanguage(english, codes) {
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  const code = codes.find((one) => names.of(OTHER_CODES[one] ?? one).toLowerCase() === english);
  return code ? languageName(code) : english.charAt(0).toUpperCase() + english.slice(1);
}
