// The list of security groups, and their dialogs.

import {change, preview, Problem} from "./api.js";
import {choice, field, fieldset, input, openDialog, select} from "./dialog.js";
import {badge, button, count, fill, h, listed, table} from "./dom.js";
import {effectBox} from "./effect.js";
import {report, reportSaved} from "./outcome.js";
import {groupsOf, isDefault, learn, membersOf, movedBy, onChange, state} from "./state.js";
import {TEMPLATES} from "./words.js";

export const pathOf = (group) => `#/r/${encodeURIComponent(group.region)}/groups/${group.id}`;

// "Default": Yes or No, and what Yes would do to whom.
function defaultField(id) {
  const was = Boolean(id) && isDefault(id);
  const effect = h("p", {class: "effect", role: "status"});
  const look = () => {
    const yes = chosen.querySelector("input[value=yes]").checked;
    const moved = yes && !was ? movedBy(id) : [];
    fill(effect, !yes || was ? null : moved.length
      ? [h("strong", null, `${count(moved.length, "server")} will be moved`), `: this becomes the only group of ${listed(moved.map(({name}) => name))}, ` +
         "and what it does not allow stops at once."]
      : "No server has to be moved. New servers get this group.");
  };
  const chosen = fieldset("Default", "default",
    h("div", {class: "choices"},
      choice("radio", "default", "yes", "Yes", {checked: was, on: {change: look}}),
      choice("radio", "default", "no", "No", {checked: !was, on: {change: look}})),
    h("p", {class: "hint"}, "New servers of the region get the default group."), effect);
  const stop = onChange(() => chosen.isConnected ? look() : stop());
  look();
  return chosen;
}

const isYes = (form) => form.querySelector("input[name=default][value=yes]").checked;

export async function createGroup() {
  const region = state.region;
  const outcome = await openDialog({
    title: "Create New Security Group",
    content: [
      field("Name", input("name", {autofocus: true, maxlength: 255}), {wide: true}),
      defaultField(null),
      field("Template", select("template", TEMPLATES, "outbound"), {wide: true, hint: "The rules that it begins with; all can be changed."}),
    ],
    trial: true,
    save: (form, within) => change("POST", "/v1/security-groups", {region, name: form.elements.name.value, default: isYes(form),
                                                                   template: form.elements.template.value}, {within}),
  });
  if (!outcome) return;
  learn("group", outcome.body);
  report(`Security group ${outcome.body.name} is created.`, outcome, outcome.body.servers.length);
}

export async function editGroup(group) {
  const was = isDefault(group.id);
  const outcome = await openDialog({
    title: "Edit Security Group",
    content: [
      field("Name", input("name", {value: group.name, autofocus: true, maxlength: 255}), {wide: true}),
      field("Description", input("description", {value: group.description}), {wide: true}),
      defaultField(group.id),
    ],
    trial: true,
    save: (form, within) => {
      const body = {name: form.elements.name.value, description: form.elements.description.value};
      if (isYes(form) !== was) body.default = isYes(form);
      return change("PATCH", `/v1/security-groups/${group.id}`, body, {within});
    },
  });
  if (!outcome) return;
  learn("group", outcome.body);
  const what = `Security group ${outcome.body.name} is changed.`;
  if (outcome.body.default === was) reportSaved(what);
  else report(what, outcome);
}

function holderLink({type, id, name}) {
  const kind = type === "server" ? "servers" : "groups";
  return h("li", null, type === "server" ? "Server " : "A rule of group ",
    h("a", {href: `#/r/${encodeURIComponent(state.region)}/${kind}/${id}`,
            on: {click: (event) => event.target.closest("dialog").close()}}, name));
}

export async function deleteGroup(group) {
  const path = `/v1/security-groups/${group.id}`;
  const outcome = await openDialog({
    title: `Delete security group ${group.name}?`,
    content: [h("p", null, group.rules.length ? `Its ${count(group.rules.length, "rule")} ${group.rules.length === 1 ? "goes" : "go"} with it.`
                                              : "It has no rules.",
                " A group that a server or another group's rule uses stays."), effectBox(() => preview("DELETE", path)).element],
    label: "Delete", danger: true, trial: true,
    save: (form, within) => change("DELETE", path, undefined, {within}),
    explain: (problem) => problem instanceof Problem && problem.holders.length > 0 &&
      h("ul", {class: "holders"}, problem.holders.slice(0, 20).map(holderLink),
        problem.holders.length > 20 && h("li", null, `and ${problem.holders.length - 20} more`)),
  });
  if (!outcome) return;
  state.groups?.delete(group.id);
  learn("group", null);
  reportSaved(`Security group ${group.name} is deleted.`);
}

export function groupsPage() {
  const list = h("div"), add = button("Add", createGroup, {id: "add-group", kind: "primary", name: "Add a security group"});
  const element = h("div", null,
    h("div", {class: "heading"}, h("h1", {tabindex: "-1"}, "Security Group"), add),
    h("p", {class: "lead"}, "A security group says which connections may be opened to and from the servers that have it."), list);

  function update() {
    const groups = groupsOf();
    add.hidden = !groups.length;
    if (!state.groups) return fill(list, h("p", {class: "empty"}, "Loading…"));
    if (!groups.length) {
      return fill(list, h("div", {class: "empty"}, h("h2", null, "No security group yet"),
        h("p", null, "Add one and give it rules. The region's first server also brings one along: ", h("b", null, "default"),
          ", with SSH, RDP and ping."), button("Add", createGroup, {id: "add-first-group", kind: "primary", name: "Add a security group"})));
    }
    return fill(list, table("Security groups of the region",
      [{title: "Name"}, {title: "Default"}, {title: "Rules", class: "number"}, {title: "Servers", class: "number"},
       {title: "Operation", class: "operation"}],
      groups.map((group) => [
        [h("a", {href: pathOf(group), id: `group-${group.id}`}, group.name), group.description && h("div", {class: "muted"}, group.description)],
        isDefault(group.id) ? badge("Yes", "accent") : h("span", {class: "muted"}, "No"),
        String(group.rules.length), String(membersOf(group.id).length),
        h("div", {class: "buttons"},
          button("Edit", () => editGroup(group), {id: `edit-${group.id}`, name: `Edit ${group.name}`}),
          button("Delete", () => deleteGroup(group), {id: `delete-${group.id}`, kind: "danger", name: `Delete ${group.name}`})),
      ])));
  }
  return {element, update, title: "Security Group"};
}
