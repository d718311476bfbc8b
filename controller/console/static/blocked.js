// What was tried in vain lately, to a server and from it.

import {change, get} from "./api.js";
import {badge, button, fill, h, keepingFocus, moment, table} from "./dom.js";
import {pathOf} from "./groups.js";
import {reportFailed, reportSaved} from "./outcome.js";
import {createRule} from "./rule_form.js";
import {onEvent, state} from "./state.js";
import {hasPorts, isIcmp, portsOf, protocolName, sentence, serviceOf} from "./words.js";

const AGAIN_MS = 5000; // Where no events come.

// The rule that would allow it.
function ruleFor(attempt) {
  const rule = {direction: attempt.direction, protocol: attempt.protocol, remote_ip: attempt.remote_ip, port_min: -1, port_max: -1,
                icmp_type: -1, icmp_code: -1};
  const port = attempt.local_port ?? attempt.remote_port;
  if (hasPorts(rule.protocol) && port !== null) rule.port_min = rule.port_max = port;
  if (isIcmp(rule.protocol) && attempt.icmp_type !== null) Object.assign(rule, {icmp_type: attempt.icmp_type, icmp_code: attempt.icmp_code});
  return rule;
}

function decider(attempt) {
  const group = state.groups?.get(attempt.group);
  const rule = group?.rules.find(({id}) => id === attempt.rule);
  if (!attempt.rule) return "No rule allows it";
  if (!rule) return "A rule that has gone";
  return [badge("Deny", "bad"), " ", sentence(rule, state.groups), " in ", h("a", {href: pathOf(group)}, group.name)];
}

// Where a rule denies it, one that allows it must have a lower number.
function priorityFor(attempt) {
  const rule = state.groups?.get(attempt.group)?.rules.find(({id}) => id === attempt.rule);
  return rule ? Math.max(1, rule.priority - 1) : 100;
}

// Whether a region's blocked attempts are seen at all.
async function setReports(region, reports) {
  try {
    await change("PATCH", `/v1/regions/${encodeURIComponent(region)}`, {report_blocked: reports});
    reportSaved(`Region ${region} ${reports ? "reports" : "no longer reports"} blocked attempts.`);
  } catch (problem) {
    reportFailed(problem.message);
  }
}

export function blockedBox(serverNow) {
  const list = h("div"), turn = h("div");
  let attempts = null, shown = null, failure = null, timer = null;

  function allow(server, attempt, index) {
    const groups = server.security_groups.map((id) => state.groups?.get(id)).filter(Boolean);
    const words = sentence(ruleFor(attempt), state.groups);
    return groups.map((group, at) => button(groups.length > 1 ? `Allow this in ${group.name}` : "Allow this",
      () => createRule(group, {...ruleFor(attempt), priority: priorityFor(attempt)}),
      {id: `allow-blocked-${index}-${at}`, name: `Allow this${groups.length > 1 ? ` in ${group.name}` : ""}: ${words}`}));
  }

  function show() {
    const server = serverNow();
    if (!server) return;
    if (failure) return fill(list, h("p", {class: "empty small"}, failure));
    if (!attempts) return fill(list, h("p", {class: "empty small"}, "Loading…"));
    const reports = state.regions?.get(server.region)?.report_blocked !== false;
    fill(turn, button(reports ? "Stop reporting" : "Report them", () => setReports(server.region, !reports),
      {id: "report-blocked", kind: "quiet", name: `${reports ? "Stop reporting" : "Report"} blocked attempts in region ${server.region}`}));
    if (!reports && !attempts.length) return fill(list, h("p", {class: "empty small"}, "This region does not report blocked attempts."));
    if (!attempts.length) return fill(list, h("p", {class: "empty small"}, "Nothing was blocked lately."));
    return fill(list, table(`Blocked attempts of ${server.name}`,
      [{title: "Protocol"}, {title: "Port"}, {title: "Remote"}, {title: "Denied by"}, {title: "Times", class: "number"},
       {title: "First"}, {title: "Last"}, {title: "Operation", class: "operation"}],
      attempts.map((attempt, index) => {
        const rule = ruleFor(attempt);
        return [[attempt.direction === "inbound" ? "Inbound " : "Outbound ", protocolName(attempt.protocol)],
                [portsOf(rule) || h("span", {class: "muted"}, "–"), " ", h("span", {class: "muted"}, serviceOf(rule))],
                h("span", {class: "code"}, attempt.remote_ip), decider(attempt), String(attempt.count), moment(attempt.first), moment(attempt.last),
                h("div", {class: "buttons"}, allow(server, attempt, index))];
      })), h("p", {class: "hint"}, "A sample: each was tried at least as often as it says."));
  }

  let number = 0;
  async function read() {
    clearTimeout(timer);
    const server = serverNow(), mine = ++number;
    if (server) {
      try {
        const {blocked} = await get(`/v1/blocked?server=${server.id}`);
        if (mine !== number) return;
        attempts = blocked;
        failure = null;
      } catch (error) {
        failure = error.message;
      }
      const now = JSON.stringify([attempts, failure]);
      if (now !== shown) keepingFocus(show);
      shown = now;
    }
    // Without events, as for a token of some regions, one has to ask.
    if (element.isConnected && !state.live) timer = setTimeout(read, AGAIN_MS);
  }

  const stop = onEvent((name, {servers, more}) => {
    if (!element.isConnected) return stop();
    if (name === "ready" || name === "reset" || (name === "blocked" && (more || servers.includes(serverNow()?.id)))) read();
    return null;
  });
  const element = h("section", {"aria-labelledby": "blocked-title"},
    h("div", {class: "heading"}, h("h2", {id: "blocked-title"}, "Blocked attempts"), turn), list);
  let asked = null; // Of which server, and whether its region reported then.
  return {
    element,
    update() {
      show();
      const server = serverNow(), now = server && `${server.id} ${state.regions?.get(server.region)?.report_blocked}`;
      if (!element.isConnected || !server || now === asked) return;
      asked = now;
      read();
    },
  };
}
