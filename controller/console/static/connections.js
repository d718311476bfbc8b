// Who is connected now, to a server and from it, and which rule let them in.  Asked when the page opens and by a button: the switch
// has to be asked each time.

import {get} from "./api.js";
import {badge, button, count, fill, h, keepingFocus, table} from "./dom.js";
import {pathOf} from "./groups.js";
import {state} from "./state.js";
import {hasPorts, isIcmp, protocolName, sentence, serviceOf} from "./words.js";

const SHOWN = 200;
const WAYS = {inbound: "Inbound", outbound: "Outbound"};
const bracketed = (ip) => ip.includes(":") ? `[${ip}]` : ip;

// The port that it is about: that of who was called.
function destination(one) {
  const {protocol} = one, port = one.direction === "outbound" ? one.remote_port : one.local_port;
  if (hasPorts(protocol) && port !== null) return [String(port), " ", h("span", {class: "muted"}, serviceOf({protocol, port_min: port, port_max: port}))];
  if (isIcmp(protocol) && one.icmp_type !== null) return `Type ${one.icmp_type}, code ${one.icmp_code}`;
  return h("span", {class: "muted"}, "–");
}

function remote(one) {
  return h("span", {class: "code"}, one.direction === "inbound" && one.remote_port !== null ? `${bracketed(one.remote_ip)}:${one.remote_port}` : one.remote_ip);
}

function admitter(one) {
  if (one.admitted_by === "fragments") return [badge("Allow", "good"), " A rule, but its first packets were fragments, which do not tell which"];
  if (!one.rule) return [badge("No rule", "bad"), " Its rule has changed or gone: its next packet is judged again"];
  const group = state.groups?.get(one.group), rule = group?.rules.find(({id}) => id === one.rule);
  if (!rule) return "A rule that has gone";
  return h("p", null, badge("Allow", "good"), " ", sentence(rule, state.groups), " in ", h("a", {href: pathOf(group)}, group.name));
}

function unavailable(reason) {
  return h("p", {class: "empty small"}, `They cannot be listed: ${reason}.`,
    /--switch-control$/.test(reason) && [" Where the switch runs on the controller's machine: ",
      h("code", null, "sallyportd --switch-control unix:/run/openvswitch")]);
}

function connections(server, answer) {
  if (!answer.available) return unavailable(answer.reason);
  if (!answer.connections.length) return h("p", {class: "empty small"}, "There is no connection.");
  return table(`Live connections of ${server.name}`,
    [{title: "Protocol"}, {title: "Port"}, {title: "Remote"}, {title: "State"}, {title: "Admitted by"}],
    answer.connections.map((one) => [[WAYS[one.direction], " ", protocolName(one.protocol)], destination(one), remote(one),
      one.state ? one.state.replaceAll("_", " ").toLowerCase() : h("span", {class: "muted"}, "–"), admitter(one)]));
}

// What is said of it, to everybody: a number and a time.
function summary(answer, at) {
  if (!answer.available) return "";
  const n = answer.connections.length;
  return `${answer.more ? `${count(n, "connection")} shown; there are others` : count(n, "connection")}, as of ${at.toLocaleTimeString()}.`;
}

export function connectionsBox(serverNow) {
  const list = h("div"), said = h("p", {class: "hint", role: "status"}), partly = h("div");
  let answer = null, failure = null, at = null, asked = null, busy = false;

  function show() {
    const server = serverNow();
    if (!server) return;
    list.setAttribute("aria-busy", String(busy));
    if (failure) {
      fill(list, h("p", {class: "empty small"}, failure));
      fill(said);
      fill(partly);
      return;
    }
    fill(list, answer ? connections(server, answer) : h("p", {class: "empty small"}, "Loading…"));
    const text = answer ? summary(answer, at) : "";
    if (said.textContent !== text) fill(said, text); // Else it would be read out again.
    fill(partly, answer?.available && answer.ports.filter(({available}) => !available).map(({port, reason}) =>
      h("p", {class: "hint"}, `Of port ${server.ports.find(({id}) => id === port)?.mac ?? port} nothing can be said: ${reason}.`)));
  }

  async function read() {
    const server = serverNow();
    if (!server || busy) return;
    busy = true;
    show();
    try {
      answer = await get(`/v1/servers/${server.id}/connections?limit=${SHOWN}`);
      at = new Date();
      failure = null;
    } catch (error) {
      failure = error.message;
    }
    busy = false;
    keepingFocus(show);
  }

  const element = h("section", {class: "connections", "aria-labelledby": "connections-title"},
    h("div", {class: "heading"}, h("h2", {id: "connections-title"}, "Live connections"),
      button("Refresh", read, {id: "refresh-connections", name: "Refresh the live connections"})), list, said, partly);
  return {
    element,
    update() {
      show();
      const server = serverNow();
      if (!element.isConnected || !server || server.id === asked) return;
      asked = server.id;
      read();
    },
  };
}
