#!/usr/bin/python3
"""The story of Sallyport on a net of two regions, told step by step and checked: exits 1 if anything is not as it should be.

    make demo [ARGS=--stay]

Regions SV2 and TY2 are a bridge each with two servers, joined by a switch that is nobody's, where two clients stand.
What a person would do is done by the command line and printed.  --stay leaves the net up with a prompt.  Needs root."""

import argparse
import concurrent.futures
import contextlib
import json
import os
import select
import subprocess
import sys
import time

import nets
import ovs
import register
import run
import sallyportd

HOSTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hosts.py")
TCP_PORTS = "22,79,80,8080,8081,8888"
UDP_PORT = 5000
QUIET_MS = 1500  # A transfer with nothing for so long has stopped: it sends every 10 ms.
PATIENCE_S = 20
OPEN_S = 5  # How long a probe waits where it should be let in,
CLOSED_S = 1.5  # and where not.
MORE_PACKETS = 50


class Measure:
    """A running `transfer` or `stream` of hosts.py."""

    def __init__(self, net, origin, kind, target, port):
        self._child = net.program(origin, kind, net.address(target), port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        self._child.wait(10)

    def ask(self):
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        if not select.select([self._child.stdout], [], [], PATIENCE_S)[0]:
            raise ovs.OvsError("a measuring client does not answer")
        return json.loads(self._child.stdout.readline())

    def wait(self, condition, what):
        """Asks until `condition(answer)` is true; returns that answer."""
        last = {}

        def holds():
            last.update(self.ask())
            return condition(last)

        try:
            ovs.wait_until(holds, what, timeout=PATIENCE_S)
        except ovs.OvsError:
            pass  # The caller checks the answer and says what is wrong with it.
        return last

    def wait_running(self):
        return self.wait(lambda answer: answer.get("bytes", answer.get("received")) > 0, "the first data")

    def wait_more(self):
        """Waits until MORE_PACKETS more have been sent and judged lost or not."""
        sent = self.ask()["sent"]
        self.wait(lambda answer: answer["sent"] >= sent + MORE_PACKETS, "more packets")
        return self.wait(lambda answer: answer["received"] + answer["lost"] >= sent + MORE_PACKETS, "their fate")


class Story:
    def __init__(self, net, controller):
        self.net = net
        self.controller = controller
        self.api = controller.api
        self.n_checks = self.n_failed = self.n_steps = 0

    # Telling.

    def step(self, title):
        self.n_steps += 1
        print(f"\n{self.n_steps}. {title}", flush=True)

    def check(self, holds, text):
        self.n_checks += 1
        self.n_failed += not holds
        print(f"   {'ok   ' if holds else 'WRONG'} {text}", flush=True)

    def cli(self, *words, status=0):
        """Runs the command line and prints it; returns what it said.  A status other than `status` is wrong."""
        shown = " ".join(f"'{word}'" if " " in str(word) else str(word) for word in words)
        print(f"   $ sallyport {shown}", flush=True)
        done = subprocess.run([sallyportd.SALLYPORT, *map(str, words)], env=dict(os.environ, SALLYPORT_URL=self.controller.url),
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        print("".join(f"     {line}\n" for line in done.stdout.splitlines()), end="", flush=True)
        if done.returncode != status:
            self.check(False, f"exit status {done.returncode}, not {status}")
        return done.stdout

    # Looking.

    def probe(self, *cases):
        """Each case is (client, server, port, whether it should be open); all are tried at once, and checked."""
        def one(client, server, port, should):
            timeout = OPEN_S if should else CLOSED_S
            return self.net.run(client, sys.executable, HOSTS, "probe", self.net.address(server), port, "--timeout", timeout)

        self.net.ovs.await_datapath()  # It follows a change some milliseconds later.
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            results = list(pool.map(one, *zip(*cases)))
        for (client, server, port, should), (status, said) in zip(cases, results):
            verdict = f"reaches it: {said.strip().removeprefix('open ')}" if status == 0 else "gets no answer"
            self.check((status == 0) == should, f"{client} -> {server} tcp {port}: {verdict}")

    def ping(self, client, server):
        status, _ = self.net.run(client, "ping", "-c1", "-W5", self.net.address(server))
        self.check(status == 0, f"{client} -> {server} ping: {'answers' if status == 0 else 'no answer'}")

    def group(self, region, name):
        return self.api.get("/v1/security-groups", region=region, name=name)["security_groups"][0]

    def servers(self, region):
        return self.api.get("/v1/servers", region=region)["servers"]

    def revision(self):
        return self.api.get("/v1/status")["revision"]

    def stopped(self, transfer, what):
        """Checks that nothing more comes."""
        answer = transfer.wait(lambda answer: answer["idle_ms"] > QUIET_MS, "the transfer stops")
        self.check(answer["idle_ms"] > QUIET_MS, f"{what} has stopped after {answer['bytes']} bytes")

    def unharmed(self, stream, what):
        answer = stream.wait_more()
        self.check(answer["lost"] == 0 and answer["received"] > 0, f"{what}: {answer['received']} packets there and back, "
                   f"{answer['lost']} lost")

    def going_on(self, transfer, what):
        before = transfer.ask()["bytes"]
        after = transfer.wait(lambda answer: answer["bytes"] > before + 10000, "the transfer goes on")["bytes"]
        self.check(after > before + 10000, f"{what} goes on: {after - before} more bytes")

    # The steps.

    def first_server(self):
        self.step("The first server of region SV2 is provisioned: the default group appears with it")
        for bridge in self.net.description()["bridges"]:
            self.cli("bridge", "set", bridge["dpid"], *(word for name in bridge["uplinks"] for word in ("--uplink", name)))
        self.cli("region", "create", "SV2")
        server = next(server for server in self.net.description()["servers"] if server["name"] == "sv2-vm1")
        ips = ",".join(f"ip={ip}" for ip in server["ips"])
        self.cli("server", "create", "--region", "SV2", "--name", "sv2-vm1", "--port",
                 f"bridge={server['bridge']},port={server['port']},mac={server['mac']},{ips}")
        self.cli("group", "list")
        self.cli("rule", "list", "default", "--region", "SV2")
        group = self.group("SV2", "default")
        self.check(group["default"] and group["servers"] == [self.servers("SV2")[0]["id"]], "it alone has the default group")
        print("   The other servers are registered in the same way:")
        servers = register.register(self.api, self.net.description(), lambda line: print(f"     {line}"))
        run.await_active(self.api, servers)
        self.cli("server", "list")

    def first_look(self):
        self.step("Remote login works, a web panel does not")
        self.ping("client1", "sv2-vm1")
        self.probe(("client1", "sv2-vm1", 22, True), ("client1", "sv2-vm1", 8888, False))

    def explain(self):
        self.step("Why?")
        question = ("explain", "sv2-vm1", "inbound", "tcp", "8888", "--remote", self.net.address("client1"))
        self.cli(*question)
        answer = json.loads(subprocess.run([sallyportd.SALLYPORT, "--url", self.controller.url, "--json", *question], text=True,
                                           stdout=subprocess.PIPE, check=True).stdout)
        self.check(answer["verdict"] == "deny" and answer["rule"] is None, "no rule allows it: denied by default")

    def open_panel(self):
        self.step("A rule opens the web panel at once")
        self.cli("rule", "add", "default", "inbound", "tcp", 8888, "--region", "SV2", "--description", "web panel")
        self.probe(("client1", "sv2-vm1", 8888, True))

    def open_range(self):
        self.step("Ports 80 to 8080 are opened as one range")
        self.cli("rule", "add", "default", "inbound", "tcp", "80-8080", "--region", "SV2")
        self.probe(*(("client1", "sv2-vm1", port, port in (80, 8080)) for port in (79, 80, 8080, 8081)))

    def deny_one(self):
        self.step("A deny for one client's address wins over the allow")
        self.cli("rule", "add", "default", "inbound", "tcp", "80-8080", "--deny", "--remote", self.net.address("client2"),
                 "--region", "SV2")
        self.probe(("client1", "sv2-vm1", 8080, True), ("client2", "sv2-vm1", 8080, False))

    def revoke(self):
        self.step("A running transfer stops when its rule is deleted; others go on without losing a packet")
        self.cli("rule", "add", "default", "inbound", "udp", UDP_PORT, "--region", "SV2")
        with Measure(self.net, "client1", "transfer", "sv2-vm1", 8888) as panel, \
                Measure(self.net, "client1", "transfer", "sv2-vm1", 8080) as other, \
                Measure(self.net, "client1", "stream", "sv2-vm1", UDP_PORT) as stream:
            for measure in (panel, other, stream):
                measure.wait_running()
            rule = next(rule for rule in self.group("SV2", "default")["rules"] if rule["port_min"] == 8888)
            self.cli("rule", "delete", "default", rule["id"], "--region", "SV2")
            self.stopped(panel, "client1's transfer from sv2-vm1 port 8888")
            self.unharmed(stream, f"client1's stream to sv2-vm1 udp {UDP_PORT}")
            self.going_on(other, "client1's transfer from sv2-vm1 port 8080")
        self.probe(("client1", "sv2-vm1", 8888, False))

    def swap_default(self):
        self.step("Another group becomes the default: all of SV2 switches in one step, TY2 does not move")
        self.cli("rule", "add", "default", "inbound", "udp", UDP_PORT, "--region", "TY2")
        self.cli("group", "create", "--region", "SV2", "--name", "hardened", "--description", "ping and one service")
        self.cli("rule", "add", "hardened", "inbound", "icmp", "8")
        self.cli("rule", "add", "hardened", "inbound", "udp", UDP_PORT)
        with Measure(self.net, "client1", "stream", "sv2-vm2", UDP_PORT) as here, \
                Measure(self.net, "client1", "stream", "ty2-vm1", UDP_PORT) as there:
            for measure in (here, there):
                measure.wait_running()
            before, elsewhere = self.revision(), [server["security_groups"] for server in self.servers("TY2")]
            self.cli("group", "set", "hardened", "--default")
            self.check(self.revision() == before + 1, f"one revision: {before} -> {self.revision()}")
            hardened = self.group("SV2", "hardened")["id"]
            self.check(all(server["security_groups"] == [hardened] for server in self.servers("SV2")),
                       "every server of SV2 has it alone")
            self.check([server["security_groups"] for server in self.servers("TY2")] == elsewhere, "no server of TY2 has changed")
            self.unharmed(here, "a stream into SV2 that both groups allow")
            self.unharmed(there, "a stream into TY2")
        self.ping("client1", "sv2-vm1")
        self.probe(("client1", "sv2-vm1", 22, False), ("client1", "sv2-vm2", 22, False), ("client1", "ty2-vm1", 22, True))

    def delete_in_use(self):
        self.step("A group in use is not deleted")
        said = self.cli("group", "delete", "hardened", status=1)
        self.check(all(server["name"] in said for server in self.servers("SV2")), "the refusal names every server that uses it")

    def restart(self):
        self.step("The controller is killed during transfers and started again: nothing is lost, nothing is sent")
        with Measure(self.net, "client1", "stream", "sv2-vm1", UDP_PORT) as stream, \
                Measure(self.net, "client1", "transfer", "ty2-vm1", 22) as transfer:
            stream.wait_running()
            transfer.wait_running()
            print(f"   $ kill -9 {self.controller.pid}", flush=True)
            self.controller.kill()
            self.unharmed(stream, "without a controller, the stream into SV2")
            self.going_on(transfer, "without a controller, the transfer from TY2")
            self.controller.start()
            run.await_active(self.api, [server["name"] for server in self.net.description()["servers"]])
            ovs.wait_until(lambda: self.revision() and not self.api.get("/v1/status")["pending"], "nothing is pending")
            self.cli("status")
            self.unharmed(stream, "with the new one, the stream into SV2")
            self.going_on(transfer, "with the new one, the transfer from TY2")
            sent = self.controller.metric("sallyport_flow_mods_sent_total")
            self.check(sent == 0, f"flow changes that the new controller has sent: {sent:.0f}")

    def tell(self):
        for step in (self.first_server, self.first_look, self.explain, self.open_panel, self.open_range, self.deny_one,
                     self.revoke, self.swap_default, self.delete_in_use, self.restart):
            step()


def start_services(net):
    """Every server answers on TCP_PORTS and UDP_PORT; returns when all are ready."""
    children = [net.program(server["name"], "serve", server["name"], "--tcp", TCP_PORTS, "--udp", UDP_PORT)
                for server in net.description()["servers"]]
    for child in children:
        if not child.stdout.readline():
            raise ovs.OvsError("a server program did not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--stay", action="store_true", help="leave the net up with a prompt at the end")
    args = parser.parse_args()
    run.end_on_signals()
    nets.private_network()
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        controller = stack.enter_context(sallyportd.Daemon())
        net = stack.enter_context(nets.Net("regions"))
        start_services(net)
        print(f"Regions SV2 and TY2 are up: Open vSwitch, {net.ovs.datapath_type} datapath, and the controller.")
        story = Story(net, controller)
        try:
            story.tell()
        except (ovs.OvsError, register.Refused, OSError, LookupError) as error:
            story.check(False, f"the story breaks off: {error!r}")
        if story.n_failed:
            print(f"\nThe controller's log:\n{controller.log()}")
        seconds = time.monotonic() - begin
        print(f"\n{story.n_steps} steps, {story.n_checks} checks, {story.n_failed} wrong, {seconds:.0f} s", flush=True)
        if args.stay:
            run.stay(net, controller.url)
    return 1 if story.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
