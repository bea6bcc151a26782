"""A fake Hugging Face hub: serves folders as models over its protocol, at a configurable speed.

HalkSpeech requests the file list of a revision with the hashes, then each file; large files are fetched in ranges from
another address.
"""
import contextlib
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK_BYTES = 1 << 16


class FakeHub:
    """Models by name, each a folder; `bytes_per_s` limits the download speed of large files, 0 does not."""

    def __init__(self, models):
        self.files = {name: {file: _HubFile(os.path.join(folder, file)) for file in sorted(os.listdir(folder))}
                      for name, folder in models.items()}
        self.bytes_per_s, self.bytes_sent, self.ranges = 0, 0, []
        self.api_url = self.storage_url = ""

    def model_info(self, name):
        siblings = [{"rfilename": file, "size": entry.size, "blobId": entry.git_hash}
                    | ({"lfs": {"sha256": entry.sha256, "size": entry.size, "pointerSize": 135}} if entry.large else {})
                    for file, entry in self.files[name].items()]
        return {"_id": "0", "id": name, "modelId": name, "sha": self.commit(name), "private": False, "tags": [],
                "downloads": 0, "likes": 0, "siblings": siblings}

    def commit(self, name):
        hashes = "".join(entry.sha256 for entry in self.files[name].values())
        return hashlib.sha256(hashes.encode()).hexdigest()[:40]

    def file_by_sha256(self, sha256):
        every = (entry for files in self.files.values() for entry in files.values())
        return next((entry for entry in every if entry.sha256 == sha256), None)


class _HubFile:
    def __init__(self, path):
        self.path, self.size, self.large = path, os.path.getsize(path), path.endswith(".bin")
        with open(path, "rb") as file:
            contents = file.read()
        self.sha256 = hashlib.sha256(contents).hexdigest()
        # Git's blob id; the server checks small files by it.
        self.git_hash = hashlib.sha1(b"blob %d\0" % self.size + contents).hexdigest()

    @property
    def etag(self):
        """The file's ETag on the hub."""
        return self.sha256 if self.large else self.git_hash


@contextlib.contextmanager
def serving(models):
    """Runs the fake hub while the block runs."""
    hub = FakeHub(models)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) for _ in range(2)]
    hub.api_url, hub.storage_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
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
                entry = hub.file_by_sha256(path.split("/")[1])
                return self.contents(entry) if entry else self.refuse(403)
            for name in hub.files:
                if path.startswith(f"api/models/{name}/revision/"):
                    body = json.dumps(hub.model_info(name)).encode()
                    return self.answer(200, {"Content-Type": "application/json"}, body)
                if path.startswith(f"{name}/resolve/"):
                    return self.resolve(name, path.rsplit("/", 1)[1])
            self.refuse(404, "RepoNotFound")

        def resolve(self, name, file):
            entry = hub.files[name].get(file)
            if entry is None:
                return self.refuse(404, "EntryNotFound")
            headers = {"ETag": f'"{entry.etag}"', "X-Repo-Commit": hub.commit(name)}
            if not entry.large:
                return self.contents(entry, headers)
            self.answer(302, headers | {"Location": f"{hub.storage_url}/cdn/{entry.sha256}/{file}",
                                        "X-Linked-Size": str(entry.size), "X-Linked-Etag": f'"{entry.sha256}"'}, b"")

        def contents(self, entry, headers=None):
            headers, requested_range = headers or {}, self.headers.get("Range")
            start, end = 0, entry.size
            if self.command == "GET" and entry.large:
                hub.ranges.append(requested_range)
            if requested_range:
                first, _, last = requested_range.removeprefix("bytes=").partition("-")
                start, end = int(first), min(entry.size, int(last) + 1) if last else entry.size
                headers = headers | {"Content-Range": f"bytes {start}-{end - 1}/{entry.size}"}
            self.send_response(206 if requested_range else 200)
            for header, value in (headers | {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}).items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                with contextlib.suppress(OSError):
                    self.send_range(entry, start, end)

        def send_range(self, entry, start, end):
            with open(entry.path, "rb") as file:
                file.seek(start)
                while start < end:
                    chunk = file.read(min(CHUNK_BYTES, end - start))
                    self.wfile.write(chunk)
                    start += len(chunk)
                    if entry.large:
                        hub.bytes_sent += len(chunk)
                        if hub.bytes_per_s:
                            time.sleep(len(chunk) / hub.bytes_per_s)

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
