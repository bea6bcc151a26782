// Creates and finds elements. Text from outside only ever becomes text nodes.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** An element with these properties and children; a string is a text node. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { dataset = {}, attributes = {}, ...rest } = properties;
  Object.assign(element, rest);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** The symbol `i-<name>` of index.html, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows an icon alone. */
export function iconButton(name, label, onclick, properties = {}) {
  const attributes = { "aria-label": label, ...properties.attributes };
  return el("button", { type: "button", className: "icon-button", title: label, onclick, ...properties, attributes },
    icon(name));
}

/** `0:03`, `12:45`, `1:02:03`: the one form of times on the page. */
export function formatTime(seconds) {
  const whole = Math.max(0, Math.floor(Number.isFinite(seconds) ? seconds : 0));
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** Saves a text or a blob as a file. */
export function download(content, name, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  // The click only starts the download.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Shows a short message, which screen readers read; an error stays longer. */
export function notify(text, kind = "info") {
  const status = $("status");
  status.replaceChildren(text);
  status.dataset.kind = kind;
  status.classList.add("shown");
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => status.classList.remove("shown"), kind === "error" ? 12_000 : 4_000);
}

/** The extension is cut off: `call.mp3` → `call`. */
export const stem = (name) => name.replace(/\.[^./\\]{1,5}$/, "") || name;
