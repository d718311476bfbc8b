"""The daemon's answers held against its own description, controller/api/openapi.json: every answer that the clients of these
tests see must be one that the description foresees, in status, headers and body."""

import json
import os
import re
from urllib.parse import unquote, urlsplit

from jsonschema import Draft202012Validator, FormatChecker, RefResolver

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE = os.path.join(TOP, "controller", "api", "openapi.json")
METHODS = ("get", "put", "post", "patch", "delete")


class Description:
    def __init__(self, document):
        self.document = document
        self._resolver = RefResolver.from_schema(document)
        self._paths = [(re.compile(re.sub(r"\\?\{\w+\\?\}", "[^/]+", re.escape(path))), path) for path in document["paths"]]
        self.seen = set()

    def resolve(self, thing):
        while "$ref" in thing:
            _, thing = self._resolver.resolve(thing["$ref"])
        return thing

    def path_of(self, target):
        """The path that `target` is one of; None: it is none."""
        here = urlsplit(target).path
        return next((path for pattern, path in self._paths if pattern.fullmatch(unquote(here, errors="replace"))), None)

    def methods(self, path):
        return [method.upper() for method in self.document["paths"][path] if method in METHODS]

    def errors(self, schema, value):
        validator = Draft202012Validator(schema, resolver=self._resolver, format_checker=FormatChecker())
        return [f"{'/'.join(str(step) for step in error.absolute_path)}: {error.message[:300]}" for error in validator.iter_errors(value)]

    def wrong(self, method, target, answer):
        """What is wrong with `answer`, in words; an empty list if nothing is."""
        path = self.path_of(target)
        if path is None:  # The console's files are no calls.
            return [] if answer.status in (400, 401, 404, 413, 414) or not target.startswith("/v1") else [f"{target} is not described"]
        head = method == "HEAD"
        method = "GET" if head else method
        operation = self.document["paths"][path].get(method.lower())
        if operation is None:
            return [] if answer.status in (400, 401, 405, 413) else [f"{method} {path} is not described"]
        described = operation["responses"].get(str(answer.status))
        if described is None:
            return [f"{method} {path}: status {answer.status} is not described"]
        self.seen.add((method, path, answer.status))
        return [f"{method} {path} {answer.status}: {what}" for what in self._wrong_answer(self.resolve(described), answer, head)]

    def _wrong_answer(self, described, answer, head):
        for name, header in described.get("headers", {}).items():
            header, value = self.resolve(header), answer.headers.get(name)
            if value is None:
                if header.get("required"):
                    yield f"header {name} is missing"
                continue
            if self.resolve(header["schema"])["type"] == "integer":
                value = int(value)
            for error in self.errors(header["schema"], value):
                yield f"header {name}: {error}"
        content = described.get("content")
        kind = answer.headers.get("Content-Type")
        if content is None:
            if answer.body:
                yield "there is a body"
            return
        media = content.get((kind or "").split(";")[0])
        if media is None:
            yield f"Content-Type {kind}"
        elif not head and kind.endswith("json"):
            yield from self.errors(media["schema"], json.loads(answer.body))


def read():
    with open(FILE, encoding="utf-8") as file:
        return Description(json.load(file))


daemon_answers = read()
