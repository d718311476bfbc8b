// Dialogs with a form: fields with labels, hints and the controller's complaints each at its field.

import {button, fill, h} from "./dom.js";

let numbers = 0;

// For how many seconds a change stays unless it is confirmed.
const TRIALS = [["0", "for good"], ["60", "for 1 minute, unless confirmed"], ["300", "for 5 minutes, unless confirmed"],
                ["1800", "for 30 minutes, unless confirmed"]];

// A labelled control.  `name` is what the controller calls it.
export function field(label, control, {hint, name = control.name, wide} = {}) {
  const id = control.id || `field-${++numbers}`;
  const hintId = `${id}-hint`, errorId = `${id}-error`;
  control.id = id;
  control.setAttribute("aria-describedby", hint ? `${hintId} ${errorId}` : errorId);
  return h("div", {class: wide ? "field wide" : "field", "data-field": name},
    h("label", {for: id}, label), control,
    hint && h("p", {class: "hint", id: hintId}, hint),
    h("p", {class: "error", id: errorId, hidden: true}));
}

// Several controls under one heading: radio buttons or checkboxes.
export function fieldset(legend, name, ...children) {
  const errorId = `field-${++numbers}-error`;
  return h("fieldset", {class: "field wide", "data-field": name, "aria-describedby": errorId},
    h("legend", null, legend), children, h("p", {class: "error", id: errorId, hidden: true}));
}

export function input(name, attributes) {
  return h("input", {name, autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...attributes});
}

export function select(name, options, value, attributes) {
  const control = h("select", {name, ...attributes}, options.map(([key, text]) => h("option", {value: key}, text)));
  control.value = value;
  return control;
}

// A radio button or a checkbox with its label.
export function choice(type, name, value, label, attributes) {
  const id = `field-${++numbers}`;
  return h("div", {class: "choice"}, h("input", {type, name, value, id, ...attributes}), h("label", {for: id}, label));
}

export function clearProblem(form) {
  for (const error of form.querySelectorAll(".error")) {
    error.hidden = true;
    error.textContent = "";
  }
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  fill(form.querySelector(".problem"));
}

// Shows a refusal: each error at the field whose name it begins with, the others and what `more` gives above the buttons.
export function showProblem(form, problem, more) {
  clearProblem(form);
  const rest = [];
  let first = null;
  for (const {field: path, message} of problem.errors ?? []) {
    const name = path.replace(/^rules\[\d+\]\.?/, "").replace(/[.[].*$/, "");
    const place = name && form.querySelector(`[data-field="${CSS.escape(name)}"]`);
    if (!place || place.hidden) {
      rest.push(path ? `${path} ${message}` : message);
      continue;
    }
    const error = place.querySelector(".error");
    error.textContent = `${error.textContent ? `${error.textContent}; ` : ""}${message}`;
    error.hidden = false;
    const control = place.querySelector("input, select");
    control?.setAttribute("aria-invalid", "true");
    first ??= control;
  }
  const text = rest.length ? rest : first ? [] : [problem.message];
  fill(form.querySelector(".problem"), text.map((line) => h("p", null, line)), more);
  (first ?? form.querySelector(".problem")).focus();
}

// Opens a dialog and returns a promise of what `save` returned, or of null if it was closed.  `save` may throw a Problem.
//   {title, content: [nodes], save(form, within), label: "Save", danger, close: "Close", explain(problem): nodes or null, wide,
//    trial: it asks for how long the change is to stay unless it is confirmed, which `save` gets as `within` (0: for good)}
export function openDialog({title, content, save, label = "Save", danger, close = "Close", explain, wide, trial}) {
  const titleId = `dialog-${++numbers}`;
  const submit = h("button", {type: "submit", class: danger ? "danger" : "primary"}, label);
  const keep = trial && select("keep", TRIALS, "0", {id: `keep-${numbers}`});
  const form = h("form", {novalidate: true},
    h("h2", {id: titleId, tabindex: "-1"}, title),
    h("div", {class: "fields"}, content),
    h("div", {class: "problem", role: "alert", tabindex: "-1"}),
    keep && h("div", {class: "keep"}, h("label", {for: keep.id}, "Keep this change"), keep),
    h("div", {class: "buttons"}, submit, button(close, () => dialog.close())));
  const dialog = h("dialog", {"aria-labelledby": titleId, class: wide ? "wide" : null}, form);
  let result = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.disabled) return;
    submit.disabled = true;
    submit.textContent = `${label}…`;
    try {
      result = await save(form, keep ? Number(keep.value) : 0) ?? true;
      dialog.close();
    } catch (problem) {
      if (!dialog.isConnected) return;
      showProblem(form, problem, explain?.(problem));
    } finally {
      submit.disabled = false;
      submit.textContent = label;
    }
  });
  return new Promise((resolve) => {
    const opener = document.activeElement;
    dialog.addEventListener("close", () => {
      dialog.remove();
      // The page may have been made anew meanwhile.
      const again = opener?.isConnected ? opener : opener?.id && document.getElementById(opener.id);
      (again || document.getElementById("main")).focus({preventScroll: true});
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("[autofocus]") ?? form.querySelector("h2")).focus();
  });
}
