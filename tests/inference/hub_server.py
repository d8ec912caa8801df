"""A stand-in of the hub's HTTP interface, and of the storage that large files are redirected to."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

LARGE = ".safetensors"
"""Ending of files that are stored elsewhere, as the hub does with git LFS."""


@dataclass
class Hub:
    """Repositories, ways to misbehave, and what was asked of either host, with the token.

    Attributes:
        commits: repository -> commits in order, each its id and its files.
        cut: answers of the storage that end half way.
        wrong: the storage sends other bytes of the same length.
        down: the hub answers 503 to everything.
        private: repositories that want this token.
    """

    address: str = ""
    storage: str = ""
    commits: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    cut: int = 0
    wrong: bool = False
    down: bool = False
    private: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def commit(self, repository: str, files: dict[str, bytes]) -> str:
        """Add a commit with these files changed; its id."""
        history = self.commits.setdefault(repository, [])
        content = {**(history[-1][1] if history else {}), **files}
        key = repr((len(history), sorted((n, hashlib.sha256(c).hexdigest()) for n, c in content.items())))
        history.append((hashlib.sha1(key.encode()).hexdigest(), content))
        self.objects |= {hashlib.sha256(c).hexdigest(): c for c in content.values()}
        return history[-1][0]

    def files(self, repository: str) -> dict[str, bytes]:
        """Of the newest commit."""
        return self.commits[repository][-1][1]

    def at(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        history = self.commits[repository]
        if revision == "main":
            return history[-1]
        return next((one for one in history if one[0] == revision), None)


def described(files: dict[str, bytes], name: str) -> dict[str, Any]:
    content = files[name]
    facts = {"size": len(content), "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
    if name.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        facts["lfs"] = {"oid": digest, "sha256": digest, "size": len(content), "pointerSize": 134}
    return facts


class OfHub(BaseHTTPRequestHandler):
    """The hub's own host."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path, token = unquote(urlsplit(self.path).path), self.headers["Authorization"]
        self.hub.asked.append((method, path, token))
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.hub.down:
            return self._json(503, {"error": "down"})
        if method == "POST" and path == "/api/repos/create":
            name = json.loads(body)["name"]
            owner = json.loads(body).get("organization") or "owner"
            self.hub.commits.setdefault(f"{owner}/{name}", [("0" * 40, {})])
            return self._json(200, {"url": f"{self.hub.address}/{owner}/{name}"})
        if path == "/api/whoami-v2":
            return self._json(200, {"name": "owner"})
        if method == "POST" and path == "/api/validate-yaml":
            front = json.loads(body)["content"].split("---")[1]
            good = isinstance(yaml.safe_load(front), dict)
            return self._json(200 if good else 400, {"errors": [] if good else [{"message": "no"}], "warnings": []})
        found = re.match(r"/(?:api/models/)?([\w.-]+/[\w.-]+?)(\.git)?(?:/(.*))?$", path)
        assert found, path
        repository, rest = found[1], found[3] or ""
        wanted = self.hub.private.get(repository)
        if repository not in self.hub.commits or (wanted and token != f"Bearer {wanted}"):
            return self._json(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return self._repository(method, repository, rest, body)

    def _repository(self, method: str, repository: str, rest: str, body: bytes) -> None:
        if method == "POST":
            return self._written(repository, rest, body)
        parts = rest.split("/")
        revision = parts[1] if len(parts) > 1 else "main"
        commit = self.hub.at(repository, revision)
        if commit is None:
            return self._json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        sha, files = commit
        if parts[0] == "tree":
            return self._json(200, [{"type": "file", "path": name, **described(files, name)} for name in files])
        if parts[0] == "resolve":
            return self._file(sha, files, "/".join(parts[2:]))
        siblings = [{"rfilename": n, "blobId": "0", **described(files, n)} for n in files]
        return self._json(200, {"id": repository, "sha": sha, "siblings": siblings, "tags": [], "downloads": 0})

    def _file(self, sha: str, files: dict[str, bytes], name: str) -> None:
        if name not in files:
            return self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        content, commit = files[name], {"X-Repo-Commit": sha}
        if not name.endswith(LARGE):
            etag = hashlib.sha1(content).hexdigest()
            return self._send(200, content, {**commit, "ETag": f'"{etag}"'})
        digest = hashlib.sha256(content).hexdigest()
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        return self._send(302, b"", {**commit, **linked, "Location": f"{self.hub.storage}/{digest}"})

    def _written(self, repository: str, rest: str, body: bytes) -> None:
        if rest.startswith("preupload/"):
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular",
                 "shouldIgnore": False}
                for f in files
            ]  # fmt: skip
            return self._json(200, {"files": modes})
        if rest == "info/lfs/objects/batch":
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.hub.storage}/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self._json(200, {"transfer": "basic", "objects": objects})
        assert rest.startswith("commit/"), rest
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        sha = self.hub.commit(repository, files)
        url = f"{self.hub.address}/{repository}/commit/{sha}"
        return self._json(200, {"commitUrl": url, "commitOid": sha, "success": True})

    def _json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class OfStorage(BaseHTTPRequestHandler):
    """Another host, which the hub redirects to: no token may get here."""

    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.hub.asked.append(("GET", f"storage{self.path}", self.headers["Authorization"]))
        content = self.hub.objects[self.path[1:]]
        start = int(found[1]) if (found := re.match(r"bytes=(\d+)-", self.headers["Range"] or "")) else 0
        body = content[start:]
        if self.hub.wrong:
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.hub.cut:
            self.hub.cut -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.hub.asked.append(("PUT", f"storage{self.path}", self.headers["Authorization"]))
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(content).hexdigest() == self.path[1:]
        self.hub.objects[self.path[1:]] = content
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving() -> Iterator[Hub]:
    """Both hosts; `storage` under another name and port."""
    hub, servers = Hub(), []
    for handler in (OfHub, OfStorage):
        own = type(handler.__name__, (handler,), {"hub": hub})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), own))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
    hub.address = f"http://127.0.0.1:{servers[0].server_port}"
    hub.storage = f"http://localhost:{servers[1].server_port}"
    yield hub
    for server in servers:
        server.shutdown()
        server.server_close()
