"""A server on this machine that answers huggingface_hub as the Hub does: repositories, downloads, uploads, commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from helpers.file_server import running

COMMIT = "a" * 40
TOKEN = "hf_of_a_test"


@dataclass
class Hub:
    """What the server has, and what it was asked."""

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)  # "owner/name": files by name
    private: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)  # of the commits
    asked: list[str] = field(default_factory=list)  # method and path of each request
    objects: dict[str, bytes] = field(default_factory=dict)  # large files by their sha256
    status: int = 0  # of every answer
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._file()

    def do_GET(self) -> None:
        self._file()

    def do_PUT(self) -> None:
        self.hub.asked.append(f"PUT {self.path}")
        self.hub.objects[self.path.rpartition("/")[2]] = self._body()
        self._answer(b"")

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        self.hub.asked.append(f"POST {path}")
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401, "", "Invalid username or password.")
        if self.hub.status:
            return self._refuse(self.hub.status, "", "a fault of the server")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        repo = re.match(r"(?:/api/models)?/([^/]+/[^/.]+)", path)[1]
        if path.endswith("/objects/batch"):
            return self._batch(json.loads(body))
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": self._mode(f["path"]), "shouldIgnore": False} for f in files]
            return self._json({"files": modes})
        return self._commit(repo, [json.loads(line) for line in body.splitlines()])

    def _create(self, wanted: dict) -> None:
        repo = f"{wanted['organization']}/{wanted['name']}"
        if repo in self.hub.repos:
            return self._refuse(409, "", "You already created this model repo", url=f"{self.hub.url}/{repo}")
        self.hub.repos[repo] = {}
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.hub.private.add(repo)
        return self._json({"url": f"{self.hub.url}/{repo}"})

    def _batch(self, wanted: dict) -> None:
        found = [
            {**o, "actions": {"upload": {"href": f"{self.hub.url}/objects/{o['oid']}"}}} for o in wanted["objects"]
        ]
        self._json({"transfer": "basic", "objects": found})

    def _commit(self, repo: str, lines: list[dict]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.hub.messages.append(value["summary"])
            elif line["key"] == "file":
                self.hub.repos[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.hub.repos[repo][value["path"]] = self.hub.objects[value["oid"]]
        self._json({"commitUrl": f"{self.hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT})

    def _file(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/") and (repo := path.removeprefix("/api/models/")) in self.hub.repos:
            return self._json({"id": repo, "private": repo in self.hub.private})
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if self.hub.status:
            return self._refuse(self.hub.status, "", "a fault of the server")
        if match is None or match[1] not in self.hub.repos:
            return self._refuse(401, "RepoNotFound", "Repository not found")
        if match[2] not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound", "Invalid rev id")
        content = self.hub.repos[match[1]].get(match[3])
        if content is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        return self._answer(content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _mode(self, name: str) -> str:
        return "lfs" if name.endswith(".safetensors") else "regular"

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}, status)

    def _refuse(self, status: int, code: str, message: str, **more: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._json({"error": message, **more}, status, headers)

    def _answer(self, content: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_hub(hub: Hub) -> Iterator[Hub]:
    """Run the server on a free port; `hub.url` is its address."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with running(handler) as hub.url:
        yield hub
