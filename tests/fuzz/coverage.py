"""Prints for each file that reads what others write how many of its lines the fuzz inputs and the unit tests reach.

The lines that nothing reaches follow with --missing.  Fails below --least percent of all lines together.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PARSERS = {
    "HTTP": ["controller/http/request.c", "controller/http/target.c"],
    "JSON": ["controller/json/parse.c", "controller/api/reader.c", "controller/api/decode_rule.c", "controller/api/decode_server.c",
             "controller/api/explain.c", "controller/api/protocol.c", "controller/api/route.c", "controller/api/api.c"],
    "options": ["controller/config.c", "controller/io/method.c", "controller/io/tls_peers.c", "controller/api/token.c",
                "flows/value.c", "flows/utf8.c"],
    "OpenFlow": ["flows/openflow/frame.c", "flows/openflow/session.c", "flows/openflow/session_handshake.c",
                 "flows/openflow/session_dump.c", "flows/openflow/session_monitor.c", "flows/openflow/session_batch.c",
                 "flows/openflow/known.c", "flows/openflow/codec.c", "flows/openflow/codec_actions.c"],
    "OVSDB": ["controller/json/scan.c", "controller/ovsdb/follow.c", "controller/ovsdb/replica.c"],
    "unixctl": ["controller/unixctl/inquiry.c", "controller/unixctl/conntrack.c"],
}


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/coverage"))
    parser.add_argument("--inputs", type=pathlib.Path, nargs="*", default=[], help="folders with a folder for each target")
    parser.add_argument("--missing", action="store_true", help="print the lines that are not reached")
    parser.add_argument("--least", type=float, default=95, help="percent (default 95)")
    return parser.parse_args()


def run(command, name, build):
    """Runs an instrumented program; returns where its counts are."""
    profile = build / f"{name}.profraw"
    subprocess.run([str(part) for part in command], env={**os.environ, "LLVM_PROFILE_FILE": str(profile)}, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return profile


def commands(arguments):
    """What is run: each fuzz target on what there is for it, and each unit test."""
    for target in sorted((arguments.build / "tests/fuzz").iterdir()):
        folders = [path / target.name for path in (HERE / "seeds", HERE / "regressions", *arguments.inputs)]
        folders = [path for path in folders if path.is_dir() and any(path.iterdir())]
        yield [target, *folders], f"fuzz-{target.name}"
    for test in sorted((arguments.build / "tests/unit").iterdir()):
        yield [test], f"unit-{test.name}"


def export(arguments, profiles, programs):
    """What llvm-cov says of the parsers, by file."""
    merged = arguments.build / "merged.profdata"
    subprocess.run(["llvm-profdata", "merge", "-sparse", "-o", str(merged), *map(str, profiles)], check=True)
    objects = [part for program in programs[1:] for part in ("-object", str(program))]
    files = [path for paths in PARSERS.values() for path in paths]
    result = subprocess.run(["llvm-cov", "export", "-instr-profile", str(merged), str(programs[0]), *objects, *files], check=True,
                            stdout=subprocess.PIPE)
    data = json.loads(result.stdout)["data"][0]["files"]
    return {os.path.relpath(entry["filename"]): entry for entry in data}


def missing_lines(entry):
    """The numbers of the lines where code begins that is never run."""
    return sorted({segment[0] for segment in entry["segments"] if segment[3] and segment[2] == 0 and segment[4]})


def main():
    arguments = read_arguments()
    work = list(commands(arguments))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        profiles = list(pool.map(lambda item: run(*item, arguments.build), work))
    entries = export(arguments, profiles, [command[0] for command, _ in work])
    n_lines = n_reached = 0
    for kind, paths in PARSERS.items():
        for path in paths:
            lines = entries[path]["summary"]["lines"]
            n_lines += lines["count"]
            n_reached += lines["covered"]
            print(f"{kind:9} {path:42} {lines['covered']:5} of {lines['count']:5} lines  {lines['percent']:6.2f} %")
            if arguments.missing:
                source = pathlib.Path(path).read_text().splitlines()
                for number in missing_lines(entries[path]):
                    print(f"          {path}:{number}: {source[number - 1].strip()}")
    percent = 100 * n_reached / n_lines
    print(f"all parsers: {n_reached} of {n_lines} lines, {percent:.2f} %")
    sys.exit(percent < arguments.least)


if __name__ == "__main__":
    main()
