"""Restarts of everything that can be restarted, under live conversations and a flood of what is refused.

    with RestartLab() as lab:
        scene = Scene(lab, seed, n_conversations, n_flows)
        scene.restart_controller(100)
"""

import ipaddress
import os
import signal
import time
from collections import Counter

import flood
import ovs
import packets
import policy
import revocation
from lab import Lab

FLOWS_PER_RULE = 32  # TCP to ports 1 to 65534, beside a rule for 65535 of theirs: 30 masks, the mark's gate, the stamp.
RULES_MAX = 3200
FLOOD_RATE = 500
FIRST_NUMBER = 0x00200000  # Of the flood's frames; below those of the conversations.
BY_INTERFACE = ("s4-B", "s7-B")  # Ports that are found by their interface id in OVSDB.
MOVING, ITS_BRIDGES = "s4-B", ("br2", "br3")


class RestartLab(Lab):
    """A lab whose daemon reads OVSDB as well, where it finds some of the ports."""

    def __init__(self):
        super().__init__(policy.World())

    def daemon_options(self):
        for name in BY_INTERFACE:
            self.switch.vsctl("set", "interface", name, "external_ids:iface-id=" + name)
        return ["--ovsdb", "unix:" + self.switch.path("db.sock")]

    def port_body(self, port):
        body = super().port_body(port)
        if port.name in BY_INTERFACE:
            body["iface_id"] = body.pop("port")
            del body["bridge"]
        return body


class Wrong(Exception):
    """What should not have been; the text says all there is to know."""


class Scene:
    def __init__(self, lab, seed, n_conversations, n_flows=0):
        self.lab, self.rng = lab, policy.new_random(seed)
        self.conversations = revocation.start(lab, self.rng, n_conversations)
        self.traffic = self.conversations.traffic
        self.extra = self._many_rules(n_flows) if n_flows else None
        self._flooders = []
        self._flood()

    def close(self):
        for child in self._flooders:
            child.kill()
            child.wait()
        self.conversations.close()

    def _many_rules(self, n_flows):
        """A group of so many flows, for addresses that nobody here has, at one server that keeps its others."""
        self.rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 1, "port_max": 65534, "remote_ip": f"100.64.{i >> 8}.{i & 255}"}
                      for i in range(min(RULES_MAX, n_flows // FLOWS_PER_RULE))]
        self.rules.append({"direction": "inbound", "protocol": "tcp", "port_min": 65535, "port_max": 65535, "remote_ip": "100.64.0.0/10"})
        group = self.lab.daemon.change("POST", "/v1/security-groups", {"region": "SV2", "name": "many", "rules": self.rules}, wait=60)
        server = self._server_with_rules()
        self.lab.daemon.change("PUT", f"/v1/servers/{server.id}/security-groups",
                               {"security_groups": [one.id for one in server.groups] + [group["id"]]}, wait=60)
        return group["id"]

    def _server_with_rules(self):
        return next(server for server in self.lab.world.servers if server.name == "s2")

    def _flood(self):
        """A port on br1 and one on br2 that are nobody's send all the time, as themselves and as others."""
        numbers = iter(range(FIRST_NUMBER, FIRST_NUMBER + 0x10000))
        for bridge, octet in (("br1", 0x51), ("br2", 0x52)):
            host = self.lab.switch.hosts.get("stranger-" + bridge)
            if host is None:
                host = self.lab.switch.add_host("stranger-" + bridge, ipv6=False)
                self.lab.switch.add_port(bridge, f"stranger-{bridge}", host, mac=f"02:20:00:00:00:{octet:02x}")
            frames = []
            ends = [end for end in self.lab.world.ends if end.bridge == bridge and not end.vlan]
            for end in ends:
                for other in [other for other in ends if other is not end]:
                    frames.append(packets.datagram(other.mac, end.mac, other.ips[0], end.ips[0], 4000, next(numbers)))
                frames.append(packets.datagram(f"02:20:00:00:00:{octet:02x}", end.mac, ipaddress.ip_address(f"10.99.0.{octet}"), end.ips[0],
                                               4000, next(numbers)))
            child = host.popen("/usr/bin/python3", flood.__file__, "eth0", FLOOD_RATE, stdin=ovs.subprocess.PIPE, text=True)
            child.stdin.write("\n".join(frame.hex() for frame in frames))
            child.stdin.close()
            self._flooders.append(child)

    def _signal_flood(self, number):
        for child in self._flooders:
            child.send_signal(number)

    def _check_flood(self, when):
        dead = [child for child in self._flooders if child.poll() is not None]
        passed = Counter(end for _, end, _ in self.traffic.foreign)
        self.traffic.foreign.clear()
        if passed or dead:
            raise Wrong(f"{when}: packets of ports that are nobody's passed: {dict(passed)}; {len(dead)} of their senders ended")

    def _check(self, report, when, flow_mods=None):
        self._check_flood(when)
        if report.wrong:
            raise Wrong(f"{when}: {report.count['lost']} lost, {report.count['passed on']} passed on; dropped by the machine: "
                        f"{self.conversations.drops()}\n" + "\n".join(report.wrong[:10]) + "\n" + self.lab.daemon.log()[-2000:])
        if flow_mods is not None:
            sent = self.lab.daemon.metric("flow_mods_sent_total")
            if sent != flow_mods:
                raise Wrong(f"{when}: {sent:.0f} flow modifications instead of {flow_mods:.0f}\n{self.lab.daemon.log()[-2000:]}")

    def n_flows(self):
        return sum(bridge["flows"]["installed"] for bridge in self.lab.daemon.get("/v1/bridges")["bridges"])

    def flows(self):
        return {name: [line for line in self.lab.flows(name) if "cookie=0x53500800" not in line] for name in self.lab.world.bridges}

    # The controller.

    def restart_controller(self, n):
        """`n` times, gracefully and not, some of them before it has finished what it began: nothing is sent and nothing lost.
        Returns how long it took each time, in ms, from the start until all was confirmed."""
        daemon, took = self.lab.daemon, []
        before = self.flows()

        def act():
            for i in range(n):
                number = (signal.SIGTERM, signal.SIGKILL)[i % 2]
                status = daemon.end(number)
                if status != (0 if number == signal.SIGTERM else -number):
                    raise Wrong(f"sallyportd ended with status {status}\n{daemon.log()[-2000:]}")
                begin = time.monotonic()
                daemon.start()
                if i % 5 == 4 and i + 1 < n:
                    continue  # It may be anywhere between its first connection and the end of its dump.
                self.lab.await_applied(timeout=60)
                took.append((time.monotonic() - begin) * 1000)
                sent, flushed = daemon.metric("flow_mods_sent_total"), daemon.metric("zones_flushed_total")
                if sent or flushed:
                    raise Wrong(f"restart {i}: {sent:.0f} flow modifications sent, {flushed:.0f} zones flushed\n{daemon.log()[-3000:]}")

        report, _ = self.conversations.during(act, f"{n} restarts of the controller")
        self._check(report, f"{n} restarts of the controller", flow_mods=0)
        if self.flows() != before:
            raise Wrong("the flows are not what they were")
        return report, took

    # One change while it was away.

    def _edit(self):
        """A request that changes no verdict: one rule more or less at addresses that nobody here has."""
        rules = list(self.lab.daemon.get(f"/v1/security-groups/{self.extra}/rules")["rules"])
        kept = [{key: rule[key] for key in ("direction", "protocol", "port_min", "port_max", "remote_ip")} for rule in rules
                if rule["remote_ip"] != "100.127.0.1/32"]
        if len(kept) == len(rules):
            kept.append({"direction": "inbound", "protocol": "udp", "port_min": 1, "port_max": 65534, "remote_ip": "100.127.0.1/32"})
        return "PUT", f"/v1/security-groups/{self.extra}/rules", {"rules": kept}

    def cost_of_edit(self):
        """What the edit, and its reverse, cost in flow modifications when everybody is there.  The same for both."""
        daemon, costs = self.lab.daemon, []
        for _ in range(2):
            before = daemon.metric("flow_mods_sent_total")
            daemon.change(*self._edit(), wait=60)
            costs.append(daemon.metric("flow_mods_sent_total") - before)
        return costs

    def change_unconfirmed(self, cost):
        """Durable, and killed before any switch had heard of it."""
        daemon, switch = self.lab.daemon, self.lab.switch.pid()

        def act():
            request = self._edit()
            self._signal_flood(signal.SIGSTOP)  # The sockets of a switch that stands still would overflow.
            os.kill(switch, signal.SIGSTOP)
            try:
                status, answer, headers = daemon.request(request[0], request[1] + "?wait=0", request[2])
                if (status, headers["Sallyport-Applied"]) != (202, "false"):
                    raise Wrong(f"{status} {headers['Sallyport-Applied']} {answer}")
                daemon.end(signal.SIGKILL)
            finally:
                os.kill(switch, signal.SIGCONT)
                self._signal_flood(signal.SIGCONT)
            daemon.start()
            self.lab.await_applied(timeout=60)

        report, _ = self.conversations.during(act, "a change that no switch had heard of")
        self._check(report, "a change that no switch had heard of", flow_mods=cost)

    def change_by_another_run(self, cost):
        """By a run of the controller that no switch could reach."""
        daemon, openflow = self.lab.daemon, self.lab.daemon.openflow

        def act():
            daemon.end(signal.SIGTERM)
            daemon.openflow = openflow + ".elsewhere"
            daemon.start()
            daemon.change(*self._edit())
            daemon.end(signal.SIGTERM)
            daemon.openflow = openflow
            daemon.start()
            self.lab.await_applied(timeout=60)

        report, _ = self.conversations.during(act, "a change by a run that no switch could reach")
        self._check(report, "a change by a run that no switch could reach", flow_mods=cost)

    # The switch and its database.

    def _until_applied(self, begin):
        self.lab.await_applied(timeout=120)
        self._await_ports()
        return (time.monotonic() - begin) * 1000

    def _await_ports(self):
        def all_active():
            return all(port["state"] == "active" for server in self.lab.daemon.get("/v1/servers")["servers"] for port in server["ports"])

        ovs.wait_until(all_active, "every port is active", 60)

    def restart_switch(self, renumber=False):
        """Killed and started again; with `renumber`, the ports of br1 have each other's numbers then.  Returns ms from the time
        when it had read its configuration until all was confirmed."""
        switch = self.lab.switch
        names = [end.name for end in self.lab.world.ends if end.bridge == "br1"]

        def act():
            numbers = [switch.ofport(name) for name in names]
            switch.kill_switch()
            if renumber:
                for name, number in zip(names, numbers[1:] + numbers[:1]):
                    switch.vsctl("--no-wait", "set", "interface", name, f"ofport_request={number}", "--", "clear", "interface", name, "ofport")
            switch.revive_switch()
            begin = time.monotonic()
            ovs.wait_until(lambda: self.is_reconnected(), "the bridges are back", 60)
            took = self._until_applied(begin)
            if renumber and [switch.ofport(name) for name in names] != numbers[1:] + numbers[:1]:
                raise Wrong("the ports kept their numbers")
            return took

        return self._repair(act, "the switch was killed" + (" and its ports renumbered" if renumber else ""))

    def is_reconnected(self):
        bridges = {bridge["dpid"]: bridge for bridge in self.lab.daemon.get("/v1/bridges")["bridges"]}
        return all(bridges[f"{dpid:016x}"]["connected"] for dpid in self.lab.world.bridges.values())

    def _repair(self, act, when):
        """Packets are lost while `act` runs, as the switch has no flows; none that is refused passes, and in the end all is well."""
        wanted = self.traffic
        tally, took = wanted.run(self.conversations.refused_indices(), action=act)
        leaked = [wanted.describe(i) for i, n in enumerate(tally.got) if n]
        if leaked:
            raise Wrong(f"{when}: passed: {leaked[:5]}")
        self._check_flood(when)
        self.lab.await_datapath()
        self._check(self.conversations.reopened("after: " + when), "after: " + when)
        return took

    def restart_database(self):
        """ovsdb-server killed and started again: nothing is sent, nothing lost."""
        before = self.lab.daemon.metric("flow_mods_sent_total")

        def act():
            begin = time.monotonic()
            self.lab.switch.restart_database()
            return self._until_applied(begin)

        report, took = self.conversations.during(act, "ovsdb-server was killed")
        self._check(report, "ovsdb-server was killed", flow_mods=before)
        return took

    def _port(self, name):
        return next(end for end in self.lab.world.ends if end.name == name)

    def replace_port(self, name):
        """Taken off its bridge and put there again.  Others lose nothing; its own conversations go on.  Returns ms."""
        return self._move(name, self._port(name).bridge, self._port(name).bridge)

    def move_port(self):
        """To another bridge of its segment, where it is found by its interface id."""
        port = self._port(MOVING)
        to = next(name for name in ITS_BRIDGES if name != port.bridge)
        took = self._move(MOVING, port.bridge, to)
        port.bridge = to
        return took

    def _move(self, name, bridge, to):
        port, when = self._port(name), f"{name} went from {bridge} to {to}"
        switch, probes = self.lab.switch, self.conversations.probes
        mine = {number for number, probe in enumerate(probes) if port in (probe.source, probe.target)}

        def act():
            self.traffic.silent.add(port)
            number = switch.ofport(name)
            switch.vsctl("del-port", bridge, name)
            begin = time.monotonic()
            self.lab.plug_in(to, name, self.lab.number_after(number))
            self._await_ports()
            took = self._until_applied(begin)
            self.traffic.silent.discard(port)
            return took

        report, took = self.conversations.during(act, when, but=mine)
        self._check(report, when)
        self.lab.await_datapath()
        # Its own may have been silent for longer than conntrack remembers a ping, should the machine be slow.
        self._check(self.conversations.reopened("after: " + when), "after: " + when)
        return took
