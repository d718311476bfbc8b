// "Can X reach port Y?": the verdict, who decided, and what to do next.

import {explain} from "./api.js";
import {clearProblem, field, input, select, showProblem} from "./dialog.js";
import {badge, button, fill, h} from "./dom.js";
import {createRule} from "./rule_form.js";
import {pathOf} from "./groups.js";
import {serversOf, state} from "./state.js";
import {familyOf, hasPorts, sentence} from "./words.js";

const PROTOCOLS = [["tcp", "TCP"], ["udp", "UDP"], ["sctp", "SCTP"], ["icmp", "ICMP (ping)"], ["icmpv6", "ICMPv6 (ping)"]];

// The question as the controller takes it.
function question(server, {direction, protocol, remote, port}) {
  const body = {server: server.id, direction, protocol, remote_ip: remote};
  if (hasPorts(protocol)) body[direction === "inbound" ? "local_port" : "remote_port"] = port;
  if (protocol === "icmp") Object.assign(body, {icmp_type: 8, icmp_code: 0});
  if (protocol === "icmpv6") Object.assign(body, {icmp_type: 128, icmp_code: 0});
  return body;
}

// Between two servers of the region the other one's groups count as well: who it is, and which of our addresses it sees.
function counterpart(server, remote) {
  const other = serversOf().find(({id, ports}) => id !== server.id && ports.some(({ips}) => ips.includes(remote)));
  const own = server.ports.flatMap(({ips}) => ips).find((ip) => familyOf(ip) === familyOf(remote));
  return other && own ? {other, own} : null;
}

function decider(answer, whose) {
  if (answer.rule) {
    return h("p", null, `${whose}: decided by the rule `, h("b", null, sentence(answer.rule, state.groups)), ` (${answer.rule.action}, priority ${answer.rule.priority}`,
      answer.rule.description && `, “${answer.rule.description}”`, ") of group ", h("a", {href: pathOf(answer.group)}, answer.group.name), ".");
  }
  return h("p", null, `${whose}: `, h("b", null, "no rule allows it"), ", so it is denied by default.");
}

function ruleFor({direction, protocol, remote, port}) {
  const rule = {direction, protocol, remote_ip: remote};
  return hasPorts(protocol) ? {...rule, port_min: port, port_max: port} : rule;
}

// A button for each group of `server` that could allow it.
function allowThis(server, asked, again) {
  const groups = server.security_groups.map((id) => state.groups?.get(id)).filter(Boolean);
  if (!groups.length) return h("p", null, "Next: give ", server.name, " a security group.");
  return [h("p", null, "Next: allow it, if it is meant to be allowed."),
          h("div", {class: "buttons"}, groups.map((group, index) => button(groups.length > 1 ? `Allow this in ${group.name}` : "Allow this",
            async () => { if (await createRule(group, ruleFor(asked))) again(); }, {id: `allow-${index}`, kind: "primary"})))];
}

function nextStep(server, asked, answer, again) {
  if (!answer.rule) return allowThis(server, asked, again);
  return h("p", null, "Next: change or delete that rule in group ", h("a", {href: pathOf(answer.group)}, answer.group.name),
           ", or put an allowing one with a lower priority number above it.");
}

function notInForce(server) {
  const ports = server.ports.filter((port) => port.state !== "active");
  if (!server.ports.length) return h("p", {class: "effect"}, "But the server has no port yet, so nothing reaches it.");
  return ports.length > 0 && h("p", {class: "effect"}, "But the rules are not in force on ", ports.length === server.ports.length ? "its ports" : "all of its ports",
    " yet: see Ports below.");
}

function show(place, server, asked, pair, answers, again) {
  const [own, theirs] = answers;
  const allowed = answers.every(({verdict}) => verdict === "allow");
  const port = hasPorts(asked.protocol) ? ` port ${asked.port}` : "";
  const inbound = asked.direction === "inbound";
  const from = inbound ? pair ? `${pair.other.name} (${asked.remote})` : asked.remote : server.name;
  const to = inbound ? server.name : pair ? `${pair.other.name} (${asked.remote})` : asked.remote;
  let next;
  if (!allowed) {
    next = own.verdict === "deny" ? nextStep(server, asked, own, again)
      : nextStep(pair.other, {...asked, direction: inbound ? "outbound" : "inbound", remote: pair.own}, theirs, again);
  } else {
    const target = inbound ? server.name : to;
    next = [h("p", null, "Next: the security group allows it: look inside ", target, ": does the program run and listen",
      port && ` on${port}`, ", and does the server's own firewall let it in?"), notInForce(server), pair && notInForce(pair.other)];
  }
  fill(place, h("div", {class: `verdict ${allowed ? "yes" : "no"}`},
    h("h3", {tabindex: "-1"}, badge(allowed ? "Yes" : "No", allowed ? "good" : "bad"), " ",
      `${from} ${allowed ? "may" : "may not"} reach ${to}${port} by ${asked.protocol.toUpperCase()}`),
    decider(own, server.name), theirs && decider(theirs, pair.other.name), next));
}

export function explainBox(serverNow) {
  const direction = select("direction", [["inbound", "to this server"], ["outbound", "from this server"]], "inbound");
  const names = h("datalist", {id: "explain-names"});
  const remote = input("remote_ip", {list: "explain-names", placeholder: "203.0.113.9"});
  const protocol = select("protocol", PROTOCOLS, "tcp");
  const port = input("port", {inputmode: "numeric", placeholder: "8888"});
  const portField = field("Port Y", port);
  const result = h("div", {role: "status"});
  const ask = h("button", {type: "submit", class: "primary"}, "Why?");
  const form = h("form", {class: "explain", novalidate: true, id: "explain"}, h("div", {class: "fields"},
    field("Direction", direction), field("Address X", remote), field("Protocol", protocol), portField,
    h("div", {class: "field"}, ask)), h("div", {class: "problem", role: "alert", tabindex: "-1"}), names);
  protocol.addEventListener("change", () => { portField.hidden = !hasPorts(protocol.value); });

  async function run(event) {
    event?.preventDefault();
    const server = serverNow();
    if (!server) return;
    const asked = {direction: direction.value, protocol: protocol.value, remote: remote.value.trim(),
                   port: /^\d+$/.test(port.value.trim()) ? Number(port.value) : port.value.trim()};
    const pair = counterpart(server, asked.remote);
    clearProblem(form);
    try {
      const answers = await Promise.all([explain(question(server, asked)),
        pair && explain(question(pair.other, {...asked, direction: asked.direction === "inbound" ? "outbound" : "inbound", remote: pair.own}))]);
      show(result, server, asked, pair, answers.filter(Boolean), run);
    } catch (problem) {
      fill(result);
      for (const error of problem.errors ?? []) error.field = error.field.replace(/^(local|remote)_port$/, "port");
      showProblem(form, problem);
    }
  }
  form.addEventListener("submit", run);
  return {
    element: h("section", {class: "card", "aria-labelledby": "explain-title"},
      h("h2", {id: "explain-title"}, "Can X reach port Y?"), form, result),
    update() {
      fill(names, state.client && h("option", {value: state.client}, "you"),
        serversOf().slice(0, 200).flatMap((server) => server.ports.flatMap(({ips}) => ips.map((ip) => h("option", {value: ip}, server.name)))));
    },
  };
}
