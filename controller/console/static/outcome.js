// The last change: saved, and in force or not yet.

import {count, listed} from "./dom.js";
import {onChange, readBridges, state} from "./state.js";

const place = document.getElementById("outcome");
const text = document.getElementById("outcome-text");
let open = null; // {what, revision} of a change that some bridge has not confirmed.

const title = (bridge) => bridge.name ? `${bridge.name} (${bridge.dpid})` : bridge.dpid;

function show(kind, words) {
  place.className = `outcome ${kind}`;
  place.hidden = false;
  if (text.textContent !== words) text.textContent = words;
}

function whoIsAway() {
  const away = [...(state.bridges?.values() ?? [])].filter(({connected}) => !connected).map(title);
  return away.length ? ` Not connected: ${listed(away)}; there it comes into force with the connection.` : "";
}

function inForce(what) {
  const connected = [...(state.bridges?.values() ?? [])].filter((bridge) => bridge.connected).length;
  if (!connected) return show("wait", `${what} Saved. No bridge is connected: it is in force nowhere yet.`);
  const away = whoIsAway();
  return show(away ? "wait" : "done", away ? `${what} Saved, in force on every connected bridge.${away}`
                                           : `${what} Saved and in force on every bridge.`);
}

function look() {
  if (!open || !state.bridges) return;
  const pending = [...state.bridges.values()].filter((bridge) => bridge.connected && bridge.pending);
  const refused = pending.filter((bridge) => bridge.last_error);
  if (!pending.length) {
    inForce(open.what);
    open = null;
  } else if (refused.length) {
    show("bad", `${open.what} Saved, but not in force on ${listed(refused.map(title))}: ${refused[0].last_error}. ` +
                "It is tried again by itself.");
  } else {
    show("wait", `${open.what} Saved, not in force yet: ${count(pending.length, "bridge has", "bridges have")} not confirmed it: ` +
                 `${listed(pending.map(title))}.`);
  }
}

// Tells what came of a change that no bridge has to know.
export function reportSaved(what) {
  open = null;
  show("done", `${what} Saved.`);
}

// Tells that something was refused.
export function reportFailed(what) {
  open = null;
  show("bad", what);
}

// Tells what came of a change: `what` is a sentence; `members` how many servers it concerns, if that is known.
export async function report(what, outcome, members) {
  open = null;
  if (members === 0) return show("done", `${what} Saved. No server uses the group, so it changes nothing yet.`);
  show("wait", `${what} Saved.`);
  await readBridges();
  if (outcome.applied) return inForce(what);
  open = {what, revision: outcome.revision};
  return look();
}

onChange(look);
document.getElementById("outcome-close").addEventListener("click", () => {
  open = null;
  place.hidden = true;
  document.getElementById("main").focus({preventScroll: true});
});
