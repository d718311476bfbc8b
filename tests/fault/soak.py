#!/usr/bin/python3
"""For long: random policies, changes under live connections and lost connections of the switch, at a bounded rate, with every packet
judged as in truth/.  No verdict may be wrong; the daemon's memory and descriptors are to stay what they are.

The history of changes is bounded but not small, so it is filled first: what grows then is a leak.

    tests/fault/soak.py [--seconds 3600] [--seed N] [--pause 2] [--fill 12000] [--series FILE]"""

import argparse
import os
import sys
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "truth")]

import policy  # noqa: E402
import rounds  # noqa: E402
import run  # noqa: E402
from lab import Lab, ovs  # noqa: E402
from openflow_proxy import Proxy  # noqa: E402
from probe import Prober  # noqa: E402

CHANGES = 4       # For each policy.
WARM = 0.2        # Of the time: what a process takes until it has done everything once.
GROWTH_KB_H = 4096
N_CONNECTIONS = 4  # That may come and go: of the API and of a switch that is just lost.


class SoakLab(Lab):
    """Between each bridge and the daemon there is a proxy that can cut."""

    def connect(self, daemon):
        self.proxies = [Proxy(os.path.join(self.directory, f"{name}.proxy"), daemon.openflow) for name in self.world.bridges]
        for name, proxy in zip(self.world.bridges, self.proxies):
            self.switch.set_controllers(name, "unix:" + proxy.path)

    def reconnect(self, rng):
        before = self.daemon.metric("bridge_connects_total")
        proxy = rng.choice(self.proxies)
        proxy.cut()
        ovs.wait_until(lambda: self.daemon.metric("bridge_connects_total") > before, "the bridge is back", 60)
        self.await_applied()


def taken(pid):
    """Resident memory in KiB, and descriptors."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    return memory, len(os.listdir(f"/proc/{pid}/fd"))


def fill(lab, options):
    """Policies that nobody probes, until the history has been full."""
    rng = policy.new_random(f"fill {options.seed}")
    n_changes = lab.daemon.metric("revision")
    while lab.daemon.metric("revision") < n_changes + options.fill:
        policy.randomize(rng, lab.world)
        lab.apply_all()
    memory, descriptors = taken(lab.daemon.pid)
    print(f"filled: revision {lab.daemon.metric('revision'):.0f}, {memory} KiB, {descriptors} descriptors", flush=True)


def slope(samples, index):
    """Least squares, per hour."""
    times = [sample[0] for sample in samples]
    values = [sample[index] for sample in samples]
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in times)
    return 3600 * sum((at - middle) * (value - mean) for at, value in zip(times, values)) / spread if spread else 0.0


def soak(lab, prober, options):
    rng, total, mismatches, samples = policy.new_random(f"soak {options.seed}"), Counter(), 0, []
    begin, seed = time.monotonic(), options.seed
    while time.monotonic() - begin < options.seconds:
        count, wrong = run.one_policy(lab, prober, seed, CHANGES)
        total += count
        mismatches += len(wrong)
        if wrong:
            print(rounds.report(seed, lab.world, wrong), flush=True)
        lab.reconnect(rng)
        total["reconnects"] += 1
        samples.append((time.monotonic() - begin, *taken(lab.daemon.pid)))
        line = (f"{samples[-1][0]:.0f} s, seed {seed}: {samples[-1][1]} KiB, {samples[-1][2]} descriptors, "
                f"revision {lab.daemon.metric('revision'):.0f}, {mismatches} mismatches")
        print(line, file=options.series, flush=True)
        seed += 1
        time.sleep(options.pause)  # The rate is bounded.
    return total, mismatches, samples


def main():
    parser = argparse.ArgumentParser(description="Runs for long and looks at what the daemon takes.")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=2, help="seconds between two policies")
    parser.add_argument("--fill", type=int, default=12000, help="changes before it begins")
    parser.add_argument("--series", type=argparse.FileType("w"), default=sys.stdout, help="where each sample is written to")
    options = parser.parse_args()
    with SoakLab(policy.World()) as lab:
        lab.register()
        prober = Prober(lab)
        fill(lab, options)
        total, mismatches, samples = soak(lab, prober, options)
        prober.close()
        lab.await_applied()
        for proxy in lab.proxies:
            proxy.close()
    warm = [sample for sample in samples if sample[0] >= WARM * options.seconds] or samples
    memory, descriptors = slope(warm, 1), slope(warm, 2)
    print(f"{dict(total)}\n{mismatches} mismatches; {warm[0][1]} to {warm[-1][1]} KiB, {memory:+.0f} KiB an hour; "
          f"{warm[0][2]} to {warm[-1][2]} descriptors, {descriptors:+.1f} an hour")
    grows = len(warm) > 2 and (memory > GROWTH_KB_H and options.seconds >= 3600 or warm[-1][2] > warm[0][2] + N_CONNECTIONS)
    return 1 if mismatches or grows else 0


if __name__ == "__main__":
    sys.exit(main())
