"""Runs the README's examples: the blocks of shell that an HTML comment `<!-- test:api -->` on the line before marks, in
order, in one shell, against a fresh daemon."""

import os
import re
import subprocess

import daemon as sallyport

MARKED = re.compile(r"^<!-- test:api -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
URL = "http://127.0.0.1:8080"


def test_examples(daemon):
    with open(os.path.join(sallyport.TOP, "README.md"), encoding="utf-8") as file:
        blocks = MARKED.findall(file.read())
    assert blocks, "the README marks no example"
    url = f"http://{daemon.address}"
    script = "set -eu\n" + "\n".join(block.replace(URL, url) for block in blocks)
    path = os.path.dirname(sallyport.PROGRAM) + ":" + os.environ["PATH"]
    done = subprocess.run(["bash", "-c", script], cwd=sallyport.TOP, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PATH": path, "SALLYPORT": url, "SALLYPORT_URL": url})
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":4' not in done.stdout and '"status":5' not in done.stdout, done.stdout
