#!/usr/bin/python3
"""Brings up a net with a controller, registers it, tries every server, and takes it down again.

    run.py single|tree|regions [--servers N] [--stay]
    run.py SHAPE --url URL [--openflow METHOD]

--stay leaves it up with Mininet's prompt, where `sallyport ...` is the command line of the controller; from elsewhere it is
reached by its unix socket, whose path is printed.  With --url a controller that runs already is used instead of an own one;
it must be reachable by unix sockets, as the net stands in a network namespace of its own: --url unix:PATH for HTTP and
--openflow unix:PATH for what the bridges dial.  Needs root."""

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time

from mininet.cli import CLI
from mininet.log import setLogLevel

import nets
import ovs
import register
import sallyportd

PING = ("ping", "-c1", "-W5")


class Prompt(CLI):
    """Mininet's prompt, and the command line of the controller."""

    prompt = "sallyport-net> "

    def __init__(self, net, url):
        self._url = url
        super().__init__(net)

    def do_sallyport(self, line):
        """sallyport NOUN VERB ...: the command line of the controller; try: sallyport --help"""
        try:
            words = shlex.split(line)
        except ValueError as error:
            print(error)
            return
        sys.stdout.flush()
        subprocess.run([sallyportd.SALLYPORT, "--url", self._url, *words], check=False)


def stay(net, url):
    """Leaves the net to the user until they leave the prompt; without a terminal, until a signal ends it."""
    print(f"\nThe net is up.  From another shell:\n    {sallyportd.SALLYPORT} --url {url} server list\n", flush=True)
    if sys.stdin.isatty():
        print("Here: sallyport ..., any command of Mininet (client1 ping -c1 sv2-vm1), or exit.")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # At the prompt it ends a command, not the net.
        setLogLevel("output")  # Mininet's way to show what a command prints.
        Prompt(net.mininet, url)
    else:
        while True:
            time.sleep(1)  # Not signal.pause(): one that comes just before it would be slept through.


def end_on_signals():
    """SIGINT (also where a shell has it ignored), SIGTERM and SIGHUP leave all `with` blocks."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def await_active(api, names):
    """Waits until the controller has confirmed every port of the servers `names`."""
    def active():
        servers = [server for server in api.get("/v1/servers")["servers"] if server["name"] in names]
        return len(servers) == len(names) and all(port["state"] == "active" for server in servers for port in server["ports"])

    ovs.wait_until(active, "every server's port is active", timeout=30)


def try_out(net):
    """Pings every server, from a client and from the others of its region.  Returns the number of failures."""
    servers = net.description()["servers"]
    failures = 0
    for server in servers:
        neighbours = [other["name"] for other in servers if other is not server and other["region"] == server["region"]]
        for origin in ["client1", *neighbours]:
            for address in server["ips"]:
                status, _ = net.run(origin, *PING, address)
                failures += status != 0
                print(f"{origin} -> {server['name']} {address}: {'answers' if status == 0 else 'NO ANSWER'}", flush=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0], epilog=__doc__.split("\n\n", 2)[2])
    parser.add_argument("shape", choices=nets.SHAPES)
    parser.add_argument("--servers", type=int, default=2, metavar="N", help="on each bridge that has servers (default 2)")
    parser.add_argument("--stay", action="store_true", help="leave it up with a prompt")
    parser.add_argument("--url", metavar="unix:PATH", help="a controller that runs already")
    parser.add_argument("--openflow", metavar="unix:PATH", help="what the bridges dial then")
    args = parser.parse_args()
    if bool(args.url) != bool(args.openflow):
        parser.error("--url and --openflow go together")
    end_on_signals()
    nets.private_network()
    with contextlib.ExitStack() as stack:
        url = args.url or stack.enter_context(sallyportd.Daemon()).url
        net = stack.enter_context(nets.Net(args.shape, args.servers, controller=args.openflow or nets.CONTROLLER))
        with open(os.path.join(net.ovs.directory, "net.json"), "w", encoding="utf-8") as file:
            json.dump(net.description(), file, indent=2)
        api = register.Api(url)
        servers = register.register(api, net.description())
        await_active(api, servers)
        failures = try_out(net)
        print(f"{args.shape}: {len(servers)} servers, {failures} failures")
        if args.stay:
            stay(net, url)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
