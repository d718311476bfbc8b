"""What every part of the benchmarks needs: figures and their table, time of a process, the programs that measure the limits."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
TOOLS = os.path.join(BUILD, "tests/bench")

median = statistics.median


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * (len(values) - 1) + 0.5))]


@dataclasses.dataclass
class Figure:
    """One line of the table: what Sallyport did beside a yardstick that was measured in the same run."""

    item: str             # "1".."11", as in README.md.
    what: str
    unit: str
    ours: float           # Median.
    theirs: float = None  # Median; None: without a yardstick.
    yardstick: str = ""
    ratio: float = None   # Of the medians, as the target counts it.
    best: float = None    # The same of the best values: what is left of it when others use the machine as well.
    target: str = ""
    runs: int = 1         # Values that the median was taken of.
    note: str = ""


def faster(ours, theirs):
    """How many times less time ours takes; how many times fewer flows it needs."""
    return theirs / ours if ours else float("inf")


def times(ours, theirs):
    """How many times as much ours takes."""
    return ours / theirs if theirs else float(ours != theirs) + 1.0


class Report:
    """Collects figures, prints each as it comes, and writes them all as JSON."""

    def __init__(self, settings):
        self.settings = settings
        self.figures = []

    def add(self, item, what, ours, unit, yardstick="", theirs=None, ratio=None, target="", note="", better=min, paired=False):
        """`ours` and `theirs` are a value or a list of values; `ratio` is faster or times; `better` tells which value is the best.  `paired`: the
        values were measured in turns so short that the ratio is the median of each turn's own."""
        ours = ours if isinstance(ours, (list, tuple)) else [ours]
        theirs = theirs if isinstance(theirs, (list, tuple)) or theirs is None else [theirs]
        figure = Figure(item, what, unit, median(ours), yardstick=yardstick, target=target, runs=len(ours), note=note)
        if theirs:
            figure.theirs = median(theirs)
            if ratio:
                figure.ratio = median(map(ratio, ours, theirs)) if paired else ratio(figure.ours, figure.theirs)
                figure.best = ratio(better(ours), better(theirs))
        self.figures.append(figure)
        self.say(self._line(figure))
        return figure

    def say(self, text):
        print(f"# {text}", file=sys.stderr, flush=True)

    @staticmethod
    def _line(figure):
        theirs = "" if figure.theirs is None else f"{shown(figure.theirs, figure.unit)}"
        ratio, best = ("" if value is None else f"{value:.3g}" for value in (figure.ratio, figure.best))
        return (f"{figure.item:>2}  {figure.what:<56}  {shown(figure.ours, figure.unit):>10}  {figure.yardstick:<31}  {theirs:>10}"
                f"  {ratio:>6}  {best:>6}  {figure.target:<9}  {figure.note}").rstrip()

    def table(self):
        print(f"{'':>2}  {'what':<56}  {'ours':>10}  {'yardstick':<31}  {'yardstick':>10}  {'ratio':>6}  {'best':>6}  {'target':<9}  note")
        for figure in self.figures:
            print(self._line(figure))

    def write(self, path):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"settings": self.settings, "figures": [dataclasses.asdict(figure) for figure in self.figures]}, file, indent=1)
            file.write("\n")


def shown(value, unit):
    """A value with its unit, in three figures: 0.00123 s as 1.23 ms."""
    if unit == "s" and value:
        for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "us")):
            if abs(value) >= scale:
                break
        return f"{value / scale:.3g} {name}"
    if isinstance(value, float) and abs(value) < 1000:
        return f"{value:.3g} {unit}".rstrip()
    return f"{value:,.0f} {unit}".rstrip()


class Process:
    """The use that a process makes of the machine."""

    def __init__(self, pid):
        self.pid = pid

    def cpu_s(self):
        """Processor time so far, user and system, of all threads, those that have ended too, to the nanosecond (proc(5) has ticks
        only).  The number is clock_getcpuclockid(3)'s, which Python does not have."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def _status(self, key):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(key)

    def resident_bytes(self):
        return self._status("VmRSS")

    def peak_bytes(self):
        return self._status("VmHWM")

    def forget_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")


def tool(name, *arguments, stdin=None, timeout=600):
    """Runs a program of this folder and returns the JSON object that it prints."""
    command = [os.path.join(TOOLS, name), *(str(argument) for argument in arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def raw_switch(ovs, bridge, *arguments):
    return tool("raw_switch", ovs.path(bridge + ".mgmt"), *arguments)


def raw_commit_s(folder, rounds=300, rows=1):
    """Seconds of one durable SQLite transaction of so many rows, each, in a new file of `folder`."""
    path = os.path.join(folder, "raw_store.db")
    seconds = tool("raw_store", path, rounds, rows)["seconds"]
    for name in (path, path + "-wal", path + "-shm"):
        if os.path.exists(name):
            os.unlink(name)
    return seconds


def http_load(address, requests, clients=1, seconds=0, ids=None, pause_ms=0):
    """Sends `requests`, tuples (method, path[, body]) with the body as a value; see http_load.c for what it returns."""
    lines = "".join(" ".join((method, path, *(json.dumps(b, separators=(",", ":")) for b in body))) + "\n"
                    for method, path, *body in requests)
    return tool("http_load", address, clients, seconds, ids or "", pause_ms, stdin=lines)
