"""HTTPS for the admin endpoint: TLS or nothing on every TCP listener, unix sockets as they were."""

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

import daemon as sallyport
from test_cli import sallyport as cli

TOKEN = "s3cret-of-https"


def make_certificate(directory, name="localhost"):
    key, certificate = os.path.join(directory, f"{name}.key"), os.path.join(directory, f"{name}.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return key, certificate


class HttpsDaemon(sallyport.Daemon):
    def _is_ready(self):
        found = re.search(r"https on 127\.0\.0\.1:0 \(port (\d+)\)", self.text())
        if not found:
            return False
        self.address = f"127.0.0.1:{found.group(1)}"
        try:
            return sallyport.Client("unix:" + self.socket).get("/readyz").status == 200
        except OSError:
            return False

    @property
    def port(self):
        return int(self.address.split(":")[1])


@pytest.fixture
def https(directory):
    key, certificate = make_certificate(directory)
    one = HttpsDaemon(directory, "--http-private-key", key, "--http-certificate", certificate, token=TOKEN)
    one.certificate = certificate
    yield one.start()
    one.close()


def believing(https, **options):
    context = ssl.create_default_context(cafile=https.certificate)
    for name, value in options.items():
        setattr(context, name, value)
    return context


def call(https, method, path, context, headers=None, body=None):
    connection = http.client.HTTPSConnection("127.0.0.1", https.port, context=context, timeout=20)
    try:
        connection.request(method, path, body=body, headers={"Authorization": f"Bearer {TOKEN}", **(headers or {})})
        return sallyport.Answer(connection.getresponse())
    finally:
        connection.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_calls(https, version):
    context = believing(https, minimum_version=version, maximum_version=version)
    assert call(https, "PUT", "/v1/regions/A", context).status == 201
    assert call(https, "GET", "/v1/regions", context).json["regions"][0]["name"] == "A"
    assert call(https, "GET", "/v1/regions", context, {"Authorization": "Bearer wrong"}).status == 401
    big = b'{"name": "' + b"x" * 200000 + b'"}'
    assert call(https, "POST", "/v1/security-groups", context, {"Content-Type": "application/json"}, big).status == 422


def test_nothing_but_tls(https):
    """A plain request is answered by no HTTP, and the token in it is for nobody; nor is there TLS 1.1 or a key that lasts."""
    with socket.create_connection(("127.0.0.1", https.port), timeout=20) as plain:
        plain.sendall(f"GET /v1/regions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        said = b""
        try:
            while more := plain.recv(4096):
                said += more
        except ConnectionResetError:
            pass
        assert b"HTTP" not in said and len(said) < 100
    for options, ciphers in (({"minimum_version": ssl.TLSVersion.TLSv1_1, "maximum_version": ssl.TLSVersion.TLSv1_1}, "ALL:@SECLEVEL=0"),
                             ({"maximum_version": ssl.TLSVersion.TLSv1_2}, "kRSA:@SECLEVEL=0"),
                             ({"maximum_version": ssl.TLSVersion.TLSv1_2}, "aNULL:@SECLEVEL=0")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for name, value in options.items():
            setattr(context, name, value)
        context.set_ciphers(ciphers)
        with pytest.raises(OSError):
            call(https, "GET", "/healthz", context)
    assert sallyport.Client("unix:" + https.socket, TOKEN).get("/v1/regions").status == 200
    assert TOKEN not in https.text()


def test_silence_is_cut_off(https):
    """Half of a handshake does not hold a connection for ever, however busy it looks."""
    with socket.create_connection(("127.0.0.1", https.port), timeout=60) as half:
        half.sendall(bytes.fromhex("1603010200010001fc0303"))  # A record of 512 bytes, a ClientHello of 508.
        half.setblocking(False)
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline
            try:
                said = half.recv(100)
                assert said == b""  # No alert: nothing was wrong but the time.
                break
            except BlockingIOError:
                time.sleep(0.2)
                try:
                    half.sendall(b"\0")
                except OSError:
                    break
            except ConnectionResetError:
                break
    assert call(https, "GET", "/healthz", believing(https)).status == 200


def hang_up(https, word):
    """SIGHUP; until `word` has come once more into the log."""
    count = https.text().count(word)
    https.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while https.text().count(word) == count:
        assert time.monotonic() < deadline, https.text()
        time.sleep(0.02)


def shown(https):
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", https.port), timeout=20)


def test_another_certificate(https, directory):
    """Read again at SIGHUP: requests under way are answered on the connection that they have, streams end, nobody finds the door
    shut meanwhile; and a certificate that does not fit its key changes nothing."""
    old, context = shown(https), believing(https)
    region = call(https, "PUT", "/v1/regions/A", context)
    assert region.status == 201
    kept = http.client.HTTPSConnection("127.0.0.1", https.port, context=context, timeout=60)
    kept.putrequest("PUT", "/v1/regions/B")
    kept.putheader("Authorization", f"Bearer {TOKEN}")
    kept.putheader("Content-Type", "application/json")
    kept.putheader("Content-Length", "2")
    kept.endheaders(b"{")  # It has been begun.
    stream = http.client.HTTPSConnection("127.0.0.1", https.port, context=context, timeout=60)
    stream.request("GET", "/v1/events", headers={"Authorization": f"Bearer {TOKEN}"})
    events = stream.getresponse()
    assert b"id:" in events.readline()
    key, certificate = make_certificate(directory, "renewed")
    shutil.copy(certificate, https.certificate)
    hang_up(https, "not reloaded: cannot serve HTTPS")
    assert shown(https) == old
    shutil.copy(key, https.certificate.replace(".pem", ".key"))
    hang_up(https, "INFO main: reloaded")
    with open(certificate, encoding="ascii") as file:
        assert shown(https).split() == file.read().split()
    assert call(https, "GET", "/v1/regions", believing(https)).status == 200
    while events.readline():
        pass
    kept.send(b"}")
    assert sallyport.Answer(kept.getresponse()).status == 201
    for _ in range(50):
        hang_up(https, "INFO main: reloaded")
        assert call(https, "GET", "/healthz", believing(https)).status == 200
    assert https.stop() == 0 and "left open" not in https.text()


def test_command_line(https, directory):
    url = f"https://{https.address}"
    options = ["--url", url, "--token-file", os.path.join(directory, "token")]
    assert "A" in cli(*options, "--ca-cert", https.certificate, "region", "create", "A")[0]
    assert "A" in cli(*options, "region", "list", env={"SALLYPORT_CA_CERT": https.certificate})[0]
    stranger = make_certificate(directory, "stranger")[1]
    for more in ([], ["--ca-cert", stranger]):
        _, error = cli(*options, *more, "region", "list", status=3)
        assert "certificate" in error and TOKEN not in error


def test_files_that_do_not_do(directory):
    key, certificate = make_certificate(directory)
    other = make_certificate(directory, "other")[0]
    base = ["--db", f"sqlite:{directory}/x.db", "--http", "127.0.0.1:0", "--openflow", f"punix:{directory}/o"]
    for words, expected in ((["--http-private-key", key], "one needs the other"),
                            (["--http-private-key", other, "--http-certificate", certificate], "cannot be used"),
                            (["--http-private-key", "/dev/null", "--http-certificate", certificate], "cannot be used"),
                            (["--http-private-key", key, "--http-certificate", "/nonexistent"], "/nonexistent")):
        done = sallyport.run(*base, *words)
        lines = [line for line in done.stderr.splitlines() if line.startswith("sallyportd: ")]
        assert done.returncode == 2 and len(lines) == 1 and expected in lines[0], done
