"""A controller of one's own for a net: build/bin/sallyportd on a database that lives as long as the net."""

import os
import shutil
import subprocess
import tempfile

import nets
import ovs
import register

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SALLYPORTD = os.path.join(TOP, "build/bin/sallyportd")
SALLYPORT = os.path.join(TOP, "build/bin/sallyport")
PATIENCE_S = 90  # With its start and its end: some fsync()s each, of which a busy disk may make seconds.


class Daemon:
    """`with Daemon() as daemon:`; listens for bridges at nets.CONTROLLER and serves HTTP at `daemon.url`, a unix socket."""

    def __init__(self):
        self.directory = None
        self.url = None
        self.api = None
        self._child = None

    def __enter__(self):
        if not os.access(SALLYPORTD, os.X_OK):
            raise SystemExit(f"{SALLYPORTD} is not there: run make")
        self.directory = tempfile.mkdtemp(prefix="sallyport-net-")
        self.url = f"unix:{self.directory}/http.sock"
        self.api = register.Api(self.url)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._child and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self):
        """Starts it, and waits until it is ready to serve."""
        with open(os.path.join(self.directory, "log"), "a", encoding="utf-8") as log:
            self._child = subprocess.Popen([SALLYPORTD, "--db", f"sqlite:{self.directory}/sallyport.db", "--http", self.url,
                                            "--openflow", nets.LISTEN],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=nets.die_with_parent,
                                           start_new_session=True)
        ovs.wait_until(self._is_ready, "the controller is ready", timeout=PATIENCE_S)

    def kill(self):
        """As a crash would: SIGKILL."""
        self._child.kill()
        self._child.wait()

    @property
    def pid(self):
        return self._child.pid

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def metric(self, name):
        """The value of a metric, summed over its labels; None if there is none."""
        values = [line.rsplit(" ", 1)[1] for line in self.api.get("/metrics").splitlines()
                  if line.startswith((name + " ", name + "{"))]
        return sum(map(float, values)) if values else None

    def _is_ready(self):
        if self._child.poll() is not None:
            raise ovs.OvsError(f"the controller ended with status {self._child.returncode}:\n{self.log()}")
        try:
            return self.api.call("GET", "/readyz")[0] == 200
        except (OSError, register.Refused):
            return False
