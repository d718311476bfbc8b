"""The laboratory: a real Open vSwitch of the shape that policy.World has, and the real daemon in front of it.

    with Lab(World()) as lab:
        lab.register()
        lab.apply_all()

Everything speaks over unix sockets in the lab's own directory."""

import atexit
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from policy import REGIONS

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "topology"))

import ovs  # noqa: E402

DAEMON = os.environ.get("SALLYPORTD", os.path.join(ROOT, "build", "bin", "sallyportd"))


IDLE_MAX_S = 5  # The daemon closes a connection that is idle for longer than 15 s.


class ApiError(Exception):
    pass


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """One sallyportd with its database in `directory`.  `methods` are those by which it meets bridges, `options` is more of its
    command line, `environment` of its environment, and `prefix` the words before the command, which run it in the same process."""

    ready_s = end_s = 90  # Each is some fsync()s, of which a busy disk may make seconds.

    def __init__(self, directory, name="sallyport"):
        self.directory, self.name, self.options, self.environment, self.prefix = directory, name, [], {}, []
        self.database = os.path.join(directory, name + ".db")
        self.http = os.path.join(directory, name + ".http")
        self.openflow = os.path.join(directory, name + ".of")
        self.methods = ["punix:" + self.openflow]
        self._process = self._connection = None
        self._used = 0.0

    def start(self):
        openflow = [word for method in self.methods for word in ("--openflow", method)]
        with open(os.path.join(self.directory, self.name + ".log"), "ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, DAEMON, "--db", "sqlite:" + self.database, "--http", "unix:" + self.http, *openflow, *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.environment})

        def ready():
            if self._process.poll() is not None:
                raise ApiError(f"sallyportd ended with status {self._process.returncode}:\n{self.log()}")
            try:
                return self.request("GET", "/readyz")[0] == 200
            except OSError:
                return False

        ovs.wait_until(ready, "sallyportd ready", self.ready_s)

    @property
    def pid(self):
        return self._process.pid

    def end(self, number=signal.SIGTERM):
        """Sends the signal, waits for the end and returns the exit status."""
        self._drop()
        self._process.send_signal(number)
        try:
            return self._process.wait(self.end_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def is_running(self):
        return self._process is not None and self._process.poll() is None

    def log(self):
        with open(os.path.join(self.directory, self.name + ".log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def _drop(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(self, method, path, body=None):
        """Status, decoded body or text, headers."""
        if time.monotonic() - self._used > IDLE_MAX_S:
            self._drop()
        self._used = time.monotonic()
        if self._connection is None:
            self._connection = _UnixConnection(self.http, 90)
        try:
            data = None if body is None else json.dumps(body)
            self._connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._drop()
            raise
        kind = answer.getheader("Content-Type", "")
        return answer.status, json.loads(text) if "json" in kind else text.decode(), answer.headers

    def get(self, path):
        status, body, _ = self.request("GET", path)
        if status != 200:
            raise ApiError(f"GET {path}: {status} {body}")
        return body

    def change(self, method, path, body=None, wait=30):
        """A change that every switch has confirmed; anything else is an error."""
        status, answer, headers = self.request(method, f"{path}?wait={wait}", body)
        if status not in (200, 201, 204) or headers["Sallyport-Applied"] != "true":
            raise ApiError(f"{method} {path} {body}: {status} applied={headers['Sallyport-Applied']} {answer}\n" + self.log()[-3000:])
        return answer

    def metric(self, name):
        """The sum of a metric's samples.  `name` without its common prefix."""
        found = [line for line in self.get("/metrics").splitlines() if line.startswith("sallyport_" + name)]
        if not found:
            raise ApiError(f"no metric {name}")
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def rule_body(rule):
    body = {key: value for key, value in rule.items() if key not in ("remote_ip", "remote_group")}
    if rule.get("remote_ip") is not None:
        body["remote_ip"] = str(rule["remote_ip"])
    if rule.get("remote_group") is not None:
        body["remote_group"] = rule["remote_group"].id
    return body


def dpid_text(dpid):
    return f"{dpid:016x}"


class Place:
    """A directory with a switch and a daemon of its own, both gone with the `with` block, also when the way in fails half way.

    start() brings up what is there; who inherits makes it more than nothing.  close() ends what the heir has opened besides."""

    def __init__(self, datapath_type="netdev"):
        self.directory = tempfile.mkdtemp(prefix="sallyport-truth-")
        self.switch = ovs.Ovs(datapath_type)
        self.daemon = Daemon(self.directory)
        atexit.register(self.stop)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.switch.start()
        self.daemon.start()

    def close(self):
        pass

    def stop(self):
        atexit.unregister(self.stop)
        if self.daemon.is_running():
            self.daemon.end()
        self.close()
        self.switch.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Lab(Place):
    def __init__(self, world, datapath_type="netdev"):
        super().__init__(datapath_type)
        self.world = world

    def start(self):
        self.switch.start()
        for name, dpid in self.world.bridges.items():
            self.switch.add_bridge(name, dpid)
        for end in self.world.ends:
            host = self.switch.add_host(end.name, ipv6=False)
            self.switch.add_port(end.bridge, end.name, host, mac=end.mac)
        self.switch.add_patch("br2", "to-br3", "br3", "to-br2")
        self.daemon.options = self.daemon_options()
        self.daemon.start()
        self.connect(self.daemon)

    def daemon_options(self):
        """More of the daemon's command line, once the switch is there."""
        return []

    def connect(self, daemon):
        for name in self.world.bridges:
            self.switch.set_controllers(name, "unix:" + daemon.openflow)

    def await_applied(self, daemon=None, timeout=30):
        """Until all bridges are connected and nothing is pending."""
        daemon = daemon or self.daemon
        wanted = {dpid_text(dpid) for dpid in self.world.bridges.values()}

        def settled():
            bridges = {bridge["dpid"]: bridge for bridge in daemon.get("/v1/bridges")["bridges"]}
            return (wanted <= set(bridges) and all(bridges[dpid]["connected"] for dpid in wanted) and
                    not daemon.get("/v1/status")["pending"])

        ovs.wait_until(settled, "bridges connected and confirmed", timeout)

    def await_active(self, server, timeout=30):
        """Until the switch has confirmed all ports of a server."""
        ovs.wait_until(lambda: all(port["state"] == "active" for port in self.daemon.get(f"/v1/servers/{server.id}")["ports"]),
                       f"ports of {server} active", timeout)

    # The world into the API.

    def port_body(self, port):
        body = {"mac": port.mac, "ips": [str(ip) for ip in port.ips], "bridge": dpid_text(self.world.bridges[port.bridge]),
                "port": port.name, "port_security": port.port_security,
                "allowed_address_pairs": [{"ip": str(pair)} for pair in port.pairs]}
        if port.alias:
            body["allowed_address_pairs"].append({"ip": str(port.alias[0]), "mac": port.alias[1]})
        if port.vlan:
            body["vlan"] = port.vlan
        return body

    def register(self):
        """Regions, groups without rules, bridges and servers without groups."""
        change = self.daemon.change
        for region in REGIONS:
            change("PUT", f"/v1/regions/{region}")
        for group in self.world.groups:
            group.id = change("POST", "/v1/security-groups", {"region": group.region, "name": group.name, "template": "none"})["id"]
        for bridge, dpid in self.world.bridges.items():
            uplinks = {"br1": [self.world.outside.name], "br2": ["to-br3"], "br3": ["to-br2"]}[bridge]
            change("PUT", f"/v1/bridges/{dpid_text(dpid)}", {"uplinks": uplinks})
        for server in self.world.servers:
            server.id = change("POST", "/v1/servers", {
                "region": server.region, "name": server.name, "kind": "vps", "security_groups": [],
                "ports": [self.port_body(port) for port in server.ports]})["id"]
        self.await_applied()

    def request_of(self, thing):
        """The call that brings one Group's rules or one Server's groups to the daemon: method, path, body."""
        if thing in self.world.groups:
            return "PUT", f"/v1/security-groups/{thing.id}/rules", {"rules": [rule_body(rule) for rule in thing.rules]}
        return "PUT", f"/v1/servers/{thing.id}/security-groups", {"security_groups": [group.id for group in thing.groups]}

    def apply(self, thing):
        self.daemon.change(*self.request_of(thing))

    def apply_all(self):
        for thing in self.world.groups + self.world.servers:
            self.apply(thing)

    # The switch.

    def plug_in(self, bridge, name, number):
        """Puts a port on a bridge, with a number that was asked for."""
        self.switch.vsctl("add-port", bridge, name, "--", "set", "interface", name, f"ofport_request={number}", "external_ids:iface-id=" + name)

    @staticmethod
    def number_after(number):
        """Another OpenFlow number for a port that had `number`: a free one that the datapath tells from it, see sallyport/pipeline.h,
        "What may open and close"."""
        return number + 1001

    def forget_connections(self):
        self.switch.appctl("dpctl/flush-conntrack")

    def await_datapath(self):
        """Until the datapath's megaflows have been looked through: a connection that one of before a change lets pass is
        remembered as one that was allowed."""
        self.switch.await_datapath()

    def purge_megaflows(self):
        self.switch.appctl("revalidator/purge")

    def flows(self, bridge):
        """The flows of a bridge without their counters, sorted."""
        text = self.switch.ofctl(["--no-stats", "dump-flows"], bridge)
        return sorted(line.strip() for line in text.splitlines() if "table=" in line or "cookie=" in line)
