// One security group: its rules, and who uses it.

import {find, get} from "./api.js";
import {badge, button, count, fill, h, table} from "./dom.js";
import {editGroup} from "./groups.js";
import {createRule, deleteRule, editRule} from "./rule_form.js";
import {isDefault, learn, membersOf, state} from "./state.js";
import {inOrder, portsOf, protocolName, remoteOf, sentence, serviceOf, useOf} from "./words.js";

const SHOWN = 30; // Servers, before "and N more".
const COUNTED_MS = 30000; // How often the controller itself hears of hits.

function remote(rule) {
  if (!rule.remote_group) return remoteOf(rule).replace("anywhere", "Anywhere");
  return ["Group ", h("a", {href: `#/r/${encodeURIComponent(state.region)}/groups/${rule.remote_group}`},
                      state.groups?.get(rule.remote_group)?.name ?? rule.remote_group)];
}

function rulesTable(group, direction) {
  const rules = inOrder(group.rules.filter((rule) => rule.direction === direction));
  const name = direction === "inbound" ? "Inbound" : "Outbound";
  if (!rules.length) {
    return h("p", {class: "empty small"}, direction === "inbound" ? "No inbound rule: nothing may be opened to the servers."
                                                                  : "No outbound rule: the servers may open nothing.");
  }
  return table(`${name} rules`,
    [{title: "Protocol"}, {title: "Ports"}, {title: direction === "inbound" ? "From" : "To"}, {title: "Action"},
     {title: "Priority", class: "number"}, {title: "Hits", class: "number"}, {title: "Last used"}, {title: "Description"}, {title: "Operation", class: "operation"}],
    rules.map((rule) => {
      const words = sentence(rule, state.groups), use = useOf(rule);
      return [
        protocolName(rule.protocol),
        [portsOf(rule) || h("span", {class: "muted"}, "–"), " ", h("span", {class: "muted"}, serviceOf(rule))],
        remote(rule),
        rule.action === "allow" ? badge("Allow", "good") : badge("Deny", "bad"),
        String(rule.priority),
        use.hits ? h("span", {title: `${rule.hits.toLocaleString("en")} packets`}, use.hits) : h("span", {class: "muted"}, "–"),
        [h("span", {class: "muted"}, use.when), use.unused && [" ", badge(use.unused, "wait")]],
        [rule.description, rule.origin === "default" && [" ", h("span", {class: "muted"}, rule.description ? "(template)" : "from the template")]],
        h("div", {class: "buttons"},
          button("Edit", () => editRule(group, rule), {id: `edit-${rule.id}`, name: `Edit rule ${words}`}),
          button("Delete", () => deleteRule(group, rule), {id: `delete-${rule.id}`, kind: "danger", name: `Delete rule ${words}`})),
      ];
    }), "rules");
}

// Hits come without an event.  What an event has brought meanwhile is newer.
function readHits(id) {
  return find(`/v1/security-groups/${id}`).then((now) => {
    if (now && now.revision >= (state.groups?.get(id)?.revision ?? 0)) learn("group", now);
  }).catch(() => {}); // Whoever cannot read sees it by the stream of events.
}

const KINDS = {open: ["Open to everybody", "bad"], shadowed: ["Never decides", "wait"], redundant: ["Changes nothing", "wait"], unused: ["Unused", "wait"]};

// What is odd in words: of two rules by what the other one says, which the controller names by its id.
function reasonOf(group, {kind, by, message}) {
  const other = group.rules.find(({id}) => id === by);
  if (!other) return message.replace(/^unused: /, "");
  return `${kind === "shadowed" ? "is decided before by" : "does as"} ${sentence(other, state.groups)} (${other.action}, priority ${other.priority})`;
}

// What the controller finds odd about the rules, each beside the rule it is about.
function findingsList(group, findings) {
  const known = findings.filter(({rule}) => group.rules.some(({id}) => id === rule));
  return known.length > 0 && [h("h2", null, "Worth a look ", h("span", {class: "muted"}, count(known.length, "finding"))),
    h("ul", {class: "findings"}, known.slice(0, SHOWN).map((finding) => h("li", null, badge(...KINDS[finding.kind] ?? [finding.kind, "wait"]), " ",
      h("b", null, sentence(group.rules.find(({id}) => id === finding.rule), state.groups)), " ", h("span", {class: "muted"}, reasonOf(group, finding)))),
      known.length > SHOWN && h("li", {class: "muted"}, `and ${known.length - SHOWN} more`))];
}

function users(group) {
  const members = membersOf(group.id);
  if (!members.length) return h("p", {class: "empty small"}, "No server uses this group. Give it to one on the server's page, under VPS.");
  return h("ul", {class: "tags"}, members.slice(0, SHOWN).map((server) => h("li", null,
    h("a", {href: `#/r/${encodeURIComponent(server.region)}/servers/${server.id}`, id: `server-${server.id}`}, server.name))),
    members.length > SHOWN && h("li", {class: "muted"}, `and ${members.length - SHOWN} more`));
}

export function rulesPage(id) {
  const heading = h("h1", {tabindex: "-1"}), about = h("p", {class: "lead"}), body = h("div");
  const page = {title: "Security Group Rules", crumb: null};
  const found = h("section", {"aria-label": "Worth a look"});
  let judged = null; // The revision of which `findings` are.
  let findings = [];
  async function judge(revision) {
    if (judged === revision) return;
    judged = revision;
    findings = await get(`/v1/security-groups/${id}/lint`).then((answer) => answer.findings, () => []); // Too many rules, or gone.
    if (judged === revision && page.group) fill(found, findingsList(page.group, findings));
  }
  page.element = h("div", null, h("div", {class: "heading"}, heading,
    h("div", {class: "buttons"}, button("Edit group", () => page.group && editGroup(page.group), {id: "edit-group"}),
      button("Add", () => page.group && createRule(page.group), {id: "add-rule", kind: "primary", name: "Add a rule"}))), about, body);
  readHits(id);
  const reading = setInterval(() => page.element.isConnected ? document.hidden || readHits(id) : clearInterval(reading), COUNTED_MS);
  page.update = () => {
    page.group = state.groups?.get(id);
    const {group} = page;
    page.crumb = group?.name ?? "…";
    fill(heading, "Security Group Rules");
    if (!group) {
      fill(about);
      return fill(body, h("p", {class: "empty"}, state.groups ? "There is no such security group (any more)." : "Loading…"));
    }
    fill(about, h("b", null, group.name), " ", isDefault(id) && badge("Default", "accent"), " ", group.description);
    judge(group.revision);
    fill(found, findingsList(group, findings));
    return fill(body,
      h("h2", null, "Inbound ", h("span", {class: "muted"}, "to the servers")), rulesTable(group, "inbound"),
      h("h2", null, "Outbound ", h("span", {class: "muted"}, "from the servers")), rulesTable(group, "outbound"),
      h("p", {class: "hint"}, "The lowest priority number that matches decides; among equals Deny wins; what no rule matches is denied. " +
                              "Answers to an allowed connection always pass."), found,
      h("h2", null, "Servers ", h("span", {class: "muted"}, count(membersOf(id).length, "server"))), users(group));
  };
  return page;
}
