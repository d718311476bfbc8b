"""`make install`, the unit and the manual pages."""

import os
import re
import subprocess

import pytest

import daemon as sallyport

PREFIX = "/opt/sallyport"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    for _ in range(2):  # Twice, as over an older one.
        subprocess.run(["make", "-s", "install", f"DESTDIR={root}", f"prefix={PREFIX}"], check=True, capture_output=True,
                       cwd=sallyport.TOP, env=environment)
    return root, environment


def test_files(installed):
    root, environment = installed
    files = {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}
    assert files == {f"{PREFIX[1:]}/{name}" for name in (
        "sbin/sallyportd", "bin/sallyport", "share/man/man8/sallyportd.8", "share/man/man5/sallyport.conf.5", "share/man/man1/sallyport.1",
        "share/bash-completion/completions/sallyport", "lib/sysusers.d/sallyport.conf", "lib/systemd/system/sallyportd.service")} | {
            "etc/sallyport/sallyport.conf"}
    config = root / "etc/sallyport/sallyport.conf"
    done = subprocess.run([root / f"{PREFIX[1:]}/sbin/sallyportd", "--config", config, "--check-config"], capture_output=True, check=False)
    assert done.returncode == 0, done
    config.write_text("log-level = debug\n")
    for target, left in (("install", files), ("uninstall", {"etc/sallyport/sallyport.conf"})):
        subprocess.run(["make", "-s", target, f"DESTDIR={root}", f"prefix={PREFIX}"], check=True, capture_output=True, cwd=sallyport.TOP,
                       env=environment)
        assert config.read_text() == "log-level = debug\n"
        assert {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names} == left


def test_the_shipped_configuration_names_only_options(directory):
    """Every line that is commented out is one that works."""
    text = open(os.path.join(sallyport.TOP, "controller/packaging/sallyport.conf"), encoding="utf-8").read()
    names = re.findall(r"^#([a-z-]+) = ", text, re.M)
    help_text = sallyport.run("--help").stdout
    assert len(names) > 10
    for name in names:
        assert f"--{name} " in help_text


def test_exposure(tmp_path):
    """What systemd-analyze thinks of the unit: at most 2.0 of 10."""
    unit = tmp_path / "sallyportd.service"
    text = open(os.path.join(sallyport.TOP, "controller/packaging/sallyportd.service"), encoding="utf-8").read()
    unit.write_text(text.replace("@sbindir@", "/usr/sbin").replace("@sysconfdir@", "/etc"))
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True,
                          env={**os.environ, "SYSTEMD_COLORS": "0"}, check=False)
    found = re.search(r"Overall exposure level for sallyportd.service: ([0-9.]+)", done.stdout)
    assert found and float(found.group(1)) <= 2.0 and done.returncode == 0, done.stdout[-2000:] + done.stderr


@pytest.mark.parametrize("page", ["sallyportd.8", "sallyport.conf.5"])
def test_manual_pages_name_every_option(page):
    text = open(os.path.join(sallyport.TOP, "controller/packaging/man", page), encoding="utf-8").read().replace("\\-", "-")
    options = set(re.findall(r"^(?: {6}|  -., )--([a-z-]+)|, --([a-z-]+) FILE", sallyport.run("--help").stdout, re.M))
    options = {a or b for a, b in options}
    assert {"db", "openflow", "certificate", "http-certificate", "check-config"} <= options
    if page.endswith(".5"):
        options -= {"config", "check-config", "version", "help"}
    missing = [name for name in options if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_manual_pages_are_well_formed():
    folder = os.path.join(sallyport.TOP, "controller/packaging/man")
    made = subprocess.run(["/usr/bin/python3", os.path.join(folder, "sallyport_1.py"), os.path.join(os.path.dirname(sallyport.PROGRAM), "sallyport")],
                          capture_output=True, text=True, check=True).stdout
    assert "rule add GROUP" in made and "\\-\\-remote\\-group" in made
    pages = {"sallyport.1": made}
    for name in ("sallyportd.8", "sallyport.conf.5"):
        pages[name] = open(os.path.join(folder, name), encoding="utf-8").read()
    for name, text in pages.items():
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-Wbreak", "-z"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stderr == "", (name, done.stderr)
