"""OpenFlow and OVSDB over TLS with a real ovs-vswitchd: who may connect, as which datapath, and what a reload does.

The daemon stands in the switch's namespace, so that both speak over its loopback; HTTP goes over a unix socket."""

import os
import re
import signal
import subprocess
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "api"))

from daemon import Client, Daemon  # noqa: E402
from pki import Pki  # noqa: E402
from test_daemon import poll  # noqa: E402

DPID = "00000000000000e1"
OTHER = "00000000000000e2"


class TlsDaemon(Daemon):
    """Listens for TLS on a port that the kernel chose, in the namespace `netns`."""

    def __init__(self, directory, netns, port, *options):
        super().__init__(directory, "--openflow", f"pssl:{port}:127.0.0.1", *options)
        self.netns = netns

    def command(self):
        words = super().command()
        at = words.index("127.0.0.1:0")
        return ["ip", "netns", "exec", self.netns, *words[:at - 1], *words[at + 1:]]

    def _is_ready(self):
        try:
            return self.client().get("/readyz").status == 200
        except OSError:
            return False

    def client(self, **options):
        return Client("unix:" + self.socket, **options)

    def bridge(self, dpid=DPID):
        bridges = {bridge["dpid"]: bridge for bridge in self.client().get("/v1/bridges").json["bridges"]}
        return bridges.get(dpid)

    def metric(self, name):
        text = self.client().get("/metrics").body.decode()
        return int(re.search(rf"^{name} (\d+)$", text, re.M).group(1))


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


class Site:
    PORT = 6653  # Of a namespace that nobody else is in.

    def __init__(self, ovs, directory, pki):
        self.ovs = ovs
        self.directory = str(directory)
        self.pki = pki
        self.daemon = None
        ovs.add_bridge("br0", dpid=int(DPID, 16))

    def start(self, *options):
        self.daemon = TlsDaemon(self.directory, self.ovs.netns, self.PORT, *self.pki.controller(), *options).start()
        assert self.daemon.client().put(f"/v1/bridges/{DPID}").status in (200, 201, 202)
        return self.daemon

    def be(self, name, kind="switch", ca="controller"):
        """The switch's credentials from now on."""
        key, certificate = self.pki.issue(name, kind)
        self.ovs.vsctl("set-ssl", key, certificate, self.pki.ca(ca))

    def connect(self, target=None):
        self.ovs.set_controllers("br0", target or f"ssl:127.0.0.1:{self.PORT}")

    def connected(self):
        def look():
            bridge = self.daemon.bridge()
            return bridge and bridge["connected"] and bridge["flows"]["desired"] == bridge["flows"]["installed"] > 0 and bridge
        return poll(look, "the bridge is connected and has its flows")

    def logged(self, pattern):
        poll(lambda: re.search(pattern, self.daemon.text()), f"the log says {pattern}")

    def refused(self, pattern):
        """The switch has been turned away for this reason, and nothing of it is to be seen."""
        self.logged(pattern)
        assert not self.daemon.bridge()["connected"]
        assert not self.daemon.bridge(OTHER)
        assert self.daemon.metric("sallyport_flow_mods_sent_total") == 0

    def inside(self, code, *arguments):
        """Runs Python in the switch's namespace."""
        return subprocess.run(["ip", "netns", "exec", self.ovs.netns, sys.executable, "-c", code, *map(str, arguments)],
                              capture_output=True, text=True, timeout=60)

    def close(self):
        if self.daemon:
            self.daemon.close()
        self.ovs.vsctl("--if-exists", "del-br", "br0")
        self.ovs.vsctl("del-ssl")
        self.ovs.vsctl("del-manager")


@pytest.fixture
def site(ovs, tmp_path, pki):
    one = Site(ovs, tmp_path, pki)
    yield one
    one.close()


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return str(path)


def test_a_certificate_that_is_named_by_its_datapath(site):
    site.start()
    site.be(DPID)
    site.connect()
    assert site.connected()["peer"].startswith("ssl:127.0.0.1:")
    assert "authenticates nobody" not in site.daemon.text()


def test_a_certificate_of_another_datapath(site):
    """Neither its own bridge nor anybody else's."""
    site.start()
    site.be(OTHER)
    site.connect()
    site.refused(f'its certificate may not be datapath {DPID}: "{OTHER}", sha256:[0-9a-f]{{64}}')


def test_names_and_the_peer_file(site, tmp_path):
    """A name that is no datapath may be nothing until the file says so; and what it said is taken back without a restart, from
    this connection alone."""
    peers = write(tmp_path / "peers", "other 00000000000000ff\n")
    site.start("--peer-file", peers)
    site.be("hv1")
    site.connect()
    site.refused(f'may not be datapath {DPID}: "hv1"')
    write(peers, f"hv1 {OTHER} {DPID}\n")
    site.daemon.process.send_signal(signal.SIGHUP)
    first = site.connected()
    write(peers, f"hv1 {DPID}\n")
    site.daemon.process.send_signal(signal.SIGHUP)
    poll(lambda: site.daemon.text().count("reloaded") == 2, "reloaded")
    assert site.daemon.bridge()["peer"] == first["peer"]
    write(peers, "hv1 nonsense\n")
    site.daemon.process.send_signal(signal.SIGHUP)
    site.logged("not reloaded: peer file .*: line 1: ")
    assert site.daemon.bridge()["peer"] == first["peer"]
    write(peers, "hv1\n")
    site.daemon.process.send_signal(signal.SIGHUP)
    poll(lambda: not site.daemon.bridge()["connected"], "the connection is closed")
    assert site.ovs.ofctl("dump-flows", "br0").count("cookie=") > 10  # The flows stay.


def test_a_new_certificate_without_a_pause(site, tmp_path):
    """Key, certificate and CA are other ones after a reload; the connection is the same, and a new one is judged by them."""
    key, certificate = site.pki.issue("controller", "controller")
    new_key, new_certificate = site.pki.issue("controller2", "controller")
    paths = {}
    for name, source in (("key", key), ("certificate", certificate), ("ca", site.pki.ca("switch"))):
        paths[name] = write(tmp_path / name, open(source, encoding="utf-8").read())
    site.daemon = TlsDaemon(site.directory, site.ovs.netns, site.PORT, "--private-key", paths["key"], "--certificate",
                            paths["certificate"], "--ca-cert", paths["ca"]).start()
    assert site.daemon.client().put(f"/v1/bridges/{DPID}").status in (200, 201, 202)
    site.be(DPID)
    site.connect()
    first = site.connected()

    write(paths["key"], open(new_key, encoding="utf-8").read())
    site.daemon.process.send_signal(signal.SIGHUP)
    site.logged("not reloaded: .*key is not the certificate's private key|not reloaded: .*key cannot be read as the certificate's")
    write(paths["certificate"], open(new_certificate, encoding="utf-8").read())
    write(paths["ca"], open(site.pki.ca("controller"), encoding="utf-8").read())  # Who signs no switch.
    site.daemon.process.send_signal(signal.SIGHUP)
    site.logged("INFO main: reloaded")
    assert site.daemon.bridge()["peer"] == first["peer"]
    assert site.daemon.client().put("/v1/regions/A").status == 201
    seen = site.inside("import ssl, sys; print(ssl.get_server_certificate(('127.0.0.1', int(sys.argv[1]))))", site.PORT)
    assert seen.stdout.split() == open(new_certificate, encoding="utf-8").read()[
        open(new_certificate, encoding="utf-8").read().index("-----BEGIN"):].split()
    site.ovs.vsctl("del-controller", "br0")
    poll(lambda: not site.daemon.bridge()["connected"], "the switch has gone")
    site.connect()
    site.logged("the peer's certificate: unable to get (local )?issuer certificate|the peer's certificate: self.signed")
    assert not site.daemon.bridge()["connected"]


def test_certificates_that_are_not_believed(site, tmp_path):
    site.start()
    # Of the controllers' CA, which signs no switches.
    site.be("rogue", kind="controller")
    site.connect()
    site.refused("TLS: the peer's certificate: ")
    # One that has run out, of the right CA.
    ca = os.path.dirname(site.pki.ca("switch"))
    key, request, certificate = (str(tmp_path / name) for name in ("old.key", "old.req", "old.pem"))
    for command in (["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj",
                     f"/O=Open vSwitch/CN={DPID}"],
                    ["openssl", "ca", "-config", "ca.cnf", "-batch", "-notext", "-in", request, "-out", certificate,
                     "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]):
        subprocess.run(command, check=True, cwd=ca, capture_output=True)
    site.ovs.vsctl("set-ssl", key, certificate, site.pki.ca("controller"))
    site.refused("TLS: the peer's certificate: certificate has expired")


def test_clients_that_are_no_switches(site):
    """Plain OpenFlow, TLS without a certificate, TLS 1.1, and one that stops in the middle: each is turned away, is told nothing
    but an alert, and a switch that may still gets in."""
    site.start()
    code = """
import socket, ssl, sys
port = int(sys.argv[1])
plain = socket.create_connection(("127.0.0.1", port))
plain.sendall(bytes.fromhex("0500000800000001"))
plain.settimeout(20)
said = plain.recv(100)
assert said[:1] in (b"", b"\\x15"), said
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
for limit in (None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1):
    if limit:
        context.maximum_version = limit
    if limit == ssl.TLSVersion.TLSv1_1:
        context.minimum_version = limit
        context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        stranger = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        stranger.settimeout(20)
        said = stranger.recv(100)
        assert not said, said
    except OSError as error:
        print(error)
half = socket.create_connection(("127.0.0.1", port))
half.sendall(bytes.fromhex("1603010200"))
half.settimeout(60)
while half.recv(100):
    pass
print("done")
"""
    done = site.inside(code, site.PORT)
    assert "done" in done.stdout, done
    for words in ("wrong version number", "peer did not return a certificate", "unsupported protocol", "the handshake took too long"):
        assert words in site.daemon.text()
    site.be(DPID)
    site.connect()
    site.connected()


def test_the_daemon_dials(site):
    """A bridge that listens; and one that shows the certificate of another datapath."""
    site.be(DPID)
    site.connect("pssl:6700:127.0.0.1")
    key, certificate = site.pki.issue("controller", "controller")
    site.daemon = TlsDaemon(site.directory, site.ovs.netns, site.PORT, *site.pki.controller(), "--openflow", "ssl:127.0.0.1:6700").start()
    assert site.daemon.client().put(f"/v1/bridges/{DPID}").status in (200, 201, 202)
    assert site.connected()["peer"] == "ssl:127.0.0.1:6700"
    site.daemon.stop()
    site.be(OTHER)
    site.ovs.vsctl("del-controller", "br0")
    site.connect("pssl:6700:127.0.0.1")
    site.daemon.start()
    site.logged(f'its certificate may not be datapath {DPID}: "{OTHER}"')
    assert not site.daemon.bridge()["connected"]


def test_ovsdb_is_believed_about_its_own_bridges(site, tmp_path):
    """One database, told over TLS: of two bridges the certificate may be one, and only that one's interface is found."""
    peers = write(tmp_path / "peers", f"hv1 {DPID}\n")
    site.be("hv1")
    site.start("--peer-file", peers, "--ovsdb", "pssl:6640:127.0.0.1")
    site.ovs.add_bridge("br1", dpid=int(OTHER, 16))
    for bridge, name in (("br0", "tap0"), ("br1", "tap1")):
        site.ovs.vsctl("add-port", bridge, name, "--", "set", "interface", name, "type=internal", f"external_ids:iface-id={name}-id")
    site.connect()
    site.connected()
    site.ovs.vsctl("set-manager", "ssl:127.0.0.1:6640")
    client = site.daemon.client()
    assert client.put("/v1/regions/A").status == 201
    for number in (0, 1):
        body = {"region": "A", "name": f"vm{number}",
                "ports": [{"iface_id": f"tap{number}-id", "mac": f"02:00:00:00:00:0{number}", "ips": [f"10.0.0.{number + 1}"]}]}
        assert client.post("/v1/servers", body).status in (201, 202)
    site.logged(f'not believed about datapath {OTHER}: its certificate may not be it: "hv1"')
    server = lambda number: next(s for s in client.get("/v1/servers").json["servers"] if s["name"] == f"vm{number}")  # noqa: E731
    poll(lambda: server(0)["ports"][0]["state"] == "active", "the first server's port is found")
    assert client.put(f"/v1/bridges/{OTHER}").status in (200, 201, 202)
    write(peers, f"hv1 {DPID} {OTHER}\n")
    site.ovs.set_controllers("br1", f"ssl:127.0.0.1:{site.PORT}")
    assert server(1)["ports"][0]["state"] == "unbound"
    site.daemon.process.send_signal(signal.SIGHUP)
    poll(lambda: server(1)["ports"][0]["state"] == "active", "the second one's too, after the reload")
    site.ovs.vsctl("--if-exists", "del-br", "br1")


def test_start_needs_all_files(site):
    from daemon import run
    directory, options = site.directory, site.pki.controller()
    base = ["--db", f"sqlite:{directory}/x.db", "--http", f"unix:{directory}/h"]
    for words, expected in ((["--openflow", "pssl:0"], "pssl:0: needs --"), ([*options[:4], "--openflow", f"punix:{directory}/o"], "--ca-cert"),
                            (["--openflow", "pssl:0", *options[:2], *options[4:], "--certificate", "/nonexistent"], "/nonexistent"),
                            (["--ovsdb", "ssl:127.0.0.1:1", "--openflow", f"punix:{directory}/o"], "ssl:127.0.0.1:1: needs --")):
        done = run(*base, *words)
        assert done.returncode == 2 and expected in done.stderr, done
        assert len([line for line in done.stderr.splitlines() if line.startswith("sallyportd: ")]) == 1
