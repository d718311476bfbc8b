// What the tests stand on: a daemon of their own, a browser, and pages that may not misbehave.

import assert from "node:assert/strict";
import {spawn, execFileSync} from "node:child_process";
import {once} from "node:events";
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import axe from "axe-core";
import {chromium} from "playwright-core";

export const PATIENCE_MS = 60000;
const {SALLYPORTD, SCREENSHOTS, SWITCH_DIRECTORY} = process.env;

export const DPID = "00000000000000c1"; // Of br0, with ports vm1 to vm3.
export const TOKEN = "console-token";
// Not of the loopback network, in a namespace that has no other: so the daemon wants a token, and "my IP" means something.
export const ADDRESS = "192.0.2.10";

const log = (directory) => readFileSync(join(directory, "log"), "utf8");

export async function until(condition, what, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    const result = await condition();
    if (result) return result;
    assert.ok(Date.now() < deadline, `not within ${patience} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export class Daemon {
  // openflow: the path of the socket for bridges; token: asked for if true.
  // `directory` and `port`: of one that has ended.
  // `options`: further words of the command line.
  static async start({openflow, guarded, directory, port: wanted = 0, options = []} = {}) {
    const daemon = new Daemon();
    daemon.directory = directory ?? mkdtempSync("/tmp/sp-console-");
    daemon.token = guarded ? TOKEN : null;
    const words = ["--db", `sqlite:${daemon.directory}/sallyport.db`, "--http", `${guarded ? ADDRESS : "127.0.0.1"}:${wanted}`,
                   "--openflow", `punix:${openflow ?? join(daemon.directory, "openflow.sock")}`, ...options];
    if (guarded) {
      const path = join(daemon.directory, "token");
      writeFileSync(path, `${TOKEN}\n`, {mode: 0o600});
      words.push("--token-file", path);
    }
    execFileSync("sh", ["-c", `: > ${daemon.directory}/log`]);
    daemon.process = spawn("sh", ["-c", `exec "$@" >>${daemon.directory}/log 2>&1`, "sh", SALLYPORTD, ...words], {stdio: "ignore"});
    const port = await until(() => {
      assert.equal(daemon.process.exitCode, null, log(daemon.directory));
      return /is ready/.test(log(daemon.directory)) && /http on .* \(port (\d+)\)/.exec(log(daemon.directory))?.[1];
    }, "the daemon is ready");
    daemon.url = `http://${guarded ? ADDRESS : "127.0.0.1"}:${port}`;
    return daemon;
  }

  // A call past the console, as another person would make it.
  async call(method, path, body) {
    const response = await fetch(this.url + path, {method, body: body && JSON.stringify(body),
      headers: {...(body && {"Content-Type": "application/json"}), ...(this.token && {Authorization: `Bearer ${this.token}`})}});
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  async stop() {
    this.process.kill("SIGTERM");
    if (this.process.exitCode === null) await once(this.process, "exit");
    assert.equal(this.process.exitCode, 0, log(this.directory));
    assert.doesNotMatch(log(this.directory), /left open/);
  }

  remove() {
    if (this.process.exitCode === null) this.process.kill("SIGKILL");
    rmSync(this.directory, {recursive: true, force: true});
  }
}

export async function startBrowser() {
  return chromium.launch({executablePath: "/usr/bin/chromium", headless: true,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"]});
}

// A page of its own session.  It fails the test if a script throws, if the policy is violated, if an alert opens, or if anything
// but the daemon is asked.  `expected`: complaints of the browser that belong to the test.
export async function openPage(browser, daemon, {path = "/", expected = [], signIn = true, ...options} = {}) {
  const context = await browser.newContext({viewport: {width: 1280, height: 860}, reducedMotion: "reduce", ...options});
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const faults = [];
  const fault = (text) => expected.some((pattern) => pattern.test(text)) || faults.push(text);
  page.on("pageerror", (error) => fault(`script: ${error.stack}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && fault(`console: ${message.text()} ${message.location().url}`));
  page.on("dialog", (dialog) => { fault(`alert: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => request.url().startsWith(daemon.url) || fault(`asked: ${request.url()}`));
  if (daemon.token && signIn) await page.addInitScript((token) => sessionStorage.setItem("sallyport-token", token), daemon.token);
  await page.goto(daemon.url + path);
  page.finish = async () => {
    await context.close();
    assert.deepEqual(faults, []);
  };
  return page;
}

export async function screenshot(page, name) {
  mkdirSync(SCREENSHOTS, {recursive: true});
  await page.screenshot({path: join(SCREENSHOTS, `${name}.png`)});
}

// What axe finds wrong for people with a screen reader, a keyboard or weak eyes, as text.
export async function hindrances(page) {
  await page.evaluate(axe.source); // From outside, where the page's policy does not reach.
  const {violations} = await page.evaluate(() => window.axe.run({resultTypes: ["violations"]}));
  return violations.flatMap(({id, help, nodes}) => nodes.map(({html, failureSummary}) => `${id}: ${help}: ${html}: ${failureSummary}`));
}

// Flows of the switch, as it has them.
export const flows = () => execFileSync("ovs-ofctl", ["-O", "OpenFlow14", "--no-stats", "dump-flows", join(SWITCH_DIRECTORY, "br0.mgmt")],
                                        {encoding: "utf8"});

// A datagram from vm2 to port 8888 of vm1.
const DATAGRAM = "02000000000102000000000208004500003000010000401166ba0a0000020a0000019c4022b8001c7806" + "78".repeat(20);
export const knock = () => execFileSync("ovs-ofctl", ["-O", "OpenFlow14", "packet-out", join(SWITCH_DIRECTORY, "br0.mgmt"),
                                                      `in_port=vm2,packet=${DATAGRAM},actions=TABLE`]);

// Runs `work` while the switch does not answer.
export async function whilePaused(work) {
  const pid = Number(process.env.SWITCH_PID);
  process.kill(pid, "SIGSTOP");
  try {
    return await work();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}
