// Changes that are taken back by themselves unless somebody confirms them: a banner, on whatever page one is.

import {change, controllerNow} from "./api.js";
import {button, fill, h, keepingFocus} from "./dom.js";
import {undoChange} from "./history.js";
import {reportFailed, reportSaved} from "./outcome.js";
import {onChange, readTrials, state} from "./state.js";

const SHOWN = 3;

const place = document.getElementById("trials");
let shown = null;

// "4:59", "0:00" when it is over.
function left({confirmation}, now = controllerNow()) {
  const seconds = Math.max(0, Math.ceil((Date.parse(confirmation.confirm_by) - now) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

async function confirm(trial) {
  try {
    await change("POST", `/v1/changes/${trial.id}/confirm`);
    reportSaved(`Change ${trial.id} stays: ${trial.what}.`);
  } catch (problem) {
    reportFailed(`Change ${trial.id} is not confirmed: ${problem.message}`);
  }
  readTrials();
}

function row(trial) {
  return h("div", {class: "trial"},
    h("p", null, h("b", null, trial.what), trial.who && ` by ${trial.who}`, " is taken back in ",
      h("span", {class: "left", role: "timer", "data-trial": trial.id, "aria-label": `Time left for change ${trial.id}`}, left(trial)), " unless it is confirmed."),
    h("div", {class: "buttons"},
      button("Confirm", () => confirm(trial), {id: `confirm-${trial.id}`, kind: "primary", name: `Confirm change ${trial.id}: ${trial.what}`}),
      button("Roll back", () => undoChange(trial), {id: `roll-back-${trial.id}`, name: `Roll back change ${trial.id}: ${trial.what}`})));
}

function show() {
  const now = JSON.stringify(state.trials.map(({id}) => id));
  if (now === shown) return;
  shown = now;
  place.hidden = !state.trials.length;
  keepingFocus(() => fill(place, state.trials.slice(0, SHOWN).map(row),
    state.trials.length > SHOWN && h("p", null, h("a", {href: "#/history"}, `${state.trials.length - SHOWN} more wait for their confirmation`))));
}

// The time that is left goes down without a word of the controller.
setInterval(() => {
  for (const timer of place.querySelectorAll("[data-trial]")) {
    const trial = state.trials.find(({id}) => String(id) === timer.dataset.trial);
    if (trial) timer.textContent = left(trial);
  }
}, 1000);
onChange(show);
