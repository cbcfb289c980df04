"""The Hugging Face hub's protocol on loopback, as much as pushing and fetching a model takes."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
TOKEN = "hf_" + "t" * 34


class FakeHub:
    """Repositories by name: whether each is private, and its files; every request's path."""

    def __init__(self):
        self.private = {}
        self.files = {}
        self.seen = []
        self.url = ""
        self.refuses = False

    def add(self, repository, files, *, private=True):
        self.private[repository] = private
        self.files[repository] = dict(files)

    def info(self, repository):
        siblings = [
            {"rfilename": name, "size": len(content), "blobId": hashlib.sha256(content).hexdigest()}
            for name, content in self.files[repository].items()
        ]
        return {
            "_id": "1", "id": repository, "sha": COMMIT, "private": self.private[repository],
            "siblings": siblings, "tags": [], "downloads": 0,
        }  # fmt: skip


@contextmanager
def running():
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, value=None, status=200, content=None, **headers):
        body = json.dumps(value).encode() if content is None else content
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.seen.append(f"{self.command} {path}")
        if self.hub.refuses or (path == "/api/whoami-v2" and TOKEN not in str(self.headers)):
            self.answer({"error": "no"}, 401)
        elif path == "/api/whoami-v2":
            self.answer({"name": "hugo", "type": "user"})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?", path):
            known = match[1] in self.hub.files
            self.answer(self.hub.info(match[1])) if known else self.missing()
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
            entries = self.hub.info(match[1])["siblings"]
            self.answer(
                [{"type": "file", "path": e["rfilename"], "size": e["size"], "oid": e["blobId"]}
                 for e in entries]
            )  # fmt: skip
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self.file(self.hub.files.get(match[1], {}).get(match[2]))
        else:
            self.missing()

    do_HEAD = do_GET  # noqa: N815  http.server's name

    def missing(self):
        self.answer({"error": "not found"}, 404, X_Error_Code="RepoNotFound")

    def file(self, content):
        if content is None:
            self.answer({"error": "no file"}, 404, X_Error_Code="EntryNotFound")
            return
        etag = hashlib.sha256(content).hexdigest()
        self.answer(content=content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    def do_POST(self):
        path = urlsplit(self.path).path
        body = self.body()
        self.hub.seen.append(f"POST {path}")
        if self.hub.refuses:
            self.answer({"error": "no"}, 403)
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self.answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                           for f in files]}
            )  # fmt: skip
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.commit(match[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.missing()

    def create(self, wanted):
        repository = f"{wanted.get('organization') or 'hugo'}/{wanted['name']}"
        address = f"{self.hub.url}/{repository}"
        if repository in self.hub.files:
            self.answer({"error": "exists", "url": address}, 409)
            return
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.hub.add(repository, {}, private=bool(private))
        self.answer({"url": address})

    def commit(self, repository, lines):
        for line in lines:
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.hub.files[repository][line["value"]["path"]] = content
        address = f"{self.hub.url}/{repository}/commit/{COMMIT}"
        self.answer({"commitUrl": address, "commitOid": COMMIT})
