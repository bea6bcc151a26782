// The dialog with the speakers: their names, and who speaks in one segment.

import { $, el, formatTime } from "./dom.js";
import { nextLabel, setSpeakers, speakerLabels } from "./edits.js";
import { t } from "./i18n.js";

/** Opens it for a recording, and for one segment of it unless `index` is null. */
export function openSpeakers(recording, index = null) {
  const dialog = $("speakers");
  const labels = speakerLabels(recording);
  // A dialog without a choice helps nobody.
  if (labels.length === 0) labels.push("A");
  const time = index === null ? "" : formatTime(recording.segments[index].start);
  let chosen = index === null ? null : recording.segments[index].speaker;
  $("speakers-this").hidden = index === null;
  $("speakers-this").textContent = t("speakers.this", { time });

  const choice = (value, label, isChecked) => el("input", {
    type: "radio", name: "speaker", checked: isChecked, onchange: () => { chosen = value; },
    attributes: { "aria-label": label },
  });
  const line = (label) => {
    const name = el("input", {
      type: "text", className: "speaker-name", value: recording.speakers[label] ?? "", maxLength: 80,
      placeholder: t("speakers.default", { label }), dataset: { label }, autocomplete: "off",
      attributes: { "aria-label": t("speakers.name", { label }) },
    });
    const radio = index === null ? null : choice(label, t("speakers.default", { label }), label === chosen);
    return el("div", { className: "speaker-line" }, radio, name);
  };
  const list = $("speakers-list");
  list.replaceChildren(...labels.map(line));
  if (index !== null) {
    const nobody = el("label", { className: "speaker-line" }, choice(null, "", chosen === null), t("speakers.nobody"));
    nobody.firstChild.removeAttribute("aria-label");
    $("speakers-nobody").replaceChildren(nobody);
  } else {
    $("speakers-nobody").replaceChildren();
  }
  $("speakers-new").onclick = () => {
    const label = nextLabel(labels);
    labels.push(label);
    const added = line(label);
    list.append(added);
    if (index !== null) {
      chosen = label;
      added.querySelector("[type=radio]").checked = true;
    }
    added.querySelector(".speaker-name").focus();
  };
  $("speakers-form").onsubmit = () => {
    const names = [...list.querySelectorAll(".speaker-name")];
    const named = names.map((field) => [field.dataset.label, field.value.trim()]).filter(([, name]) => name);
    setSpeakers(recording, Object.fromEntries(named), index, chosen);
  };
  dialog.showModal();
  list.querySelector(index === null ? ".speaker-name" : "[type=radio]:checked, .speaker-name")?.focus();
}
