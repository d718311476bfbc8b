#!/usr/bin/python3
"""The long runs of what goes on while something else happens.

    tests/truth/run_live.py revocation [--seed N] [--seeds N] [--conversations N]      each way of revoking, once a seed
    tests/truth/run_live.py restarts [--seed N] [--flows N] [--restarts N] [--repairs N] [--conversations N]

Each prints N, the seed, the failures and the times; the exit status is 0 if there was no failure.  The long runs of
test_closed.py, test_next_owner.py and test_coming_and_going.py are theirs with SALLYPORT_LONG=1 in the environment."""

import argparse
import os
import sys
import time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lab import Lab  # noqa: E402  First, as it says where the switch's module is.
import policy  # noqa: E402
import restarts  # noqa: E402
import revocation  # noqa: E402


def spread(values):
    values = sorted(values)
    return f"{values[0]:.0f} / {values[len(values) // 2]:.0f} / {values[-1]:.0f} ms (least / median / most of {len(values)})" if values else "-"


def run_revocation(options):
    total, lasts, missing, failures = Counter(), {way: [] for way in revocation.WAYS}, [], 0
    with Lab(policy.World()) as lab:
        lab.register()
        for seed in range(options.seed, options.seed + options.seeds):
            rng = policy.new_random(seed)
            conversations = revocation.start(lab, rng, options.conversations)
            total["conversations"] += len(conversations.opened)
            for way in revocation.WAYS:
                report = conversations.revoke(rng, way)
                if report is None:
                    missing.append((seed, way))
                    continue
                total += report.count
                total["edits"] += 1
                failures += len(report.wrong)
                if report.last_packet_ms is not None:
                    lasts[way].append(report.last_packet_ms)
                print(f"seed {seed}: {report}", flush=True)
                if report.wrong:
                    print("\n".join(report.wrong[:20]), f"\ndropped by the machine: {conversations.drops()}", flush=True)
            conversations.close()
    for way, values in lasts.items():
        print(f"{way}: last packet after the answer: {spread(values)}")
    print(f"{dict(total)}; no such edit for {missing}; {failures} failures; seeds {options.seed} to {options.seed + options.seeds - 1}")
    return failures


def run_restarts(options):
    with restarts.RestartLab() as lab:
        lab.register()
        scene = restarts.Scene(lab, options.seed, options.conversations, options.flows)
        print(f"{scene.n_flows()} flows, {len(scene.conversations.opened)} conversations, seed {options.seed}", flush=True)
        failures = 0

        def step(what, action, n=1):
            nonlocal failures
            took = []
            for _ in range(n):
                try:
                    result = action()
                    took += result if isinstance(result, list) else [result] if result is not None else []
                except restarts.Wrong as wrong:
                    failures += 1
                    print(f"{what}: {wrong}", flush=True)
            print(f"{what}: {n} times, {spread(took)}", flush=True)

        def restart_controller():
            report, took = scene.restart_controller(options.restarts)
            print(f"{options.restarts} restarts, {report.count['packets']} packets, {report.count['lost']} lost", flush=True)
            return took

        step("controller restarted", restart_controller)
        there, back = scene.cost_of_edit()
        for _ in range(options.repairs):
            step(f"change that no switch had heard of, {there:.0f} flow modifications", lambda: scene.change_unconfirmed(there))
            step(f"change by a run that no switch could reach, {back:.0f} flow modifications", lambda: scene.change_by_another_run(back))
        step("ovsdb-server restarted", scene.restart_database, options.repairs)
        step("port replaced", lambda: scene.replace_port("s2-A"), options.repairs)
        step("port found by its interface replaced", lambda: scene.replace_port("s4-B"), options.repairs)
        step("port moved to another bridge", scene.move_port, options.repairs)
        step("ovs-vswitchd restarted", scene.restart_switch, options.repairs)
        step("ovs-vswitchd restarted, ports renumbered", lambda: scene.restart_switch(renumber=True), options.repairs)
        scene.close()
    print(f"{failures} failures; seed {options.seed}")
    return failures


def main():
    parser = argparse.ArgumentParser(description="Long runs of what goes on while something else happens.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("revocation")
    one.add_argument("--seeds", type=int, default=10)
    one.add_argument("--conversations", type=int, default=5000)
    one.set_defaults(run=run_revocation)
    one = commands.add_parser("restarts")
    one.add_argument("--flows", type=int, default=10000)
    one.add_argument("--restarts", type=int, default=100)
    one.add_argument("--repairs", type=int, default=5)
    one.add_argument("--conversations", type=int, default=800)
    one.set_defaults(run=run_restarts)
    for one in commands.choices.values():
        one.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begin = time.monotonic()
    failures = options.run(options)
    print(f"{time.monotonic() - begin:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
