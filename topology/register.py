#!/usr/bin/python3
"""Registers a net with a controller: its bridges with their uplinks, its regions, its servers.

    register.py [--url URL] [--token-file FILE] [NET.json]

NET.json (else the standard input) is what `run.py` writes as description: see nets.py.  URL is http://HOST:PORT or unix:PATH.
What is there already, by region and name, is left as it is, so that it may be run again.  Prints a line for each object;
exits 1 at the first one that is refused."""

import argparse
import http.client
import json
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 90


class Refused(Exception):
    """The controller said no; `.status` and `.problem` (RFC 9457) tell why."""

    def __init__(self, status, problem):
        errors = "".join(f"; {error['field']}: {error['message']}" for error in problem.get("errors") or [])
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}{errors}")
        self.status = status
        self.problem = problem


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixHandler(urllib.request.HTTPHandler):
    def __init__(self, path):
        super().__init__()
        self._path = path

    def http_open(self, req):
        return self.do_open(lambda host, **options: _UnixConnection(self._path), req)


class Api:
    """The controller's HTTP interface."""

    def __init__(self, url=DEFAULT_URL, token=None):
        handlers = [urllib.request.ProxyHandler({})]
        if url.startswith("unix:"):
            handlers.append(_UnixHandler(url.removeprefix("unix:")))
            url = "http://localhost"
        self._url = url.rstrip("/")
        self._opener = urllib.request.build_opener(*handlers)
        self._token = token

    def call(self, method, path, body=None):
        """Returns (status, headers, the answer: parsed if it is JSON, else text).

        Raises Refused, or OSError without a connection."""
        request = urllib.request.Request(self._url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                text = answer.read().decode()
                is_json = "json" in answer.headers.get("Content-Type", "")
                return answer.status, answer.headers, json.loads(text) if is_json else text
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            try:
                problem = json.loads(text)
            except ValueError:
                problem = {"title": text}
            raise Refused(error.code, problem) from None

    def get(self, path, **query):
        return self.call("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))[2]


def register(api, net, say=print):
    """Registers `net` (see nets.py).  Returns the servers as the controller has them, by name."""
    for bridge in net["bridges"]:
        api.call("PUT", f"/v1/bridges/{bridge['dpid']}", {"uplinks": bridge["uplinks"]})
        say(f"bridge {bridge['name']} ({bridge['dpid']}), uplinks {', '.join(bridge['uplinks']) or 'none'}")
    known = {}
    for region in dict.fromkeys(server["region"] for server in net["servers"]):
        api.call("PUT", f"/v1/regions/{region}")
        say(f"region {region}")
        known |= {(region, server["name"]): server for server in api.get("/v1/servers", region=region)["servers"]}
    servers = {}
    for server in net["servers"]:
        found = known.get((server["region"], server["name"]))
        if not found:
            port = {key: server[key] for key in ("bridge", "port", "mac", "ips")}
            found = api.call("POST", "/v1/servers", {"region": server["region"], "name": server["name"], "ports": [port]})[2]
            say(f"server {server['name']} in {server['region']}, {', '.join(server['ips'])}")
        servers[server["name"]] = found
    return servers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--url", default=DEFAULT_URL, help="http://HOST:PORT or unix:PATH (default %(default)s)")
    parser.add_argument("--token-file")
    parser.add_argument("net", nargs="?", metavar="NET.json", type=argparse.FileType(encoding="utf-8"), default=sys.stdin)
    args = parser.parse_args()
    token = None
    if args.token_file:
        with open(args.token_file, encoding="utf-8") as file:
            token = file.readline().strip()
    try:
        register(Api(args.url, token), json.load(args.net))
    except (Refused, OSError) as error:
        print(f"register.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
