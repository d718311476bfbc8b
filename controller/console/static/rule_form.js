// "Create New Security Rule" and its edition.

import {change, find, preview} from "./api.js";
import {field, input, openDialog, select} from "./dialog.js";
import {button, count, fill, h, listed} from "./dom.js";
import {effectBox} from "./effect.js";
import {report} from "./outcome.js";
import {groupsOf, isDefault, learn, membersOf, state} from "./state.js";
import {hasPorts, isIcmp, isLoopback, PRESETS, PROTOCOLS, protocolName, sentence} from "./words.js";

const number = (text) => /^-?\d+$/.test(text.trim()) ? Number(text) : text;
const protocolValue = (text) => /^\d+$/.test(text.trim()) ? Number(text) : text.trim();

// The fields, filled in with `rule` where it says something, and what they say.  With `many` a preset may make several rules.
function ruleFields(rule, many) {
  const known = PROTOCOLS.some(([value]) => value === (rule.protocol ?? "tcp"));
  const port = (value) => value === undefined ? "" : String(value);
  const direction = select("direction", [["inbound", "Inbound"], ["outbound", "Outbound"]],
                           rule.direction ?? "inbound");
  const protocol = select("protocol", [...PROTOCOLS, ["other", "Other…"]], known ? rule.protocol ?? "tcp" : "other");
  const other = input("protocol_other", {value: known ? "" : String(rule.protocol), placeholder: "gre, esp, 0 to 255"});
  const min = input("port_min", {value: port(rule.port_min), inputmode: "numeric", placeholder: "all"});
  const max = input("port_max", {value: port(rule.port_max), inputmode: "numeric", placeholder: "as Min Port"});
  const type = input("icmp_type", {value: port(rule.icmp_type ?? -1), inputmode: "numeric"});
  const code = input("icmp_code", {value: port(rule.icmp_code ?? -1), inputmode: "numeric"});
  const remote = input("remote_ip", {value: rule.remote_ip ?? "", placeholder: "anywhere", autocorrect: "off"});
  const group = select("remote_group", [["", "none"], ...groupsOf().map(({id, name}) => [id, name])], rule.remote_group ?? "");
  const action = select("action", [["allow", "Allow"], ["deny", "Deny"]], rule.action ?? "allow");
  const priority = input("priority", {value: String(rule.priority ?? 100), inputmode: "numeric"});
  const description = input("description", {value: rule.description ?? ""});
  const otherField = field("Protocol name or number", other, {name: "protocol_other", wide: true});
  const typeField = field("ICMP Type", type, {hint: "-1: all"}), codeField = field("ICMP Code", code, {hint: "-1: all"});
  const note = h("p", {class: "effect wide", role: "status"});
  const before = {min: min.value, max: max.value};
  let ports = null; // Of a preset with several.

  function look() {
    const ported = hasPorts(protocol.value) && !ports;
    if (!ported && !min.disabled) Object.assign(before, {min: min.value, max: max.value});
    if (!hasPorts(protocol.value)) min.value = max.value = "-1";
    else if (ports) min.value = max.value = "";
    else if (min.disabled) [min.value, max.value] = before.min === "-1" ? ["", ""] : [before.min, before.max];
    min.disabled = max.disabled = !ported;
    otherField.hidden = protocol.value !== "other";
    typeField.hidden = codeField.hidden = !isIcmp(protocol.value);
    remote.disabled = Boolean(group.value);
    fill(note, ports && `Adds ${count(ports.length, "rule")}: ${listed(ports.map((one) => `${protocolName(protocol.value)} ${one}`))}.`);
    for (const one of chips.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one.dataset.preset === pressed));
  }

  let pressed = "";
  function usePreset(preset) {
    pressed = preset.name;
    ports = preset.ports?.length > 1 ? preset.ports : null;
    protocol.value = preset.protocol;
    if (preset.ports?.length === 1) {
      min.disabled = max.disabled = false;
      min.value = max.value = before.min = before.max = String(preset.ports[0]);
    }
    if (!description.value || PRESETS.some(({name}) => name === description.value)) description.value = preset.name;
    look();
    (remote.disabled ? action : remote).focus();
  }
  const chips = h("div", {class: "chips wide", role: "group", "aria-label": "Presets"},
    PRESETS.map((preset) => h("button", {type: "button", "data-preset": preset.name, "aria-pressed": "false",
                                         on: {click: () => usePreset(preset)}}, preset.name)));
  const forget = () => { pressed = ""; ports = null; look(); };
  protocol.addEventListener("change", forget);
  min.addEventListener("input", () => { pressed = ""; look(); });
  max.addEventListener("input", () => { pressed = ""; look(); });
  group.addEventListener("change", look);
  const ours = state.client && !isLoopback(state.client) ? state.client : null;
  const setRemote = (text) => () => { group.value = ""; remote.value = text; look(); remote.focus(); };
  const quick = h("div", {class: "quick"}, button("Anywhere", setRemote("")),
    ours && button(`My IP (${ours})`, setRemote(ours), {id: "my-ip"}));
  const remoteField = field("Remote IP", remote, {hint: "An address or a prefix such as 192.0.2.0/24; empty: anywhere."});
  const groupField = field("or Security Group", group, {hint: "The addresses of its servers."});
  for (const one of [remoteField, groupField]) one.classList.add("own-row");
  remoteField.append(quick);
  look();

  function read() {
    const said = {direction: direction.value, action: action.value, priority: number(priority.value),
                  protocol: protocol.value === "other" ? protocolValue(other.value) : protocol.value,
                  description: description.value, port_min: -1, port_max: -1, icmp_type: -1, icmp_code: -1,
                  remote_ip: group.value ? null : remote.value.trim() || null, remote_group: group.value || null};
    if (hasPorts(said.protocol)) {
      const [low, high] = [min.value.trim(), max.value.trim()];
      said.port_min = low ? number(low) : high ? number(high) : -1;
      said.port_max = high ? number(high) : said.port_min;
      if (many && low && !high && !ports) delete said.port_max; // One alone means both, and has its error once.
    }
    if (isIcmp(said.protocol)) Object.assign(said, {icmp_type: number(type.value || "-1"), icmp_code: number(code.value || "-1")});
    return ports ? ports.map((one) => ({...said, port_min: one, port_max: one})) : [said];
  }

  return {read, content: [
    many && chips,
    remoteField, groupField,
    field("Direction", direction), field("Protocol", protocol), otherField,
    field("Min Port", min), field("Max Port", max), typeField, codeField, note,
    field("Action", action), field("Priority", priority, {hint: "1 to 1000; the lowest decides."}),
    field("Description", description, {wide: true}),
  ]};
}

function took(group, what, outcome) {
  report(what, outcome, membersOf(group.id).length || (isDefault(group.id) ? undefined : 0));
  find(`/v1/security-groups/${group.id}`).then((now) => learn("group", now)).catch(() => {});
}

// Several rules are added in one change, so that either all are there or none; again if somebody else was faster.
async function addMany(group, rules, within) {
  for (let attempt = 1; ; attempt++) {
    const now = await find(`/v1/security-groups/${group.id}`) ?? group;
    const kept = now.rules.map(({id, origin, created_at, updated_at, hits, bytes, first_hit, last_hit, counting_since, ...meaning}) => meaning);
    try {
      return await change("PUT", `/v1/security-groups/${group.id}/rules`, {rules: [...kept, ...rules]}, {etag: now.revision, within});
    } catch (problem) {
      if (problem.status !== 412 || attempt === 3) throw problem;
    }
  }
}

// Adds to `group` what the form says, which begins with `rule`.  Returns whether something was added.
export async function createRule(group, rule = {}) {
  const fields = ruleFields(rule, true);
  let added = [];
  const outcome = await openDialog({
    title: "Create New Security Rule", wide: true,
    content: fields.content, trial: true,
    save: (form, within) => {
      added = fields.read();
      return added.length === 1 ? change("POST", `/v1/security-groups/${group.id}/rules`, added[0], {within}) : addMany(group, added, within);
    },
  });
  if (!outcome) return false;
  took(group, added.length === 1 ? `Rule ${sentence(outcome.body, state.groups)} is added.` : `${added.length} rules are added.`, outcome);
  return true;
}

export async function editRule(group, rule) {
  const fields = ruleFields(rule, false);
  let etag = group.revision;
  const outcome = await openDialog({
    title: "Edit Security Rule", wide: true,
    content: [fields.content, h("p", {class: "hint wide"}, "Connections that only the rule as it was allows stop at once; all others go on.")],
    trial: true,
    save: async (form, within) => {
      try {
        return await change("PATCH", `/v1/security-groups/${group.id}/rules/${rule.id}`, fields.read()[0], {etag, within});
      } catch (problem) {
        if (problem.status !== 412) throw problem;
        etag = (await find(`/v1/security-groups/${group.id}`))?.revision;
        throw Object.assign(problem, {message: "Somebody else has changed this group meanwhile. Save once more to change the rule all the same."});
      }
    },
  });
  if (outcome) took(group, `Rule ${sentence(outcome.body, state.groups)} is changed.`, outcome);
}

// What will no longer pass, and where.
function cuts(group, rule) {
  const members = membersOf(group.id).map(({name}) => name);
  if (!members.length) return ["No server uses this group, so no connection is cut."];
  if (rule.action === "deny") {
    return [h("strong", null, "Nothing is cut."), " What it denies is allowed from then on where another rule allows it, on ", listed(members), "."];
  }
  return [h("strong", null, "This cuts"), " at once, in both directions, every connection that only this rule allows: ",
          h("b", null, sentence(rule, state.groups)), ", ", rule.direction === "inbound" ? "to " : "of ",
          members.length === 1 ? "server " : `${members.length} servers: `, listed(members), ". Connections that another rule allows go on."];
}

export async function deleteRule(group, rule) {
  const path = `/v1/security-groups/${group.id}/rules/${rule.id}`;
  const outcome = await openDialog({
    title: "Delete this rule?", label: "Delete", danger: true, trial: true,
    content: [h("p", {class: "wide"}, h("b", null, sentence(rule, state.groups)), rule.description && ` (${rule.description})`),
              h("p", {class: "wide effect"}, cuts(group, rule)), effectBox(() => preview("DELETE", path)).element],
    save: (form, within) => change("DELETE", path, undefined, {within}),
  });
  if (outcome) took(group, `Rule ${sentence(rule, state.groups)} is deleted.`, outcome);
}
