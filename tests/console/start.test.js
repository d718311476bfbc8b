// The first minutes: nothing is there yet; and a daemon that goes away and comes back.

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {Daemon, openPage, screenshot, startBrowser} from "./support.js";

let browser;

before(async () => { browser = await startBrowser(); });
after(() => browser?.close());

async function start(t) {
  const daemon = await Daemon.start();
  t.after(() => daemon.remove());
  return daemon;
}

async function open(t, daemon, options) {
  const page = await openPage(browser, daemon, options);
  t.after(() => page.context().close());
  return page;
}

test("from nothing to a group with a server", async (t) => {
  const daemon = await start(t);
  const page = await open(t, daemon);
  await page.getByRole("heading", {name: "No region yet"}).waitFor();
  await screenshot(page, "light-no-region");
  await page.getByRole("main").getByRole("button", {name: "Add a region"}).click();
  await page.getByLabel("Name").fill("SV2");
  await page.getByRole("button", {name: "Save"}).click();
  await page.getByRole("heading", {name: "No security group yet"}).waitFor();
  await screenshot(page, "light-no-group");
  await page.getByRole("button", {name: "Add a security group"}).click();
  await page.getByLabel("Name").fill("web");
  await page.getByRole("button", {name: "Save"}).click();
  await page.getByText("Security group web is created. Saved. No server uses the group, so it changes nothing yet.").waitFor();
  await page.getByRole("link", {name: "web"}).click();
  await page.getByText("No inbound rule: nothing may be opened to the servers.").waitFor();
  await page.getByText("No server uses this group.").waitFor();
  await page.getByRole("navigation", {name: "Where you are"}).getByRole("link", {name: "VPS"}).click();
  await page.getByRole("heading", {name: "No server yet"}).waitFor();
  await page.getByText("sallyport server create --region SV2").waitFor();
  await screenshot(page, "light-no-server");
  await page.getByRole("link", {name: "Bridges"}).click();
  await page.getByRole("heading", {name: "No bridge yet"}).waitFor();
  await screenshot(page, "light-no-bridge");
  await daemon.call("POST", "/v1/servers", {region: "SV2", name: "vm1"});
  await page.getByRole("link", {name: "SV2"}).click();
  await page.getByRole("row").filter({hasText: "default"}).getByRole("cell", {name: "1", exact: true}).waitFor();
  await page.getByRole("link", {name: "default"}).click();
  await page.getByRole("button", {name: "Add a rule"}).click();
  await page.getByLabel("Min Port").fill("8888");
  await page.getByRole("button", {name: "Save"}).click();
  await page.getByText("Rule Inbound TCP 8888 from anywhere is added. Saved. No bridge is connected: it is in force nowhere yet.").waitFor();
  await page.finish();
  await daemon.stop();
});

test("on this machine there is no address to offer", async (t) => {
  const daemon = await start(t);
  await daemon.call("PUT", "/v1/regions/SV2");
  const group = await daemon.call("POST", "/v1/security-groups", {region: "SV2", name: "web"});
  const page = await open(t, daemon, {path: `/#/r/SV2/groups/${group.id}`});
  await page.getByText("Live", {exact: true}).waitFor();
  const client = page.waitForResponse(/\/v1\/client$/);
  await page.reload();
  assert.deepEqual(await (await client).json(), {address: "127.0.0.1"});
  await page.getByRole("button", {name: "Add a rule"}).click();
  await page.getByRole("button", {name: "Anywhere", exact: true}).waitFor();
  assert.equal(await page.getByRole("button", {name: /My IP/}).count(), 0);
  await page.finish();
});

test("a region is deleted, if it is empty", async (t) => {
  const daemon = await start(t);
  await daemon.call("PUT", "/v1/regions/A");
  await daemon.call("PUT", "/v1/regions/B");
  await daemon.call("POST", "/v1/security-groups", {region: "B", name: "web"});
  const page = await open(t, daemon, {path: "/#/products", expected: [/409/]});
  await page.getByRole("button", {name: "Delete region A"}).click();
  await page.locator("dialog").getByRole("button", {name: "Delete"}).click();
  await page.getByText("Region A is deleted").waitFor();
  await page.getByRole("button", {name: "Delete region B"}).click();
  await page.locator("dialog").getByRole("button", {name: "Delete"}).click();
  await page.locator("dialog .problem").filter({hasText: /./}).waitFor();
  assert.deepEqual((await daemon.call("GET", "/v1/regions")).regions.map(({name}) => name), ["B"]);
  await page.finish();
});

test("when the daemon goes away and comes back", async (t) => {
  const daemon = await start(t);
  await daemon.call("PUT", "/v1/regions/SV2");
  const page = await open(t, daemon, {expected: [/ERR_CONNECTION_(REFUSED|RESET|CLOSED)/, /ERR_EMPTY_RESPONSE/, /ERR_INCOMPLETE/, /ERR_NETWORK/, /503/]});
  await page.getByText("Live", {exact: true}).waitFor();
  const port = new URL(daemon.url).port;
  await daemon.stop();
  await page.getByText("Not live: reconnecting…").waitFor();
  await screenshot(page, "light-away");
  const again = await Daemon.start({directory: daemon.directory, port});
  t.after(() => again.remove());
  await again.call("POST", "/v1/security-groups", {region: "SV2", name: "made-meanwhile"});
  await page.getByText("Live", {exact: true}).waitFor();
  await page.getByRole("link", {name: "made-meanwhile"}).waitFor();
  assert.equal(await page.getByText("cannot be reached").count(), 0);
  await page.finish();
});
