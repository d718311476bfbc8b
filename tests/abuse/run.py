"""One daemon, two good switches and a good client of the HTTP interface; beside them one kind of abuse after the other.

For each it prints how long the good client's requests and the good switches' echoes took meanwhile (median, 99th percentile, the
longest, in milliseconds), and the daemon's memory (MiB, at the end and at most so far) and descriptors.  It fails if the daemon
ends, a good request or connection fails, or if at the end a good switch has other flows than one that begins anew gets.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import resource
import shutil
import socket
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP), str(TOP / "tests/api"), str(TOP / "tests/abuse")]

import daemon as sallyport  # noqa: E402
import peer as of  # noqa: E402

GOOD = (0xa1, 0xa2)
BAD = 0xbad
POST = b"POST /v1/security-groups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


class Target:
    """What an attacker knows of the daemon."""

    def __init__(self, daemon, arguments):
        host, port = daemon.address.rsplit(":", 1)
        self.http = (host, int(port))
        self.openflow = daemon.openflow
        self.until = 0.0
        self.arguments = arguments

    def goes_on(self):
        return time.monotonic() < self.until

    def connect(self):
        return socket.create_connection(self.http, timeout=30)


# Each runs in a process of its own until its time is over.

def idle_connections(target):
    """So many connections that say nothing, opened anew as they are closed."""
    held = []
    while target.goes_on():
        if len(held) == target.arguments.idle:
            held.pop(0).close()
        held.append(target.connect())


def drip(target, head, drop):
    """Five hundred requests that come a byte at a time."""
    wires = []
    while target.goes_on():
        while len(wires) < 500:
            wires.append(target.connect())
            wires[-1].sendall(head)
        for wire in list(wires):
            try:
                wire.sendall(drop)
            except OSError:
                wires.remove(wire)
        time.sleep(0.05)


def slow_headers(target):
    drip(target, b"GET /healthz HTTP/1.1\r\nX: ", b"a")


def slow_bodies(target):
    drip(target, POST + b"Content-Length: 1000000\r\n\r\n", b" ")


def storm(target, data):
    """One connection after the other, each with the same bytes, whatever comes back."""
    while target.goes_on():
        with contextlib.suppress(OSError), target.connect() as wire:
            wire.sendall(data)
            wire.recv(65536)


def noise(target):
    storm(target, b"\x16\x03\x01" + bytes(range(256)) * 20)


def deep_json(target):
    body = b"[" * (1 << 20)
    storm(target, POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def wide_json(target):
    body = b'{"rules":[' + b",".join([b"{}"] * 300000) + b"]}"
    storm(target, POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def answers_unread(target):
    """Each asks for the same long answer again and again and reads nothing."""
    wires = [target.connect() for _ in range(200)]
    while target.goes_on():
        for number, wire in enumerate(wires):
            wire.setblocking(False)
            try:
                wire.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            except BlockingIOError:
                pass
            except OSError:
                wires[number] = target.connect()
        time.sleep(0.02)


def events_unread(target):
    """Subscribers that never read, while regions come and go."""
    wires = []
    for _ in range(120):
        wires.append(target.connect())
        wires[-1].sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    client = sallyport.Client("%s:%d" % target.http)
    while target.goes_on():
        client.put("/v1/regions/E")
        client.delete("/v1/regions/E")


def half_open(target):
    """So many connections of switches that never say a word, and some that say hello."""
    held = []
    while target.goes_on():
        if len(held) == target.arguments.half_open:
            held.pop(0).close()
        try:
            held.append(of.Wire(target.openflow))
            if len(held) % 2:
                held[-1].send(of.hello())
        except OSError:
            time.sleep(0.01)


def flood(target, data):
    """A bridge that sends the same for ever, and comes back if it is thrown out."""
    while target.goes_on():
        with contextlib.suppress(OSError, TypeError):  # TypeError: closed in the handshake.
            wire = of.Wire(target.openflow)
            wire.handshake(BAD)
            while target.goes_on():
                wire.send(data)


def packets(target):
    flood(target, of.message(of.PACKET_IN, b"\xff\xff\xff\xff\0\x3c" + b"\0" * 16 + b"\0\1\0\4" + b"\0" * 66) * 500)


def port_changes(target):
    flood(target, b"".join(of.port_status(number, b"p%d" % number, number % 3) for number in range(2, 600)))


def errors(target):
    flood(target, of.message(of.ERROR, b"\0\1\0\1" + of.hello()) * 500)


def echoes(target):
    flood(target, of.message(of.ECHO_REQUEST, b"x" * 1000) * 500)


def endless_ports(target):
    """A million ports, a thousand a part."""
    while target.goes_on():
        with contextlib.suppress(OSError, TypeError):
            wire = of.Wire(target.openflow)
            wire.send(of.hello())
            wire.send(of.features(BAD, of.xid_of(wire.take_kind(of.FEATURES_REQUEST))))
            wire.send(of.description(of.xid_of(wire.take_kind(of.MULTIPART_REQUEST))))
            xid = of.xid_of(wire.take_kind(of.MULTIPART_REQUEST))
            for first in range(0, 1000000, 1000):
                wire.send(of.multipart(of.PORTS, b"".join(of.port(first + i, b"p") for i in range(1000)), xid, more=True))


def same_bridge(target):
    """Comes with the id of a good switch, again and again."""
    while target.goes_on():
        with contextlib.suppress(OSError, TypeError):
            wire = of.Wire(target.openflow)
            wire.handshake(GOOD[0])
            wire.is_closed()


def stops_reading(target):
    """A server on a bridge with so many flows, which reads nothing of them; the others' rules change meanwhile."""
    client = sallyport.Client("%s:%d" % target.http)
    n_rules = target.arguments.flows // 30 + 1
    rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 1, "port_max": 65534, "remote_ip": f"10.{i >> 8}.{i & 255}.0/24"}
             for i in range(n_rules)]
    rules.append({"direction": "inbound", "protocol": "tcp", "port_min": 65535})  # No nest then: 30 flows each.
    group = client.post("/v1/security-groups?wait=0", {"region": "B", "name": "big", "rules": rules}).json["id"]
    wire = of.Wire(target.openflow)
    wire.handshake(BAD)
    server = client.post("/v1/servers?wait=0", {"region": "B", "name": "bad", "security_groups": [group], "ports": [
        {"mac": "02:00:00:00:0b:ad", "ips": ["10.0.0.66"], "bridge": f"{BAD:016x}", "port": "p1"}]}).json["id"]
    while (taken := wire.take_kind(of.MULTIPART_REQUEST))[9] != of.FLOWS:
        wire.send(of.no_such_multipart(taken))
    wire.send(of.multipart(of.FLOWS, b"", of.xid_of(taken)))
    n_desired = 0
    while target.goes_on():
        n_desired = max(n_desired, client.get(f"/v1/bridges/{BAD:016x}").json["flows"]["desired"])
        time.sleep(0.2)
    print(f"    {n_desired} flows for the switch that does not read", flush=True)
    client.delete(f"/v1/servers/{server}?wait=0")


ABUSES = [idle_connections, slow_headers, slow_bodies, noise, deep_json, wide_json, answers_unread, events_unread, half_open, packets,
          port_changes, errors, echoes, endless_ports, same_bridge, stops_reading]


class Measure:
    """The good ones at work."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.client = daemon.client()
        self.client.put("/v1/regions/A")
        self.client.put("/v1/regions/B")
        self.peers = [of.Peer(daemon.openflow, dpid, ["p1", "p2"]) for dpid in GOOD]
        for number, dpid in enumerate(GOOD, 1):
            answer = self.client.post("/v1/servers", {"region": "A", "name": f"vm{number}", "ports": [
                {"mac": f"02:00:00:00:00:{number:02x}", "ips": [f"10.0.0.{number}"], "bridge": f"{dpid:016x}", "port": "p1"}]})
            assert answer.status in (201, 202), answer
        for one in self.peers:
            one.wait_ready()

    def run(self, until):
        """Times of requests and of echoes."""
        for one in self.peers:
            one.echo_s.clear()
        times = []

        def ask():
            client = self.daemon.client()
            while time.monotonic() < until:
                begin = time.monotonic()
                try:
                    answer = client.get("/v1/security-groups?region=A")
                except (OSError, sallyport.http.client.HTTPException):
                    client.close()  # It may have lost its place between two requests; then the next is on a new connection.
                    answer = client.get("/v1/security-groups?region=A")
                assert answer.status == 200, answer
                times.append(time.monotonic() - begin)
                time.sleep(0.01)
            client.close()
            finished.append(True)

        finished = []
        thread = threading.Thread(target=ask)
        thread.start()
        while time.monotonic() < until:
            for one in self.peers:
                one.echo()
            time.sleep(0.01)
        thread.join()
        assert finished, "a good client has failed"
        assert not any(one.is_ended.is_set() or one.unexpected for one in self.peers), "a good switch has lost its connection"
        return times, [time_s for one in self.peers for time_s in one.echo_s]

    def check(self):
        """Each good switch has what a new one of its id gets."""
        for one in self.peers:
            had = dict(one.table)
            one.close()
            fresh = of.Peer(self.daemon.openflow, one.dpid, ["p1", "p2"])
            deadline = time.monotonic() + 30
            while fresh.table != had and time.monotonic() < deadline:
                time.sleep(0.05)
            assert fresh.table == had, f"{len(had)} flows, and {len(fresh.table)} in a new switch"
            assert had
            fresh.close()


def describe(times):
    times = sorted(times)
    return " ".join(f"{1000 * times[min(int(share * len(times)), len(times) - 1)]:8.2f}" for share in (0.5, 0.99, 1)) if times else "none"


def memory(pid):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def attack(abuse, target):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    abuse(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("abuses", nargs="*", help="default: all, and none first: " + " ".join(one.__name__ for one in ABUSES))
    parser.add_argument("--seconds", type=float, default=20, help="for each (default 20)")
    parser.add_argument("--idle", type=int, default=10000, help="idle connections (default 10,000)")
    parser.add_argument("--half-open", type=int, default=2000, help="half-open handshakes (default 2,000)")
    parser.add_argument("--flows", type=int, default=100000, help="for the switch that does not read (default 100,000)")
    arguments = parser.parse_args()
    chosen = [one for one in ABUSES if not arguments.abuses or one.__name__ in arguments.abuses]
    directory = tempfile.mkdtemp(prefix="sp-abuse-", dir="/tmp")
    daemon = sallyport.Daemon(directory).start()
    try:
        measure, target = Measure(daemon), Target(daemon, arguments)
        three = f"{'median':>8} {'p99':>8} {'max':>8}"
        print(f"{'':18}{'requests':>9} {three}  {'echoes':>7} {three}  {'MiB':>6} {'most':>6} {'files':>6}")
        for abuse in [None, *chosen]:
            target.until = time.monotonic() + arguments.seconds
            process = multiprocessing.Process(target=attack, args=(abuse, target)) if abuse else None
            if process:
                process.start()
            requests, echoed = measure.run(target.until)
            resident, most = memory(daemon.process.pid)
            n_files = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
            if process:
                process.join(60)
                assert process.exitcode == 0, f"{abuse.__name__} ended with {process.exitcode}"
            name = abuse.__name__ if abuse else "nothing"
            print(f"{name:18}{len(requests):9} {describe(requests)}  {len(echoed):7} {describe(echoed)}  "
                  f"{resident:6.1f} {most:6.1f} {n_files:6}", flush=True)
            assert daemon.process.poll() is None, daemon.text()
        measure.check()
        assert daemon.client().get("/readyz").status == 200
        assert daemon.stop() == 0
        print(json.dumps({"abuses": len(chosen), "seconds": arguments.seconds, "failures": 0}))
    finally:
        daemon.close()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
