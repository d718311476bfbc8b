"""Runs fuzz targets with libFuzzer, two at once: prints what each did, and fails if one found something.

Each begins with the seeds and the regressions; what it adds is kept in build/fuzz/corpus for the next run, unless --fresh.
An input that ends a target is kept in build/fuzz/crashes: mend the product, and put the input into tests/fuzz/regressions.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
INPUT_MAX = {"session": 20000, "stats": 4000, "ovsdb": 6000, "unixctl": 4000, "json": 3000, "api": 4000, "server": 3000}  # Bytes; else 1000.


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at once (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="of libFuzzer; 0: another in each run")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs have found")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/fuzz"))
    parser.add_argument("--seeds", type=pathlib.Path, default=pathlib.Path("build/fuzz-seeds"), help="those made by record.c")
    return parser.parse_args()


def run_target(arguments, target):
    """Fuzzes one target.  Returns whether it found nothing, and a line about it."""
    corpus = arguments.build / "corpus" / target
    crashes = arguments.build / "crashes"
    if arguments.fresh:
        shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    folders = [corpus] + [path for path in (HERE / "seeds" / target, HERE / "regressions" / target, arguments.seeds / target)
                          if path.is_dir()]
    dictionary = HERE / "dictionaries" / target
    command = [arguments.build / "tests/fuzz" / target, *folders, f"-max_total_time={arguments.seconds}",
               f"-max_len={INPUT_MAX.get(target, 1000)}", f"-artifact_prefix={crashes}/{target}-", "-timeout=20",
               "-rss_limit_mb=2048", "-print_final_stats=1", "-use_value_profile=1", f"-seed={arguments.seed}"]
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    result = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                            text=True, errors="replace", env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"})
    (arguments.build / f"{target}.log").write_text(result.stdout)
    if result.returncode:
        return False, f"{target}: FAILED\n{result.stdout[-6000:]}"
    numbers = {name: re.findall(pattern, result.stdout)[-1:] or ["?"] for name, pattern in
               {"runs": r"number_of_executed_units: (\d+)", "edges": r"cov: (\d+)", "inputs": r"corp: (\d+)",
                "MiB": r"peak_rss_mb: +(\d+)"}.items()}
    return True, f"{target}: nothing found; " + ", ".join(f"{value[0]} {name}" for name, value in numbers.items())


def main():
    arguments = read_arguments()
    every = sorted(path.name for path in (arguments.build / "tests/fuzz").iterdir() if os.access(path, os.X_OK))
    unknown = set(arguments.targets) - set(every)
    if unknown:
        sys.exit(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    targets = arguments.targets or every
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        is_fine = True
        for is_good, line in pool.map(lambda target: run_target(arguments, target), targets):
            print(line, flush=True)
            is_fine = is_fine and is_good
    print(f"{len(targets)} targets, {arguments.seconds} s each: {'nothing found' if is_fine else 'SOMETHING FOUND'}")
    sys.exit(not is_fine)


if __name__ == "__main__":
    main()
