"""A sallyportd of one's own, and a client that hides nothing of HTTP."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

import description

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(TOP, os.environ.get("BUILD", "build"), "bin", "sallyportd")
START_S = 90  # Each is some fsync()s, of which a busy disk may make seconds.
STOP_S = 90
IDLE_MAX_S = 5  # The daemon closes a connection that is idle for longer than 15 s.


class Answer:
    """One answer: status, headers, body as bytes and, where it is JSON, as a value."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        kind = self.headers.get("Content-Type", "")
        self.json = json.loads(self.body) if self.body and "json" in kind else None

    def __repr__(self):
        return f"{self.status} {self.body[:2000]!r}"

    @property
    def fields(self):
        """The fields that a problem names, sorted."""
        return sorted(error["field"] for error in self.json["errors"])

    @property
    def revision(self):
        return int(self.headers["Sallyport-Revision"])

    @property
    def applied(self):
        return {"true": True, "false": False}[self.headers["Sallyport-Applied"]]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Calls over one kept connection; not for several threads."""

    def __init__(self, address, token=None, timeout=90):
        self.address = address
        self.token = token
        self.timeout = timeout
        self._connection = None
        self._used = 0.0

    def connection(self):
        if self._connection is None:
            self._used = time.monotonic()
            if self.address.startswith("unix:"):
                self._connection = UnixConnection(self.address[5:], self.timeout)
            else:
                self._connection = http.client.HTTPConnection(self.address, timeout=self.timeout)
        return self._connection

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __call__(self, method, path, body=None, raw=None, headers=None):
        """`body` is sent as JSON, `raw` as it is."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        if time.monotonic() - self._used > IDLE_MAX_S:
            self.close()
        try:
            connection = self.connection()
            connection.request(method, path, body=raw, headers=sent)
            answer = Answer(connection.getresponse())
        except (http.client.HTTPException, OSError):
            self.close()
            raise
        self._used = time.monotonic()
        wrong = description.daemon_answers.wrong(method, path, answer)
        assert not wrong, wrong
        return answer

    def get(self, path, **options):
        return self("GET", path, **options)

    def post(self, path, body=None, **options):
        return self("POST", path, body, **options)

    def put(self, path, body=None, **options):
        return self("PUT", path, body, **options)

    def patch(self, path, body=None, **options):
        return self("PATCH", path, body, **options)

    def delete(self, path, **options):
        return self("DELETE", path, **options)


class Daemon:
    """A running sallyportd on free ports, with its files in `directory`."""

    def __init__(self, directory, *options, token=None):
        self.directory = str(directory)
        self.options = options
        self.token = token
        self.process = None
        self.log = os.path.join(self.directory, "log")
        self.openflow = os.path.join(self.directory, "openflow.sock")
        self.socket = os.path.join(self.directory, "http.sock")
        self.address = None
        self.environment = {}
        self.db = f"sqlite:{self.directory}/sallyport.db"

    def command(self):
        words = [PROGRAM, "--db", self.db, "--openflow", f"punix:{self.openflow}",
                 "--http", "127.0.0.1:0", "--http", f"unix:{self.socket}", *self.options]
        if self.token is not None:
            path = os.path.join(self.directory, "token")
            with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600), encoding="ascii") as file:
                file.write(self.token + "\n")
            words += ["--token-file", path]
        return words

    def start(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.directory, env={**os.environ, **self.environment})
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"sallyportd did not become ready: {self.text()}")
            time.sleep(0.01)
        return self

    def _is_ready(self):
        found = re.search(r"http on 127\.0\.0\.1:0 \(port (\d+)\)", self.text())
        if not found:
            return False
        self.address = f"127.0.0.1:{found.group(1)}"
        try:
            return self.client().get("/readyz").status == 200
        except OSError:
            return False

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def client(self, **options):
        return Client(self.address, **{"token": self.token, **options})

    def signal(self, number):
        """Sends a signal and returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_S)

    def stop(self):
        return self.signal(signal.SIGTERM)

    def kill(self):
        return self.signal(signal.SIGKILL)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run(*options, timeout=START_S):
    """Runs a sallyportd that is to end by itself."""
    return subprocess.run([PROGRAM, *options], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
