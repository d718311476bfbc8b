"""The nets: Mininet topologies on an Open vSwitch of their own.

Everything stands in a network namespace that the calling process makes for itself (`private_network()`): bridges, links, the
switch's taps, ports that the controller listens on.  So no name clashes with the machine's own, and when the process and
its children have ended, however they did, the kernel takes all of it away.  A unix socket is a file and reaches out of there: the
controller's HTTP interface is offered as one.

A topology is described once, as Mininet's `Topo`; `description()` tells the same to whoever registers it with a controller:

    {"bridges": [{"name", "dpid", "uplinks": [name...]}...],
     "servers": [{"name", "region", "bridge", "port", "mac", "ips": [...]}...]}
"""

import ctypes
import functools
import os
import signal
import subprocess
import sys

from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Host, Switch
from mininet.topo import Topo

import ovs

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
CONTROLLER = "tcp:127.0.0.1:6653"  # What bridges dial,
LISTEN = "ptcp:6653:127.0.0.1"  # and the controller listens to.


def private_network():
    """Moves the calling process (which must not have threads yet) into a new network namespace with nothing but loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise SystemExit(f"cannot make a network namespace: {os.strerror(error)}" + (" (are you root?)" if os.geteuid() else ""))
    ovs.run("ip", "link", "set", "lo", "up")


def die_with_parent():
    """For Popen's preexec_fn: the child is killed when this process ends, however it ends.

    Its fellow is start_new_session: Ctrl-C at a terminal is for this process alone, which ends what it has started, or not.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def datapath_type():
    """The kernel's datapath where there is one, else the one in user space."""
    if not os.path.exists("/sys/module/openvswitch"):
        subprocess.run(["modprobe", "-q", "openvswitch"], check=False, capture_output=True)
    return "system" if os.path.exists("/sys/module/openvswitch") else "netdev"


class Bridge(Switch):
    """A bridge of our own Open vSwitch.  `controlled`: it dials `controller`; else it is a plain learning switch."""

    def __init__(self, name, switch=None, controller=None, controlled=True, **params):
        super().__init__(name, **params)
        self._ovs = switch
        self._controllers = [controller] if controlled else []

    def start(self, controllers):
        self._ovs.add_bridge(self.name, int(self.dpid, 16), self._controllers)
        for interface in self.intfList():
            if interface.name != "lo":
                self._ovs.vsctl("add-port", self.name, interface.name, "--", "set", "interface", interface.name,
                                f"ofport_request={self.ports[interface]}")
                self._ovs.ofport(interface.name)
        if not self._controllers:
            self._ovs.ofctl("add-flow", self.name, "actions=NORMAL")

    def stop(self, deleteIntfs=True):  # pylint: disable=invalid-name
        self._ovs.vsctl("--if-exists", "del-br", self.name, check=False)
        super().stop(deleteIntfs)


class Shape(Topo):
    """What the topologies have in common: servers with addresses of both families behind bridges, clients behind uplinks."""

    def add_server(self, name, region, bridge, number, ips):
        mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        self.addHost(name, ip=None, mac=None, region=region, bridge=bridge, addresses=ips, hardware=mac)
        self.addLink(name, bridge, intfName1="eth0", intfName2=name, addr1=mac)

    def add_client(self, name, bridge, number, ips):
        mac = f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}"
        self.addHost(name, ip=None, mac=None, addresses=ips, hardware=mac)
        self.addLink(name, bridge, intfName1="eth0", intfName2=name, addr1=mac, uplink=True)

    def add_bridge(self, name, number, controlled=True):
        self.addSwitch(name, dpid=f"{number:016x}", controlled=controlled)

    def add_trunk(self, bridge, bridge_port, other, other_port):
        self.addLink(bridge, other, intfName1=bridge_port, intfName2=other_port, uplink=True)

    def addresses(self, net, number):
        """Address `number` of part `net` of one flat network."""
        return [f"10.{net}.{number >> 8}.{number & 255}/8", f"fd00::{net}:{number:x}/64"]

    def description(self):
        """See the module's text."""
        uplinks = {name: [] for name in self.switches() if self.nodeInfo(name)["controlled"]}
        for _, _, link in self.links(withInfo=True):
            for node, port in ((link["node1"], link["intfName1"]), (link["node2"], link["intfName2"])):
                if link.get("uplink") and node in uplinks:
                    uplinks[node].append(port)
        dpids = {name: self.nodeInfo(name)["dpid"] for name in self.switches()}
        servers = []
        for name in self.hosts(sort=True):
            info = self.nodeInfo(name)
            if "region" in info:
                servers.append({"name": name, "region": info["region"], "bridge": dpids[info["bridge"]], "port": name,
                                "mac": info["hardware"], "ips": [ip.split("/")[0] for ip in info["addresses"]]})
        return {"bridges": [{"name": name, "dpid": dpids[name], "uplinks": ports} for name, ports in sorted(uplinks.items())],
                "servers": servers}


class Single(Shape):
    """One bridge `br0` with `servers` servers vm1, vm2, ... of region SV2, and a client behind its uplink."""

    def build(self, servers=2):  # pylint: disable=arguments-differ
        self.add_bridge("br0", 0xa0)
        for i in range(1, servers + 1):
            self.add_server(f"vm{i}", "SV2", "br0", i, self.addresses(2, i))
        self.add_client("client1", "br0", 1, self.addresses(9, 1))


class Tree(Shape):
    """A root bridge that has only uplinks, three leaves with `servers` servers each, and a client at the root."""

    LEAVES = 3

    def build(self, servers=2):  # pylint: disable=arguments-differ
        self.add_bridge("root", 0xb0)
        self.add_client("client1", "root", 1, self.addresses(9, 1))
        for leaf in range(1, self.LEAVES + 1):
            self.add_bridge(f"leaf{leaf}", 0xb0 + leaf)
            self.add_trunk(f"leaf{leaf}", f"leaf{leaf}-up", "root", f"root-leaf{leaf}")
            for i in range(1, servers + 1):
                self.add_server(f"vm{leaf}-{i}", "SV2", f"leaf{leaf}", 256 * leaf + i, self.addresses(2, 256 * leaf + i))


class Regions(Shape):
    """Regions SV2 and TY2, a bridge and `servers` servers each, joined by a switch that is nobody's, where two clients stand."""

    REGIONS = (("SV2", 2, 0xc2), ("TY2", 3, 0xc3))

    def build(self, servers=2):  # pylint: disable=arguments-differ
        self.add_bridge("transit", 0xcc, controlled=False)
        for i in (1, 2):
            self.add_client(f"client{i}", "transit", i, self.addresses(9, i))
        for region, net, dpid in self.REGIONS:
            bridge = region.lower()
            self.add_bridge(bridge, dpid)
            self.add_trunk(bridge, f"{bridge}-up", "transit", f"to-{bridge}")
            for i in range(1, servers + 1):
                self.add_server(f"{bridge}-vm{i}", region, bridge, 256 * net + i, self.addresses(net, i))


SHAPES = {"single": Single, "tree": Tree, "regions": Regions}


class Net:
    """A topology that is up; `with Net("regions", servers=2) as net:`.  Call private_network() before."""

    def __init__(self, shape, servers=2, controller=CONTROLLER):
        self.controller = controller
        self.topo = SHAPES[shape](servers=servers)
        self.ovs = ovs.Ovs(datapath_type=datapath_type(), namespace=False)
        self.mininet = None
        self._children = []

    def __enter__(self):
        setLogLevel("error")
        # Mininet would raise limits of the whole machine; these nets are too small to need it.
        Mininet.inited = True
        self.ovs.start()
        try:
            bridge = functools.partial(Bridge, switch=self.ovs, controller=self.controller)
            self.mininet = Mininet(switch=bridge, host=Host, controller=None, build=False, waitConnected=False)
            self.mininet.buildFromTopo(self.topo)
            self.mininet.built = True
            for host in self.mininet.hosts:
                self._set_up_host(host)
            self.mininet.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
        self._children.clear()
        if self.mininet:
            self.mininet.stop()
            self.mininet = None
        self.ovs.stop()

    def description(self):
        return self.topo.description()

    def address(self, name, family=4):
        """The address of host `name`, without its prefix length."""
        return self.topo.nodeInfo(name)["addresses"][0 if family == 4 else 1].split("/")[0]

    def popen(self, name, *command, **options):
        """Starts a command in host `name`; it dies with this process or at the net's end."""
        pid = str(self.mininet[name].pid)
        child = subprocess.Popen(["mnexec", "-a", pid, *(str(word) for word in command)], preexec_fn=die_with_parent,
                                 start_new_session=True, **options)
        self._children.append(child)
        return child

    def run(self, name, *command, timeout=30):
        """Runs a command in host `name`.  Returns (status, its output)."""
        pid = str(self.mininet[name].pid)
        done = subprocess.run(["mnexec", "-a", pid, *(str(word) for word in command)], timeout=timeout, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def program(self, name, *arguments, **options):
        """Starts topology/hosts.py in host `name` with pipes for talking to it; see there."""
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hosts.py")
        return self.popen(name, sys.executable, here, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          **options)

    def _set_up_host(self, host):
        info = self.topo.nodeInfo(host.name)
        self.run(host.name, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
        # The userspace datapath does not fill in checksums that the kernel left to the network card.
        self.run(host.name, "ethtool", "-K", "eth0", "tx", "off", "rx", "off", "gro", "off")
        for address in info["addresses"]:
            nodad = ["nodad"] if ":" in address else []
            status, said = self.run(host.name, "ip", "addr", "add", address, "dev", "eth0", *nodad)
            if status:
                raise ovs.OvsError(f"{host.name}: {address}: {said.strip()}")
        self.run(host.name, "ip", "link", "set", "eth0", "up")
