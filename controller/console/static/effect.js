// What a change would do, before it is made: servers, connections, flows.

import {count, fill, h, listed} from "./dom.js";
import {state} from "./state.js";

// The servers by name, as far as they are known.
function serverNames(ids, n) {
  const names = ids.map((id) => state.servers?.get(id)?.name).filter(Boolean);
  return names.length === ids.length && n === ids.length ? `: ${listed(names)}` : "";
}

function bridgeWords({dpid, flows_added: added, flows_removed: removed}) {
  return `${state.bridges?.get(dpid)?.name || dpid}: ${count(added, "flow")} added, ${removed} removed`;
}

export function effectWords({servers, n_servers: n, bridges, bridges_left_out: more, n_connections_judged_again: judged}) {
  if (!n && !bridges.length) return h("p", {class: "foreseen wide"}, "No server and no flow is concerned.");
  return h("div", {class: "foreseen wide"},
    h("p", null, n ? `Concerns ${count(n, "server")}${serverNames(servers, n)}.` : "Concerns no server."),
    h("p", null, judged ? `Connections that ${judged === 1 ? "one rule" : `${judged} rules`} let in are judged again: those that nothing allows any more ` +
                          "are cut, all others go on." : "No connection is cut."),
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
