"""A stand-in for the Hugging Face hub: serves folders as models over its protocol, as fast as it is told to.

What HalkSpeech asks for: the listing of a revision with the hashes of its files, then each file, of which large ones
are on another address, in ranges.
"""
import contextlib
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 1 << 16


class Hub:
    """Models by name, each a folder; `bytes_per_s` bounds the contents of large files, 0 leaves them free."""

    def __init__(self, models):
        self.files = {name: {file: _File(os.path.join(folder, file)) for file in sorted(os.listdir(folder))}
                      for name, folder in models.items()}
        self.bytes_per_s, self.sent, self.ranges = 0, 0, []
        self.front = self.store = ""

    def listing(self, name):
        siblings = [{"rfilename": file, "size": found.size, "blobId": found.git_hash}
                    | ({"lfs": {"sha256": found.sha256, "size": found.size, "pointerSize": 135}} if found.large else {})
                    for file, found in self.files[name].items()]
        return {"_id": "0", "id": name, "modelId": name, "sha": self.commit(name), "private": False, "tags": [],
                "downloads": 0, "likes": 0, "siblings": siblings}

    def commit(self, name):
        hashes = "".join(found.sha256 for found in self.files[name].values())
        return hashlib.sha256(hashes.encode()).hexdigest()[:40]

    def stored(self, sha256):
        every = (found for files in self.files.values() for found in files.values())
        return next((found for found in every if found.sha256 == sha256), None)


class _File:
    def __init__(self, path):
        self.path, self.size, self.large = path, os.path.getsize(path), path.endswith(".bin")
        with open(path, "rb") as file:
            contents = file.read()
        self.sha256 = hashlib.sha256(contents).hexdigest()
        # What git calls the contents; the server checks small files by it.
        self.git_hash = hashlib.sha1(b"blob %d\0" % self.size + contents).hexdigest()

    @property
    def etag(self):
        """What the hub calls the file by."""
        return self.sha256 if self.large else self.git_hash


@contextlib.contextmanager
def serving(models):
    """Runs the stand-in while the block runs; `front` is its address."""
    hub = Hub(models)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) for _ in range(2)]
    hub.front, hub.store = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _handler(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.partition("?")[0].strip("/")
            if path.startswith("cdn/"):
                found = hub.stored(path.split("/")[1])
                return self.contents(found) if found else self.refuse(403)
            for name in hub.files:
                if path.startswith(f"api/models/{name}/revision/"):
                    body = json.dumps(hub.listing(name)).encode()
                    return self.answer(200, {"Content-Type": "application/json"}, body)
                if path.startswith(f"{name}/resolve/"):
                    return self.resolve(name, path.rsplit("/", 1)[1])
            self.refuse(404, "RepoNotFound")

        def resolve(self, name, file):
            found = hub.files[name].get(file)
            if found is None:
                return self.refuse(404, "EntryNotFound")
            about = {"ETag": f'"{found.etag}"', "X-Repo-Commit": hub.commit(name)}
            if not found.large:
                return self.contents(found, about)
            self.answer(302, about | {"Location": f"{hub.store}/cdn/{found.sha256}/{file}",
                                      "X-Linked-Size": str(found.size), "X-Linked-Etag": f'"{found.sha256}"'}, b"")

        def contents(self, found, about=None):
            about, asked = about or {}, self.headers.get("Range")
            start, end = 0, found.size
            if self.command == "GET" and found.large:
                hub.ranges.append(asked)
            if asked:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, end = int(first), min(found.size, int(last) + 1) if last else found.size
                about = about | {"Content-Range": f"bytes {start}-{end - 1}/{found.size}"}
            self.send_response(206 if asked else 200)
            for header, value in (about | {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}).items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                with contextlib.suppress(OSError):
                    self.pour(found, start, end)

        def pour(self, found, start, end):
            with open(found.path, "rb") as file:
                file.seek(start)
                while start < end:
                    piece = file.read(min(PIECE, end - start))
                    self.wfile.write(piece)
                    start += len(piece)
                    if found.large:
                        hub.sent += len(piece)
                        if hub.bytes_per_s:
                            time.sleep(len(piece) / hub.bytes_per_s)

        def refuse(self, status, code=None):
            self.answer(status, {"X-Error-Code": code, "X-Error-Message": "refused"} if code else {}, b"")

        def answer(self, status, headers, body):
            self.send_response(status)
            for header, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    return Handler
