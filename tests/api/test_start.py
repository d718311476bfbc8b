"""Contract 1: options, starting and stopping."""

import os
import resource
import signal
import socket
import stat
import subprocess
import time

import pytest

import daemon as sallyport


def assert_refused(done, *words):
    assert done.returncode == 2, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("sallyportd: "), done.stderr
    for word in words:
        assert word in lines[0]


def test_help_and_version():
    done = sallyport.run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("--config", "--db", "--openflow", "--ovsdb", "--switch-control", "--http", "--token-file", "--log-level", "--version", "--help"):
        assert option in done.stdout
    done = sallyport.run("--version")
    assert done.returncode == 0 and done.stdout.startswith("sallyportd ")


@pytest.mark.parametrize("options, words", [
    (["--nonsense"], ["--nonsense"]), (["--log-level", "loud"], ["loud"]), (["--http", "0.0.0.0:0"], ["--token-file"]),
    (["--http", "nohost"], ["nohost"]), (["--openflow", "ptcp:x"], ["ptcp:x"]),
    (["--openflow", "ssl:1.2.3.4:1"], ["ssl:1.2.3.4:1"]),
    (["--db", "mysql:x"], ["mysql:x"]), (["--db", "sqlite:/nonexistent/folder/x"], ["--db: /nonexistent/folder/x: cannot create"]), (["--config", "/nonexistent"], ["/nonexistent"]),
    (["--token-file", "/nonexistent"], ["/nonexistent"]),
    (["extra"], ["extra"])])
def test_bad_options(directory, options, words):
    db = [] if "--db" in options else ["--db", f"sqlite:{directory}/x.db"]
    assert_refused(sallyport.run(*db, *options), *words)


def test_bad_config_file(directory):
    path = os.path.join(directory, "conf")
    for text, words in (("db = sqlite:x\nwhat = 5\n", ["conf:2", "what"]), ("http = nohost\n", ["conf:1", "nohost"]),
                        ("x\n", ["conf:1"])):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        assert_refused(sallyport.run("--config", path), *words)


def test_config_file_serves(directory, make_daemon):
    path = os.path.join(directory, "conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# ours\nlog-level = debug\nhttp = unix:{directory}/of-the-file.sock\n")
    make_daemon("--config", path).start()
    assert not os.path.exists(f"{directory}/of-the-file.sock")


@pytest.mark.parametrize("option", ["--http", "--openflow"])
def test_port_in_use(directory, option):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        addresses = {"--http": f"127.0.0.1:{port}", "--openflow": f"ptcp:{port}:127.0.0.1"}
        others = {"--http": f"unix:{directory}/h", "--openflow": f"punix:{directory}/o"}
        del others[option]
        done = sallyport.run("--db", f"sqlite:{directory}/x.db", option, addresses[option],
                             *[word for pair in others.items() for word in pair])
    assert_refused(done, option, str(port), "in use")


def test_what_fails_late_is_one_line_too(directory):
    """What could be said about the parts that were begun with before is not said."""
    token = os.path.join(directory, "token")
    with open(token, "w", opener=lambda name, flags: os.open(name, flags, 0o644), encoding="ascii") as file:
        file.write("abc\n")
    done = sallyport.run("--db", f"sqlite:{directory}/x.db", "--token-file", token, "--http", f"unix:{directory}/h", "--openflow",
                         "ptcp:0:0.0.0.0", "--openflow", f"punix:{token}")
    assert_refused(done, "--openflow", token, "exists")
    with open(token, encoding="ascii") as file:
        assert file.read() == "abc\n"


def test_warns_of_what_is_exposed(directory, make_daemon):
    token = os.path.join(directory, "shown")
    with open(token, "w", opener=lambda name, flags: os.open(name, flags, 0o644), encoding="ascii") as file:
        file.write("abc\n")
    one = make_daemon("--token-file", token, "--openflow", "ptcp:0:0.0.0.0").start()
    assert f"token file {token} can be read by everybody" in one.text()
    assert "ptcp:0:0.0.0.0: OpenFlow without TLS authenticates nobody" in one.text()


@pytest.mark.parametrize("name", [":memory:", "file:x?mode=memory", "of here.db"])
def test_any_name_is_a_file(make_daemon, directory, name):
    """What SQLite takes for more than a name is the name of a file here: nothing is stored in memory alone."""
    one = make_daemon()
    one.db = f"sqlite:{name}"
    one.start()
    assert one.client().put("/v1/regions/A").status == 201
    one.kill()
    assert os.path.isfile(os.path.join(directory, name))
    one.start()
    assert [region["name"] for region in one.client().get("/v1/regions").json["regions"]] == ["A"]


def test_empty_token_file(directory):
    path = os.path.join(directory, "token")
    open(path, "w", encoding="ascii").close()
    assert_refused(sallyport.run("--db", f"sqlite:{directory}/x.db", "--token-file", path), path)


def test_damaged_database_touches_no_switch(directory):
    path = os.path.join(directory, "sallyport.db")
    with open(path, "wb") as file:
        file.write(b"this is no database" * 1000)
    openflow = os.path.join(directory, "o.sock")
    done = sallyport.run("--db", f"sqlite:{path}", "--http", f"unix:{directory}/h", "--openflow", f"punix:{openflow}")
    assert_refused(done, "--db", path)
    assert not os.path.exists(openflow)


def test_second_daemon_on_one_database(daemon, directory):
    done = sallyport.run("--db", f"sqlite:{directory}/sallyport.db", "--http", f"unix:{directory}/h2", "--openflow",
                         f"punix:{directory}/o2")
    assert_refused(done, "sallyport.db")
    assert daemon.client().get("/readyz").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_clean_stop(daemon, number):
    client = daemon.client()
    assert client.put("/v1/regions/A").status == 201  # This connection stays open.
    assert daemon.signal(number) == 0
    assert "left open" not in daemon.text()


def test_stop_with_requests_under_way(daemon):
    """A signal in the middle of changes: each is answered as made, refused, or not at all; and the exit is clean."""
    import threading
    statuses, stop = set(), threading.Event()

    def work(number):
        client = daemon.client()
        count = 0
        while not stop.is_set():
            count += 1
            try:
                statuses.add(client.put(f"/v1/regions/{number}-{count}").status)
            except OSError:
                return
            except Exception:  # A connection that ends in the middle of an answer is the same.
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while 201 not in statuses and time.monotonic() < deadline:
        time.sleep(0.01)
    assert daemon.stop() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert 201 in statuses and statuses <= {201, 503}


def test_notifies_the_service_manager(make_daemon, directory):
    path = os.path.join(directory, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        one = make_daemon()
        one.environment = {"NOTIFY_SOCKET": path}
        one.start()
        assert manager.recv(100) == b"READY=1"
        assert one.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_watchdog(make_daemon, directory):
    """Told regularly, and only if it is meant for this process."""
    path = os.path.join(directory, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        one = make_daemon()
        one.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "600000"}
        one.start()
        assert [manager.recv(100) for _ in range(4)] == [b"READY=1"] + 3 * [b"WATCHDOG=1"]
        one.process.send_signal(signal.SIGTERM)
        while manager.recv(100) != b"STOPPING=1":  # Read meanwhile: a datagram that finds no room is lost.
            pass
        assert one.process.wait(20) == 0
        other = make_daemon()
        other.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        other.start()
        assert manager.recv(100) == b"READY=1"
        other.process.send_signal(signal.SIGHUP)
        assert [manager.recv(100) for _ in range(2)] == [b"RELOADING=1", b"READY=1"]
        assert other.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_check_config(directory):
    """Reads what is named and opens nothing."""
    tokens, config, database = (os.path.join(directory, name) for name in ("tokens", "conf", "x.db"))
    with open(tokens, "w", encoding="ascii") as file:
        file.write("some-token\n")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"token-file = {tokens}\ndb = sqlite:{database}\nhttp = 127.0.0.1:0\n")
    done = sallyport.run("--check-config", "--config", config)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not os.path.exists(database)
    with open(tokens, "w", encoding="ascii") as file:
        file.write("some token\n")
    assert_refused(sallyport.run("--config", config, "--check-config"), tokens, "line 1")
    with open(config, "a", encoding="ascii") as file:
        file.write("nonsense = 1\n")
    assert_refused(sallyport.run("--config", config, "--check-config"), "conf:4", "nonsense")
    assert_refused(sallyport.run("--check-config", "--http-private-key", "/nonexistent", "--http-certificate", "/nonexistent"), "/nonexistent")


def test_stale_sockets_are_replaced(make_daemon):
    one = make_daemon().start()
    one.kill()
    assert stat.S_ISSOCK(os.stat(one.socket).st_mode)
    one.start()
    assert type(one.client())("unix:" + one.socket).get("/readyz").status == 200


def test_closed_output_does_not_end_it(directory):
    process = subprocess.Popen([sallyport.PROGRAM, "--db", f"sqlite:{directory}/x.db", "--http", f"unix:{directory}/h",
                                "--openflow",
                                f"punix:{directory}/o", "--log-level", "debug"], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        process.stderr.close()
        client = sallyport.Client(f"unix:{directory}/h")
        deadline = time.monotonic() + 20
        while True:
            try:
                assert client.get("/readyz").status == 200
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
        assert client.put("/v1/regions/A").status == 201
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_takes_the_descriptors_that_it_may_have(make_daemon):
    """A shell's soft limit of 1024 would keep a thousand switches out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        daemon = make_daemon().start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    metrics = daemon.client().get("/metrics").body.decode().splitlines()
    assert f"process_max_fds {hard}" in metrics
