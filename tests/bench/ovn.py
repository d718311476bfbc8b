"""OVN as a peer: Debian's, unpacked (not installed) under build/ovn, on an Open vSwitch of its own."""

import os
import subprocess
import time

import measure
import ours  # noqa: F401  (finds topology/)
import ovs as topology
import workload

ROOT = os.path.join(measure.BUILD, "ovn")
GROUP = "pg"
TIMEOUT_S = 600


class Ovn:
    """`with Ovn(ovs) as ovn:`; its databases, ovn-northd and an ovn-controller for bridge br-int of `ovs`, in the run directory and the
    namespace of `ovs`."""

    def __init__(self, ovs):
        self.ovs = ovs
        self._children = []
        self._env = dict(ovs.env, PATH=f"{ROOT}/usr/bin:{ovs.env['PATH']}", OVN_RUNDIR=ovs.directory, OVN_LOGDIR=ovs.directory,
                         OVN_DBDIR=ovs.directory, OVN_SYSCONFDIR=ovs.directory)

    def __enter__(self):
        try:
            for name in ("nb", "sb"):
                topology.run("ovsdb-tool", "create", self._path(f"{name}.db"), f"{ROOT}/usr/share/ovn/ovn-{name}.ovsschema",
                             env=self._env)
                self._spawn(f"ovsdb-{name}", "ovsdb-server", self._path(f"{name}.db"), f"--remote=punix:{self._path(name + '.sock')}")
                topology.wait_until(lambda name=name: topology.listens(self._path(name + ".sock")), f"{name} database")
            self._northd = self._spawn("northd", "ovn-northd", f"--ovnnb-db=unix:{self._path('nb.sock')}",
                                       f"--ovnsb-db=unix:{self._path('sb.sock')}")
            self.ovs.vsctl("set", "Open_vSwitch", ".", f"external_ids:ovn-remote=unix:{self._path('sb.sock')}",
                           "external_ids:ovn-encap-type=geneve", "external_ids:ovn-encap-ip=127.0.0.1", "external_ids:system-id=bench",
                           "external_ids:ovn-remote-probe-interval=0", "external_ids:ovn-openflow-probe-interval=0")
            # The client stays connected to the database, so that a command costs no more than it must.
            topology.run("ovn-nbctl", f"--db=unix:{self._path('nb.sock')}", "--detach", "--no-chdir", f"--pidfile={self._path('nbctl.pid')}",
                         f"--unixctl={self._path('nbctl.ctl')}", f"--log-file={self._path('nbctl.log')}", env=self._env)
            self._env["OVN_NB_DAEMON"] = self._path("nbctl.ctl")
            self.nbctl("init")
            self.start_controller()
            topology.wait_until(lambda: "bench" in self._sbctl("list", "chassis"), "ovn-controller registers", timeout=30)
            self.sync()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if os.path.exists(self._path("nbctl.ctl")):
            topology.run("ovs-appctl", "-t", self._path("nbctl.ctl"), "exit", env=self._env, check=False)
        for child in reversed(self._children):
            self._end(child)

    @staticmethod
    def _end(child):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _path(self, name):
        return self.ovs.path(name)

    def _spawn(self, name, *command):
        # Two ovsdb-servers in one directory need control sockets of different names; ovn-controller has no such option.
        control = [] if name == "controller" else [f"--unixctl={self._path(name + '.ctl')}"]
        child = subprocess.Popen(["ip", "netns", "exec", self.ovs.netns, *command, *control, f"--log-file={self._path(name + '.log')}",
                                  "-vsyslog:off", "-vconsole:off"], env=self._env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=topology._die_with_parent)
        self._children.append(child)
        return child

    # ovn-controller.

    def start_controller(self):
        self._controller = self._spawn("controller", "ovn-controller", f"unix:{self._path('db.sock')}")

    def kill_controller(self):
        """As a crash would: it cleans nothing up."""
        self._controller.kill()
        self._controller.wait()
        self._children.remove(self._controller)

    def processes(self):
        """ovn-northd and ovn-controller."""
        return measure.Process(self._northd.pid), measure.Process(self._controller.pid)

    # The northbound database.

    def nbctl(self, *arguments):
        return topology.run("ovn-nbctl", f"--timeout={TIMEOUT_S}", *arguments, env=self._env, timeout=TIMEOUT_S + 10)

    def _sbctl(self, *arguments):
        return topology.run("ovn-sbctl", f"--db=unix:{self._path('sb.sock')}", *arguments, env=self._env)

    def timed(self, *arguments):
        """Seconds of a command with --wait=hv: until the switch has it."""
        begin = time.monotonic()
        self.nbctl("--wait=hv", *arguments)
        return time.monotonic() - begin

    def sync(self):
        return self.timed("sync")

    @staticmethod
    def port_words(i, name):
        return ["--", "lsp-add", "sw0", name, "--", "lsp-set-addresses", name, f"{workload.mac(i)} {workload.ip(i)}", "--",
                "lsp-set-port-security", name, f"{workload.mac(i)} {workload.ip(i)}"]

    @staticmethod
    def rule_words(rule, verb="acl-add"):
        words = [verb, GROUP, "from-lport" if rule.outbound else "to-lport", "1002", rule.ovn(GROUP)]
        return words + ["allow-related"] if verb == "acl-add" else words

    def everything_words(self, names, rules):
        """One transaction: a logical switch with a port for each name, all in one port group with `rules`, else closed inbound."""
        words = ["ls-add", "sw0"]
        for i, name in enumerate(names):
            words += self.port_words(i, name)
        words += ["--", "pg-add", GROUP, *names]
        for rule in rules:
            words += ["--", *self.rule_words(rule)]
        return words + self.closing_words(rules)

    @staticmethod
    def closing_words(rules=()):
        """What no rule allows drops inbound, and passes outbound if no rule is for that."""
        outbound = "drop" if any(rule.outbound for rule in rules) else "allow-related"
        return ["--", "acl-add", GROUP, "to-lport", "1001", f"outport == @{GROUP} && ip", "drop",
                "--", "acl-add", GROUP, "from-lport", "1001", f"inport == @{GROUP} && ip", outbound]

    def count_flows(self, bridge="br-int"):
        text = self.ovs.ofctl("dump-aggregate", bridge)
        return int(text.rsplit("flow_count=", 1)[1].split()[0])
