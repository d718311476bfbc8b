// The servers of a region, and one of them: its ports, its groups, and why something is or is not reachable.

import {change, preview} from "./api.js";
import {blockedBox} from "./blocked.js";
import {connectionsBox} from "./connections.js";
import {choice, fieldset, input, openDialog} from "./dialog.js";
import {badge, button, count, fill, h, listed, table} from "./dom.js";
import {effectBox} from "./effect.js";
import {explainBox} from "./explain.js";
import {pathOf} from "./groups.js";
import {report} from "./outcome.js";
import {groupsOf, isDefault, learn, serversOf, state} from "./state.js";

const SHOWN = 200; // Rows, before the list asks for a narrower search.
const KINDS = {vps: "VPS", baremetal: "Bare metal"};
const STATES = {active: ["In force", "good"], pending: ["Pending", "wait"], unbound: ["Not found on a bridge", "bad"]};

const pathOfServer = (server) => `#/r/${encodeURIComponent(server.region)}/servers/${server.id}`;
const addressesOf = (server) => server.ports.flatMap(({ips}) => ips);

function groupLinks(server) {
  if (!server.security_groups.length) return badge("None: everything is closed", "bad");
  return h("ul", {class: "tags"}, server.security_groups.map((id) => {
    const group = state.groups?.get(id);
    return h("li", null, group ? h("a", {href: pathOf(group)}, group.name) : id, isDefault(id) && [" ", badge("Default", "accent")]);
  }));
}

// The worst of its ports.
function stateOf(server) {
  if (!server.ports.length) return h("span", {class: "muted"}, "No port");
  const worst = ["unbound", "pending", "active"].find((one) => server.ports.some((port) => port.state === one));
  return badge(...STATES[worst]);
}

export async function changeGroups(server) {
  const groups = groupsOf();
  const boxes = groups.map((group) => choice("checkbox", "group", group.id, [group.name, isDefault(group.id) && [" ", badge("Default", "accent")]],
                                             {checked: server.security_groups.includes(group.id)}));
  const filter = input("filter", {type: "search", placeholder: "Find a group", "aria-label": "Find a group"});
  filter.addEventListener("input", () => boxes.forEach((box, index) => {
    box.hidden = !groups[index].name.toLowerCase().includes(filter.value.trim().toLowerCase());
  }));
  const path = `/v1/servers/${server.id}/security-groups`;
  const chosen = () => ({security_groups: boxes.map((box) => box.querySelector("input")).filter(({checked}) => checked).map(({value}) => value)});
  const effect = effectBox(() => preview("PUT", path, chosen()));
  for (const box of boxes) box.addEventListener("change", effect.look);
  const outcome = await openDialog({
    title: `Security groups of ${server.name}`, trial: true,
    content: [groups.length > 12 && filter, fieldset("Security groups", "security_groups", h("div", {class: "list"}, boxes)),
              h("p", {class: "hint wide"}, "The rules of all its groups count together. Without a group everything is closed. " +
                                           "Connections that the chosen groups do not allow stop at once; all others go on."), effect.element],
    save: (form, within) => change("PUT", path, chosen(), {within}),
  });
  if (!outcome) return;
  learn("server", outcome.body);
  report(`The security groups of ${server.name} are changed.`, outcome);
}

function noServerYet() {
  return h("div", {class: "empty"}, h("h2", null, "No server yet"),
    h("p", null, "Servers come from whoever makes them: a provisioning system by the API, or a person by the command line:"),
    h("pre", null, `sallyport server create --region ${state.region} --name vm1 \\\n    --port bridge=0000000000000001,port=vm1-eth0,mac=02:00:00:00:00:01,ip=10.0.0.11`),
    h("p", null, "The first one gets the group ", h("b", null, "default"), " (SSH, RDP and ping) unless the region has another default."));
}

export function serversPage() {
  const filter = input("find", {type: "search", id: "find-server", placeholder: "Find by name or address", "aria-label": "Find a server",
                                on: {input: () => page.update()}});
  const list = h("div");
  const page = {title: "VPS", element: h("div", null, h("div", {class: "heading"}, h("h1", {tabindex: "-1"}, "VPS"), filter), list)};
  page.update = () => {
    const all = serversOf(), text = filter.value.trim().toLowerCase();
    filter.hidden = all.length < 8 && !text;
    if (!state.servers) return fill(list, h("p", {class: "empty"}, "Loading…"));
    if (!all.length) return fill(list, noServerYet());
    const found = all.filter((server) => !text || server.name.toLowerCase().includes(text) || addressesOf(server).some((ip) => ip.includes(text)));
    if (!found.length) return fill(list, h("p", {class: "empty"}, "No server fits."));
    return fill(list, table("Servers of the region",
      [{title: "Name"}, {title: "Addresses"}, {title: "Security Group"}, {title: "State"}, {title: "Operation", class: "operation"}],
      found.slice(0, SHOWN).map((server) => [
        [h("a", {href: pathOfServer(server), id: `server-${server.id}`}, server.name), server.kind !== "vps" && h("div", {class: "muted"}, KINDS[server.kind])],
        h("span", {class: "code"}, listed(addressesOf(server), 3) || "–"), groupLinks(server), stateOf(server),
        h("div", {class: "buttons"}, button("Change groups", () => changeGroups(server),
          {id: `change-${server.id}`, name: `Change groups of ${server.name}`})),
      ])), found.length > SHOWN && h("p", {class: "hint"}, `${SHOWN} of ${found.length} are shown; narrow the search to see others.`));
  };
  return page;
}

function place(port) {
  if (!port.bridge) return port.iface_id ? `interface ${port.iface_id}` : "–";
  const name = state.bridges?.get(port.bridge)?.name;
  return `${port.port} on ${name || port.bridge}`;
}

function portsTable(server) {
  if (!server.ports.length) return h("p", {class: "empty small"}, "It has no port, so there is nothing to filter.");
  return table(`Ports of ${server.name}`,
    [{title: "Port"}, {title: "MAC"}, {title: "Addresses"}, {title: "VLAN"}, {title: "Rules"}],
    server.ports.map((port) => [place(port), h("span", {class: "code"}, port.mac), h("span", {class: "code"}, port.ips.join(", ") || "–"),
                                port.vlan === null ? "–" : String(port.vlan), badge(...STATES[port.state])]));
}

export function serverPage(id) {
  const heading = h("h1", {tabindex: "-1"}), about = h("p", {class: "lead"}), groups = h("div"), ports = h("div"), missing = h("div");
  const page = {title: "VPS", crumb: null};
  const box = explainBox(() => page.server), blocked = blockedBox(() => page.server);
  const connections = connectionsBox(() => page.server);
  const whole = h("div", null,
    h("div", {class: "heading"}, h("h2", null, "Security Group"), button("Change", () => page.server && changeGroups(page.server),
      {id: "change-groups", name: "Change the security groups"})), groups,
    box.element, connections.element, blocked.element, h("h2", null, "Ports"), ports);
  page.element = h("div", null, heading, about, missing, whole);
  page.update = () => {
    page.server = state.servers?.get(id);
    const {server} = page;
    page.crumb = server?.name ?? "…";
    whole.hidden = !server;
    fill(heading, server?.name ?? "Server");
    fill(about, server && `${KINDS[server.kind]} in ${server.region}, ${count(server.ports.length, "port")}`);
    fill(missing, !server && h("p", {class: "empty"}, state.servers ? "There is no such server (any more)." : "Loading…"));
    if (!server) return;
    fill(groups, groupLinks(server));
    fill(ports, portsTable(server));
    box.update();
    blocked.update();
    connections.update();
  };
  return page;
}
