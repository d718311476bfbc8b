#!/usr/bin/python3
"""Measures Sallyport beside its yardsticks.  See README.md in this folder.

    bench.py [PART...] [--ports N] [--rules M] [--rounds R] [--quick] [--no-ovn] [--json FILE]

Without a PART: all of them.  Says each figure on standard error as it comes; at the end all of them are a table on standard
output, and JSON."""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import encoding  # noqa: E402
import many  # noqa: E402
import measure  # noqa: E402
import one_bridge  # noqa: E402
import path  # noqa: E402
import serve  # noqa: E402

PARTS = {
    "program": one_bridge.program,
    "changes": one_bridge.changes,
    "encoding": encoding.encoding,
    "members": many.members,
    "swap": many.swap,
    "fleet": many.fleet,
    "growth": many.growth,
    "serve": serve.serve,
    "path": path.path,
    "masks": path.masks,
    "flood": path.flood,
}


def arguments():
    parser = argparse.ArgumentParser(description="Measures Sallyport beside its yardsticks.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--ports", type=int, default=1000, help="server ports of the one bridge (default %(default)s)")
    parser.add_argument("--rules", type=int, default=100, help="rules of its group (default %(default)s)")
    parser.add_argument("--flows", type=int, default=100000, help="about so many flows for the switch's limit; 0: not (default %(default)s)")
    parser.add_argument("--changes", type=int, default=300, help="single changes to take the median of (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of what takes long (default %(default)s)")
    parser.add_argument("--region-bridges", type=int, default=500, help="bridges of a large region (default %(default)s)")
    parser.add_argument("--region-servers", type=int, default=10000, help="its servers (default %(default)s)")
    parser.add_argument("--bridges", type=int, default=1000, help="bridges of the fleet (default %(default)s)")
    parser.add_argument("--bridge-ports", type=int, default=100, help="server ports of each (default %(default)s)")
    parser.add_argument("--bridge-groups", type=int, default=10, help="groups that share them (default %(default)s)")
    parser.add_argument("--group-rules", type=int, default=100, help="rules of each group (default %(default)s)")
    parser.add_argument("--growth-bridges", type=int, default=25, help="bridges of the smallest region for exponents (default %(default)s)")
    parser.add_argument("--steady-s", type=float, default=10, help="seconds to look at a fleet at rest (default %(default)s)")
    parser.add_argument("--rest-s", type=float, default=40, help="seconds before that, in which it comes to rest (default %(default)s)")
    parser.add_argument("--load-s", type=float, default=3, help="seconds of each load of reads (default %(default)s)")
    parser.add_argument("--no-ovn", dest="ovn", action="store_false", help="without OVN")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work?  The ratios mean nothing")
    parser.add_argument("--json", default=os.path.join(measure.BUILD, "bench.json"), help="where the figures go (default %(default)s)")
    settings = parser.parse_args()
    unknown = [part for part in settings.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if settings.quick:
        settings.ports, settings.rules, settings.flows, settings.changes, settings.rounds = 50, 20, 2000, 50, 2
        settings.region_bridges, settings.region_servers, settings.growth_bridges, settings.steady_s, settings.rest_s = 10, 100, 3, 2, 2
        settings.load_s = 0.5
        settings.bridges, settings.bridge_ports, settings.bridge_groups, settings.group_rules = 10, 10, 2, 20
    return settings


def main():
    settings = arguments()
    report = measure.Report({**vars(settings), "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpus": os.cpu_count(),
                             "load": os.getloadavg()[0]})
    for part in settings.parts or PARTS:
        report.say(f"{part}, load {os.getloadavg()[0]:.1f}")
        PARTS[part](report, settings)
        report.write(settings.json)
    report.table()
    report.say(f"written to {settings.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
