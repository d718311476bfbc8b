"""A small installation in front of a real switch: what a daemon says of itself, what the switch has, and what a fresh daemon
on a copy of the database makes of a switch of the same shape."""

import json
import os
import re
import shutil
import signal
import tempfile

import ovs
from faults import DiskDaemon
from flow_dump import Bridge
from lab import Daemon, dpid_text

DPID = 0xd1
PORTS = [f"p{i}" for i in range(1, 6)]
FILES = ("", "-wal", "-journal", "-seal")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r'"\d{4}-\d\d-\d\dT[^"]*Z"')
LISTS = ("regions", "security_groups", "servers", "bridges")


class Switch:
    """One bridge whose ports are loose patch ports: they need no namespace, and no packet is sent here."""

    def __init__(self):
        self.ovs = ovs.Ovs()

    def __enter__(self):
        try:
            self.ovs.start()
            self.ovs.add_bridge("br1", DPID)
            self.ovs.vsctl(*[word for number, name in enumerate(PORTS, 1) for word in (
                "--", "add-port", "br1", name, "--", "set", "interface", name, "type=patch", f"options:peer=no-{name}",
                f"ofport_request={number}")])
        except BaseException:
            self.ovs.stop()
            raise
        return self

    def __exit__(self, *_):
        self.ovs.stop()

    @property
    def path(self):
        return self.ovs.path("br1.mgmt")

    def flows(self):
        connection = Bridge(self.path)
        try:
            return connection.flows()
        finally:
            connection.close()

    def wipe(self):
        connection = Bridge(self.path)
        connection.delete_all()
        connection.close()


def is_settled(daemon):
    status = daemon.get("/v1/status")
    bridge = next((one for one in status["bridges"] if one["dpid"] == dpid_text(DPID)), None)
    return (bridge is not None and bridge["connected"] and not status["pending"] and
            bridge["flows"]["desired"] == bridge["flows"]["installed"] > 0)


def settle(daemon):
    ovs.wait_until(lambda: is_settled(daemon), "everything is in force", 30)


def objects(daemon):
    """Everything that people have made, as the daemon tells it."""
    found = [daemon.get(f"/v1/{name.replace('_', '-')}")[name] for name in LISTS]
    for bridge in found[-1]:
        for key in ("connected", "peer", "version", "ports", "flows", "revision", "last_error", "name"):
            bridge.pop(key, None)
    for server in found[2]:
        for port in server["ports"]:
            port.pop("state")
    return found


def shape(found):
    """The same without what differs between two that were made alike: ids, times, and what is in their order."""
    text, names = json.dumps(found), {}
    for group in found[1]:
        names[group["id"]] = "group " + group["name"]
        names.update((rule["id"], f"rule {number} of {group['name']}") for number, rule in enumerate(group["rules"]))
    for server in found[2]:
        names[server["id"]] = "server " + server["name"]
        names.update((port["id"], "port " + port["mac"]) for port in server["ports"])
    text = TIME.sub("null", UUID.sub(lambda match: names.get(match[0], match[0]), text))

    def arrange(value):
        if isinstance(value, dict):
            return {key: one if key == "rules" else arrange(one) for key, one in value.items()}
        return sorted((arrange(one) for one in value), key=json.dumps) if isinstance(value, list) else value

    return arrange(json.loads(text))


class Scene:
    """`live` is the switch that the daemon under test serves, `twin` the one of fresh daemons."""

    def __init__(self, live, twin):
        self.live, self.twin = live, twin
        self.directory = tempfile.mkdtemp(prefix="sallyport-fault-")
        self.daemon = DiskDaemon(self.directory)
        self.daemon.options = ["--openflow", "unix:" + live.path]
        self.base = os.path.join(self.directory, "base.db")
        self.ids = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def end(self):
        if self.daemon.is_running():
            self.daemon.end(signal.SIGKILL)

    def fill(self):
        """Two groups, three servers, some of the bridge's ports; what it is made of is kept as the base."""
        self.daemon.start()
        change = self.daemon.change
        change("PUT", "/v1/regions/SV2")
        change("PUT", f"/v1/bridges/{dpid_text(DPID)}", {"uplinks": ["p5"]})
        web = change("POST", "/v1/security-groups", {"region": "SV2", "name": "web", "default": True, "rules": [
            {"direction": "inbound", "protocol": "tcp", "port_min": port} for port in (80, 443, 8080)]})
        database = change("POST", "/v1/security-groups", {"region": "SV2", "name": "db", "rules": [
            {"direction": "inbound", "protocol": "tcp", "port_min": 5432, "remote_group": web["id"]},
            {"direction": "outbound", "protocol": "any"}]})
        self.ids = {"web": web["id"], "db": database["id"], "rule": web["rules"][0]["id"]}
        for number, groups in enumerate(([web["id"]], [web["id"]], [database["id"], web["id"]]), 1):
            self.ids[f"vm{number}"] = change("POST", "/v1/servers", self.server(number, groups))["id"]
        settle(self.daemon)
        self.daemon.end()
        self.copy(self.daemon.database, self.base)

    @staticmethod
    def server(number, groups):
        return {"region": "SV2", "name": f"vm{number}", "security_groups": groups, "ports": [
            {"bridge": dpid_text(DPID), "port": f"p{number}", "mac": f"02:d1:00:00:00:{number:02x}", "ips": [f"10.9.0.{number}"]}]}

    @staticmethod
    def copy(source, target):
        for ending in FILES:
            if os.path.exists(target + ending):
                os.unlink(target + ending)
            if os.path.exists(source + ending):
                shutil.copyfile(source + ending, target + ending)

    def restore(self):
        """The daemon is gone, and its database is the base again."""
        self.end()
        self.copy(self.base, self.daemon.database)

    def fresh_flows(self, database):
        """What a daemon that has never spoken to the switch makes of a copy of `database`."""
        copy = os.path.join(self.directory, "fresh.db")
        self.copy(database, copy)
        self.twin.wipe()
        fresh = Daemon(self.directory, "fresh")
        fresh.options = ["--openflow", "unix:" + self.twin.path]
        fresh.start()
        try:
            settle(fresh)
            return self.twin.flows()
        finally:
            fresh.end(signal.SIGKILL)
