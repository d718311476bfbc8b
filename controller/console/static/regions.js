// My Products: the regions, and how many servers and groups each has.

import {change} from "./api.js";
import {field, input, openDialog} from "./dialog.js";
import {button, count, fill, h, table} from "./dom.js";
import {reportSaved} from "./outcome.js";
import {readRegions, state} from "./state.js";

const pathOf = (name, page) => `#/r/${encodeURIComponent(name)}/${page}`;

export async function createRegion() {
  const outcome = await openDialog({
    title: "Add a region",
    content: [field("Name", input("name", {autofocus: true, placeholder: "SV2"}), {wide: true, hint: "1 to 64 of A-Z a-z 0-9 . _ -"})],
    save: (form) => change("PUT", `/v1/regions/${encodeURIComponent(form.elements.name.value.trim() || " ")}`),
  });
  if (!outcome) return;
  await readRegions();
  location.hash = pathOf(outcome.body.name, "groups");
}

async function deleteRegion(region) {
  const outcome = await openDialog({
    title: `Delete region ${region.name}?`, label: "Delete", danger: true,
    content: [h("p", null, "Only a region without servers and security groups can be deleted.")],
    save: () => change("DELETE", `/v1/regions/${encodeURIComponent(region.name)}`),
  });
  if (!outcome) return;
  await readRegions();
  reportSaved(`Region ${region.name} is deleted.`);
}

export function regionsPage() {
  const list = h("div"), add = button("Add a region", createRegion, {id: "add-region", kind: "primary"});
  const element = h("div", null,
    h("div", {class: "heading"}, h("h1", {tabindex: "-1"}, "My Products"), add),
    list);
  function update() {
    const regions = [...(state.regions?.values() ?? [])];
    add.hidden = !regions.length;
    if (!state.regions) return fill(list, h("p", {class: "empty"}, "Loading…"));
    if (!regions.length) {
      return fill(list, h("div", {class: "empty"}, h("h2", null, "No region yet"),
        h("p", null, "Servers and security groups live in a region. Add the first one; its name is yours to choose, SV2 for instance."),
        button("Add a region", createRegion, {id: "add-first-region", kind: "primary"})));
    }
    const servers = regions.reduce((sum, {counts}) => sum + counts.servers, 0);
    return fill(list, h("p", {class: "lead"}, `VPS: ${count(servers, "server")} in ${count(regions.length, "region")}.`),
      table("Regions", [{title: "Region"}, {title: "VPS", class: "number"}, {title: "Security Groups", class: "number"},
                        {title: "Operation", class: "operation"}],
        regions.map((region) => [
          h("a", {href: pathOf(region.name, "groups"), id: `region-${region.name}`}, region.name),
          h("a", {href: pathOf(region.name, "servers")}, String(region.counts.servers)),
          h("a", {href: pathOf(region.name, "groups")}, String(region.counts.security_groups)),
          h("div", {class: "buttons"}, button("Delete", () => deleteRegion(region),
            {id: `delete-region-${region.name}`, kind: "danger", name: `Delete region ${region.name}`})),
        ])));
  }
  return {element, update, title: "My Products"};
}
