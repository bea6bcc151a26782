"""Random requests over a bare socket, some of them not even HTTP."""
import collections
import random
import socket
import string

PATHS = ["/", "/docs", "/docs/", "/docs/swagger-ui.css", "/openapi.json", "/health", "/ready", "/metrics",
         "/v1/models", "/v1/models/", "/v1/models/base", "/v1/models/no/such@main", "/api/ps", "/api/ps/base", "/v1",
         "/v1/nothing", "/v1/audio/transcriptions", "/v1/audio/translations",
         "/v1/audio/transcriptions?model=whisper-1"]
METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "QUERY", "M-SEARCH"]
NAMES = ["Content-Type", "Accept", "Expect", "Authorization", "X-Request-Id", "Origin", "Content-Length", "Host",
         "Range", "Transfer-Encoding", "Content-Encoding", "Connection", "Upgrade", "Cookie",
         "Access-Control-Request-Method"]
VALUES = ["", "multipart/form-data", "multipart/form-data; boundary=b", "audio/wav", "application/json",
          "text/event-stream", "100-continue", "chunked", "gzip", "close", "keep-alive", "websocket", "Bearer",
          "Bearer x", "Basic eDp4", "bytes=0-", "0", "3", "-1", "99999999999999999999", "*/*", "https://app.example",
          "a" * 9000]
ODD_PATHS = ["%2e%2e/", "%00", "%ff", "%", "//", "..", ";", "@", "é", "'\"<>", "%2F", "?a=b&a[]=c", "?=&&=", "?%ff=%00",
             "#x", "a" * 4000]
PARTS = [b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n',
         b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\x00\x00\r\n',
         b'--b\r\nContent-Disposition: form-data; name="chunking_strategy"\r\n\r\n{"type":[[]]}\r\n',
         b"--b\r\nContent-Disposition: form-data\r\n\r\n\xff\r\n", b"--b\r\n\r\n", b"--b--\r\n", b"\r\n", b"--b"]


def send(url, key, count, seed):
    """Sends `count` requests; returns the number of each status, "none" for a connection closed without one.

    Raises AssertionError at a 5xx, and at a request that is not answered within ten seconds.
    """
    rng = random.Random(seed)
    host, port = url.removeprefix("http://").split(":")
    statuses = collections.Counter()
    for _ in range(count):
        request = _request(rng, key)
        status = _answer(host, int(port), request)
        assert not status.startswith("5"), f"{status} for {request[:3000]!r}"
        statuses[status] += 1
    return statuses


def _answer(host, port, request):
    with socket.create_connection((host, port), timeout=1) as connection:
        try:
            connection.sendall(request)
            try:
                head = connection.recv(12)
            except TimeoutError:
                # It waits for more of the request; there is none.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(10)
                head = connection.recv(12)
        except TimeoutError:
            raise AssertionError(f"no answer within 10 s for {request[:3000]!r}") from None
        except OSError:
            # The server may close the connection while the request is being sent.
            return "none"
    return head[9:12].decode("latin-1") or "none"


def _request(rng, key):
    if rng.random() < 0.05:
        return _bytes(rng, 300)
    method = rng.choice(METHODS) if rng.random() < 0.95 else _text(rng, 8)
    path = rng.choice(PATHS)
    while rng.random() < 0.4:
        path += rng.choice(ODD_PATHS) if rng.random() < 0.7 else _text(rng, 20)
    body = b"".join(rng.choices(PARTS, k=rng.randrange(8))) if rng.random() < 0.7 else _bytes(rng, 3000)
    headers = [("Host", "localhost")]
    if key and rng.random() < 0.8:
        headers.append(("Authorization", f"Bearer {key}"))
    if rng.random() < 0.8:
        headers.append(("Content-Length", str(len(body))))
    for _ in range(rng.randrange(6)):
        name = rng.choice(NAMES) if rng.random() < 0.8 else _text(rng, 12)
        headers.append((name, rng.choice(VALUES) if rng.random() < 0.7 else _text(rng, 40)))
    rng.shuffle(headers)
    version = "HTTP/1.1" if rng.random() < 0.95 else rng.choice(["HTTP/1.0", "HTTP/2.0", "HTTP/9", ""])
    head = f"{method} {path} {version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    return head.encode("utf-8", "replace") + body


def _text(rng, max_length):
    letters = string.ascii_letters + string.digits + string.punctuation + " \t\x00\x7fçğ"
    return "".join(rng.choices(letters, k=rng.randrange(1, max_length)))


def _bytes(rng, max_length):
    return rng.randbytes(rng.randrange(max_length))
