// Each operation of the console, in a browser, against the real daemon and a real bridge.

import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {after, before, beforeEach, test} from "node:test";
import {ADDRESS, Daemon, DPID, flows, hindrances, knock, openPage, PATIENCE_MS, screenshot, startBrowser, TOKEN, until, whilePaused} from "./support.js";

let daemon, browser;
let region;       // A new one for each test.
let n_regions = 0;

before(async () => {
  daemon = await Daemon.start({openflow: process.env.OPENFLOW, guarded: true});
  browser = await startBrowser();
  await until(async () => (await daemon.call("GET", "/v1/bridges")).bridges.some(({connected}) => connected), "the bridge is connected");
});

after(async () => {
  await browser?.close();
  await daemon?.stop();
  daemon?.remove();
});

beforeEach(async () => {
  region = ["SV2", "TY2", "HK1"][n_regions] ?? `T${n_regions}`;
  n_regions++;
  await daemon.call("PUT", `/v1/regions/${region}`);
});

const groupCall = (fields) => daemon.call("POST", "/v1/security-groups", {region, template: "none", ...fields});
const serverCall = (name, fields) => daemon.call("POST", "/v1/servers", {region, name, ...fields});
const groupNow = (id) => daemon.call("GET", `/v1/security-groups/${id}`);
const serverNow = (id) => daemon.call("GET", `/v1/servers/${id}`);

// A server on the real bridge, for as long as the test runs.
async function realServer(t, name, groups) {
  const last = name.slice(-1);
  const server = await serverCall(name, {security_groups: groups, ports: [
    {mac: `02:00:00:00:00:0${last}`, ips: [`10.0.0.${last}`, `2001:db8::${last}`], bridge: DPID, port: name}]});
  t.after(() => daemon.call("DELETE", `/v1/servers/${server.id}`));
  return server;
}

async function open(t, path = `/#/r/${region}/groups`, options = {}) {
  const page = await openPage(browser, daemon, {path, ...options});
  t.after(() => page.context().close());
  page.row = (text) => page.getByRole("row").filter({hasText: text});
  page.dialog = page.locator("dialog");
  page.saved = (pattern) => until(async () => pattern.test(await page.locator("#outcome-text").textContent()),
                                  `${pattern}`).catch(async (error) => {
    error.message += `; it says: ${await page.locator("#outcome-text").textContent()}`;
    throw error;
  });
  page.save = async () => {
    await page.dialog.getByRole("button", {name: "Save", exact: true}).click();
    await page.dialog.waitFor({state: "detached"});
  };
  return page;
}

const openRules = (t, group, options) => open(t, `/#/r/${region}/groups/${group.id}`, options);

for (const [label, options] of [["light", {colorScheme: "light"}], ["dark", {colorScheme: "dark"}], ["phone", {viewport: {width: 390, height: 844}, hasTouch: true}],
                                ["small-phone", {viewport: {width: 320, height: 640}}]]) {
  test(`it fits and hinders nobody: ${label}`, async (t) => {
    const group = await groupCall({name: "web", description: "Front ends with the panel", rules: [
      {direction: "inbound", protocol: "tcp", port_min: 80, description: "Web"},
      {direction: "inbound", protocol: "tcp", port_min: 8000, port_max: 8099, remote_ip: "2001:db8:1234:5678::/64"},
      {direction: "inbound", protocol: "any", action: "deny", priority: 10, remote_ip: "203.0.113.0/24", description: "A scanner that never sleeps"},
      {direction: "outbound", protocol: "any"}]});
    const server = await realServer(t, "vm1", [group.id]);
    await realServer(t, "vm2", [(await groupCall({name: "out", template: "outbound"})).id]);
    const page = await open(t, undefined, options);
    const look = async (name, ready) => {
      await ready.waitFor();
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} is too wide`);
      assert.ok(await page.evaluate(() => [...document.querySelectorAll("dialog")].every((one) => one.scrollWidth <= one.clientWidth)), `${name}: its dialog is too wide`);
      assert.deepEqual(await hindrances(page), [], name);
      await screenshot(page, `${label}-${name}`);
    };
    await look("groups", page.getByRole("link", {name: "web"}));
    await page.getByRole("button", {name: "Add a security group"}).click();
    await look("create-group", page.dialog);
    await page.keyboard.press("Escape");
    await page.goto(`${daemon.url}/#/r/${region}/groups/${group.id}`);
    await look("rules", page.getByText("A scanner that never sleeps"));
    await page.getByRole("button", {name: "Add a rule"}).click();
    await page.dialog.getByRole("button", {name: "Ping", exact: true}).click();
    await look("create-rule", page.dialog);
    await page.keyboard.press("Escape");
    await page.goto(`${daemon.url}/#/r/${region}/servers`);
    await look("servers", page.getByRole("link", {name: "vm1"}));
    await page.goto(`${daemon.url}/#/r/${region}/servers/${server.id}`);
    await page.getByLabel("Address X").fill("2001:db8::99");
    await page.getByRole("textbox", {name: "Port Y"}).fill("80");
    await page.getByRole("button", {name: "Why?"}).click();
    await look("server", page.locator(".verdict"));
    await until(async () => { // The switch may still be learning of the server.
      knock();
      return page.row("10.0.0.2").isVisible();
    }, "a blocked attempt is listed");
    await page.getByRole("heading", {name: "Blocked attempts"}).scrollIntoViewIfNeeded();
    await look("blocked", page.row("10.0.0.2"));
    const trial = await daemon.call("PATCH", `/v1/security-groups/${group.id}?confirm_within=3600`, {
      name: "web-with-a-rather-long-name", description: "Front ends with the panel, and what else they need"});
    await page.goto(`${daemon.url}/#/r/${region}/history`);
    await page.getByText("What differs").first().click();
    await look("history", page.getByRole("timer"));
    assert.ok(await page.locator("#side-history").evaluate((link) => link.getBoundingClientRect().right <= innerWidth), "the page's link is in sight");
    await page.getByRole("button", {name: /^Roll back change/}).click();
    await look("undo", page.dialog.getByText("Concerns no server").or(page.dialog.getByText("No server")).first());
    await page.keyboard.press("Escape");
    const [{id: change}] = (await daemon.call("GET", `/v1/changes?region=${region}&limit=1`)).changes;
    await daemon.call("POST", `/v1/changes/${change}/undo`);
    assert.notEqual(trial.name, (await groupNow(group.id)).name);
    await page.goto(`${daemon.url}/#/r/${region}/groups/${group.id}`);
    await page.getByRole("button", {name: /^Delete rule Inbound TCP 80 /}).click();
    await look("delete-rule", page.dialog.getByText("Concerns 1 server: vm1."));
    await page.keyboard.press("Escape");
    await page.goto(`${daemon.url}/#/bridges`);
    await look("bridges", page.row("br0"));
    await page.goto(`${daemon.url}/#/products`);
    await look("products", page.getByRole("main").getByRole("link", {name: region, exact: true}));
    await page.finish();
  });
}

test("regions in the sidebar switch", async (t) => {
  await daemon.call("PUT", `/v1/regions/${region}b`);
  await groupCall({name: "here"});
  await daemon.call("POST", "/v1/security-groups", {region: `${region}b`, name: "there"});
  const page = await open(t);
  await page.getByRole("link", {name: "here", exact: true}).waitFor();
  await page.getByRole("navigation", {name: "Regions"}).getByRole("link", {name: `${region}b`}).click();
  await page.getByRole("link", {name: "there"}).waitFor();
  assert.equal(await page.getByRole("link", {name: "here", exact: true}).count(), 0);
  assert.deepEqual(await page.getByRole("navigation", {name: "Where you are"}).getByRole("link").allTextContents(),
                   ["My Products", "VPS", "Security Group"]);
  await page.getByRole("link", {name: "My Products"}).click();
  await page.row(`${region}b`).waitFor();
  await page.finish();
});

test("a group is created", async (t) => {
  await groupCall({name: "first"});
  const page = await open(t);
  assert.deepEqual(await page.getByRole("columnheader").allTextContents(), ["Name", "Default", "Rules", "Servers", "Operation"]);
  await page.getByRole("button", {name: "Add a security group"}).click();
  await page.getByRole("dialog", {name: "Create New Security Group"}).waitFor();
  await page.getByLabel("Name").fill("web");
  assert.ok(await page.getByRole("radio", {name: "No"}).isChecked());
  await page.getByLabel("Template").selectOption("remote-login");
  await screenshot(page, "light-create-group");
  await page.save();
  await page.row("web").getByRole("cell", {name: "5", exact: true}).waitFor();
  const [group] = (await daemon.call("GET", `/v1/security-groups?region=${region}&name=web`)).security_groups;
  assert.equal(group.rules.length, 5);
  assert.equal(group.default, false);
  await page.saved(/Security group web is created. Saved/);
  await page.finish();
});

test("what the API refuses stands at its field", async (t) => {
  const group = await groupCall({name: "web"});
  const page = await openRules(t, group, {expected: [/422/]});
  await page.getByRole("button", {name: "Add a rule"}).click();
  await page.getByLabel("Min Port").fill("70000");
  await page.getByLabel("Remote IP").fill("10.0.0.300");
  await page.getByLabel("Priority").fill("x");
  await page.dialog.getByRole("button", {name: "Save"}).click();
  await page.locator("[data-field=remote_ip] .error", {hasText: /./}).waitFor();
  for (const name of ["port_min", "remote_ip", "priority"]) {
    assert.match(await page.locator(`[data-field=${name}] .error`).textContent(), /must be/);
    assert.equal(await page.locator(`[name=${name}]`).getAttribute("aria-invalid"), "true");
  }
  // Told to a screen reader by the control, and the first of them is where one is.
  const described = await page.locator("[name=remote_ip]").getAttribute("aria-describedby");
  assert.ok(described.split(" ").includes(await page.locator("[data-field=remote_ip] .error").getAttribute("id")));
  assert.ok(["port_min", "remote_ip", "priority"].includes(await page.evaluate(() => document.activeElement.name)));
  await screenshot(page, "light-field-errors");
  await page.getByLabel("Min Port").fill("80");
  await page.getByLabel("Remote IP").fill("10.0.0.3");
  await page.getByLabel("Priority").fill("7");
  await page.save();
  const [rule] = (await groupNow(group.id)).rules;
  assert.deepEqual([rule.port_min, rule.port_max, rule.remote_ip, rule.priority], [80, 80, "10.0.0.3/32", 7]);
  await page.finish();
});

test("setting the default says how many servers move", async (t) => {
  const old = await groupCall({name: "old", default: true});
  const next = await groupCall({name: "next"});
  for (const name of ["a", "b", "c"]) await serverCall(name);
  const already = await serverCall("d", {security_groups: [next.id]});
  const page = await open(t);
  await page.row("next").getByRole("button", {name: "Edit next"}).click();
  assert.ok(await page.getByRole("radio", {name: "No"}).isChecked());
  await page.getByRole("radio", {name: "Yes"}).check();
  await page.getByText("3 servers will be moved").waitFor();
  await screenshot(page, "light-default");
  // It counts what is so now: another one comes while the dialog is open.
  await serverCall("e");
  await page.getByText("4 servers will be moved").waitFor();
  assert.deepEqual((await groupNow(old.id)).servers.length, 4); // Nothing has happened before Save.
  await page.save();
  await page.row("next").getByRole("cell", {name: "5", exact: true}).waitFor();
  await page.row("next").getByText("Yes").waitFor();
  await page.row("old").getByText("No").waitFor();
  assert.deepEqual((await serverNow(already.id)).security_groups, [next.id]);
  assert.equal((await groupNow(next.id)).servers.length, 5);
  // A group that is to be made moves all of them.
  await page.getByRole("button", {name: "Add a security group"}).click();
  await page.getByRole("radio", {name: "Yes"}).check();
  await page.getByText("5 servers will be moved").waitFor();
  await page.keyboard.press("Escape");
  await page.finish();
});

test("the default of a region with servers cannot be unset", async (t) => {
  await groupCall({name: "old", default: true});
  await serverCall("a");
  const page = await open(t, undefined, {expected: [/409/]});
  await page.getByRole("button", {name: "Edit old"}).click();
  await page.getByRole("radio", {name: "No"}).check();
  await page.dialog.getByRole("button", {name: "Save"}).click();
  await page.dialog.locator(".error, .problem").filter({hasText: /default/}).first().waitFor();
  await page.dialog.getByRole("button", {name: "Close"}).click();
  await page.finish();
});

test("a group is renamed", async (t) => {
  const group = await groupCall({name: "web"});
  const page = await open(t);
  await page.getByRole("button", {name: "Edit web"}).click();
  await page.getByLabel("Name").fill("front");
  await page.getByLabel("Description").fill("Front ends");
  await page.save();
  await page.row("front").getByText("Front ends").waitFor();
  assert.equal((await groupNow(group.id)).name, "front");
  await page.finish();
});

test("a refused deletion names the holders", async (t) => {
  const used = await groupCall({name: "used"});
  await groupCall({name: "refers", rules: [{direction: "inbound", protocol: "tcp", port_min: 22, remote_group: used.id}]});
  await serverCall("holder", {security_groups: [used.id]});
  const page = await open(t, undefined, {expected: [/409/]});
  await page.getByRole("button", {name: "Delete used"}).click();
  await page.dialog.getByRole("button", {name: "Delete"}).click();
  await page.dialog.getByRole("link", {name: "holder"}).waitFor();
  await page.dialog.getByRole("link", {name: "refers"}).waitFor();
  await screenshot(page, "light-refused-delete");
  await page.dialog.getByRole("link", {name: "holder"}).click();
  await page.getByRole("heading", {name: "holder"}).waitFor();
  assert.equal(await page.dialog.count(), 0);
  await page.finish();
});

test("a group is deleted", async (t) => {
  const group = await groupCall({name: "gone", rules: [{direction: "inbound", protocol: "any"}]});
  await groupCall({name: "stays"});
  const page = await open(t);
  await page.getByRole("button", {name: "Delete gone"}).click();
  await page.getByText("Its 1 rule goes with it").waitFor();
  await page.dialog.getByRole("button", {name: "Close"}).click();
  await page.getByRole("button", {name: "Delete gone"}).click();
  await page.dialog.getByRole("button", {name: "Delete"}).click();
  await page.row("gone").waitFor({state: "detached"});
  const left = (await daemon.call("GET", `/v1/security-groups?region=${region}`)).security_groups;
  assert.ok(!left.some(({id}) => id === group.id));
  await page.row("stays").waitFor();
  await page.finish();
});

test("a rule is created and in force", async (t) => {
  const group = await groupCall({name: "web"});
  await realServer(t, "vm1", [group.id]);
  const page = await openRules(t, group);
  await page.getByRole("heading", {name: "Security Group Rules"}).waitFor();
  await page.getByRole("button", {name: "Add a rule"}).click();
  await page.getByRole("dialog", {name: "Create New Security Rule"}).waitFor();
  await page.getByLabel("Remote IP").fill("10.9.0.0/24");
  await page.getByLabel("Direction").selectOption("inbound");
  await page.getByLabel("Protocol", {exact: true}).selectOption("udp");
  await page.getByLabel("Min Port").fill("5201");
  await page.getByLabel("Max Port").fill("5201");
  await page.getByLabel("Action").selectOption("allow");
  await page.getByLabel("Priority").fill("42");
  await page.getByLabel("Description").fill("iperf");
  await screenshot(page, "light-create-rule");
  await page.save();
  await page.row("iperf").getByText("10.9.0.0/24").waitFor();
  await page.saved(/Rule Inbound UDP 5201 from 10.9.0.0\/24 is added. Saved and in force on every bridge./);
  assert.match(flows(), /ct_nw_src=10\.9\.0\.0\/24.*ct_nw_proto=17.*ct_tp_dst=5201/);
  await screenshot(page, "light-in-force");
  await page.finish();
});

test("Save says which bridge has not confirmed, and when it has", async (t) => {
  const group = await groupCall({name: "web"});
  await realServer(t, "vm1", [group.id]);
  const page = await openRules(t, group);
  await page.getByRole("button", {name: "Add a rule"}).click();
  await page.getByLabel("Min Port").fill("4711");
  await whilePaused(async () => {
    await page.save();
    await page.saved(/not in force yet: 1 bridge has not confirmed it: br0 \(00000000000000c1\)/);
    assert.doesNotMatch(await page.locator("#outcome-text").textContent(), /in force on every bridge/);
    await page.getByRole("link", {name: "Bridges"}).click();
    await page.row("br0").getByText("Pending").waitFor();
    await screenshot(page, "light-not-confirmed");
  });
  await page.saved(/Saved and in force on every bridge/);
  await page.row("br0").getByText("In force").waitFor();
  assert.match(flows(), /ct_tp_dst=4711/);
  await page.finish();
});

test("presets fill the form in", async (t) => {
  const group = await groupCall({name: "web", rules: [{direction: "inbound", protocol: "tcp", port_min: 1, description: "kept"}]});
  const page = await openRules(t, group);
  const add = async (...presets) => {
    await page.getByRole("button", {name: "Add a rule"}).click();
    for (const preset of presets) await page.dialog.getByRole("button", {name: preset, exact: true}).click();
    assert.equal(await page.dialog.getByRole("button", {name: presets.at(-1), exact: true}).getAttribute("aria-pressed"), "true");
  };
  const ports = async () => [await page.getByLabel("Min Port").inputValue(), await page.getByLabel("Max Port").inputValue()];
  await add("SSH");
  assert.deepEqual(await ports(), ["22", "22"]);
  await page.save();
  await add("BT Panel 8888/80/443", "RDP");
  assert.deepEqual(await ports(), ["3389", "3389"]);
  await page.save();
  // -1 is filled in for ICMP, and gone again for TCP.
  await add("Ping");
  assert.deepEqual(await ports(), ["-1", "-1"]);
  await page.getByLabel("Protocol", {exact: true}).selectOption("tcp");
  await page.getByLabel("Min Port").fill("9000");
  await page.getByLabel("Protocol", {exact: true}).selectOption("icmp");
  assert.deepEqual(await ports(), ["-1", "-1"]);
  await page.save();
  await add("BT Panel 8888/80/443");
  await page.getByText("Adds 3 rules: TCP 8888, TCP 80 and TCP 443.").waitFor();
  await page.getByLabel("Remote IP").fill("198.51.100.0/24");
  await page.save();
  await page.saved(/3 rules are added/);
  const {rules} = await groupNow(group.id);
  assert.deepEqual(rules.map(({protocol, port_min, port_max, remote_ip}) => [protocol, port_min, port_max, remote_ip]), [
    ["tcp", 1, 1, null], ["tcp", 22, 22, null], ["tcp", 3389, 3389, null], ["icmp", -1, -1, null], ["tcp", 8888, 8888, "198.51.100.0/24"],
    ["tcp", 80, 80, "198.51.100.0/24"], ["tcp", 443, 443, "198.51.100.0/24"]]);
  assert.equal(rules[0].id, group.rules[0].id);
  assert.equal(rules[0].description, "kept");
  await page.finish();
});

test("my IP is where the browser is", async (t) => {
  const group = await groupCall({name: "web"});
  const page = await openRules(t, group);
  await page.getByRole("button", {name: "Add a rule"}).click();
  await page.dialog.getByRole("button", {name: "SSH", exact: true}).click();
  await page.dialog.getByRole("button", {name: `My IP (${ADDRESS})`}).click();
  assert.equal(await page.getByLabel("Remote IP").inputValue(), ADDRESS);
  await page.save();
  await page.row(`${ADDRESS}/32`).waitFor();
  await page.finish();
});

test("a rule is edited, another protocol too", async (t) => {
  const group = await groupCall({name: "web", rules: [{direction: "inbound", protocol: "gre", description: "tunnel"},
                                                      {direction: "outbound", protocol: "tcp", port_min: 80, port_max: 90}]});
  const page = await openRules(t, group);
  await page.row("tunnel").getByRole("button", {name: "Edit rule Inbound GRE from anywhere"}).click();
  assert.equal(await page.getByLabel("Protocol name or number").inputValue(), "gre");
  await page.getByLabel("Protocol name or number").fill("50");
  await page.getByLabel("Action").selectOption("deny");
  await page.save();
  await page.row("tunnel").getByText("ESP").waitFor();
  await page.row("tunnel").getByText("Deny").waitFor();
  await page.getByRole("button", {name: "Edit rule Outbound TCP 80–90 to anywhere"}).click();
  assert.equal(await page.getByLabel("Max Port").inputValue(), "90");
  await page.getByLabel("or Security Group").selectOption({label: "web"});
  assert.ok(await page.getByLabel("Remote IP").isDisabled());
  await page.save();
  const {rules} = await groupNow(group.id);
  assert.deepEqual([rules[0].id, rules[0].protocol, rules[0].action], [group.rules[0].id, "esp", "deny"]);
  assert.deepEqual([rules[1].id, rules[1].remote_group, rules[1].port_max], [group.rules[1].id, group.id, 90]);
  await page.finish();
});

test("an edition does not run over another's", async (t) => {
  const group = await groupCall({name: "web", rules: [{direction: "inbound", protocol: "tcp", port_min: 1}]});
  const page = await openRules(t, group, {expected: [/412/]});
  await page.getByRole("button", {name: /^Edit rule/}).click();
  await daemon.call("PATCH", `/v1/security-groups/${group.id}/rules/${group.rules[0].id}`, {port_min: 2, port_max: 2});
  await page.getByLabel("Min Port").fill("3");
  await page.getByLabel("Max Port").fill("3");
  await page.dialog.getByRole("button", {name: "Save"}).click();
  await page.dialog.getByText("Somebody else has changed this group meanwhile").waitFor();
  assert.equal((await groupNow(group.id)).rules[0].port_min, 2);
  await page.save();
  assert.equal((await groupNow(group.id)).rules[0].port_min, 3);
  await page.finish();
});

test("deleting a rule says what it cuts", async (t) => {
  const group = await groupCall({name: "web", rules: [{direction: "inbound", protocol: "tcp", port_min: 4712},
                                                      {direction: "inbound", protocol: "any", action: "deny", priority: 1}]});
  await realServer(t, "vm1", [group.id]);
  await realServer(t, "vm2", [group.id]);
  assert.match(flows(), /ct_tp_dst=4712/);
  const page = await openRules(t, group);
  await page.getByRole("button", {name: "Delete rule Inbound Any from anywhere"}).click();
  await page.getByText("Nothing is cut.").waitFor();
  await page.dialog.getByRole("button", {name: "Close"}).click();
  await page.getByRole("button", {name: "Delete rule Inbound TCP 4712 from anywhere"}).click();
  await page.dialog.getByText("to 2 servers: vm1 and vm2").waitFor();
  await screenshot(page, "light-delete-rule");
  await page.dialog.getByRole("button", {name: "Delete"}).click();
  await page.saved(/is deleted. Saved and in force on every bridge/);
  assert.equal((await groupNow(group.id)).rules.length, 1);
  assert.doesNotMatch(flows(), /ct_tp_dst=4712/);
  await page.finish();
});

test("the server page shows its groups and changes them", async (t) => {
  const one = await groupCall({name: "one", default: true}), two = await groupCall({name: "two"});
  const server = await realServer(t, "vm1", undefined);
  const page = await open(t, `/#/r/${region}/servers`);
  await page.row("vm1").getByText("10.0.0.1").waitFor();
  await screenshot(page, "light-servers");
  await page.getByRole("link", {name: "vm1"}).click();
  await page.row("vm1 on br0").getByText("In force").waitFor();
  await page.getByRole("main").getByRole("link", {name: "one"}).waitFor();
  await page.getByRole("button", {name: "Change the security groups"}).click();
  assert.ok(await page.getByRole("checkbox", {name: /^one/}).isChecked());
  await page.getByRole("checkbox", {name: /^one/}).uncheck();
  await page.getByRole("checkbox", {name: /^two/}).check();
  await screenshot(page, "light-change-groups");
  await page.save();
  await page.saved(/The security groups of vm1 are changed. Saved and in force on every bridge/);
  await page.getByRole("main").getByRole("link", {name: "two"}).waitFor();
  assert.equal(await page.getByRole("main").getByRole("link", {name: "one"}).count(), 0);
  assert.deepEqual((await serverNow(server.id)).security_groups, [two.id]);
  assert.deepEqual((await groupNow(one.id)).servers, []);
  await page.finish();
});

test("explain: no rule, then Allow this, then look inside the server", async (t) => {
  const group = await groupCall({name: "web"});
  const server = await realServer(t, "vm1", [group.id]);
  const page = await open(t, `/#/r/${region}/servers/${server.id}`);
  await page.getByLabel("Address X").fill("203.0.113.9");
  await page.getByRole("textbox", {name: "Port Y"}).fill("8888");
  await page.getByRole("button", {name: "Why?"}).click();
  await page.getByRole("heading", {name: "No 203.0.113.9 may not reach vm1 port 8888 by TCP"}).waitFor();
  await page.getByText("no rule allows it").waitFor();
  await screenshot(page, "light-explain-no");
  await page.getByRole("button", {name: "Allow this"}).click();
  assert.equal(await page.getByLabel("Remote IP").inputValue(), "203.0.113.9");
  assert.equal(await page.getByLabel("Min Port").inputValue(), "8888");
  await page.save();
  await page.getByRole("heading", {name: "Yes 203.0.113.9 may reach vm1 port 8888 by TCP"}).waitFor();
  await page.locator(".verdict").getByText("Inbound TCP 8888 from 203.0.113.9/32").waitFor();
  await page.locator(".verdict").getByRole("link", {name: "web"}).waitFor();
  await page.getByText("the security group allows it: look inside vm1").waitFor();
  await screenshot(page, "light-explain-yes");
  await page.finish();
});

test("blocked attempts are listed as they come, and allowed with one button", async (t) => {
  const group = await groupCall({name: "web"}), out = await groupCall({name: "out", template: "outbound"});
  const server = await realServer(t, "vm1", [group.id]);
  await realServer(t, "vm2", [out.id]);
  const page = await open(t, `/#/r/${region}/servers/${server.id}`);
  await page.getByText("Nothing was blocked lately.").waitFor();
  const row = page.row("10.0.0.2").filter({hasText: "No rule allows it"});
  await until(async () => { // The switch may still be learning of the servers.
    knock();
    return row.isVisible();
  }, "the attempt is listed");
  assert.match(await row.textContent(), /Inbound UDP.*8888/);
  assert.deepEqual(await hindrances(page), []);
  await screenshot(page, "light-blocked");
  await row.getByRole("button", {name: "Allow this: Inbound UDP 8888 from 10.0.0.2"}).click();
  assert.equal(await page.getByLabel("Remote IP").inputValue(), "10.0.0.2");
  assert.equal(await page.getByLabel("Direction").last().inputValue(), "inbound");
  assert.equal(await page.dialog.getByLabel("Protocol", {exact: true}).inputValue(), "udp");
  assert.equal(await page.getByLabel("Min Port").inputValue(), "8888");
  assert.equal(await page.getByLabel("Max Port").inputValue(), "8888");
  await page.save();
  await page.saved(/in force/i);
  assert.deepEqual((await groupNow(group.id)).rules.map(({direction, protocol, remote_ip, port_min, port_max}) =>
    [direction, protocol, remote_ip, port_min, port_max]), [["inbound", "udp", "10.0.0.2/32", 8888, 8888]]);
  await daemon.call("PATCH", `/v1/regions/${region}`, {report_blocked: false});
  await page.getByText("This region does not report blocked attempts").waitFor();
  await page.getByRole("button", {name: `Report blocked attempts in region ${region}`}).click();
  await page.getByText("Nothing was blocked lately.").waitFor();
  assert.ok((await daemon.call("GET", `/v1/regions/${region}`)).report_blocked);
  await page.getByRole("button", {name: `Stop reporting blocked attempts in region ${region}`}).click();
  await page.getByText("This region does not report blocked attempts").waitFor();
  assert.ok(!(await daemon.call("GET", `/v1/regions/${region}`)).report_blocked);
  await page.finish();
});

test("the history tells who changed what, and takes it back", async (t) => {
  const group = await groupCall({name: "web", rules: [{direction: "inbound", protocol: "tcp", port_min: 80}]});
  const server = await realServer(t, "vm1", [group.id]);
  const page = await open(t, `/#/r/${region}/history`, {expected: [/409/]});
  const entry = (text) => page.getByRole("listitem").filter({hasText: text}).first();
  await entry("group web created").waitFor();
  assert.equal(await page.locator("#side-history").getAttribute("aria-current"), "page");
  // What another person does comes by itself, and what one has opened stays open.
  await entry("group web created").getByText("What differs").click();
  await entry("group web created").getByText("Inbound TCP 80 from anywhere").waitFor();
  await daemon.call("POST", `/v1/security-groups/${group.id}/rules`, {direction: "inbound", protocol: "udp", port_min: 53, action: "deny"});
  await daemon.call("PATCH", `/v1/security-groups/${group.id}`, {description: "Front ends"});
  await entry("group web changed").waitFor();
  assert.ok(await entry("group web created").getByText("Inbound TCP 80 from anywhere").isVisible());
  const added = page.getByRole("listitem").filter({hasText: "rule added to group web"}).last(); // Not that of its undoing.
  await added.getByText("What differs").click();
  await added.getByText("Deny: Inbound UDP 53 from anywhere").waitFor();
  assert.match(await added.getByRole("time").or(added.locator("time")).getAttribute("datetime"), /^20.*Z$/);
  assert.match(flows(), /ct_nw_proto=17.*ct_tp_dst=53/);
  await added.getByRole("button", {name: /^Undo change/}).click();
  await page.dialog.getByText("Concerns 1 server: vm1.").waitFor();
  await page.dialog.getByText(/br0: \d+ flows? added, \d+ removed/).waitFor();
  await screenshot(page, "light-undo");
  assert.equal((await groupNow(group.id)).rules.length, 2); // Nothing has happened before it is confirmed.
  await page.dialog.getByRole("button", {name: "Undo"}).click();
  await page.saved(/is undone. Saved and in force on every bridge/);
  assert.equal((await groupNow(group.id)).rules.length, 1);
  assert.equal((await groupNow(group.id)).description, "Front ends");
  assert.doesNotMatch(flows(), /ct_nw_proto=17.*ct_tp_dst=53/);
  await added.getByText(/^Undone by/).waitFor();
  assert.equal(await added.getByRole("button", {name: /^Undo/}).count(), 0);
  // What is in the way is said before and after.
  await daemon.call("PUT", `/v1/servers/${server.id}/security-groups`, {security_groups: []});
  await entry("group web created").getByRole("button", {name: /^Undo/}).click();
  await page.dialog.getByText("It will be refused").waitFor();
  await page.dialog.getByRole("button", {name: "Close"}).click();
  await page.finish();
});

test("the history has pages, of one region or of all", async (t) => {
  for (let i = 0; i < 35; i++) await groupCall({name: `g${i}`});
  const page = await open(t, `/#/r/${region}/history`);
  const entries = () => page.getByRole("list", {name: "Changes, the newest first"}).locator("> li").count();
  await page.getByText("g34", {exact: false}).first().waitFor();
  assert.equal(await entries(), 30);
  await page.getByRole("button", {name: "Show older changes"}).click();
  await until(async () => await entries() === 36, "all of them are there"); // The region's own, too.
  assert.equal(await page.getByRole("button", {name: "Show older changes"}).isVisible(), false);
  await groupCall({name: "newest"});
  await page.getByText("newest").first().waitFor();
  assert.equal(await entries(), 37);
  await daemon.call("PUT", "/v1/bridges/00000000000000c8", {uplinks: ["eth7"]});
  await page.locator("#side-all-history").click();
  await page.getByText("00000000000000c8").first().waitFor();
  await daemon.call("DELETE", "/v1/bridges/00000000000000c8");
  await page.finish();
});

test("a change on trial is confirmed, rolled back, or goes by itself", async (t) => {
  const group = await groupCall({name: "web"});
  const page = await openRules(t, group, {expected: [/409/]});
  const banner = page.getByRole("region", {name: "Changes that wait for their confirmation"});
  const add = async (port) => {
    await page.getByRole("button", {name: "Add a rule"}).click();
    await page.getByLabel("Min Port").fill(String(port));
    await page.getByLabel("Keep this change").selectOption({label: "for 5 minutes, unless confirmed"});
    await page.save();
    await banner.getByText("rule added to group web").waitFor();
  };
  await add(81);
  assert.match(await banner.getByRole("timer").textContent(), /^[45]:[0-5]\d$/);
  const first = await banner.getByRole("timer").textContent();
  await until(async () => await banner.getByRole("timer").textContent() !== first, "the time that is left goes down");
  // Meanwhile others keep off, and are told why.
  await page.getByRole("button", {name: "Edit group"}).click();
  await page.getByLabel("Name").fill("other");
  await page.dialog.getByRole("button", {name: "Save"}).click();
  await page.dialog.getByText(/waits for its confirmation/).waitFor();
  await page.keyboard.press("Escape");
  await screenshot(page, "light-trial");
  assert.deepEqual(await hindrances(page), []);
  await banner.getByRole("button", {name: /^Confirm change/}).click();
  await banner.waitFor({state: "hidden"});
  await page.saved(/stays: rule added to group web/);
  await add(82);
  await banner.getByRole("button", {name: /^Roll back change/}).click();
  await page.getByRole("dialog", {name: /^Roll back change/}).getByRole("button", {name: "Roll back"}).click();
  await banner.waitFor({state: "hidden"});
  assert.deepEqual((await groupNow(group.id)).rules.map(({port_min}) => port_min), [81]);
  // What another person tries is seen too, and goes when its time is over.  A slow machine may look too late: then with more of it.
  let seen = false;
  for (const [port, seconds] of [[83, 2], [84, 20], [85, 60]]) {
    const cell = page.getByRole("cell", {name: String(port), exact: true});
    await daemon.call("POST", `/v1/security-groups/${group.id}/rules?confirm_within=${seconds}`, {direction: "inbound", protocol: "tcp", port_min: port});
    seen = await until(async () => await banner.getByText("rule added to group web").isVisible() && await cell.isVisible(),
                       "it is seen", seconds * 1000).then(() => true, () => false);
    await until(async () => !(await daemon.call("GET", "/v1/changes?pending=true")).changes.length, "its time is over", seconds * 1000 + PATIENCE_MS);
    await banner.waitFor({state: "hidden"});
    await cell.waitFor({state: "detached"});
    if (seen) break;
  }
  assert.ok(seen, "what another person tries is not seen");
  await page.finish();
});

test("what a change would do is said before it is made", async (t) => {
  const one = await groupCall({name: "one", rules: [{direction: "inbound", protocol: "tcp", port_min: 22}]}), two = await groupCall({name: "two"});
  const server = await realServer(t, "vm1", [one.id]);
  const page = await open(t, `/#/r/${region}/servers/${server.id}`, {expected: [/409/]});
  await page.getByRole("button", {name: "Change the security groups"}).click();
  await page.dialog.getByText("Nothing changes.").waitFor();
  await page.getByRole("checkbox", {name: /^one/}).uncheck();
  await page.getByRole("checkbox", {name: /^two/}).check();
  await page.dialog.getByText("Connections that one rule let in are judged again").waitFor();
  await page.dialog.getByText(/br0: \d+ flows? added, \d+ removed/).waitFor();
  await page.keyboard.press("Escape");
  assert.deepEqual((await serverNow(server.id)).security_groups, [one.id]);
  await page.goto(`${daemon.url}/#/r/${region}/groups`);
  await page.getByRole("button", {name: "Delete one"}).click();
  await page.dialog.getByText("It will be refused").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", {name: "Delete two"}).click();
  await page.dialog.getByText("No server and no flow is concerned.").waitFor();
  await page.keyboard.press("Escape");
  assert.equal((await groupNow(two.id)).name, "two");
  await page.finish();
});

test("a region is exported, and imported with a look at what that does", async (t) => {
  const group = await groupCall({name: "web", rules: [{direction: "inbound", protocol: "tcp", port_min: 80}]});
  const page = await open(t, "/#/products", {expected: [/422/], acceptDownloads: true});
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", {name: `Export region ${region}`, exact: true}).click()]);
  assert.equal(download.suggestedFilename(), `${region}.json`);
  const text = readFileSync(await download.path(), "utf8");
  assert.deepEqual(JSON.parse(text), await daemon.call("GET", `/v1/regions/${region}/document`));
  const choose = (content) => page.getByLabel("Document", {exact: true}).setInputFiles({name: "x.json", mimeType: "application/json", buffer: Buffer.from(content)});
  await page.getByRole("button", {name: `Import region ${region}`, exact: true}).click();
  await choose(text);
  await page.dialog.getByText("nothing changes").waitFor();
  await choose("{");
  await page.dialog.getByText("This is not a JSON document.").waitFor();
  const document_ = JSON.parse(text);
  document_.security_groups = [{name: "mail", rules: [{direction: "inbound", protocol: "tcp", port_min: 70000}]}];
  await choose(JSON.stringify(document_));
  await page.dialog.getByText(/rules\[0\].port_min/).waitFor();
  document_.security_groups[0].rules[0].port_min = 25;
  await choose(JSON.stringify(document_));
  await page.dialog.getByText("Creates group mail").waitFor();
  assert.equal(await page.dialog.getByText("Deletes group web").count(), 0);
  await page.getByLabel("Delete groups and servers that the document does not name").check();
  await page.dialog.getByText("Deletes group web").waitFor();
  await screenshot(page, "light-import");
  assert.deepEqual(await hindrances(page), []);
  assert.equal((await groupNow(group.id)).name, "web");
  await page.dialog.getByRole("button", {name: "Apply"}).click();
  await page.saved(new RegExp(`The document is applied to region ${region}.`));
  const names = (await daemon.call("GET", `/v1/security-groups?region=${region}`)).security_groups.map(({name}) => name);
  assert.deepEqual(names, ["mail"]);
  await page.finish();
});

test("what is odd about the rules is listed below them", async (t) => {
  const group = await groupCall({name: "web", rules: [
    {direction: "inbound", protocol: "tcp", port_min: 3306}, {direction: "inbound", protocol: "tcp", port_min: 8080},
    {direction: "inbound", protocol: "any", remote_ip: "203.0.113.0/24", action: "deny", priority: 5},
    {direction: "inbound", protocol: "tcp", port_min: 25, remote_ip: "203.0.113.9"}]});
  const page = await openRules(t, group);
  const odd = page.getByRole("region", {name: "Worth a look"});
  await odd.getByRole("listitem").filter({hasText: /Open to everybody Inbound TCP 3306 from anywhere .*mysql/}).waitFor();
  await odd.getByRole("listitem").filter({hasText: "Never decides Inbound TCP 25 from 203.0.113.9/32 is decided before by Inbound Any from 203.0.113.0/24 (deny, priority 5)"}).waitFor();
  assert.equal(await odd.getByRole("listitem").count(), 2);
  assert.deepEqual(await hindrances(page), []);
  await screenshot(page, "light-findings");
  await page.setViewportSize({width: 1024, height: 700});
  await screenshot(page, "light-findings-1024");
  await daemon.call("DELETE", `/v1/security-groups/${group.id}/rules/${group.rules[0].id}`);
  await odd.getByText("Inbound TCP 3306").waitFor({state: "detached"});
  assert.equal(await odd.getByRole("listitem").count(), 1);
  await page.finish();
});

test("explain: the rule that denies, and wrong questions", async (t) => {
  const group = await groupCall({name: "web", rules: [
    {direction: "inbound", protocol: "tcp", port_min: 22},
    {direction: "inbound", protocol: "any", remote_ip: "203.0.113.0/24", action: "deny", priority: 5, description: "scanners"}]});
  const server = await realServer(t, "vm1", [group.id]);
  const page = await open(t, `/#/r/${region}/servers/${server.id}`, {expected: [/422/]});
  await page.getByLabel("Address X").fill("203.0.113.9");
  await page.getByRole("textbox", {name: "Port Y"}).fill("22");
  await page.getByRole("button", {name: "Why?"}).click();
  await page.locator(".verdict").getByText("deny, priority 5, “scanners”").waitFor();
  await page.getByText("Next: change or delete that rule").waitFor();
  await page.getByLabel("Address X").fill("nowhere");
  await page.getByRole("textbox", {name: "Port Y"}).fill("x");
  await page.getByRole("button", {name: "Why?"}).click();
  await page.locator("#explain [data-field=remote_ip] .error", {hasText: /must be/}).waitFor();
  assert.match(await page.locator("#explain [data-field=port] .error").textContent(), /must be/);
  assert.equal(await page.locator(".verdict").count(), 0);
  await page.finish();
});

test("explain: between two servers both have a say", async (t) => {
  const receiver = await groupCall({name: "receiver", rules: [{direction: "inbound", protocol: "tcp", port_min: 80}]});
  const sender = await groupCall({name: "sender"});
  const vm1 = await realServer(t, "vm1", [receiver.id]);
  await realServer(t, "vm2", [sender.id]);
  const page = await open(t, `/#/r/${region}/servers/${vm1.id}`);
  await page.getByLabel("Address X").fill("10.0.0.2");
  await page.getByRole("textbox", {name: "Port Y"}).fill("80");
  await page.getByRole("button", {name: "Why?"}).click();
  await page.getByRole("heading", {name: "No vm2 (10.0.0.2) may not reach vm1 port 80"}).waitFor();
  await page.getByText("vm2: no rule allows it").waitFor();
  await page.getByRole("button", {name: "Allow this"}).click();
  assert.equal(await page.getByLabel("Direction").last().inputValue(), "outbound");
  assert.equal(await page.getByLabel("Remote IP").inputValue(), "10.0.0.1");
  await page.save();
  await page.getByRole("heading", {name: "Yes vm2 (10.0.0.2) may reach vm1 port 80"}).waitFor();
  assert.equal((await groupNow(sender.id)).rules.length, 1);
  await page.finish();
});

test("bridges and their state", async (t) => {
  await daemon.call("PUT", "/v1/bridges/00000000000000c9", {uplinks: ["eth1"]});
  t.after(() => daemon.call("DELETE", "/v1/bridges/00000000000000c9"));
  const page = await open(t, "/#/bridges");
  await page.row(DPID).getByText("In force").waitFor();
  await page.row("00000000000000c9").getByText("Not connected").waitFor();
  await page.row("00000000000000c9").getByText("eth1").waitFor();
  await page.row(DPID).getByText("4 ports").click();
  await page.row(DPID).getByText("closed (4)").waitFor();
  await screenshot(page, "light-bridges");
  // A change says that one of them does not have it.
  const group = await groupCall({name: "web"});
  await realServer(t, "vm1", [group.id]);
  await page.goto(`${daemon.url}/#/r/${region}/groups/${group.id}`);
  await page.getByRole("button", {name: "Add a rule"}).click();
  await page.dialog.getByRole("button", {name: "SSH", exact: true}).click();
  await page.save();
  await page.saved(/in force on every connected bridge. Not connected: 00000000000000c9/);
  await page.finish();
});

test("what another person changes appears by itself", async (t) => {
  const group = await groupCall({name: "before"});
  const page = await open(t);
  await page.getByText("Live", {exact: true}).waitFor();
  await page.row("before").waitFor();
  await daemon.call("PATCH", `/v1/security-groups/${group.id}`, {name: "after"});
  await page.row("after").waitFor();
  await page.row("after").getByRole("link", {name: "after"}).click();
  await page.getByRole("heading", {name: "Security Group Rules"}).waitFor();
  await daemon.call("POST", `/v1/security-groups/${group.id}/rules`, {direction: "inbound", protocol: "tcp", port_min: 5555});
  await page.getByRole("cell", {name: "5555", exact: true}).waitFor();
  const server = await serverCall("newcomer", {security_groups: [group.id]});
  await page.getByRole("link", {name: "newcomer"}).waitFor();
  // The focus stays where it was though the table is made anew.
  await page.getByRole("button", {name: "Edit rule Inbound TCP 5555 from anywhere"}).focus();
  await daemon.call("POST", `/v1/security-groups/${group.id}/rules`, {direction: "inbound", protocol: "tcp", port_min: 5556});
  await page.getByRole("cell", {name: "5556", exact: true}).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Edit rule Inbound TCP 5555 from anywhere");
  await daemon.call("DELETE", `/v1/servers/${server.id}`);
  await page.getByRole("link", {name: "newcomer"}).waitFor({state: "detached"});
  await daemon.call("DELETE", `/v1/security-groups/${group.id}`);
  await page.getByText("There is no such security group (any more).").waitFor();
  await page.finish();
});

test("names are text, whatever they look like", async (t) => {
  const name = `<img src=x onerror="alert(1)"><script>alert(2)</script>"'&`;
  const group = await groupCall({name, description: name, default: true, rules: [{direction: "inbound", protocol: "tcp", port_min: 1, description: name}]});
  const server = await serverCall(name);
  const page = await open(t);
  await page.getByRole("link", {name}).waitFor();
  await page.goto(`${daemon.url}/#/r/${region}/groups/${group.id}`);
  await page.getByRole("cell", {name}).first().waitFor();
  await page.getByRole("button", {name: /^Delete rule/}).click();
  await page.dialog.getByText(name).first().waitFor();
  await page.keyboard.press("Escape");
  await page.goto(`${daemon.url}/#/r/${region}/servers/${server.id}`);
  await page.getByRole("heading", {name, exact: true}).waitFor();
  await page.getByRole("button", {name: "Change the security groups"}).click();
  await page.getByRole("checkbox").waitFor();
  await screenshot(page, "light-hostile-names");
  assert.equal(await page.locator("main img, main script, dialog img, dialog script").count(), 0);
  await page.finish();
});

test("the policy keeps inline scripts and strangers out", async (t) => {
  const page = await open(t, undefined, {expected: [/Content Security Policy/i, /Failed to fetch/]});
  const ran = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    const asked = await fetch("http://192.0.2.99/").then(() => true, () => false);
    return [window.ran ?? false, asked];
  });
  assert.deepEqual(ran, [false, false]);
  await page.context().close();
});

test("by keyboard alone", async (t) => {
  await groupCall({name: "web"});
  const page = await open(t);
  await page.row("web").waitFor();
  const active = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.id);
  await page.keyboard.press("Tab");
  assert.equal(await active(), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await active(), "main");
  const press = async (name) => {
    for (let i = 0; i < 20 && await active() !== name; i++) await page.keyboard.press("Tab");
    assert.equal(await active(), name);
    await page.keyboard.press("Enter");
  };
  await press("Add a security group");
  await page.getByRole("dialog", {name: "Create New Security Group"}).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.name), "name");
  await page.keyboard.type("typed");
  // The focus does not leave the dialog.
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement === document.body || Boolean(document.activeElement.closest("dialog"))));
  }
  await page.keyboard.press("Escape");
  await page.dialog.waitFor({state: "detached"});
  assert.equal(await active(), "Add a security group");
  await page.keyboard.press("Enter");
  await page.keyboard.type("typed");
  await page.keyboard.press("Enter");
  await page.row("typed").waitFor();
  assert.equal(await active(), "Add a security group");
  // What another person does meanwhile makes the table anew, and with it the button that opened the dialog.
  await press("Edit web");
  await page.getByRole("dialog", {name: "Edit Security Group"}).waitFor();
  await groupCall({name: "meanwhile"});
  await page.locator("tr", {hasText: "meanwhile"}).waitFor();
  await page.keyboard.press("Escape");
  await page.dialog.waitFor({state: "detached"});
  assert.equal(await active(), "Edit web");
  await press("Delete web");
  await page.getByRole("dialog", {name: "Delete security group web?"}).waitFor();
  await page.keyboard.press("Escape");
  await page.dialog.waitFor({state: "detached"});
  assert.equal(await active(), "Delete web");
  await page.finish();
});

test("every control has a name, in every dialog", async (t) => {
  const group = await groupCall({name: "web", default: true, rules: [{direction: "inbound", protocol: "tcp", port_min: 1}]});
  const server = await serverCall("vm");
  const page = await open(t);
  const nameless = () => page.evaluate(() => [...document.querySelectorAll("input, select, button, a, dialog, table")].filter((element) =>
    element.checkVisibility() && !(element.labels?.length || element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") ||
      element.textContent.trim() || element.querySelector("caption"))).map((element) => element.outerHTML));
  const look = async (button) => {
    await page.getByRole("button", {name: button}).click();
    await page.dialog.waitFor();
    assert.deepEqual(await nameless(), []);
    await page.keyboard.press("Escape");
  };
  await look("Add a security group");
  await look("Edit web");
  await page.goto(`${daemon.url}/#/r/${region}/groups/${group.id}`);
  await look("Add a rule");
  await look(/^Edit rule/);
  await page.goto(`${daemon.url}/#/r/${region}/servers/${server.id}`);
  await look("Change the security groups");
  const ids = await page.evaluate(() => [...document.querySelectorAll("[id]")].map(({id}) => id));
  assert.equal(new Set(ids).size, ids.length);
  await page.finish();
});

test("a token is asked for, kept for the tab and forgotten", async (t) => {
  await groupCall({name: "secret"});
  const page = await open(t, undefined, {signIn: false, expected: [/401/]});
  await page.getByRole("dialog", {name: "Sign in"}).waitFor();
  assert.equal(await page.getByText("secret").count(), 0);
  await page.getByLabel("Token").fill("wrong");
  await page.dialog.getByRole("button", {name: "Sign in"}).click();
  await page.getByText("The controller does not know this token.").waitFor();
  await screenshot(page, "light-sign-in");
  await page.getByLabel("Token").fill(TOKEN);
  await page.dialog.getByRole("button", {name: "Sign in"}).click();
  await page.row("secret").waitFor();
  await page.getByText("Live", {exact: true}).waitFor();
  await page.reload();
  await page.row("secret").waitFor();
  assert.equal(await page.dialog.count(), 0);
  await page.getByRole("button", {name: "Sign out"}).click();
  await page.getByRole("dialog", {name: "Sign in"}).waitFor();
  assert.equal(await page.getByText("secret").count(), 0);
  assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
  await page.finish();
});
