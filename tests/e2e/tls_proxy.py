"""A proxy that ends TLS, as in front of a server that speaks plain HTTP."""
import asyncio
import contextlib
import ssl
import subprocess
import threading


def certificate(folder, openssl):
    """A certificate of 127.0.0.1 that signs itself, and its key, in one file."""
    path = folder / "certificate.pem"
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", folder / "public.pem"],
                   check=True, capture_output=True)
    with open(path, "ab") as file:
        file.write((folder / "public.pem").read_bytes())
    return path


async def _copy(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


def _forward(port):
    async def forward(reader, writer):
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))
    return forward


@contextlib.contextmanager
def tls_proxy(port, certificate):
    """Forwards connections to this port of 127.0.0.1 while the block runs; yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_forward(port), "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, name="tls-proxy")
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
