"""Random edits of everything by the API, and of the switch under it; after each, or each so many, the flows of the running daemon's
switch are compared with those that a fresh daemon makes of a copy of the database on another switch of the same shape.

Ids need no translation: marks, zones and the numbers of sets and slots are in the database."""

import json
import os
import shutil
import tempfile
from collections import Counter

import policy
from lab import ApiError, Daemon, dpid_text

import ovs
from flow_dump import Bridge

REGIONS = ("SV2", "TY2")
BRIDGES = {"br1": 0xe1, "br2": 0xe2, "br3": 0xe3}
PARK = "park"
PORTS_PER_BRIDGE, GROUPS_MAX, SERVERS_MAX = 8, 6, 14
N_PATCHES = 2  # Of the ports: candidates for uplinks.


class Switch:
    """An Open vSwitch whose ports are loose patch ports: they need no namespace, and no packet is sent here."""

    def __init__(self):
        self.ovs = ovs.Ovs()

    def start(self):
        self.ovs.start()
        self.ovs.add_bridge(PARK, 0xee)
        names = [f"{bridge}-p{i}" for bridge in BRIDGES for i in range(PORTS_PER_BRIDGE)]
        self.ovs.vsctl(*[word for name in names for word in ("--", *self._parked(name))])

    def stop(self):
        self.ovs.stop()

    def path(self, bridge):
        return self.ovs.path(bridge + ".mgmt")

    def add_bridge(self, bridge, controller=None):
        self.ovs.add_bridge(bridge, BRIDGES[bridge], [controller] if controller else ())

    def delete_bridge(self, bridge, names):
        parked = [word for name in names for word in ("--", *self._parked(name))]
        self.ovs.vsctl("del-br", bridge, *parked)

    @staticmethod
    def _parked(name):
        """A port that is plugged in nowhere stands on a bridge that no controller has: a daemon that starts would wait for 15 s
        for OVSDB to tell where it is."""
        return ("add-port", PARK, "k-" + name, "--", "set", "interface", "k-" + name, "type=patch", f"options:peer=no-{name}",
                f"external_ids:iface-id=if-{name}")

    def plug(self, bridge, name, ofport):
        self.ovs.vsctl("del-port", PARK, "k-" + name, "--", "add-port", bridge, name, "--", "set", "interface", name, "type=patch",
                       f"options:peer=no-{name}", f"ofport_request={ofport}", f"external_ids:iface-id=if-{name}")

    def unplug(self, bridge, name):
        self.ovs.vsctl("del-port", bridge, name, "--", *self._parked(name))


class OvsdbDaemon(Daemon):
    """Reads the switch's database; dials its bridges if `dials`."""

    def __init__(self, directory, name, switch, dials):
        super().__init__(directory, name)
        self._switch, self._dials = switch, dials

    def start(self):
        self.options = ["--ovsdb", "unix:" + self._switch.ovs.path("db.sock")]
        self.methods = ["unix:" + self._switch.path(bridge) for bridge in self._dials] or self.methods
        super().start()


class Estate:
    def __init__(self, seed):
        self.rng = policy.new_random(f"edits {seed}")
        self.seed, self.count, self.history = seed, Counter(), []
        self.directory = tempfile.mkdtemp(prefix="sallyport-edits-")
        self.live, self.twin = Switch(), Switch()
        self.daemon = OvsdbDaemon(self.directory, "live", self.live, ())
        self.plugged = {}  # (bridge, name) -> ofport
        self.up = set()
        self.next_ofport = Counter()

    def __enter__(self):
        try:
            self.live.start()
            self.twin.start()
            self.daemon.start()
            for bridge in BRIDGES:
                self._bridge_comes(bridge)
            for region in REGIONS:
                self.daemon.change("PUT", f"/v1/regions/{region}")
            for bridge in BRIDGES:
                self._put_bridge(bridge)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.daemon.is_running():
            self.daemon.end()
        self.live.stop()
        self.twin.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # The switches.

    def _both(self, action, *arguments):
        for switch in (self.live, self.twin):
            getattr(switch, action)(*arguments)

    def _bridge_comes(self, bridge):
        self.live.add_bridge(bridge, "unix:" + self.daemon.openflow)
        self.twin.add_bridge(bridge)
        self.up.add(bridge)
        for i in range(PORTS_PER_BRIDGE):
            if self.rng.random() < 0.9:
                self._plug(bridge, f"{bridge}-p{i}")

    def _bridge_goes(self, bridge):
        self._both("delete_bridge", bridge, [name for at, name in self.plugged if at == bridge])
        self.up.discard(bridge)
        self.plugged = {place: ofport for place, ofport in self.plugged.items() if place[0] != bridge}

    def _plug(self, bridge, name):
        self.next_ofport[bridge] += 1
        ofport = self.next_ofport[bridge]
        self._both("plug", bridge, name, ofport)
        self.plugged[bridge, name] = ofport

    def _edit_switch(self):
        rng = self.rng
        bridge = rng.choice(sorted(BRIDGES))
        if bridge not in self.up:
            self._bridge_comes(bridge)
            return f"{bridge} comes"
        if rng.random() < 0.06:
            self._bridge_goes(bridge)
            return f"{bridge} goes"
        name = f"{bridge}-p{rng.randrange(PORTS_PER_BRIDGE)}"
        if (bridge, name) in self.plugged:
            self._both("unplug", bridge, name)
            del self.plugged[bridge, name]
            if rng.random() < 0.5:
                return f"{name} goes"
        self._plug(bridge, name)
        return f"{name} comes as {self.plugged[bridge, name]}"

    # The API.

    def _ask(self, method, path, body=None, query=""):
        """A change that may be refused; what is accepted must be in force everywhere."""
        status, answer, headers = self.daemon.request(method, f"{path}?wait=60{query}", body)
        if status in (200, 201, 204):
            if headers["Sallyport-Applied"] != "true":
                raise ApiError(f"{method} {path} {body}: {status}, not applied")
            self.count["accepted"] += 1
        elif status in (404, 409, 422):
            self.count["refused"] += 1
        else:
            raise ApiError(f"{method} {path} {body}: {status} {answer}\n{self.daemon.log()[-2000:]}")
        return f"{method} {path} {json.dumps(body)}: {status}"

    def _groups(self, region):
        return self.daemon.get(f"/v1/security-groups?region={region}")["security_groups"]

    def _servers(self, region):
        return self.daemon.get(f"/v1/servers?region={region}")["servers"]

    def _rule(self, groups):
        rng = self.rng
        rule = {"direction": rng.choice(("inbound", "outbound")), "action": rng.choice(("allow", "allow", "deny")),
                "priority": rng.choice((1, 100, 100, 1000)), "protocol": rng.choice(("tcp", "udp", "sctp", "icmp", "icmpv6", "any", 47))}
        if rule["protocol"] in ("tcp", "udp", "sctp") and rng.random() < 0.8:
            rule["port_min"] = rng.randint(1, 200)
            rule["port_max"] = rule["port_min"] + rng.choice((0, 1, 30, 5000))
        if rule["protocol"] in ("icmp", "icmpv6") and rng.random() < 0.5:
            rule["icmp_type"] = rng.choice((8, 128))
        remote = rng.random()
        if remote < 0.3 and groups:
            rule["remote_group"] = rng.choice(groups)["id"]
        elif remote < 0.6:
            v6 = rule["protocol"] == "icmpv6" or rule["protocol"] != "icmp" and rng.random() < 0.3
            rule["remote_ip"] = rng.choice(("fd40::/64", "fd40::3/128", "::/0") if v6 else ("10.40.0.0/24", "10.40.0.3/32", "0.0.0.0/0"))
        return rule

    def _port(self):
        rng = self.rng
        n = rng.randint(1, 20)
        port = {"mac": f"02:40:00:00:00:{n:02x}", "ips": sorted({rng.choice((f"10.40.0.{n}", f"10.40.1.{n}")), rng.choice((f"fd40::{n:x}", "10.40.2.2"))}),
                "port_security": rng.random() < 0.85}
        bridge = rng.choice(sorted(BRIDGES))
        name = f"{bridge}-p{rng.randrange(N_PATCHES, PORTS_PER_BRIDGE)}"
        if rng.random() < 0.3:
            port["iface_id"] = "if-" + name
        else:
            port.update(bridge=dpid_text(BRIDGES[bridge]), port=name)
        if rng.random() < 0.25:
            port["vlan"] = rng.choice((100, 200))
        if rng.random() < 0.25:
            port["allowed_address_pairs"] = [{"ip": rng.choice(("10.40.9.0/24", "fd40:9::/64", "10.40.0.99"))}]
        return port

    def _put_bridge(self, bridge):
        uplinks = [f"{bridge}-p{i}" for i in range(N_PATCHES) if self.rng.random() < 0.6]
        return self._ask("PUT", f"/v1/bridges/{dpid_text(BRIDGES[bridge])}", {"uplinks": uplinks})

    def _some(self, things, n):
        return [thing["id"] for thing in self.rng.sample(things, min(len(things), n))]

    def _edit_rules(self, region):
        rng, groups = self.rng, self._groups(region)
        if not groups:
            return self._edit_groups(region)
        group = rng.choice(groups)
        path, rules = f"/v1/security-groups/{group['id']}/rules", group["rules"]
        kind = rng.random()
        if kind < 0.3 or not rules:
            return self._ask("POST", path, self._rule(groups))
        if kind < 0.5:
            return self._ask("DELETE", f"{path}/{rng.choice(rules)['id']}")
        if kind < 0.75:
            return self._ask("PATCH", f"{path}/{rng.choice(rules)['id']}", rng.choice((
                {"action": "deny"}, {"action": "allow"}, {"priority": rng.randint(1, 3)}, {"remote_ip": "10.40.0.0/25"},
                {"remote_group": rng.choice(groups)["id"]}, {"direction": "inbound"}, {"description": "edited"})))
        return self._ask("PUT", path, {"rules": [self._rule(groups) for _ in range(rng.randint(0, 8))]})

    def _edit_groups(self, region):
        rng, groups = self.rng, self._groups(region)
        kind = rng.random()
        if not groups or kind < 0.4 and len(groups) < GROUPS_MAX:
            body = {"region": region, "name": f"g{rng.randint(0, 99)}", "default": rng.random() < 0.2}
            body.update(rng.choice(({"template": "none"}, {"template": "remote-login"}, {"rules": [self._rule(groups) for _ in range(3)]})))
            return self._ask("POST", "/v1/security-groups", body)
        group = rng.choice(groups)
        if kind < 0.7:
            return self._ask("DELETE", f"/v1/security-groups/{group['id']}")
        return self._ask("PATCH", f"/v1/security-groups/{group['id']}", rng.choice(({"default": True}, {"default": False}, {"name": "other"})))

    def _edit_servers(self, region):
        rng, groups, servers = self.rng, self._groups(region), self._servers(region)
        kind = rng.random()
        if not servers or kind < 0.25 and len(servers) < SERVERS_MAX:
            body = {"region": region, "name": f"s{rng.randint(0, 999)}", "kind": rng.choice(("vps", "baremetal")),
                    "ports": [self._port() for _ in range(rng.choice((0, 1, 1, 2)))]}
            if rng.random() < 0.8:
                body["security_groups"] = self._some(groups, rng.randint(0, 3))
            return self._ask("POST", "/v1/servers", body)
        server = rng.choice(servers)
        if kind < 0.4:
            return self._ask("DELETE", f"/v1/servers/{server['id']}")
        if kind < 0.7:
            return self._ask("PUT", f"/v1/servers/{server['id']}/security-groups", {"security_groups": self._some(groups, rng.randint(0, 3))})
        kept = [{key: port[key] for key in port if key != "state" and port[key] is not None} for port in server["ports"]]
        if kept and rng.random() < 0.5:
            rng.choice(kept).update(rng.choice(({"port_security": False}, {"vlan": 300}, {"ips": [f"10.40.5.{rng.randint(1, 9)}"]})))
        else:
            kept = kept[:rng.randint(0, len(kept))] + [self._port()]
        return self._ask("PATCH", f"/v1/servers/{server['id']}", {"ports": kept})

    def _edit_bridges(self):
        bridge = self.rng.choice(sorted(BRIDGES))
        if self.rng.random() < 0.7:
            return self._put_bridge(bridge)
        return self._ask("DELETE", f"/v1/bridges/{dpid_text(BRIDGES[bridge])}")

    def _edit_region(self, region):
        """Much at once, as a document: groups and servers that come, go and change, ports that pass to other servers."""
        rng, path = self.rng, f"/v1/regions/{region}/document"
        document = self.daemon.get(path)
        groups, servers = document["security_groups"], document["servers"]
        rng.shuffle(groups)
        del groups[:rng.choice((0, 0, 1, 2))]
        for _ in range(rng.choice((0, 1, 2)) if len(groups) < GROUPS_MAX else 0):
            groups.append({"name": f"g{rng.randint(0, 99)}", "rules": []})
        keys = [{"id": group.get("id", group["name"])} for group in groups]
        for group in groups:
            if rng.random() < 0.4:
                group["rules"] = [self._rule(keys) for _ in range(rng.randint(0, 6))]
        if groups and rng.random() < 0.3:
            for group in groups:
                group["default"] = False
            rng.choice(groups)["default"] = True
        rng.shuffle(servers)
        del servers[:rng.choice((0, 0, 1, 3))]
        for server in servers:
            if rng.random() < 0.3:
                server["security_groups"] = self._some(keys, rng.randint(0, 3))
            if server["ports"] and rng.random() < 0.3:
                moved = server["ports"].pop(rng.randrange(len(server["ports"])))
                rng.choice(servers)["ports"].append(moved)
        if len(servers) < SERVERS_MAX:
            servers.append({"name": f"s{rng.randint(0, 999)}", "ports": [self._port()]})
        return self._ask("PUT", path, document, rng.choice(("", "&prune=true")))

    def edit(self):
        """One random edit; what it was goes into the history."""
        region, kind = self.rng.choice(REGIONS), self.rng.random()
        if kind < 0.38:
            what = self._edit_rules(region)
        elif kind < 0.5:
            what = self._edit_groups(region)
        elif kind < 0.82:
            what = self._edit_servers(region)
        elif kind < 0.87:
            what = self._edit_bridges()
        elif kind < 0.92:
            what = self._edit_region(region)
        else:
            self.count["switch"] += 1
            what = self._edit_switch()
        self.count["edits"] += 1
        self.history.append(what)

    # Comparing.

    def _is_settled(self, daemon):
        bridges = {bridge["dpid"]: bridge for bridge in daemon.get("/v1/bridges")["bridges"]}
        for name in BRIDGES:
            bridge = bridges.get(dpid_text(BRIDGES[name]))
            if name not in self.up:
                if bridge and bridge["connected"]:
                    return False
                continue
            wanted = {(port, ofport) for (at, port), ofport in self.plugged.items() if at == name}
            if not bridge or not bridge["connected"] or not wanted <= {(port["name"], port["ofport"]) for port in bridge["ports"]}:
                return False
            if any(port["name"].startswith(name + "-p") and (port["name"], port["ofport"]) not in wanted for port in bridge["ports"]):
                return False
        return not daemon.get("/v1/status")["pending"]

    def _flows(self, switch):
        found = {}
        for bridge in sorted(self.up):
            connection = Bridge(switch.path(bridge))
            found[bridge] = connection.flows()
            connection.close()
        return found

    def _copy_database(self):
        """As a crash would leave it: the daemon has answered, so that all is durable, and writes nothing now."""
        copy = os.path.join(self.directory, "fresh.db")
        for ending in ("", "-wal", "-shm"):
            if os.path.exists(copy + ending):
                os.unlink(copy + ending)
            if os.path.exists(self.daemon.database + ending):
                shutil.copyfile(self.daemon.database + ending, copy + ending)

    def compare(self):
        """None if both switches have the same flows, else what differs."""
        ovs.wait_until(lambda: self._is_settled(self.daemon), "the running daemon has done everything", 60)
        self._copy_database()
        for bridge in self.up:
            connection = Bridge(self.twin.path(bridge))
            connection.delete_all()
            connection.close()
        fresh = OvsdbDaemon(self.directory, "fresh", self.twin, sorted(BRIDGES))
        fresh.start()
        try:
            ovs.wait_until(lambda: self._is_settled(fresh), "the fresh daemon has done everything", 60)
            difference = None

            def same():
                nonlocal difference
                difference = self._difference()
                return difference is None

            # OVSDB tells both daemons of interfaces in its own time.
            try:
                ovs.wait_until(same, "the same flows", 10)
            except ovs.OvsError:
                return difference
        finally:
            fresh.end()
        self.count["comparisons"] += 1
        return None

    def _difference(self):
        live, fresh = self._flows(self.live), self._flows(self.twin)
        self.count["flows compared"] += sum(len(flows) for flows in live.values())
        for bridge in live:
            for key in live[bridge].keys() | fresh[bridge].keys():
                ours, theirs = live[bridge].get(key), fresh[bridge].get(key)
                if ours != theirs:
                    return (f"{bridge}, table {key[0]}, priority {key[1]}, match {key[2].hex()}:\n  by edits "
                            f"{ours and (hex(ours[0]), ours[1], ours[2].hex())}\n  fresh    {theirs and (hex(theirs[0]), theirs[1], theirs[2].hex())}")
        return None
