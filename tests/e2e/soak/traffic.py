"""The kinds of requests that a soak sends, with their weights and expected statuses.

Any request may be answered with 429 by a full server; every other status is specific to the kind.
"""
import asyncio
import json
import random
import time
import urllib.parse
from dataclasses import dataclass

import aiohttp

from soak import bad_clients
from soak.results import Reply

OVERLOADED = {429}
BOUNDARY = "soak-boundary-7d1c"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
FORMATS = ("json", "text", "srt", "vtt", "verbose_json")

# Options in addition to the format; with each of them a clip has one text.
OPTIONS = (
    {"response_format": "json", "include[]": "logprobs"},
    {"response_format": "verbose_json", "include[]": "dropped"},
    {"response_format": "diarized_json", "channels": "split"},
    {"response_format": "srt", "max_line_width": "30", "max_line_count": "2"},
    {"response_format": "json", "beam_size": "1"},
    {"response_format": "json", "vad_filter": "false"},
    {"response_format": "json", "prompt": "A speech."},
    {"response_format": "json", "hotwords": "Americans, country"},
    {"response_format": "verbose_json", "offset": "1", "duration": "4"},
    {"response_format": "json", "chunking_strategy": '{"type":"server_vad"}'},
    {"response_format": "json", "condition_on_previous_text": "true"},
)

# Invalid fields, and the field that the error must name.
INVALID_FIELDS = (
    ({"temperature": "2"}, "temperature"),
    ({"temperature": "NaN"}, "temperature"),
    ({"response_format": "xml"}, "response_format"),
    ({"language": "zz"}, "language"),
    ({"beam_size": "0"}, "beam_size"),
    ({"beam_size": "10000000000000000000000"}, "beam_size"),
    ({"stream": "maybe"}, "stream"),
    ({"stream": "true", "response_format": "srt"}, "stream"),
    ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
    ({"num_speakers": "2"}, "num_speakers"),
    ({"known_speaker_names[]": "Ada"}, "known_speaker_names"),
    ({"chunking_strategy": "{"}, "chunking_strategy"),
    ({"prompt": "x" * 70000}, "prompt"),
    ({"model": ""}, "model"),
    ({"model": "../../etc/passwd"}, "model"),
)

PUBLIC_PATHS = ("/health", "/ready", "/metrics", "/")
LIST_PATHS = ("/v1/models", "/api/ps")
MISSING = (("GET", "/v1/nothing", 404), ("POST", "/v2/audio/transcriptions", 404), ("GET", "/v1/models/no/such", 404),
           ("GET", "/v1/audio/transcriptions", 405), ("DELETE", "/v1/models", 405), ("DELETE", "/api/ps/no-such", 404),
           ("POST", "/api/ps/no-such", 404), ("DELETE", "/v1/models/no-such", 404), ("GET", "/%ff%fe", 404))


@dataclass(frozen=True)
class Target:
    """The server under test, and its settings."""
    url: str
    key: str
    models: tuple       # the first one knows all languages; the last one English at least
    capacity: int
    upload_mib: int

    @property
    def address(self):
        host, _, port = self.url.split("//")[1].partition(":")
        return host, int(port)


@dataclass(frozen=True)
class Payloads:
    """Audio that is sent: clips with a stable text by model, a long recording, other formats, invalid files."""
    clips: dict
    foreign: list
    long: object
    formats: list
    invalid: list


class Caller:
    """Sends requests; has its own random generator, so that a seed gives every caller the same sequence of requests."""

    def __init__(self, target, payloads, client, results, rng):
        self.target, self.payloads, self.client, self.results, self.rng = target, payloads, client, results, rng
        self.models = target.models

    async def send(self, method, path, data=None, headers=None, key=None):
        """Sends a complete request and reads the complete answer."""
        headers = {"Authorization": f"Bearer {self.target.key if key is None else key}"} | (headers or {})
        start = time.perf_counter()
        try:
            async with self.client.request(method, self.target.url + path, data=data, headers=headers) as response:
                body = await response.read()
                names = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, body, names, time.perf_counter() - start)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Reply(0, repr(error).encode(), {}, time.perf_counter() - start)

    async def transcribe(self, kind, clip, fields, route="transcriptions", expected=frozenset({200})):
        """Sends a clip as a form or as the bare body; returns the answer if it is 200, else None."""
        audio = clip.read()
        if self.rng.random() < 0.3:
            query = urllib.parse.urlencode(fields)
            reply = await self.send("POST", f"/v1/audio/{route}?{query}", audio, {"Content-Type": "audio/wav"})
        else:
            reply = await self.send("POST", f"/v1/audio/{route}", form(fields, audio), {"Content-Type": FORM})
        good = self.results.record(kind, reply, set(expected) | OVERLOADED)
        if reply.status in OVERLOADED and kind != "burst":
            await asyncio.sleep(1)  # the value of retry-after; without it most requests would meet a full server
        return reply if good and reply.status == 200 else None

    def pick_clip(self, **fields):
        """Returns a clip with a stable text, and the fields for one of the models in use."""
        model = self.rng.choice(self.models)
        clip = self.rng.choice(self.payloads.clips[model])
        return clip, {"model": model, "language": clip.language} | fields

    def request(self, fields, audio, key=None, path="/v1/audio/transcriptions"):
        """Returns a request as bytes, and the offset of its body."""
        body = form(fields, audio)
        lines = bad_clients.head("POST", path, len(body), FORM, self.target.key if key is None else key)
        return lines + body, len(lines)


def form(fields, audio):
    """A multipart body; without a file if `audio` is None."""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items()]
    if audio is not None:
        parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
                     "Content-Type: application/octet-stream\r\n\r\n".encode() + audio + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def comparable_text(reply, fields):
    """The text and times of an answer, in a form that is equal for equal texts."""
    if fields.get("response_format", "json") in ("text", "srt", "vtt"):
        return reply.text()
    answer = reply.json()
    times = [(segment["start"], segment["end"], segment["text"]) for segment in answer.get("segments", [])]
    return json.dumps([answer["text"], times], ensure_ascii=False)


async def plain(caller):
    clip, fields = caller.pick_clip(response_format=caller.rng.choice(FORMATS))
    await _one_text(caller, "plain", clip, fields)


async def words(caller):
    clip, fields = caller.pick_clip(response_format="verbose_json")
    fields["timestamp_granularities[]"] = "word"
    if reply := await caller.transcribe("words", clip, fields):
        found = reply.json()["words"]
        text = " ".join(one["word"] for one in found)
        caller.results.check_same_text("words", (clip.name, *sorted(fields.items())), text, reply)
        if any(one["start"] > one["end"] for one in found):
            caller.results.add_fault("words", "a word ends before it begins", reply)


async def options(caller):
    clip, fields = caller.pick_clip(**caller.rng.choice(OPTIONS))
    await _one_text(caller, "options", clip, fields)


async def stream(caller):
    clip, fields = caller.pick_clip(stream="true", response_format=caller.rng.choice(("json", "text")))
    if reply := await caller.transcribe("stream", clip, fields):
        events = [json.loads(line[6:]) for line in reply.text().splitlines() if line.startswith("data: ")]
        done = [event["text"] for event in events if event.get("type") == "transcript.text.done"]
        deltas = "".join(event["delta"] for event in events if event.get("type") == "transcript.text.delta")
        if len(done) != 1 or deltas != done[0] or any("error" in event for event in events):
            caller.results.add_fault(
                "stream", "not exactly one done event, or its text is not that of the deltas", reply)
        else:
            caller.results.check_same_text("stream", (clip.name, fields["model"], "stream"), done[0], reply)


async def translation(caller):
    model = caller.target.models[0]
    clip = caller.rng.choice(caller.payloads.foreign or caller.payloads.clips[model])
    fields = {"model": model, "response_format": caller.rng.choice(FORMATS), "temperature": "[0]"}
    await _one_text(caller, "translation", clip, fields, "translations")


async def long_file(caller):
    """May run into the request timeout if it waits long: the only expected 5xx."""
    fields = {"model": caller.rng.choice(caller.models), "language": "en", "temperature": "[0]"}
    await _one_text(caller, "long", caller.payloads.long, fields, expected={200, 504})


async def other_format(caller):
    if caller.payloads.formats:
        fields = {"model": caller.rng.choice(caller.models), "language": "en", "temperature": "[0]"}
        await _one_text(caller, "format", caller.rng.choice(caller.payloads.formats), fields)


async def bad_file(caller):
    clip = caller.rng.choice(caller.payloads.invalid)
    fields = {"model": caller.rng.choice(caller.models)}
    # A truncated file is transcribed up to its end.
    await caller.transcribe("bad file", clip, fields, expected={200, 400} if "truncated" in clip.name else {400})


async def oversize(caller):
    body = bytes(caller.target.upload_mib * 2**20 + caller.rng.randrange(1, 2**20))
    path = f"/v1/audio/transcriptions?model={caller.models[0]}"

    async def in_chunks():
        for start in range(0, len(body), 2**16):
            yield body[start:start + 2**16]

    announced = caller.rng.random() < 0.5
    reply = await caller.send("POST", path, body if announced else in_chunks(), {"Content-Type": "audio/wav"})
    caller.results.record("oversize", reply, {413} | OVERLOADED)


async def wrong_parameter(caller):
    fields, param = caller.rng.choice(INVALID_FIELDS)
    clip, usual = caller.pick_clip()
    reply = await caller.send("POST", "/v1/audio/transcriptions", form(usual | fields, clip.read()),
                              {"Content-Type": FORM})
    refused = caller.results.record("wrong parameter", reply, {400} | OVERLOADED) and reply.status == 400
    if refused and reply.json()["error"]["param"] != param:
        caller.results.add_fault("wrong parameter", f"the error for {fields} does not name {param}", reply)


async def malformed_form(caller):
    """Sends a body that is not a form, or a form without a required field."""
    clip, fields = caller.pick_clip()
    whole = form(fields, clip.read())
    body = caller.rng.choice((form(fields, None), form({}, clip.read()), whole[:len(whole) // 2], b"", b"--",
                              bytes(999)))
    reply = await caller.send("POST", "/v1/audio/transcriptions", body, {"Content-Type": FORM})
    caller.results.record("malformed form", reply, {400} | OVERLOADED)


async def wrong_key(caller):
    clip, fields = caller.pick_clip()
    key = caller.rng.choice(("", "wrong", caller.target.key[:-1], caller.target.key + "x"))
    path = caller.rng.choice(("/v1/audio/transcriptions", "/v1/models", "/api/ps", "/v1/nothing"))
    is_post = path.endswith("transcriptions")
    reply = await caller.send("POST" if is_post else "GET", path, form(fields, clip.read()) if is_post else None,
                              {"Content-Type": FORM} if is_post else None, key=key)
    caller.results.record("wrong key", reply, {401})


async def unknown(caller):
    if caller.rng.random() < 0.4:
        clip, fields = caller.pick_clip(model=caller.rng.choice(("no-such-model", "owner/none", "whisper-9")))
        await caller.transcribe("unknown", clip, fields, expected={404})
    else:
        method, path, status = caller.rng.choice(MISSING)
        caller.results.record("unknown", await caller.send(method, path), {status})


async def get_page(caller):
    path = caller.rng.choice(PUBLIC_PATHS + LIST_PATHS + tuple(f"/v1/models/{model}" for model in caller.target.models))
    accept = caller.rng.choice(("*/*", "application/openmetrics-text"))
    reply = await caller.send("GET", path, headers={"Accept": accept}, key="" if path in PUBLIC_PATHS else None)
    caller.results.record("get page", reply, {200})


async def models(caller):
    """Loads and unloads models that others use: a conflict and a missing model are expected answers."""
    model = caller.rng.choice(caller.target.models)
    if caller.rng.random() < 0.4:
        caller.results.record("load", await caller.send("POST", f"/api/ps/{model}"), {201, 404, 409})
    else:
        caller.results.record("unload", await caller.send("DELETE", f"/api/ps/{model}"), {204, 404, 409})


async def burst(caller):
    """Sends more requests at once than there are permits: each is accepted, or refused with retry-after."""
    clip, fields = caller.pick_clip(response_format="text")
    await asyncio.gather(*(_one_text(caller, "burst", clip, fields) for _ in range(2 * caller.target.capacity)))


async def reused_connection(caller):
    """Sends several requests over one connection: each has one answer, and no bytes follow."""
    clip, fields = caller.pick_clip(response_format="text")
    request, _ = caller.request(fields, clip.read())
    get = bad_clients.head("GET", "/v1/models", 0, "text/plain", caller.target.key)
    try:
        replies, extra_bytes = await bad_clients.send_in_sequence(caller.target.address, [get, request, get])
    except OSError as error:
        replies, extra_bytes = [Reply(0, repr(error).encode(), {}, 0.0)], b""
    for reply in replies:
        caller.results.record("reused connection", reply, {200} | OVERLOADED)
    if extra_bytes:
        caller.results.add_fault("reused connection", f"bytes after the last answer: {extra_bytes[:80]!r}")


async def disconnect_in_upload(caller):
    clip, fields = caller.pick_clip()
    request, body = caller.request(fields, clip.read())
    sent = caller.rng.randrange(body, len(request))
    await _misbehave(caller, "disconnect in upload", bad_clients.disconnect(
        caller.target.address, request, sent, caller.rng.uniform(0, 0.5), caller.rng.random() < 0.5))


async def disconnect_while_waiting(caller):
    clip, fields = caller.pick_clip()
    request, _ = caller.request(fields, clip.read())
    await _misbehave(caller, "disconnect while waiting", bad_clients.disconnect(
        caller.target.address, request, len(request), caller.rng.uniform(0, 2), caller.rng.random() < 0.5))


async def disconnect_in_stream(caller):
    clip = caller.rng.choice((caller.payloads.long, caller.payloads.clips[caller.models[0]][0]))
    request, _ = caller.request({"model": caller.models[0], "stream": "true"}, clip.read())
    await _misbehave(caller, "disconnect in stream", bad_clients.disconnect_in_stream(
        caller.target.address, request, caller.rng.uniform(1, 8)))


async def stalled_body(caller):
    """Stalls in its body: 408 after the read timeout."""
    clip, fields = caller.pick_clip()
    request, body = caller.request(fields, clip.read())
    sent = caller.rng.randrange(body, len(request) - 2000)
    await _misbehave(caller, "stalled body", bad_clients.stall(caller.target.address, request, sent),
                     {408} | OVERLOADED)


async def half_closed_body(caller):
    clip, fields = caller.pick_clip()
    request, body = caller.request(fields, clip.read())
    sent = caller.rng.randrange(body, len(request) - 2000)
    await _misbehave(caller, "half-closed body", bad_clients.half_close(caller.target.address, request, sent),
                     {400, "closed"} | OVERLOADED)


async def stalled_head(caller):
    """Stalls in its head: the connection is closed after the read timeout."""
    request, body = caller.request({}, b"")
    sent = caller.rng.randrange(0, body - 2)
    await _misbehave(caller, "stalled head", bad_clients.stall(caller.target.address, request, sent), {408, "closed"})


async def not_http(caller):
    garbage = caller.rng.choice((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
                                 b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\n"
                                 b"Content-Length: -1\r\n\r\n", b"\r\n\r\n\r\n\r\nhello", b"x" * 100000))
    await _misbehave(caller, "not HTTP", bad_clients.half_close(caller.target.address, garbage, len(garbage)),
                     {400, 414, 431, 505, "closed"})


KINDS = {plain: 30, words: 5, options: 10, stream: 10, translation: 5, long_file: 1, other_format: 5, bad_file: 8,
         oversize: 2, wrong_parameter: 8, malformed_form: 4, wrong_key: 5, unknown: 5, get_page: 8, models: 8, burst: 1,
         reused_connection: 4, disconnect_in_upload: 5, disconnect_while_waiting: 5, disconnect_in_stream: 4,
         stalled_body: 2, half_closed_body: 3, stalled_head: 1, not_http: 2}


async def send_one(caller):
    """Sends a request of a random kind."""
    await caller.rng.choices(list(KINDS), list(KINDS.values()))[0](caller)


async def _one_text(caller, kind, clip, fields, route="transcriptions", expected=frozenset({200})):
    if reply := await caller.transcribe(kind, clip, fields, route, expected):
        key = (clip.name, route, *sorted(fields.items()))
        caller.results.check_same_text(kind, key, comparable_text(reply, fields), reply)


async def _misbehave(caller, kind, client, expected=None):
    """Runs a misbehaving client and records its outcome; `expected` are the allowed ones, None for any."""
    try:
        result = await client
    except OSError as error:
        caller.results.add_fault(kind, f"no connection: {error!r}")
        return
    outcome = result.status if isinstance(result, Reply) else result
    caller.results.record_aborted(kind, outcome)
    if expected is not None and outcome not in expected:
        caller.results.add_fault(kind, f"{outcome} instead of {sorted(map(str, expected))}",
                                 result if isinstance(result, Reply) else None)


def caller_rng(seed, number):
    """The random generator of one caller."""
    return random.Random(f"{seed} {number}")
