// The frame around the pages: where one is, where one can go, and who one is.

import {find, forgetToken, onTokenNeeded, token} from "./api.js";
import {bridgesPage, bridgeState} from "./bridges.js";
import {field, input, openDialog} from "./dialog.js";
import {badge, fill, h, keepingFocus} from "./dom.js";
import {groupsPage} from "./groups.js";
import {historyPage} from "./history.js";
import {createRegion, regionsPage} from "./regions.js";
import {rulesPage} from "./rules.js";
import {serverPage, serversPage} from "./servers.js";
import {onChange, readBridges, readRegion, readRegions, readTrials, state, stayLive} from "./state.js";
import "./trials.js";

const main = document.getElementById("main");
const side = document.getElementById("side");
const live = document.getElementById("live");
const signOut = document.getElementById("sign-out");
const crumbs = h("nav", {class: "crumbs", "aria-label": "Where you are"});
const failure = h("p", {class: "failure", role: "alert"});
const place = h("div");

let here = {page: null, route: null};

// "#/r/SV2/groups/ID" is {region, section, id}; "#/bridges" and "#/products" are {section}.
function parse(hash) {
  const parts = hash.replace(/^#\/?/, "").split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  if (parts[0] === "r" && parts[1]) return {region: parts[1], section: ["servers", "history"].includes(parts[2]) ? parts[2] : "groups", id: parts[3] || null};
  return {region: null, section: ["bridges", "products", "history"].includes(parts[0]) ? parts[0] : "", id: null};
}

function open({region, section, id}) {
  if (section === "history") return historyPage(region);
  if (section === "bridges") return bridgesPage();
  if (section === "groups") return id ? rulesPage(id) : groupsPage();
  if (section === "servers") return id ? serverPage(id) : serversPage();
  return regionsPage();
}

function navigate() {
  const route = parse(location.hash);
  // Without a wish one begins with the security groups of the first region.
  if (!route.section && state.regions?.size) {
    const [first] = state.regions.keys();
    location.replace(`#/r/${encodeURIComponent(first)}/groups`);
    return;
  }
  const isFirst = !here.page;
  here = {page: open(route), route};
  if (route.region) readRegion(route.region);
  else if (state.region) readRegion(null);
  fill(place, here.page.element);
  update();
  if (!isFirst && !document.querySelector("dialog[open]")) {
    main.querySelector("h1")?.focus({preventScroll: true});
    scrollTo(0, 0);
  }
}

function showCrumbs() {
  const {route, page} = here;
  const root = route.region && `#/r/${encodeURIComponent(route.region)}`;
  const path = [["My Products", "#/products"]];
  if (root) path.push(["VPS", `${root}/servers`]);
  if (route.section === "groups") path.push(["Security Group", `${root}/groups`]);
  if (route.section === "history") path.push(root ? ["History", `${root}/history`] : ["All changes", "#/history"]);
  if (route.section === "bridges") path.push(["Bridges", "#/bridges"]);
  if (route.id) path.push([page.crumb ?? "…", location.hash]);
  fill(crumbs, h("ol", null, path.map(([text, href], index) => h("li", null,
    h("a", {href, id: `crumb-${index}`, "aria-current": index === path.length - 1 ? "page" : null}, text)))));
  document.title = `${[route.id ? page.crumb : null, page.title, route.region].filter(Boolean).join(" · ")} · Sallyport`;
}

function sideLink(text, href, isHere, id, mark) {
  return h("li", null, h("a", {href, id, "aria-current": isHere ? "page" : null}, h("span", null, text), mark));
}

function showSide() {
  const {route} = here;
  const section = route.region ? route.section : "groups";
  const left = side.scrollLeft;
  const troubled = [...(state.bridges?.values() ?? [])].filter((bridge) => ["bad", "wait"].includes(bridgeState(bridge)[1])).length;
  fill(side, h("h2", {id: "side-regions"}, "Regions"),
    h("ul", {"aria-labelledby": "side-regions"}, [...(state.regions?.values() ?? [])].map(({name, counts}) =>
      sideLink(name, `#/r/${encodeURIComponent(name)}/${section}`, route.region === name, `side-${name}`,
               h("span", {class: "muted", title: "Servers"}, String(counts.servers)))),
      h("li", null, h("button", {type: "button", class: "quiet", id: "side-add-region", on: {click: createRegion}}, "Add a region"))),
    route.region && [h("h2", {id: "side-vps"}, route.region), h("ul", {"aria-labelledby": "side-vps"},
      sideLink("Security Group", `#/r/${encodeURIComponent(route.region)}/groups`, route.section === "groups", "side-groups"),
      sideLink("VPS", `#/r/${encodeURIComponent(route.region)}/servers`, route.section === "servers", "side-servers"),
      sideLink("History", `#/r/${encodeURIComponent(route.region)}/history`, route.section === "history", "side-history"))],
    h("h2", {id: "side-network"}, "Network"), h("ul", {"aria-labelledby": "side-network"},
      sideLink("Bridges", "#/bridges", route.section === "bridges", "side-bridges",
               troubled ? badge(String(troubled), "wait") : h("span", {class: "muted"}, String(state.bridges?.size ?? ""))),
      sideLink("All changes", "#/history", !route.region && route.section === "history", "side-all-history")));
  side.scrollLeft = left;
  // Where all of it stands in one row, the present region is to be seen, and the whole of the present page in any case.
  const current = side.querySelectorAll("[aria-current]");
  if (current.length && here.shown !== location.hash) {
    here.shown = location.hash;
    const page = current[current.length - 1], end = page.offsetLeft - side.offsetLeft + page.offsetWidth + 16;
    side.scrollLeft = Math.max(current[0].offsetLeft - side.offsetLeft - 16, end - side.clientWidth);
  }
}

function update() {
  if (!here.page) return;
  if (!here.route.section && state.regions?.size) return navigate();
  keepingFocus(() => {
    here.page.update();
    showCrumbs();
    showSide();
  });
  fill(failure, state.failure);
  failure.hidden = !state.failure;
  const words = state.live ? "Live" : "Not live: reconnecting…";
  live.dataset.live = String(state.live);
  if (live.textContent !== words) live.textContent = words;
  signOut.hidden = !token();
}

// Asks until there is a token.
async function ask(wrong) {
  for (;;) {
    let given = "";
    await openDialog({
      title: "Sign in", label: "Sign in", close: "Cancel",
      content: [wrong && h("p", {class: "failure wide"}, "The controller does not know this token."),
                field("Token", input("token", {type: "password", autofocus: true, autocomplete: "current-password"}),
                      {wide: true, hint: "A line of the controller's token file. It is kept until this tab is closed."})],
      save: (form) => { given = form.elements.token.value.trim(); },
    });
    if (/^[\x21-\x7e]+$/.test(given)) return given;
  }
}

onTokenNeeded(ask);
signOut.addEventListener("click", () => {
  forgetToken();
  location.reload();
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
fill(main, crumbs, failure, place);
addEventListener("hashchange", navigate);
onChange(update);
navigate();
await Promise.all([readRegions(), readBridges(), readTrials()]);
find("/v1/client").then((client) => { state.client = client?.address ?? null; }).catch(() => {});
stayLive();
