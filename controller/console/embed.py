#!/usr/bin/python3
"""Writes the C source that holds the console's files: embed.py FOLDER OUTPUT.

Each file becomes an array of bytes; its entity tag is a digest of them, so that it changes when the file does."""

import hashlib
import os
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".svg": "image/svg+xml"}
START = "index.html"  # Is what "/" shows.


def array(name, data):
    rows = (",".join(str(byte) for byte in data[at:at + 32]) for at in range(0, len(data), 32))
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "\n};\n"


def main(folder, output):
    arrays, entries = [], []
    for number, name in enumerate(sorted(os.listdir(folder))):
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        path = "/" if name == START else f"/console/{name}"
        kind = TYPES[os.path.splitext(name)[1]]
        tag = hashlib.sha256(data).hexdigest()[:24]
        arrays.append(array(f"file{number}", data))
        entries.append(f'    {{"{path}", "{kind}", "\\"{tag}\\"", (const char *) file{number}, sizeof file{number}}},\n')
    with open(output, "w", encoding="ascii") as file:
        file.write('#include "controller/console/console.h"\n\n' + "\n".join(arrays) +
                   "\nconst struct sp_console_file sp_console_files[] = {\n" + "".join(entries) +
                   "};\nconst size_t sp_console_n_files = sizeof sp_console_files / sizeof *sp_console_files;\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
