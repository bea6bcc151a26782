"""Runs a script in a page of headless Chromium and waits for what it posts to /result."""
import contextlib
import functools
import http.server
import os
import pathlib
import queue
import subprocess
import tempfile
import threading

import pytest

import servers

TIMEOUT_S = 120
PAGE = b'<!doctype html><meta charset="utf-8"><title>page</title><script type="module" src="/script.js"></script>'
TYPES = {".html": "text/html", ".js": "text/javascript", ".wav": "audio/wav"}


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, files, results, *arguments):
        self.files, self.results = files, results
        super().__init__(*arguments)

    def do_GET(self):
        name = self.path.split("?")[0]
        content = self.files.get("/index.html" if name == "/" else name)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Type", TYPES.get(pathlib.Path(name).suffix, "text/html"))
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def do_POST(self):
        self.results.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def site(files):
    """Serves the files by path at a free port of localhost; yields the origin and the queue of what pages post."""
    results = queue.Queue()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, files, results)) as server:
        thread = threading.Thread(target=server.serve_forever, name="site")
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}", results
        finally:
            server.shutdown()
            thread.join()


def result_of(chromium, script, files, query):
    """What the script posts to /result, when a page with it is opened in Chromium with default settings."""
    with (site({"/index.html": PAGE, "/script.js": script} | files) as (origin, results),
          tempfile.TemporaryDirectory(prefix="halkspeech-e2e-", ignore_cleanup_errors=True) as profile,
          open(os.path.join(profile, "log"), "w+b") as log):
        # Chromium has no sandbox for root.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        process = subprocess.Popen([chromium, "--headless", *sandbox, f"--user-data-dir={profile}",
                                    "--enable-logging=stderr", f"{origin}/?{query}"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            return results.get(timeout=TIMEOUT_S)
        except queue.Empty:
            log.seek(0)
            pytest.fail("the page posted no result; the end of the log of Chromium:\n"
                        + log.read()[-2000:].decode(errors="replace"), pytrace=False)
        finally:
            servers.stop(process)
