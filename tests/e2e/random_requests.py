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
ODD = ["%2e%2e/", "%00", "%ff", "%", "//", "..", ";", "@", "é", "'\"<>", "%2F", "?a=b&a[]=c", "?=&&=", "?%ff=%00",
       "#x", "a" * 4000]
PARTS = [b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n',
         b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\x00\x00\r\n',
         b'--b\r\nContent-Disposition: form-data; name="chunking_strategy"\r\n\r\n{"type":[[]]}\r\n',
         b"--b\r\nContent-Disposition: form-data\r\n\r\n\xff\r\n", b"--b\r\n\r\n", b"--b--\r\n", b"\r\n", b"--b"]


def send(url, key, count, seed):
    """Sends `count` requests; how often each status came, "none" for a connection that was closed without one.

    Raises AssertionError at a 5xx, and at a request that is not answered within ten seconds.
    """
    choose = random.Random(seed)
    host, port = url.removeprefix("http://").split(":")
    statuses = collections.Counter()
    for _ in range(count):
        request = _request(choose, key)
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
                # It waits for the rest of the request, of which there is none.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(10)
                head = connection.recv(12)
        except TimeoutError:
            raise AssertionError(f"no answer within 10 s for {request[:3000]!r}") from None
        except OSError:
            # The server may close while it is still being sent to.
            return "none"
    return head[9:12].decode("latin-1") or "none"


def _request(choose, key):
    if choose.random() < 0.05:
        return _bytes(choose, 300)
    method = choose.choice(METHODS) if choose.random() < 0.95 else _text(choose, 8)
    path = choose.choice(PATHS)
    while choose.random() < 0.4:
        path += choose.choice(ODD) if choose.random() < 0.7 else _text(choose, 20)
    body = b"".join(choose.choices(PARTS, k=choose.randrange(8))) if choose.random() < 0.7 else _bytes(choose, 3000)
    headers = [("Host", "localhost")]
    if key and choose.random() < 0.8:
        headers.append(("Authorization", f"Bearer {key}"))
    if choose.random() < 0.8:
        headers.append(("Content-Length", str(len(body))))
    for _ in range(choose.randrange(6)):
        name = choose.choice(NAMES) if choose.random() < 0.8 else _text(choose, 12)
        headers.append((name, choose.choice(VALUES) if choose.random() < 0.7 else _text(choose, 40)))
    choose.shuffle(headers)
    version = "HTTP/1.1" if choose.random() < 0.95 else choose.choice(["HTTP/1.0", "HTTP/2.0", "HTTP/9", ""])
    head = f"{method} {path} {version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    return head.encode("utf-8", "replace") + body


def _text(choose, most):
    letters = string.ascii_letters + string.digits + string.punctuation + " \t\x00\x7fçğ"
    return "".join(choose.choices(letters, k=choose.randrange(1, most)))


def _bytes(choose, most):
    return choose.randbytes(choose.randrange(most))
