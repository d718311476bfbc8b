"""Sallyport under measurement: the daemon as it is built, on a database of its own."""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import measure
import workload

sys.path.insert(0, os.path.join(measure.TOP, "topology"))

import ovs as topology  # noqa: E402
import register  # noqa: E402

_libc = ctypes.CDLL(None, use_errno=True)
SYS_PIDFD_GETFD = 438
PROGRAM = os.path.join(measure.BUILD, "bin/sallyportd")


class Sallyport:
    """`with Sallyport() as ours:`; bridges connect to `ours.listen`.  `folder`: where the database is; in memory (/dev/shm) where a million
    objects are made for something else to be measured."""

    def __init__(self, log_level="warning", folder=None):
        self._log_level = log_level
        self._folder = folder
        self._child = None
        self.directory = None

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="sallyport-bench-", dir=self._folder)
        self.http = f"unix:{self.directory}/http.sock"
        self.listen = f"punix:{self.directory}/openflow.sock"
        self.dial = f"unix:{self.directory}/openflow.sock"
        self.api = register.Api(self.http)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, timeout=300):
        with open(os.path.join(self.directory, "log"), "a", encoding="utf-8") as log:
            self._child = subprocess.Popen([PROGRAM, "--db", f"sqlite:{self.directory}/sallyport.db", "--http", self.http,
                                            "--openflow", self.listen, "--log-level", self._log_level],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=topology._die_with_parent)
        self.process = measure.Process(self._child.pid)
        self.wait_until(self._is_ready, "ready to serve", timeout)

    def stop(self):
        if self._child and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(60)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    def _is_ready(self):
        if self._child.poll() is not None:
            raise SystemExit(f"sallyportd ended with status {self._child.returncode}:\n{self.log()}")
        with contextlib.suppress(OSError, register.Refused):
            return self.api.call("GET", "/readyz")[0] == 200
        return False

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_until(self, condition, what, timeout=120, pause_s=0.002):
        deadline = time.monotonic() + timeout
        while True:
            result = condition()
            if result:
                return result
            if time.monotonic() > deadline:
                raise SystemExit(f"{what}: not within {timeout} s\n{self.log()[-2000:]}")
            time.sleep(pause_s)

    def call(self, method, path, body=None):
        return self.api.call(method, path, body)[2]

    def metrics(self):
        """The metrics without labels, and those with labels summed."""
        values = {}
        for line in self.api.get("/metrics").splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = name.split("{", 1)[0]
                values[name] = values.get(name, 0) + float(value)
        return values

    def load(self, requests, clients=1, seconds=0, ids=False, pause_ms=0):
        """measure.http_load() here, with the ids of what was answered under "ids" if asked for.  No answer may be a refusal."""
        requests = list(requests)
        path = os.path.join(self.directory, "ids") if ids else None
        result = measure.http_load(self.http, requests, clients, seconds, path, pause_ms)
        refused = {status: n for status, n in result["statuses"].items() if not status.startswith("2")}
        if refused:
            raise SystemExit(f"refused: {refused}, of {str(requests[0])[:200]} and others")
        if ids:
            with open(path, encoding="utf-8") as file:
                result["ids"] = file.read().split("\n")[:-1]
        return result

    # Objects.

    def make_group(self, region, name, rules):
        """A group with `rules` (workload.Rule) and, if none of them is outbound, outbound any; returns its id."""
        outbound = [] if any(rule.outbound for rule in rules) else [{"direction": "outbound", "protocol": "any"}]
        return self.call("POST", "/v1/security-groups?wait=0", {
            "region": region, "name": name, "rules": [rule.sallyport() for rule in rules] + outbound})["id"]

    @staticmethod
    def server(region, groups, i, dpid, port):
        """The body that makes server number `i` (from 0) at a bridge's port."""
        return {"region": region, "name": f"s{i}", "security_groups": groups,
                "ports": [{"bridge": f"{dpid:016x}", "port": port, "mac": workload.mac(i), "ips": [workload.ip(i)]}]}

    def make_servers(self, region, groups, places, clients=16):
        """A server for each place (number, dpid, port name), unconfirmed.  Returns what http_load() says."""
        return self.load((("POST", "/v1/servers?wait=0", self.server(region, groups, i, dpid, port)) for i, dpid, port in places),
                         clients=clients)

    # Bridges.

    def is_in_step(self, n_bridges=1):
        """Every bridge is connected and has confirmed what it should have."""
        metrics = self.metrics()
        return (metrics.get("sallyport_bridges_connected", 0) >= n_bridges and not metrics.get("sallyport_bridge_pending", 0)
                and 0 < metrics["sallyport_bridge_flows_desired"] == metrics["sallyport_bridge_flows_installed"])

    def await_in_step(self, n_bridges=1, timeout=300, pause_s=0.002):
        self.wait_until(lambda: self.is_in_step(n_bridges), "the bridges are in step", timeout, pause_s)

    def break_connection(self):
        """Shuts down the connections of all bridges, as a broken network would.  Returns how many there were."""
        path = self.listen.split(":", 1)[1]
        n = 0
        pidfd = os.pidfd_open(self._child.pid)
        for name in os.listdir(f"/proc/{self._child.pid}/fd"):
            fd = _libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                continue
            with contextlib.suppress(OSError), socket.socket(fileno=fd) as sock:
                if sock.family == socket.AF_UNIX and sock.getsockname() == path and not sock.getsockopt(socket.SOL_SOCKET,
                                                                                                        socket.SO_ACCEPTCONN):
                    sock.shutdown(socket.SHUT_RDWR)
                    n += 1
        os.close(pidfd)
        return n
