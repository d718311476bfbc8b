"""Item 11: requests per second."""

import contextlib
import os
import subprocess

import measure
import one_bridge
import ovs as topology
import workload
from measure import median

REGION = one_bridge.REGION
CLIENTS = (1, 10, 100)


def less(ours, theirs):
    """The part of the yardstick that ours reaches."""
    return ours / theirs


@contextlib.contextmanager
def hello(folder, size):
    """A server of the library alone; yields its address and its process."""
    path = os.path.join(folder, "hello.sock")
    child = subprocess.Popen([os.path.join(measure.TOOLS, "raw_http"), path, str(size)], stdin=subprocess.PIPE,
                             preexec_fn=topology._die_with_parent)
    try:
        topology.wait_until(lambda: topology.listens(path), "the plain server listens")
        yield f"unix:{path}", measure.Process(child.pid)
    finally:
        child.stdin.close()
        child.wait()
        os.unlink(path)


def serve(report, settings):
    with one_bridge.Bridge(settings.ports, workload.ranges(settings.rules)) as bridge:
        bridge.fill()
        bridge.connect_and_wait()
        reads(report, settings, bridge)
        writes(report, settings, bridge)


def reads(report, settings, bridge):
    servers = [server["id"] for server in bridge.ours.call("GET", "/v1/servers")["servers"]]
    requests = [("GET", f"/v1/servers/{server}") for server in servers]
    size = len(bridge.ours.api._opener.open("http://localhost" + requests[0][1]).read())
    with hello(bridge.ours.directory, size) as (address, process):
        for clients in CLIENTS:
            ours, raw, cpu, raw_cpu = [], [], [], []
            p99 = []
            for _ in range(settings.rounds):
                before = bridge.ours.process.cpu_s()
                result = bridge.ours.load(requests, clients, settings.load_s)
                cpu.append((bridge.ours.process.cpu_s() - before) / result["answers"])
                ours.append(result["rate"])
                p99.append(result["p99"])
                before = process.cpu_s()
                result = measure.http_load(address, requests, clients, settings.load_s)
                raw_cpu.append((process.cpu_s() - before) / result["answers"])
                raw.append(result["rate"])
            report.add("11", f"GET of a server, {clients} clients", ours, "/s", "libmicrohttpd alone", raw, less, better=max,
                       note=f"p99 {median(p99) * 1e3:.2f} ms")
            report.add("11", f"GET of a server, {clients} clients: CPU each", cpu, "s", "libmicrohttpd alone", raw_cpu, measure.times)


def writes(report, settings, bridge):
    """Rules added, each durable and confirmed by the switch; the database alone, with as many rows in a transaction as clients."""
    path = f"/v1/security-groups/{bridge.groups[0]}/rules"
    n = 0
    for clients in CLIENTS:
        ours, raw, p99, commits = [], [], [], []
        for _ in range(settings.rounds):
            each = settings.changes // settings.rounds * (1 if clients == 1 else 5)
            before = bridge.ours.metrics()["sallyport_store_commits_total"]
            requests = [("POST", path + "?wait=60", one_bridge.extra_rule(n + i).sallyport()) for i in range(each)]
            result = bridge.ours.load(requests, clients, ids=True)
            if result["applied"] != result["answers"]:
                raise SystemExit("not all changes were confirmed in time")
            n += each
            ours.append(result["rate"])
            p99.append(result["p99"])
            commits.append(result["answers"] / (bridge.ours.metrics()["sallyport_store_commits_total"] - before))
            raw.append(clients / median(measure.raw_commit_s(bridge.ours.directory, 60, clients)))
            bridge.ours.load([("DELETE", f"{path}/{rule}?wait=60") for rule in result["ids"]], clients)
        report.add("11", f"rule added, confirmed, {clients} clients", ours, "/s", f"SQLite alone, {clients} rows a commit", raw, less, better=max,
                   note=f"p99 {median(p99) * 1e3:.1f} ms; {median(commits):.1f} changes a commit")
