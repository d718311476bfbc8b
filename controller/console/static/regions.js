// My Products: the regions, and how many servers and groups each has.

import {change, get, preview} from "./api.js";
import {choice, field, input, openDialog} from "./dialog.js";
import {button, count, fill, h, listed, table} from "./dom.js";
import {effectWords} from "./effect.js";
import {report, reportFailed, reportSaved} from "./outcome.js";
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

// The region as a document, as a file of the browser's.
async function exportRegion(name) {
  let document_;
  try {
    document_ = await get(`/v1/regions/${encodeURIComponent(name)}/document`);
  } catch (problem) {
    return reportFailed(`Region ${name} is not exported: ${problem.message}`);
  }
  const url = URL.createObjectURL(new Blob([`${JSON.stringify(document_, null, 2)}\n`], {type: "application/json"}));
  const link = h("a", {href: url, download: `${name}.json`});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 0);
  return null;
}

const ACTIONS = {create: "Creates", update: "Changes", delete: "Deletes"};
const KINDS = {region: "region", security_group: "group", server: "server"};

// What a document would make, change and delete, object by object.
function differences(changes) {
  const lines = changes.slice(0, 50).map(({action, kind, name, fields, rules}) => h("li", null, `${ACTIONS[action]} ${KINDS[kind]} `, h("b", null, name),
    fields?.length > 0 && `: ${listed(fields)}`, rules && action === "update" &&
      ` (rules: ${["added", "changed", "deleted"].filter((key) => rules[key].length).map((key) => `${rules[key].length} ${key}`).join(", ")})`));
  return h("ul", {class: "plain"}, lines, changes.length > 50 && h("li", null, `and ${changes.length - 50} more`));
}

async function importRegion(name) {
  const path = `/v1/regions/${encodeURIComponent(name)}/document`;
  const file = input("document", {type: "file", accept: ".json,application/json", autofocus: true});
  const prune = choice("checkbox", "prune", "yes", "Delete groups and servers that the document does not name");
  const shown = h("div", {class: "wide", role: "status"});
  let text = null, number = 0;
  const query = () => prune.querySelector("input").checked ? "&prune=true" : "";

  // Looks at what the file, as it is chosen now, would do.
  async function look() {
    const mine = ++number;
    fill(shown, file.files.length && h("p", {class: "hint"}, "Looking…"));
    try {
      text = file.files.length ? JSON.parse(await file.files[0].text()) : null;
      const answer = text && await preview("PUT", path, text, query());
      if (mine !== number || !answer) return;
      const changes = answer.result?.changes ?? [];
      fill(shown, changes.length ? [h("h3", null, `${count(changes.length, "change")} in all`), differences(changes), effectWords(answer.effect)]
                                 : h("p", {class: "effect"}, "The region is as the document says already: nothing changes."));
    } catch (problem) {
      if (mine !== number) return;
      const words = problem instanceof SyntaxError ? ["This is not a JSON document."] : problem.errors.length
        ? problem.errors.slice(0, 20).map(({field: at, message}) => `${at} ${message}`) : [problem.message];
      text = null;
      fill(shown, h("div", {class: "failure"}, words.map((line) => h("p", null, line))));
    }
  }
  file.addEventListener("change", look);
  prune.addEventListener("change", look);
  const outcome = await openDialog({
    title: `Import region ${name}`, label: "Apply", wide: true, trial: true,
    content: [field("Document", file, {wide: true, hint: "As Export makes it. What it does not say stays as it is."}),
              h("div", {class: "wide"}, prune), shown],
    save: async (form, within) => {
      if (!text) throw Object.assign(new Error("Choose a document that can be applied."), {errors: []});
      return change("PUT", path, text, {within, query: query()});
    },
  });
  if (!outcome) return;
  await readRegions();
  report(`The document is applied to region ${name}.`, outcome);
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
          h("div", {class: "buttons"},
            button("Export", () => exportRegion(region.name), {id: `export-${region.name}`, name: `Export region ${region.name}`}),
            button("Import", () => importRegion(region.name), {id: `import-${region.name}`, name: `Import region ${region.name}`}),
            button("Delete", () => deleteRegion(region),
            {id: `delete-region-${region.name}`, kind: "danger", name: `Delete region ${region.name}`})),
        ])));
  }
  return {element, update, title: "My Products"};
}
