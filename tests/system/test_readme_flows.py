"""The flows that the README shows are those that the compiler makes."""

import os
import re
import subprocess

TOP = os.path.join(os.path.dirname(__file__), "..", "..")
TOOL = os.path.join(TOP, "build", "tests", "system", "compile_flows")


def test_the_flows_of_the_readme():
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        found = re.search(r"<!-- test:flows (.*?) -->\n```\n(.*?)```", file.read(), re.S)
    facts = found.group(1).replace("; ", "\n") + "\n"
    made = subprocess.run([TOOL], input=facts, capture_output=True, text=True, check=True).stdout
    of_the_rule = [line.split(",", 1)[1] for line in made.splitlines() if line.startswith("cookie=0x535005")]
    assert sorted(found.group(2).splitlines()) == sorted(of_the_rule)
