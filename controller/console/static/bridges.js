// The bridges: connected or not, and whether what is wanted is in force there.

import {badge, count, fill, h, listed, table} from "./dom.js";
import {state} from "./state.js";

const ROLES = {server: "server", uplink: "uplink", closed: "closed"};

// A bridge that nobody has named has no flows of ours, wanted or there.
const isAdopted = (bridge) => !bridge.connected || bridge.flows.desired > 0;

export function bridgeState(bridge) {
  if (!bridge.connected) return ["Not connected", "bad"];
  if (bridge.last_error) return ["Refused", "bad"];
  if (bridge.pending) return ["Pending", "wait"];
  return isAdopted(bridge) ? ["In force", "good"] : ["Left as it is", ""];
}

function about(bridge) {
  const [words, kind] = bridgeState(bridge);
  return [badge(words, kind), bridge.last_error && h("div", {class: "problem-text"}, bridge.last_error),
          bridge.connected && !isAdopted(bridge) && h("div", {class: "muted"}, "nobody has named it yet")];
}

function ports(bridge) {
  if (!bridge.ports.length) return h("span", {class: "muted"}, "–");
  const names = (role) => bridge.ports.filter((port) => port.role === role).map(({name}) => name);
  return h("details", {id: `ports-${bridge.dpid}`}, h("summary", {id: `summary-${bridge.dpid}`}, count(bridge.ports.length, "port")),
    h("dl", null, Object.entries(ROLES).map(([role, title]) => names(role).length > 0 &&
      [h("dt", null, `${title} (${names(role).length})`), h("dd", {class: "code"}, listed(names(role), 12))])));
}

export function bridgesPage() {
  const list = h("div");
  const element = h("div", null, h("h1", {tabindex: "-1"}, "Bridges"),
    h("p", {class: "lead"}, "The Open vSwitch bridges that enforce the rules."), list);
  function update() {
    if (!state.bridges) return fill(list, h("p", {class: "empty"}, "Loading…"));
    if (!state.bridges.size) {
      return fill(list, h("div", {class: "empty"}, h("h2", null, "No bridge yet"), h("p", null, "Point one at this controller and name it:"),
        h("pre", null, "ovs-vsctl set-fail-mode br-int secure\novs-vsctl set bridge br-int other-config:disable-in-band=true\n" +
                       "ovs-vsctl set-controller br-int tcp:127.0.0.1:6653\nsallyport bridge set 0000000000000001 --uplink eth1")));
    }
    const open = new Set([...list.querySelectorAll("details[open]")].map(({id}) => id));
    fill(list, table("Bridges",
      [{title: "Bridge"}, {title: "State"}, {title: "Peer"}, {title: "Uplinks"}, {title: "Ports"},
       {title: "Flows", class: "number"}, {title: "Revision", class: "number"}],
      [...state.bridges.values()].sort((a, b) => a.dpid.localeCompare(b.dpid)).map((bridge) => [
        [bridge.name || h("span", {class: "muted"}, "never connected"), h("div", {class: "muted code"}, bridge.dpid)], about(bridge),
        bridge.connected ? [h("span", {class: "code"}, bridge.peer), h("div", {class: "muted"}, bridge.version)] : h("span", {class: "muted"}, "–"),
        h("span", {class: "code"}, bridge.uplinks.join(", ") || "–"), ports(bridge),
        bridge.flows.desired === bridge.flows.installed ? String(bridge.flows.installed) : `${bridge.flows.installed} of ${bridge.flows.desired}`,
        String(bridge.revision),
      ])));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  }
  return {element, update, title: "Bridges"};
}
