// What was changed, by whom and when; and taking it back.

import {change, get, preview} from "./api.js";
import {openDialog} from "./dialog.js";
import {badge, button, fill, h, keepingFocus, moment} from "./dom.js";
import {effectBox} from "./effect.js";
import {report} from "./outcome.js";
import {onEvent, readTrials, state} from "./state.js";
import {sentence} from "./words.js";

const PAGE = 30;
const SHOWN = 8; // Objects of a change, and lines of an object, before "and N more".
const KINDS = {region: "Region", security_group: "Security group", server: "Server", bridge: "Bridge"};
const TRIALS = {pending: ["Waits for its confirmation", "wait"], confirmed: ["Confirmed", "good"], rolled_back: ["Rolled back", ""],
                failed: ["Not rolled back", "bad"]};
const FIELDS = {security_groups: "security groups", remote_group: "remote group", port_security: "port security", default_group: "default group",
                report_blocked: "report blocked attempts", rule_order: "order of the rules"};

// Asks, and takes `entry` back.
export async function undoChange(entry) {
  const path = `/v1/changes/${entry.id}/undo`, label = entry.confirmation?.state === "pending" ? "Roll back" : "Undo";
  const outcome = await openDialog({
    title: `${label} change ${entry.id}?`, label, danger: true, wide: true,
    content: [h("p", {class: "wide"}, h("b", null, entry.what), ". What it made is deleted, what it deleted comes back, and fields and rules are as they were. " +
                                     "What was changed since then is not touched."),
              effectBox(() => preview("POST", path)).element],
    save: () => change("POST", path),
  });
  if (!outcome) return;
  readTrials();
  report(`Change ${entry.id} is undone.`, outcome);
}

function pathOf({kind, id, region}) {
  if (kind === "security_group") return `#/r/${encodeURIComponent(region)}/groups/${id}`;
  if (kind === "server") return `#/r/${encodeURIComponent(region)}/servers/${id}`;
  return kind === "region" ? `#/r/${encodeURIComponent(id)}/groups` : "#/bridges";
}

// A value in words; groups by name where the name is known.
function valueOf(name, value) {
  if (value === null || value === undefined || value === "") return "none";
  if (Array.isArray(value)) return value.map((one) => valueOf(name, one)).join(", ") || "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (name === "ports") return `${value.mac}${value.ips?.length ? ` with ${value.ips.join(", ")}` : ""} at ${value.iface_id ?? `${value.port} on ${value.bridge}`}`;
  if (typeof value === "object") return JSON.stringify(value);
  return state.groups?.get(value)?.name ?? String(value);
}

function ruleLines({rules}) {
  return (rules ?? []).flatMap(({before, after}) => [
    before && h("li", null, h("del", null, `${before.action === "deny" ? "Deny: " : ""}${sentence(before, state.groups)}`)),
    after && h("li", null, h("ins", null, `${after.action === "deny" ? "Deny: " : ""}${sentence(after, state.groups)}`))]).filter(Boolean);
}

// What differs of an object: of one that came or went its rules alone, of one that stays its fields too.
function linesOf(object) {
  const {before, after} = object;
  if (!before || !after) {
    const rules = (after ?? before)?.rules?.map((rule) => ({before: after ? null : rule, after: after ? rule : null}));
    return ruleLines({rules});
  }
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])].map((name) => h("li", null, `${FIELDS[name] ?? name}: `,
    name === "rule_order" ? "another one" : [h("del", null, valueOf(name, before[name])), " → ", h("ins", null, valueOf(name, after[name]))]));
  return [...fields, ...ruleLines(object)];
}

function difference(object) {
  const {kind, name, id, before, after} = object;
  const lines = linesOf(object);
  const verb = !before && after ? "made" : before && !after ? "deleted" : "";
  const label = [KINDS[kind] ?? kind, " ", after ? h("a", {href: pathOf(object)}, name || id) : h("b", null, name || id), verb && ` ${verb}`];
  return h("div", {class: "difference"}, h("p", null, label),
    lines.length > 0 && h("ul", {class: "plain"}, lines.slice(0, SHOWN), lines.length > SHOWN && h("li", {class: "muted"}, `and ${lines.length - SHOWN} more`)));
}

function whatOf(entry) {
  const {objects, confirmation, undone_by: by} = entry;
  return [h("p", null, h("b", null, entry.what), confirmation && [" ", badge(...TRIALS[confirmation.state])], by && [" ", badge(`Undone by ${by}`, "")]),
          confirmation?.reason && h("p", {class: "problem-text"}, confirmation.reason),
          h("details", {id: `difference-${entry.id}`}, h("summary", {id: `summary-${entry.id}`}, "What differs"),
            objects.slice(0, SHOWN).map(difference), objects.length > SHOWN && h("p", {class: "muted"}, `and ${objects.length - SHOWN} objects more`),
            !entry.whole && h("p", {class: "muted"}, "It changed more than can be kept; it cannot be undone."))];
}

function row(entry) {
  return h("li", {class: "change"},
    h("div", {class: "about"}, moment(entry.at), h("span", null, entry.who ?? h("span", {class: "muted"}, "no name")), h("span", {class: "muted"}, `#${entry.id}`)),
    h("div", {class: "what"}, whatOf(entry)),
    h("div", {class: "buttons"}, entry.whole && !entry.undone_by &&
      button("Undo", () => undoChange(entry), {id: `undo-${entry.id}`, name: `Undo change ${entry.id}: ${entry.what}`})));
}

// Of `region`; null: of all of them, and of the bridges.
export function historyPage(region) {
  const list = h("div"), more = button("Show older changes", readOlder, {id: "older"});
  const element = h("div", null, h("h1", {tabindex: "-1"}, region ? "History" : "All changes"),
    h("p", {class: "lead"}, region ? `What was changed in ${region}, by whom and when. Each change can be undone.`
                                   : "What was changed in all regions, by whom and when. Each change can be undone."), list, h("div", {class: "older"}, more));
  let changes = null, next = null, failure = null, number = 0;
  const query = (rest) => `/v1/changes?limit=${PAGE}${region ? `&region=${encodeURIComponent(region)}` : ""}${rest}`;

  function show() {
    more.hidden = !next;
    if (failure) return fill(list, h("p", {class: "failure", role: "alert"}, failure));
    if (!changes) return fill(list, h("p", {class: "empty"}, "Loading…"));
    if (!changes.length) return fill(list, h("p", {class: "empty"}, "Nothing was changed yet."));
    const open = new Set([...list.querySelectorAll("details[open]")].map(({id}) => id));
    fill(list, h("ol", {class: "changes", "aria-label": "Changes, the newest first"}, changes.map(row)));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    return null;
  }

  // The newest ones anew, as many pages as were read.  Many changes at once are read together.
  let reading = false, again = false;
  async function read() {
    again = reading;
    if (reading) return;
    reading = true;
    await readNewest();
    reading = false;
    if (again && element.isConnected) read();
  }

  async function readNewest() {
    const mine = ++number;
    try {
      let answer = await get(query(""));
      const found = answer.changes;
      while (answer.next && found.length < (changes?.length ?? 0)) {
        answer = await get(query(`&before=${answer.next}`));
        found.push(...answer.changes);
      }
      if (mine !== number) {
        again = true; // Older ones came in between.
        return;
      }
      [changes, next, failure] = [found, answer.next, null];
    } catch (error) {
      failure = error.message;
    }
    keepingFocus(show);
  }

  async function readOlder() {
    const mine = ++number, at = changes.length;
    try {
      const answer = await get(query(`&before=${next}`));
      if (mine !== number) return;
      changes = [...changes, ...answer.changes];
      next = answer.next;
    } catch (error) {
      failure = error.message;
    }
    keepingFocus(show);
    if (more.hidden) document.getElementById(`summary-${changes[at]?.id}`)?.focus();
  }

  const stop = onEvent((name) => {
    if (!element.isConnected) return stop();
    if (["change", "trial", "ready", "reset"].includes(name)) read();
    return null;
  });
  read();
  return {element, update() {}, title: region ? "History" : "All changes"};
}
