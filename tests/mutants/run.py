#!/usr/bin/python3
"""Applies the seeded bugs of mutants.py, one at a time, and reports which test kills each.

    tests/mutants/run.py --check              every mutant applies to the tree: no build, no test
    tests/mutants/run.py [NAME...]            all or some of them
    tests/mutants/run.py --report FILE        also writes the table

Works in a copy of the tree with a build folder of its own.  A mutant is built and then shown to the tests it names as nearest,
then to all others from the quickest suite to the slowest, until one fails; one that fails is run again, as a test that fails
by chance kills nothing.  In the end every test that has killed a mutant must pass on the tree as it is.  Exit status 1: a mutant
that does not apply, does not compile or survives, or a test that fails without one.  Needs root, as the tests do."""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

from mutants import MUTANTS

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = "/usr/bin/python3"
PROGRAM_MAX_S, FOLDER_MAX_S, BUILD_MAX_S = 300, 1500, 1200
C_SUITES = ("unit", "property")
PYTEST_SUITES = ("api", "formal", "system", "truth", "fault")

Verdict = namedtuple("Verdict", "killed test")  # 'test': what fails, and how; the tests' path first.


class Unfit(Exception):
    """A mutant that does not apply or does not compile."""


def apply(mutant, read):
    """The mutated texts of the files it edits: {file: text}.  'read' returns the text of a file."""
    texts = {}
    for edit in mutant.edits:
        text = texts[edit.file] if edit.file in texts else read(edit.file)
        n = text.count(edit.old)
        if n != 1:
            raise Unfit(f"{mutant.name}: its text stands {n} times in {edit.file} instead of once:\n    {edit.old!r}")
        texts[edit.file] = text.replace(edit.old, edit.new)
        if texts[edit.file] == text:
            raise Unfit(f"{mutant.name}: changes nothing in {edit.file}")
    return texts


def read_tree(path):
    try:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise Unfit(str(error)) from error


def check():
    """Prints what is wrong with the list; returns the number of findings."""
    findings = []
    for mutant in MUTANTS:
        try:
            apply(mutant, read_tree)
        except Unfit as error:
            findings.append(str(error))
        for test in mutant.near:
            suite, name = test.split("/")
            path = f"tests/{suite}/{name}" + (".c" if suite in C_SUITES else "")
            if not os.path.exists(os.path.join(ROOT, path)):
                findings.append(f"{mutant.name}: no {path}")
    names = [mutant.name for mutant in MUTANTS]
    findings += [f"{name}: named twice" for name in sorted(set(names)) if names.count(name) > 1]
    for finding in findings:
        print(finding)
    print(f"mutants: {len(MUTANTS)}, {len(findings)} findings")
    return len(findings)


def run(command, cwd, limit_s):
    """Runs a command with all its children; returns status (None: no end in time) and what it printed."""
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        env.pop(name, None)
    child = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        out, _ = child.communicate(timeout=limit_s)
        return child.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, _ = child.communicate()
        return None, out


class Scratch:
    """A copy of the tree in which mutants live."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="sallyport-mutants-")
        self._mutated = {}
        for name in self._files():
            target = os.path.join(self.path, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), target)
        build = os.path.join(ROOT, "build")
        if os.path.isdir(build):  # Saves the first build: paths in it are relative, times are kept.
            shutil.copytree(build, os.path.join(self.path, "build"), symlinks=True,
                            ignore=shutil.ignore_patterns("asan", "clang"))

    @staticmethod
    def _files():
        out = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True,
                             capture_output=True, text=True).stdout
        return [name for name in out.split("\0") if name and os.path.exists(os.path.join(ROOT, name))]

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def read(self, name):
        with open(os.path.join(self.path, name), encoding="utf-8") as file:
            return file.read()

    def _write(self, name, text):
        with open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
            file.write(text)

    def mutate(self, mutant):
        texts = apply(mutant, self.read)
        self._mutated = {name: self.read(name) for name in texts}
        for name, text in texts.items():
            self._write(name, text)

    def restore(self):
        for name, text in self._mutated.items():
            self._write(name, text)
        self._mutated = {}

    def make(self, *targets):
        cache = os.environ.get("OVS_CACHE", os.path.join(ROOT, ".cache", "openvswitch"))
        status, out = run(["make", "-j2", f"OVS_CACHE={cache}", *targets], self.path, BUILD_MAX_S)
        if status != 0:
            raise Unfit(f"make {' '.join(targets)}: status {status}\n" + "\n".join(out.splitlines()[-15:]))

    def prepare(self, suite, names):
        """Builds what tests of a suite need: the programs themselves, or the daemon and the tools."""
        if suite in C_SUITES:
            self.make(*(f"build/tests/{suite}/{name}" for name in names))
        else:
            tools = [f"build/tests/{folder}/{name[:-2]}{suffix}" for folder, suffix in (("system", ""), ("fault", ".so"))
                     for name in os.listdir(os.path.join(self.path, "tests", folder)) if name.endswith(".c")]
            self.make("all", *tools)

    def names(self, suite):
        """The tests of a suite: C programs one by one, a pytest folder as a whole."""
        folder = os.path.join(self.path, "tests", suite)
        if suite in PYTEST_SUITES:
            return [""] if os.path.isdir(folder) else []
        return sorted(name[:-2] for name in os.listdir(folder) if name.endswith(".c"))

    def ask(self, suite, name, only=None):
        """Whether a test kills what is built.  'only' limits a pytest file to one test."""
        if suite in C_SUITES:
            return self._ask_program(f"build/tests/{suite}/{name}")
        path = f"tests/{suite}/{name}" if name else f"tests/{suite}"
        command = [PYTHON, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", only or path]
        status, out = run(command, self.path, FOLDER_MAX_S)
        if status == 0:
            return Verdict(False, path)
        failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", out, re.M)
        if status == 1 and failed:
            return Verdict(True, failed.group(1))
        if status is None:
            return Verdict(True, f"{path} (no end in {FOLDER_MAX_S} s)")
        raise Unfit(f"pytest {path}: status {status}\n" + "\n".join(out.splitlines()[-15:]))

    def _ask_program(self, path):
        status, out = run([path], self.path, PROGRAM_MAX_S)
        name = path.replace("build/", "", 1)
        if status == 0:
            return Verdict(False, name)
        failed = re.search(r"\[  FAILED  \] (?:\S+: )?(test_\w+|\w+)\s*$", out, re.M)
        if status is None:
            return Verdict(True, f"{name} (no end in {PROGRAM_MAX_S} s)")
        if status < 0:
            return Verdict(True, f"{name} (signal {-status})")
        return Verdict(True, f"{name}: {failed.group(1)}" if failed else name)


def queue(scratch, mutant):
    """Suites and tests in the order in which the mutant meets them: [(suite, [name...])]."""
    near = [tuple(test.split("/")) for test in mutant.near if os.path.exists(os.path.join(
        scratch.path, "tests", test + (".c" if test.split("/")[0] in C_SUITES else "")))]
    asked = [(suite, [name]) for suite, name in near]
    for suite in C_SUITES:
        rest = [name for name in scratch.names(suite) if (suite, name) not in near]
        asked.append((suite, rest))
    return asked + [(suite, scratch.names(suite)) for suite in PYTEST_SUITES]


def kill(scratch, mutant):
    """The Verdict of the first test that fails, or None if the mutant survives.  Fills 'asked' of the killer for later."""
    for suite, names in queue(scratch, mutant):
        scratch.prepare(suite, names)
        for name in names:
            verdict = scratch.ask(suite, name)
            if not verdict.killed:
                continue
            only = verdict.test.split(" (no end")[0] if suite in PYTEST_SUITES else None
            again = scratch.ask(suite, name, only)
            if not again.killed:
                print(f"    {verdict.test}: failed once and passed then; not counted", flush=True)
                continue
            return suite, name, verdict
    return None


def kills_nothing(scratch, killers):
    """Runs the tests that have killed on the tree as it is; returns those that fail there too."""
    scratch.restore()
    failing = []
    for suite, name, test in sorted(killers):
        scratch.prepare(suite, [name])
        only = test.split(" (no end")[0] if suite in PYTEST_SUITES else None
        if scratch.ask(suite, name, only).killed and scratch.ask(suite, name, only).killed:
            failing.append(test)
    return failing


def table(rows):
    lines = ["| mutant | what is wrong with it | killed by |", "|---|---|---|"]
    return "\n".join(lines + [f"| {mutant.name} | {mutant.wrong} | {killer} |" for mutant, killer in rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Which test kills which seeded bug.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants (default: all)")
    parser.add_argument("--check", action="store_true", help="only whether every mutant applies")
    parser.add_argument("--report", metavar="FILE", help="write the table there too")
    options = parser.parse_args()
    unknown = set(options.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    if check():
        return 1
    if options.check:
        return 0
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    rows, killers, faults = [], set(), 0
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scratch = Scratch()
    try:
        scratch.make("all")
        for mutant in chosen:
            since = time.monotonic()
            try:
                scratch.mutate(mutant)
                found = kill(scratch, mutant)
            except Unfit as error:
                found, faults = None, faults + 1
                rows.append((mutant, f"**unfit**: {str(error).splitlines()[0]}"))
                print(f"{mutant.name}: UNFIT: {error}", flush=True)
            else:
                if found:
                    suite, name, verdict = found
                    killers.add((suite, name, verdict.test if suite in PYTEST_SUITES else name))
                    rows.append((mutant, verdict.test))
                else:
                    faults += 1
                    rows.append((mutant, "**nothing: it survives**"))
                print(f"{mutant.name}: {rows[-1][1]} ({time.monotonic() - since:.0f} s)", flush=True)
            finally:
                scratch.restore()
        for test in kills_nothing(scratch, killers):
            faults += 1
            print(f"{test}: fails on the tree as it is, so what it killed is not dead", flush=True)
    finally:
        scratch.remove()
    print(table(rows))
    if options.report:
        with open(options.report, "w", encoding="utf-8") as file:
            file.write(table(rows))
    print(f"mutants: {len(chosen)}, killed {len(chosen) - sum('**' in row[1] for row in rows)}, faults {faults}, "
          f"{time.monotonic() - begin:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
