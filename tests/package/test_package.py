"""The Debian package: what lintian says of it, and its life on a machine.

The machine is this one, seen through an overlay in a mount and network namespace of the test's own: whatever dpkg writes there is
gone afterwards."""

import glob
import os
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(TOP, os.environ.get("BUILD", "build"), "deb")

# Makes the machine in a tmpfs and runs $2 in it; the package is /package.deb there.
MACHINE = r"""
set -eu
mount --make-rprivate /
mount -t tmpfs machine /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay machine -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cp "$1" /mnt/root/package.deb
mount -t proc proc /mnt/root/proc
mount --bind /dev /mnt/root/dev
ip link set lo up
exec chroot /mnt/root /bin/sh -euxc "$2"
"""
# Runs the daemon as its unit does, as far as that goes without systemd, and waits until it is ready.
START = r"""
start() {
    install -d -o sallyport -g sallyport -m 750 /var/lib/sallyport
    setpriv --reuid=sallyport --regid=sallyport --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
        /usr/sbin/sallyportd --config /etc/sallyport/sallyport.conf 2>>/tmp/log &
    pid=$!
    for i in $(seq 200); do
        sallyport status >/dev/null 2>&1 && return
        kill -0 $pid
        sleep 0.1
    done
    cat /tmp/log
    exit 1
}
stop() {
    kill $pid
    wait $pid
}
"""


@pytest.fixture(scope="module")
def package():
    found = glob.glob(os.path.join(FOLDER, "sallyport_*.deb"))
    assert len(found) == 1, f"{FOLDER}: run make deb"
    return found[0]


def on_machine(package, script):
    done = subprocess.run(["unshare", "--mount", "--net", "--fork", "--kill-child", "sh", "-c", MACHINE, "sh", package, START + script],
                          capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_lintian(package):
    changes, = glob.glob(os.path.join(FOLDER, "*.changes"))
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", changes], capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_versions_agree(package):
    version = re.search(r"^VERSION = (.*)$", open(os.path.join(TOP, "Makefile"), encoding="utf-8").read(), re.M).group(1)
    assert os.path.basename(package).split("_")[1] == version


def test_life(package):
    """Installed, used, installed again as an upgrade does, removed, purged."""
    out = on_machine(package, r"""
dpkg -i /package.deb
id sallyport
test "$(stat -c '%U %G %a' /etc/sallyport)" = 'root sallyport 750'
test -e /etc/systemd/system/multi-user.target.wants/sallyportd.service
man -w 8 sallyportd && man -w 1 sallyport && man -w 5 sallyport.conf
setpriv --reuid=sallyport --regid=sallyport --clear-groups sallyportd --config /etc/sallyport/sallyport.conf --check-config
start
sallyport region create SV2
grep -E '^Cap(Eff|Prm|Bnd):' /proc/$pid/status
stop
echo 'log-level = debug' >>/etc/sallyport/sallyport.conf

dpkg -i --force-confold /package.deb
grep -q 'log-level = debug' /etc/sallyport/sallyport.conf
start
sallyport region list | grep SV2
stop

dpkg -r sallyport
test ! -e /usr/sbin/sallyportd
test -e /var/lib/sallyport/sallyport.db
test -e /etc/sallyport/sallyport.conf

dpkg -P sallyport
test ! -e /var/lib/sallyport
test ! -e /etc/sallyport
rm /package.deb /tmp/log
find /etc /usr /lib /var/lib -xdev -name '*sallyport*' -not -path '/usr/share/doc/*' | sed 's/^/LEFT /'
""")
    assert out.count("0000000000000000") == 3, out  # No capability: effective, permitted, or to be had.
    assert not [line for line in out.splitlines() if line.startswith("LEFT") and "gdb" not in line], out


def test_a_bad_configuration_does_not_start(package):
    on_machine(package, r"""
dpkg -i /package.deb
echo 'openflow = pssl:6653' >>/etc/sallyport/sallyport.conf
sallyportd --config /etc/sallyport/sallyport.conf --check-config && exit 1 || test $? = 2
""")
