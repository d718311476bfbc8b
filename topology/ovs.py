"""An Open vSwitch of one's own: for tests, topologies and the demo.

Starts ovsdb-server and ovs-vswitchd with their own database, run, log and database directories, inside a network
namespace of their own, so that nothing clashes with the system's Open vSwitch or with another run: neither a port name nor
the `ovs-netdev` tap that every userspace datapath makes.  Everything goes on leaving the `with` block, on an exception, on
SIGINT and SIGTERM; if the process is killed outright the daemons die with it (PR_SET_PDEATHSIG), and the next run sweeps the
namespaces that it left behind.  Needs root.

    with Ovs() as ovs:
        ovs.add_bridge("br0", dpid=1)
        vm = ovs.add_host("vm1")
        ovs.add_port("br0", "p1", vm, mac="02:00:00:00:00:01", ips=["10.0.0.1/24"])
        vm.run("ping", "-c1", "10.0.0.2")

Hosts are namespaces too.  A port is a veth pair whose far end stands in a host as `eth0`, checksum offload switched off
because the userspace datapath does not fill in what the kernel left out.
"""

import atexit
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket as socketlib
import subprocess
import tempfile
import threading
import time

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PROGRAM_DIRS = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")
COMMAND_TIMEOUT_S = 90
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_runs = iter(range(1, 1 << 30))


class OvsError(Exception):
    """A command failed or did not end in time; the text has the command and what it said."""


def run(*command, env=None, stdin=None, check=True, timeout=COMMAND_TIMEOUT_S):
    """Runs a command and returns its standard output.  With check=False a failure returns the output as well."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, env=env, input=stdin, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise OvsError(f"{' '.join(words)}: no end after {timeout} s") from error
    if check and done.returncode != 0:
        raise OvsError(f"{' '.join(words)}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_until(condition, what, timeout=60.0, every=0.02):
    """Polls `condition` until it is true and returns what it returned; raises OvsError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise OvsError(f"{what}: not within {timeout} s")
        time.sleep(every)


@contextlib.contextmanager
def inside(netns):
    """The calling thread is inside network namespace `netns` (a name of `ip netns`) for the length of the block.

    A socket made there stays there, so packets can be sent and received from outside afterwards."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{netns}", "rb") as there:
        if _libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")
        try:
            yield
        finally:
            if _libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                os._exit(70)  # In the wrong namespace nothing can go on safely.


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _sweep():
    """Removes the namespaces of runs whose process is gone."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else ():
        match = re.fullmatch(r"sp(\d+)-\d+-.*", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            run("ip", "netns", "del", name, check=False)


def listens(path):
    """Whether somebody accepts connections at the unix socket `path`: the file is there a moment before that."""
    with socketlib.socket(socketlib.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


class Host:
    """A network namespace that plays a server or a wire."""

    def __init__(self, name, netns, ipv6=True):
        self.name = name
        self.netns = netns
        self._children = []
        run("ip", "netns", "add", netns)
        run("ip", "-n", netns, "link", "set", "lo", "up")
        if not ipv6:
            self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        # Without duplicate address detection an IPv6 address can be used at once.
        self.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", check=False)

    def run(self, *command, **options):
        """Runs a command inside and returns its output; options as in run()."""
        return run("ip", "netns", "exec", self.netns, *command, **options)

    def popen(self, *command, **options):
        """Starts a command inside; it is killed with the host."""
        child = subprocess.Popen(["ip", "netns", "exec", self.netns, *(str(word) for word in command)],
                                 preexec_fn=_die_with_parent, **options)
        self._children.append(child)
        return child

    def remove(self):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
        self._children.clear()
        run("ip", "netns", "del", self.netns, check=False)


class Ovs:
    """One isolated Open vSwitch.

    datapath_type: "netdev" (userspace) or "system" (the kernel's module, if there is one).
    namespace:     False runs the switch in the calling namespace, for Mininet, which makes its links there.
    dummy:         ports that add_dummy_ports() adds are there for the switch alone, without an interface behind them.
    """

    def __init__(self, datapath_type="netdev", namespace=True, dummy=False):
        self.datapath_type = datapath_type
        self._dummy = dummy
        self.hosts = {}
        self.bridges = []
        self._prefix = f"sp{os.getpid()}-{next(_runs)}-"
        self._namespace = namespace
        self.netns = self._prefix + "switch" if namespace else None
        self._daemons = []  # (name, Popen), in the order of their start.
        self._old_handler = None
        self.directory = None
        self.env = None

    # Life.

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        _sweep()
        self.directory = tempfile.mkdtemp(prefix="sallyport-ovs-")
        atexit.register(self.stop)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._old_handler = signal.signal(signal.SIGTERM, lambda *_: exit(143))
        self.env = dict(os.environ, OVS_RUNDIR=self.directory, OVS_LOGDIR=self.directory, OVS_DBDIR=self.directory,
                        OVS_SYSCONFDIR=self.directory, PATH=":".join(PROGRAM_DIRS) + ":" + os.environ.get("PATH", ""))
        try:
            if self.netns:
                run("ip", "netns", "add", self.netns)
                run("ip", "-n", self.netns, "link", "set", "lo", "up")
                self.inside("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1", check=False)
            self._start_database()
            self._start_switch()
        except BaseException:
            self.stop()
            raise

    def _start_database(self):
        run("ovsdb-tool", "create", self.path("conf.db"), SCHEMA, env=self.env)
        self._serve_database()
        self.vsctl("--no-wait", "init")

    def _serve_database(self):
        socket = self.path("db.sock")
        # As ovs-ctl starts it: what ovs-vsctl's set-manager and set-ssl say counts here too.
        self._spawn("ovsdb-server", self.path("conf.db"), f"--remote=punix:{socket}", "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
                    "--private-key=db:Open_vSwitch,SSL,private_key", "--certificate=db:Open_vSwitch,SSL,certificate",
                    "--bootstrap-ca-cert=db:Open_vSwitch,SSL,ca_cert", f"--unixctl={self.path('ovsdb-server.ctl')}")
        self._await("ovsdb-server", lambda: listens(socket))

    def restart_database(self):
        """Kills ovsdb-server and starts it again on the same database; ovs-vswitchd runs on."""
        child = dict(self._daemons)["ovsdb-server"]
        child.kill()
        child.wait()
        self._daemons.remove(("ovsdb-server", child))
        for leftover in ("db.sock", "ovsdb-server.ctl", "ovsdb-server.pid"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(leftover))
        self._serve_database()
        self._daemons.insert(0, self._daemons.pop())  # It ends last.
        self.vsctl("set", "Open_vSwitch", ".", f"external_ids:served={self.pid('ovsdb-server')}")  # Waits for the switch to answer.

    def _start_switch(self):
        self._spawn("ovs-vswitchd", f"unix:{self.path('db.sock')}", f"--unixctl={self.path('ovs-vswitchd.ctl')}")
        self._await("ovs-vswitchd", lambda: os.path.exists(self.path("ovs-vswitchd.ctl")) and self.appctl("version", check=False))

    def _spawn(self, name, *arguments):
        command = [name, *arguments, f"--pidfile={self.path(name + '.pid')}", f"--log-file={self.path(name + '.log')}",
                   "-vsyslog:off", "-vconsole:off", "--no-chdir"]
        if name == "ovs-vswitchd":
            command.append("--no-self-confinement")  # Controllers' sockets may stand outside of its directory.
            command += ["--enable-dummy=system"] if self._dummy else []
        if self.netns:
            command = ["ip", "netns", "exec", self.netns, *command]
        child = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent, start_new_session=True)
        self._daemons.append((name, child))

    def _await(self, name, condition):
        child = dict(self._daemons)[name]

        def ready():
            if child.poll() is not None:
                raise OvsError(f"{name} ended with status {child.returncode}:\n{self.log(name)}")
            return condition()

        wait_until(ready, f"{name} ready")

    def kill_switch(self):
        """Kills ovs-vswitchd as a crash would: flows, conntrack and datapath are gone."""
        name, child = self._daemons.pop()
        assert name == "ovs-vswitchd"
        child.kill()
        child.wait()
        for leftover in ("ovs-vswitchd.ctl", "ovs-vswitchd.pid"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(leftover))

    def restart_switch(self):
        """Kills ovs-vswitchd, starts it again and waits until it has read its configuration."""
        self.kill_switch()
        self.revive_switch()

    def revive_switch(self):
        """After kill_switch()."""
        self._start_switch()
        self.vsctl("set", "Open_vSwitch", ".", f"external_ids:restarted={self.pid()}")  # Waits for the switch to answer.

    def stop(self):
        """Ends everything; may be called twice."""
        atexit.unregister(self.stop)
        for name, child in reversed(self._daemons):
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
            child.wait()
        self._daemons.clear()
        for host in self.hosts.values():
            host.remove()
        self.hosts.clear()
        if self.netns:
            run("ip", "netns", "del", self.netns, check=False)
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None

    # Access.

    def path(self, name):
        """A file in the run directory: `db.sock`, `br0.mgmt`, ..."""
        return os.path.join(self.directory, name)

    def pid(self, name="ovs-vswitchd"):
        return dict(self._daemons)[name].pid

    def log(self, name="ovs-vswitchd"):
        try:
            with open(self.path(name + ".log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def inside(self, *command, **options):
        """Runs a command in the switch's namespace and with its environment."""
        options.setdefault("env", self.env)
        return run(*(["ip", "netns", "exec", self.netns] if self.netns else []), *command, **options)

    def vsctl(self, *arguments, **options):
        return run("ovs-vsctl", f"--db=unix:{self.path('db.sock')}", "--timeout=60", *arguments, env=self.env, **options)

    def appctl(self, *arguments, **options):
        return run("ovs-appctl", "-t", self.path("ovs-vswitchd.ctl"), *arguments, env=self.env, **options)

    def await_datapath(self):
        """Until the datapath's megaflows have all been looked through since now, so that they follow what has changed before.

        The switch tells its revalidators of a change in the turn of its main loop after the one that answers it: with another
        connection comes another turn.  A look that is under way when they are to pause is finished first, and another one
        begins when they resume; both at once, as a switch that had paused for long would rather delete megaflows."""
        self._control("version")
        self._control(*("revalidator/pause", "revalidator/resume") * 2)

    def _control(self, *methods):
        """Has the switch do commands of ovs-appctl one right after the other."""
        with socketlib.socket(socketlib.AF_UNIX) as control:
            control.settimeout(COMMAND_TIMEOUT_S)
            control.connect(self.path("ovs-vswitchd.ctl"))
            control.sendall("".join(json.dumps({"id": i, "method": method, "params": []}) for i, method in enumerate(methods)).encode())
            said = b""
            while said.count(b'"error":') < len(methods):
                part = control.recv(4096)
                if not part:
                    raise OvsError(f"ovs-vswitchd has ended: {said!r}")
                said += part
        if said.count(b'"error":null') < len(methods):
            raise OvsError(f"{methods}: {said!r}")

    def ofctl(self, command, bridge, *arguments, **options):
        """`ovs-ofctl -O OpenFlow14 COMMAND BRIDGE ...`; leading options of COMMAND may be given as a list."""
        words = command if isinstance(command, (list, tuple)) else [command]
        return run("ovs-ofctl", "-O", "OpenFlow14", *words[:-1], words[-1], self.path(bridge + ".mgmt"), *arguments,
                   env=self.env, **options)

    # Shape.

    def add_bridge(self, name, dpid, controllers=(), protocols="OpenFlow14,OpenFlow15"):
        """A bridge that forwards nothing by itself, with datapath id `dpid` (a number)."""
        self.vsctl("add-br", name, "--", "set", "bridge", name, f"datapath_type={self.datapath_type}", "fail_mode=secure",
                   "other_config:disable-in-band=true", f"other_config:datapath-id={dpid:016x}", f"protocols={protocols}")
        if controllers:
            self.set_controllers(name, *controllers)
        self.bridges.append(name)
        return name

    def set_controllers(self, bridge, *targets):
        self.vsctl("set-controller", bridge, *targets, "--", "set", "controller", bridge, "connection_mode=out-of-band",
                   "max_backoff=1000")

    def add_host(self, name, ipv6=True):
        """A namespace of this run.  `ipv6=False` keeps the kernel silent: nothing is sent but what a test sends."""
        host = Host(name, self._prefix + name, ipv6)
        self.hosts[name] = host
        return host

    def add_port(self, bridge, name, host, interface="eth0", mac=None, ips=(), ofport=None, gateway=None, external_ids=None):
        """A veth from `bridge` (there called `name`) into `host` (there called `interface`).  Returns its OpenFlow number."""
        end = ["netns", self.netns] if self.netns else []
        run("ip", "link", "add", "name", name, *end, "type", "veth", "peer", "name", interface, "netns", host.netns)
        if mac:
            run("ip", "-n", host.netns, "link", "set", "dev", interface, "address", mac)
        run("ip", "netns", "exec", host.netns, "ethtool", "-K", interface, "tx", "off", "rx", "off", "gro", "off", check=False)
        for ip in ips:
            run("ip", "-n", host.netns, "addr", "add", ip, "dev", interface, *(["nodad"] if ":" in ip else []))
        run("ip", "-n", host.netns, "link", "set", "dev", interface, "up")
        if gateway:
            run("ip", "-n", host.netns, "route", "add", "default", "via", gateway)
        self.inside("ip", "link", "set", "dev", name, "up")
        settings = [f"ofport_request={ofport}"] if ofport else []
        settings += [f"external_ids:{key}={value}" for key, value in (external_ids or {}).items()]
        self.vsctl("add-port", bridge, name, *(["--", "set", "interface", name, *settings] if settings else []))
        return self.ofport(name)

    def add_dummy_ports(self, bridge, names, external_ids=None):
        """Adds many ports at once, without hosts.  `external_ids(name)`: a dictionary for its interface."""
        words = []
        for name in names:
            words += ["--", "add-port", bridge, name]
            if external_ids:
                words += ["--", "set", "interface", name, *(f"external_ids:{key}={value}" for key, value in external_ids(name).items())]
        self.vsctl("--timeout=300", *words[1:], timeout=320)

    def remove_port(self, bridge, name):
        """Takes the port off the bridge and removes its veth pair."""
        self.vsctl("--if-exists", "del-port", bridge, name)
        self.inside("ip", "link", "del", "dev", name, check=False)

    def add_patch(self, bridge, port, peer_bridge, peer_port, ofport=None, peer_ofport=None):
        """Links two bridges.  Returns both OpenFlow port numbers."""
        for here, name, peer, number in ((bridge, port, peer_port, ofport), (peer_bridge, peer_port, port, peer_ofport)):
            settings = ["type=patch", f"options:peer={peer}"] + ([f"ofport_request={number}"] if number else [])
            self.vsctl("--no-wait", "add-port", here, name, "--", "set", "interface", name, *settings)
        return self.ofport(port), self.ofport(peer_port)

    def ofport(self, name):
        """The OpenFlow number that the switch gave to interface `name`."""
        def number():
            text = self.vsctl("get", "interface", name, "ofport", check=False).strip()
            return int(text) if text.isdigit() else None

        return wait_until(number, f"port {name} gets a number")
