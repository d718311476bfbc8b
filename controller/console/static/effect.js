// What a change would do, before it is made: servers, connections, flows.

import {count, fill, h, listed} from "./dom.js";
import {state} from "./state.js";
import {hasPorts, isIcmp, protocolName} from "./words.js";

const SHOWN = 5; // Connections, before "and N more".

// The servers by name, as far as they are known.
function serverNames(ids, n) {
  const names = ids.map((id) => state.servers?.get(id)?.name).filter(Boolean);
  return names.length === ids.length && n === ids.length ? `: ${listed(names)}` : "";
}

function bridgeWords({dpid, flows_added: added, flows_removed: removed}) {
  return `${state.bridges?.get(dpid)?.name || dpid}: ${count(added, "flow")} added, ${removed} removed`;
}

// "Inbound UDP 53 from 203.0.113.9:40000 to vm1".
function connectionWords(one) {
  const {protocol, direction, remote_ip: ip, remote_port: port} = one, inbound = direction !== "outbound";
  const called = inbound ? one.local_port : port, kind = isIcmp(protocol) && one.icmp_type !== null ? ` type ${one.icmp_type}` : "";
  const remote = inbound && port !== null ? `${ip.includes(":") ? `[${ip}]` : ip}:${port}` : ip;
  const server = state.servers?.get(one.server)?.name ?? one.server;
  return `${direction === null ? "" : inbound ? "Inbound " : "Outbound "}${protocolName(protocol)}${hasPorts(protocol) && called !== null ? ` ${called}` : kind} ` +
         (inbound ? `from ${remote} to ${server}` : `to ${remote} from ${server}`);
}

function cutWords({n_connections_cut: n, connections_cut: cut, connections_unknown: unknown, n_connections_judged_again: judged}) {
  const words = [];
  if (n) {
    words.push(h("p", null, h("b", null, `Cuts ${unknown.length ? "at least " : ""}${count(n, "live connection")}`), ":"),
      h("ul", {class: "holders"}, cut.slice(0, SHOWN).map((one) => h("li", null, connectionWords(one))),
        n > SHOWN && h("li", null, `and ${n - Math.min(SHOWN, cut.length)} more`)));
  } else if (!unknown.length) {
    words.push(h("p", null, "No connection is cut."));
  } else if (judged) {
    words.push(h("p", null, `Connections that ${judged === 1 ? "one rule" : `${judged} rules`} let in are judged again: those that nothing allows any more ` +
                            "are cut, all others go on."));
  }
  for (const {reason, n_servers: servers} of unknown) {
    words.push(h("p", null, `Which connections ${servers ? `of ${count(servers, "server")} ` : ""}are cut is not known: ${reason}.`));
  }
  return words;
}

export function effectWords(effect) {
  const {servers, n_servers: n, bridges, bridges_left_out: more} = effect;
  if (!n && !bridges.length && !effect.connections_unknown.length) return h("p", {class: "foreseen wide"}, "No server and no flow is concerned.");
  return h("div", {class: "foreseen wide"},
    h("p", null, n ? `Concerns ${count(n, "server")}${serverNames(servers, n)}.` : "Concerns no server."),
    cutWords(effect),
    bridges.length > 0 && h("p", {class: "muted"}, `${listed(bridges.map(bridgeWords), 3)}.`, more > 0 && ` ${count(more, "bridge")} not looked at.`));
}

// Shows what `ask`, a promise of an answer to a dry run, says; look() asks again.
export function effectBox(ask) {
  const element = h("div", {class: "wide", role: "status"});
  let number = 0;
  async function look() {
    const mine = ++number;
    let words;
    try {
      const {what, effect} = await ask();
      words = what === null ? h("p", {class: "foreseen wide"}, "Nothing changes.") : effectWords(effect);
    } catch (problem) {
      words = h("p", {class: "foreseen wide"}, "It will be refused: ", problem.message);
    }
    if (mine === number) fill(element, words);
  }
  look();
  return {element, look};
}
