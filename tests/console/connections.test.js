// Live connections on a server's page, of a real bridge: listed with the rule, refreshed by a button, and what is there without.

import assert from "node:assert/strict";
import {after, before, test} from "node:test";
import {Daemon, DPID, hindrances, knock, openPage, screenshot, startBrowser, until} from "./support.js";

const region = "SV2";
let browser, daemon;

before(async () => { browser = await startBrowser(); });
after(() => browser?.close());

async function begin(t, options) {
  daemon = await Daemon.start({openflow: process.env.OPENFLOW, guarded: true, options});
  t.after(async () => {
    for (const {id} of (await daemon.call("GET", "/v1/servers")).servers) await daemon.call("DELETE", `/v1/servers/${id}`);
    await daemon.stop();
    daemon.remove();
  });
  await until(async () => (await daemon.call("GET", "/v1/bridges")).bridges.some(({connected}) => connected), "the bridge is connected");
  await daemon.call("PUT", `/v1/regions/${region}`);
  const made = (fields) => daemon.call("POST", "/v1/security-groups", {region, template: "none", ...fields});
  const group = await made({name: "web", rules: [{direction: "inbound", protocol: "udp", port_min: 8888}]});
  const out = await made({name: "out", template: "outbound"});
  const server = (name, last, groups) => daemon.call("POST", "/v1/servers", {region, name, security_groups: groups, ports: [
    {mac: `02:00:00:00:00:0${last}`, ips: [`10.0.0.${last}`, `2001:db8::${last}`], bridge: DPID, port: name}]});
  const vm1 = await server("vm1", 1, [group.id]);
  await server("vm2", 2, [out.id]);
  return {group, vm1};
}

async function open(t, server, options) {
  const page = await openPage(browser, daemon, {path: `/#/r/${region}/servers/${server.id}`, ...options});
  t.after(() => page.context().close());
  page.box = page.getByRole("region", {name: "Live connections"});
  page.refresh = page.box.getByRole("button", {name: "Refresh the live connections"});
  return page;
}

test("each with the rule that admitted it, and without it once that has gone", async (t) => {
  const {group, vm1} = await begin(t, ["--switch-control", `unix:${process.env.SWITCH_DIRECTORY}`]);
  const page = await open(t, vm1);
  await page.box.getByText("There is no connection.").waitFor();
  await page.box.getByText(/^0 connections, as of /).waitFor();
  const row = page.box.getByRole("row").filter({hasText: "10.0.0.2"});
  await until(async () => { // The switch may still be learning of the servers.
    knock();
    await page.refresh.click();
    return row.isVisible();
  }, "the connection is listed");
  assert.match(await row.textContent(), /Inbound UDP.*8888.*10\.0\.0\.2:40000.*Inbound UDP 8888 from anywhere in web/);
  assert.equal(await row.getByRole("link", {name: "web"}).getAttribute("href"), `#/r/${region}/groups/${group.id}`);
  await page.box.getByText(/^1 connection, as of /).waitFor();
  assert.deepEqual(await hindrances(page), []);
  await page.box.scrollIntoViewIfNeeded();
  await screenshot(page, "light-connections");
  await daemon.call("PUT", `/v1/security-groups/${group.id}/rules`, {rules: []});
  await page.refresh.focus();
  await page.keyboard.press("Enter");
  await row.getByText("its next packet is judged again").waitFor();
  assert.ok(await page.refresh.evaluate((button) => button === document.activeElement));
  await page.finish();
  for (const [label, options] of [["phone", {viewport: {width: 390, height: 844}, hasTouch: true}], ["small-phone", {viewport: {width: 320, height: 640}}],
                                  ["dark", {colorScheme: "dark"}]]) {
    const other = await open(t, vm1, options);
    await other.box.getByText("its next packet is judged again").waitFor();
    assert.ok(await other.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${label} is too wide`);
    assert.deepEqual(await hindrances(other), [], label);
    await other.refresh.scrollIntoViewIfNeeded();
    await screenshot(other, `${label}-connections`);
    await other.finish();
  }
});

test("a change says beforehand which of them it cuts", async (t) => {
  const {group, vm1} = await begin(t, ["--switch-control", `unix:${process.env.SWITCH_DIRECTORY}`]);
  const [{id: rule}] = group.rules;
  await until(async () => { // The switch may still be learning of the servers.
    knock();
    return (await daemon.call("GET", `/v1/servers/${vm1.id}/connections`)).connections.length;
  }, "there is a connection");
  const page = await openPage(browser, daemon, {path: `/#/r/${region}/groups/${group.id}`});
  t.after(() => page.context().close());
  await page.getByRole("button", {name: /^Delete rule/}).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Cuts 1 live connection").waitFor();
  await dialog.getByText("Inbound UDP 8888 from 10.0.0.2:40000 to vm1", {exact: true}).waitFor();
  assert.deepEqual(await hindrances(page), []);
  await screenshot(page, "light-cuts");
  await page.keyboard.press("Escape");
  await daemon.call("PATCH", `/v1/security-groups/${group.id}/rules/${rule}`, {port_min: 8000});
  await page.getByRole("button", {name: /^Delete rule/}).click();
  await dialog.getByText("Cuts 1 live connection").waitFor(); // A wider rule cuts none.
  await page.finish();
});

test("without a control socket the list says how to have one", async (t) => {
  const {vm1} = await begin(t, []);
  const page = await open(t, vm1);
  await page.box.getByText("They cannot be listed: no control socket of a switch is known").waitFor();
  await page.box.getByText("sallyportd --switch-control unix:/run/openvswitch").waitFor();
  await page.getByRole("button", {name: "Change the security groups"}).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Nothing changes.").waitFor();
  await dialog.getByRole("checkbox", {name: /^web/}).uncheck();
  await dialog.getByText("Which connections of 1 server are cut is not known: no control socket of a switch is known").waitFor();
  assert.ok(!await dialog.getByText("No connection is cut").isVisible());
  await page.keyboard.press("Escape");
  assert.deepEqual(await hindrances(page), []);
  await screenshot(page, "light-connections-none");
  await page.finish();
});

test("a control socket that is not there is no riddle", async (t) => {
  const {vm1} = await begin(t, ["--switch-control", `unix:${process.env.SWITCH_DIRECTORY}/none`]);
  const page = await open(t, vm1, {expected: [/503/]});
  await page.box.getByText("The switch cannot be asked for its connections: No such file or directory.").waitFor();
  await page.finish();
});
