#!/usr/bin/python3
"""cppcheck, clang-tidy and scan-build over the C code; red at any finding.

    tests/check/lint.py [cppcheck] [clang-tidy] [scan-build] [--jobs N]     without a name: all three

cppcheck reads the tests too.  What clang-tidy asks for stands in .clang-tidy, what scan-build does, below.  A finding is mended, by
telling a reader what the tool could not see either: an assertion, a value to begin with, a cast.  No line is exempt from anything."""

import argparse
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("controller", "flows", "include")
DEFINED = ["-D_GNU_SOURCE", '-DSP_VERSION="0"', "-I.", "-Iinclude"]
# What the analyzer is not asked: memcpy() and snprintf() are as safe as their sizes; Annex K's, which it wants, glibc has not.
NOT_ANALYZED = ["security.insecureAPI.DeprecatedOrUnsafeBufferHandling"]
ANALYZED = ["nullability.NullPassedToNonnull", "nullability.NullReturnedFromNonnull", "security.FloatLoopCounter", "security.insecureAPI.strcpy",
            "security.insecureAPI.rand", "valist.CopyToSelf", "valist.Uninitialized", "valist.Unterminated"]


def run(command):
    """Returns whether it is content, and what it said."""
    done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode == 0, done.stdout


def sources():
    listed = subprocess.run(["git", "ls-files", *(f"{folder}/*.c" for folder in FOLDERS)], cwd=TOP, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def cppcheck(prefix, pool, jobs):
    """funcArgOrderDifferent: 2.10 counts a parameter of a function's type for none, and the names behind it for others."""
    return [pool.submit(run, ["cppcheck", "--quiet", f"-j{jobs}", "--std=c11", "--enable=warning,performance,portability", "--error-exitcode=1",
                              "--suppress=missingIncludeSystem", "--suppress=funcArgOrderDifferent", *DEFINED, *FOLDERS, "tests"])]


def clang_tidy(prefix, pool, jobs):
    return [pool.submit(run, ["clang-tidy", "--quiet", source, "--", "-std=gnu11", *DEFINED, "-isystem", os.path.join(prefix, "include")])
            for source in sources()]


def analyze(prefix, source):
    """As scan-build has it done, which asks for a build: the front end alone is enough."""
    with tempfile.TemporaryDirectory() as directory:
        content, said = run(["scan-build", "--status-bugs", "-o", directory, *(word for one in NOT_ANALYZED for word in ("-disable-checker", one)),
                             *(word for one in ANALYZED for word in ("-enable-checker", one)), "clang", "-std=gnu11", *DEFINED,
                             "-isystem", os.path.join(prefix, "include"), "-c", "-o", os.devnull, source])
    return content, "" if content else said


def scan_build(prefix, pool, jobs):
    return [pool.submit(analyze, prefix, source) for source in sources()]


TOOLS = {"cppcheck": cppcheck, "clang-tidy": clang_tidy, "scan-build": scan_build}


def main():
    parser = argparse.ArgumentParser(description="Reads the C code for mistakes.")
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=", ".join(TOOLS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if unknown := [name for name in options.tools if name not in TOOLS]:
        parser.error(f"no such tool: {unknown[0]}")
    n_failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name in options.tools or TOOLS:
            begin = time.monotonic()
            results = [future.result() for future in TOOLS[name](os.environ["OVS_PREFIX"], pool, options.jobs)]
            wrong = [said for content, said in results if not content]
            print(*wrong, sep="\n", end="\n" if wrong else "")
            print(f"lint {name}: {f'{len(wrong)} runs with findings' if wrong else 'ok'}, {time.monotonic() - begin:.0f} s", flush=True)
            n_failed += bool(wrong)
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
