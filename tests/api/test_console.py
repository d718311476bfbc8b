"""The console's files: that they are served whole, with the headers that keep them safe, and need no token."""

import os
import re

import pytest

import daemon as sallyport

STATIC = os.path.join(sallyport.TOP, "controller", "console", "static")
FILES = sorted(os.listdir(STATIC))
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".svg": "image/svg+xml"}
POLICY = {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'",
          "form-action": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'"}


def path_of(name):
    return "/" if name == "index.html" else f"/console/{name}"


def text_of(name):
    with open(os.path.join(STATIC, name), encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("name", FILES)
def test_file(api, name):
    answer = api.get(path_of(name))
    assert answer.status == 200
    assert answer.body == text_of(name).encode()
    assert answer.headers["Content-Type"] == TYPES[os.path.splitext(name)[1]]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == POLICY
    head = api("HEAD", path_of(name))
    assert head.status == 200 and head.body == b"" and head.headers["Content-Length"] == str(len(answer.body))


def test_caching(api):
    tags = {api.get(path_of(name)).headers["ETag"] for name in FILES}
    assert len(tags) == len(FILES)
    whole = api.get("/")
    assert whole.headers["Cache-Control"] == "no-cache"
    tag = whole.headers["ETag"]
    for list_of_tags in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        answer = api.get("/", headers={"If-None-Match": list_of_tags})
        assert answer.status == 304 and answer.body == b"", list_of_tags
        assert answer.headers["ETag"] == tag and answer.headers["Content-Security-Policy"]
        assert answer.headers.get_all("Content-Length") in (None, [str(len(whole.body))])
    assert api.get("/", headers={"If-None-Match": '"x"'}).status == 200
    assert api.get("/").body == whole.body  # The connection is in order after a 304.


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/none.js", "/console/../main.c", "/console/index.html",
                                  "/console/app.js/x", "/index.html", "/favicon.ico"])
def test_no_such_file(api, path):
    answer = api.get(path)
    assert answer.status == 404 and answer.headers["Content-Type"] == "application/problem+json"


def test_no_token_is_needed(make_daemon):
    client = make_daemon(token="abc").start().client(token=None)
    for name in FILES:
        assert client.get(path_of(name)).status == 200
    assert client.get("/v1/regions").status == 401
    assert client("PUT", "/").status in (401, 405)
    assert client.get("/console/none.js").status == 404


def test_methods(api):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = api(method, "/")
        assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"


def test_nothing_inline_and_nothing_from_elsewhere():
    """What the policy forbids would fail silently in a browser; and text must reach the page as text."""
    page = text_of("index.html")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=|javascript:", page)
    for name in FILES:
        text = text_of(name)
        urls = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not urls, (name, urls)
        if name.endswith(".js"):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), name


def test_client(api, shared):
    assert api.get("/v1/client").json == {"address": "127.0.0.1"}
    client = type(api)("unix:" + shared.socket)
    assert client.get("/v1/client").json == {"address": None}
    client.close()
    assert api.get("/v1/client", headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}).json == {
        "address": "127.0.0.1"}
