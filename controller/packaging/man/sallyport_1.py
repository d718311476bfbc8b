#!/usr/bin/python3
"""Prints sallyport(1), made of what `sallyport --help` and each command's --help say: sallyport_1.py PROGRAM."""

import re
import subprocess
import sys

HEAD = """.TH SALLYPORT 1 "" "Sallyport" "User commands"
.nh
.ad l
.SH NAME
sallyport \\- security groups for Open vSwitch: the command line
.SH SYNOPSIS
.B sallyport
.RI [ OPTION ]...
.I NOUN VERB
.RI [ ARGUMENT ]...
.SH DESCRIPTION
.B sallyport
asks and changes a
.BR sallyportd (8)
over HTTP.  Options may stand anywhere.
"""
TAIL = """.SH ENVIRONMENT
.BR SALLYPORT_URL ", " SALLYPORT_TOKEN_FILE " and " SALLYPORT_CA_CERT
stand for
.BR \\-\\-url ", " \\-\\-token\\-file " and " \\-\\-ca\\-cert .
.SH EXIT STATUS
0 done, 1 refused by the controller, 2 wrong usage, 3 no connection.
.SH SEE ALSO
.BR sallyportd (8)
"""


def text_of(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def options(lines):
    for line in lines:
        found = re.match(r"  (--\S+(?: \S+)?) {2,}(.*)", line)
        if found:
            yield f".TP\n.B {roff(found[1])}\n{roff(found[2])}\n"
        elif line.strip():
            yield f"{roff(line.strip())}\n"


def commands(text):
    """The synopsis of each command in the overview."""
    for line in text.splitlines():
        found = re.match(r"  sallyport (\S.*?)(?: {2,}|$)", line)
        if found:
            yield found[1]


def main():
    program = sys.argv[1]
    overview = text_of(program, "--help")
    out = [HEAD, ".SH GLOBAL OPTIONS\n", *options(overview.split("global options:\n")[1].split("\n\n")[0].splitlines()),
           ".SH COMMANDS\n"]
    for synopsis in commands(overview):
        words = [word for word in synopsis.split() if re.fullmatch("[a-z]+", word)][:2]
        usage, rest = text_of(program, *words, "--help").split("\n\n", 1)
        about, *sections = rest.split("\n\n")
        out.append(f".SS {roff(usage.removeprefix('usage: '))}\n" + "\n.br\n".join(map(roff, about.splitlines())) + "\n")
        for section in sections:
            title, *lines = section.splitlines()
            if title == "options:":
                out += options(lines)
    print("".join(out) + TAIL, end="")


if __name__ == "__main__":
    main()
