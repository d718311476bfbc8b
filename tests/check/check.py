#!/usr/bin/python3
"""What the style of this project asks for and a machine can see: layers, homes of third-party headers, sizes, names.

Each check is a function that yields one line per finding.  Prints the findings and a closing line; exits 1 if there is any.
Run from the top of the checkout, after a build (the symbol checks read build/lib)."""

import os
import re
import subprocess
import sys
import tempfile

LINES_PER_FILE = 800
LINES_PER_FUNCTION = 80
COLUMNS = 130

# A folder may include headers of these folders (longest prefix decides); "" is the folder itself.
LAYERS = {
    "include/": ["sallyport/"],
    "flows/": ["sallyport/", "flows/"],
    "flows/openflow/": ["sallyport/", "flows/"],
    "controller/": ["sallyport/", "flows/", "controller/"],
    "controller/model/": ["sallyport/", "flows/", "controller/model/"],
    "controller/io/": ["sallyport/", "controller/io/", "controller/obs/"],
    "controller/json/": ["sallyport/", "controller/json/"],
    "controller/store/": ["sallyport/", "controller/store/", "controller/model/object.h", "controller/obs/"],
    "controller/http/": ["sallyport/", "controller/http/", "controller/json/", "controller/obs/"],
    "controller/obs/": ["sallyport/", "controller/obs/"],
    "controller/ovsdb/": ["sallyport/", "controller/ovsdb/", "controller/io/", "controller/json/", "controller/obs/"],
    "controller/unixctl/": ["sallyport/", "controller/unixctl/", "controller/json/", "controller/obs/"],
    "controller/api/": ["sallyport/", "flows/", "controller/"],
    "controller/console/": ["sallyport/", "controller/console/"],
    "controller/cli/": ["sallyport/", "controller/cli/", "controller/json/"],
}
# flows/ proper does not know OpenFlow.
FORBIDDEN = [("flows/", "flows/openflow/"), ("controller/", "controller/cli/")]

# Third-party headers and the places that may include them.
HOMES = {
    "openvswitch/": ["flows/openflow/"],
    "openflow/": ["flows/openflow/"],
    "yajl/": ["controller/json/"],
    "sqlite3.h": ["controller/store/"],
    "microhttpd.h": ["controller/http/"],
    "curl/": ["controller/cli/"],
    "openssl/": ["controller/io/tls"],
    "uv.h": ["controller/io/", "controller/store/", "controller/http/", "controller/ovsdb/", "controller/unixctl/", "controller/main.c",
             "controller/service", "controller/engine", "controller/switch"],
}
SINGLE_HOME = ["sqlite3.h", "microhttpd.h"]

BANNED_NAMES = re.compile(r"(^|[_/.-])(manager|helpers?|utils?|common|misc)([_/.-]|$)")


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], check=True,
                         capture_output=True, text=True).stdout
    return sorted(path for path in out.split("\n") if path and os.path.exists(path))


def sources():
    return tracked("*.c", "*.h")


def product_sources():
    return [path for path in sources() if not path.startswith("tests/")]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def layer_of(path):
    return max((prefix for prefix in LAYERS if path.startswith(prefix)), key=len, default=None)


def check_layers():
    for path in product_sources():
        layer = layer_of(path)
        if layer is None:
            yield f"{path}: belongs to no layer"
            continue
        for name in re.findall(r'^#include "([^"]+)"', read(path), re.M):
            if not any(name.startswith(allowed) for allowed in LAYERS[layer]):
                yield f'{path}: includes "{name}", which {layer} may not'
            for where, what in FORBIDDEN:
                if layer == where and name.startswith(what):
                    yield f'{path}: includes "{name}", which lies above or beside it'


def check_homes():
    users = {name: set() for name in SINGLE_HOME}
    for path in product_sources():
        for name in re.findall(r"^#include <([^>]+)>", read(path), re.M):
            for header, homes in HOMES.items():
                if name.startswith(header) and not any(path.startswith(home) for home in homes):
                    yield f"{path}: <{name}> has its home in {', '.join(homes)}"
            if name in users:
                users[name].add(path)
    for name, paths in users.items():
        if len(paths) > 1:
            yield f"<{name}> is included by {len(paths)} files: {', '.join(sorted(paths))}"


def check_sizes():
    for path in sources():
        lines = read(path).split("\n")
        if len(lines) - 1 > LINES_PER_FILE:
            yield f"{path}: {len(lines) - 1} lines, more than {LINES_PER_FILE}"
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS:
                yield f"{path}:{number}: {len(line)} columns, more than {COLUMNS}"
            if line != line.rstrip():
                yield f"{path}:{number}: trailing space"
            if "\t" in line:
                yield f"{path}:{number}: tab"


def check_functions():
    files = [path for path in sources() if path.endswith(".c")] or ["/dev/null"]
    out = subprocess.run(["ctags", "-x", "--_xformat=%F %N %n %e", "--kinds-C=f", "--fields=+ne", *files], check=True,
                         capture_output=True, text=True).stdout
    for line in out.splitlines():
        path, name, begin, end = line.rsplit(" ", 3)
        length = int(end) - int(begin) + 1
        if length > LINES_PER_FUNCTION:
            yield f"{path}: {name}() has {length} lines, more than {LINES_PER_FUNCTION}"


def check_names():
    for path in tracked():
        if BANNED_NAMES.search(path):
            yield f"{path}: a name that says nothing"
    for path in sources():
        for number, line in enumerate(read(path).split("\n"), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b(?! ?\(?#\d)", line):
                yield f"{path}:{number}: an open end without an issue's number"


def check_readmes():
    for folder in ["controller", "flows", "include", "tests", "topology"]:
        if not os.path.exists(f"{folder}/README.md"):
            yield f"{folder}/README.md is missing"


def check_headers():
    """Every header compiles alone."""
    prefix = os.environ.get("OVS_PREFIX", ".cache/openvswitch")
    with tempfile.TemporaryDirectory() as folder:
        for path in [path for path in sources() if path.endswith(".h")]:
            unit = os.path.join(folder, "unit.c")
            with open(unit, "w", encoding="utf-8") as file:
                file.write(f'#include "{path.removeprefix("include/")}"\n')
            run = subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I.", "-Iinclude",
                                  "-isystem", f"{prefix}/include", "-fsyntax-only", unit], capture_output=True, text=True)
            if run.returncode:
                yield f"{path}: does not compile alone: {run.stderr.splitlines()[0]}"


def archives():
    folder = "build/lib"
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))] if os.path.isdir(folder) else []


def check_symbols():
    """All globals carry sp_: libopenvswitch exports thousands of names without a prefix.  No mutable state in files."""
    for archive in archives():
        out = subprocess.run(["objdump", "-t", archive], check=True, capture_output=True, text=True).stdout
        for line in out.splitlines():
            match = re.match(r"[0-9a-f]{16} (.{7}) (\S+)\s+[0-9a-f]{16}\s+(?:\.hidden )?(\S+)$", line)
            if not match:
                continue
            flags, section, name = match.groups()
            if flags[0] == "g" and section != "*UND*" and not name.startswith("sp_"):
                yield f"{archive}: global {name} lacks the prefix sp_"
            if flags[6] == "O" and re.match(r"\.(data|bss)(\.(?!rel\.ro)|$)", section) and name not in ("log_level", "log_form"):
                yield f"{archive}: {name} is mutable state of a file"


def main():
    failed = passed = 0
    for name, check in sorted(globals().items()):
        if not name.startswith("check_"):
            continue
        findings = list(check())
        print(f"{name.replace('_', ' ', 1)}: {'ok' if not findings else f'{len(findings)} findings'}")
        for finding in findings:
            print(f"  {finding}")
        if findings:
            failed += 1
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
