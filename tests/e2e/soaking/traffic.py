"""The kinds of requests that a soak sends, with their weights and what may come of each.

Whatever meets a full server may be answered with 429; every other status is one that the request was made for.
"""
import asyncio
import json
import random
import time
import urllib.parse
from dataclasses import dataclass

import aiohttp

from soaking import rude
from soaking.ledger import Reply

FULL = {429}
BOUNDARY = "soak-boundary-7d1c"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
FORMATS = ("json", "text", "srt", "vtt", "verbose_json")

# What a caller may wish for beside the format; each has one text a clip.
WISHES = (
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

# What no caller may send, and the field that the answer has to name.
WRONG = (
    ({"temperature": "2"}, "temperature"),
    ({"temperature": "NaN"}, "temperature"),
    ({"response_format": "xml"}, "response_format"),
    ({"language": "zz"}, "language"),
    ({"beam_size": "0"}, "beam_size"),
    ({"beam_size": "10000000000000000000000"}, "beam_size"),
    ({"stream": "maybe"}, "stream"),
    ({"stream": "true", "response_format": "srt"}, "stream"),
    ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
    ({"response_format": "diarized_json"}, "response_format"),
    ({"known_speaker_names[]": "Ada"}, "known_speaker_names"),
    ({"chunking_strategy": "{"}, "chunking_strategy"),
    ({"prompt": "x" * 70000}, "prompt"),
    ({"model": ""}, "model"),
    ({"model": "../../etc/passwd"}, "model"),
)

PUBLIC = ("/health", "/ready", "/metrics", "/")
LISTS = ("/v1/models", "/api/ps")
ABSENT = (("GET", "/v1/nothing", 404), ("POST", "/v2/audio/transcriptions", 404), ("GET", "/v1/models/no/such", 404),
          ("GET", "/v1/audio/transcriptions", 405), ("DELETE", "/v1/models", 405), ("DELETE", "/api/ps/no-such", 404),
          ("POST", "/api/ps/no-such", 404), ("DELETE", "/v1/models/no-such", 404), ("GET", "/%ff%fe", 404))


@dataclass(frozen=True)
class Target:
    """The server under test, and what it is set to."""
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
class Material:
    """What is sent: clips with one text by model, a long recording, files in other formats, files that are none."""
    clips: dict
    foreign: list
    long: object
    formats: list
    bad: list


class Caller:
    """One of those that send; its chance is its own, so that a seed gives every caller the same row of requests."""

    def __init__(self, target, material, client, ledger, chance):
        self.target, self.material, self.client, self.ledger, self.chance = target, material, client, ledger, chance
        self.models = target.models

    async def ask(self, method, path, data=None, headers=None, key=None):
        """Sends a whole request and takes its whole answer."""
        headers = {"Authorization": f"Bearer {self.target.key if key is None else key}"} | (headers or {})
        begun = time.perf_counter()
        try:
            async with self.client.request(method, self.target.url + path, data=data, headers=headers) as response:
                body = await response.read()
                names = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, body, names, time.perf_counter() - begun)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Reply(0, repr(error).encode(), {}, time.perf_counter() - begun)

    async def transcribe(self, kind, clip, fields, route="transcriptions", expected=frozenset({200})):
        """Sends a clip as a form or as the bare body; the answer where it is 200."""
        audio = clip.read()
        if self.chance.random() < 0.3:
            query = urllib.parse.urlencode(fields)
            reply = await self.ask("POST", f"/v1/audio/{route}?{query}", audio, {"Content-Type": "audio/wav"})
        else:
            reply = await self.ask("POST", f"/v1/audio/{route}", form(fields, audio), {"Content-Type": FORM})
        good = self.ledger.note(kind, reply, set(expected) | FULL)
        if reply.status in FULL and kind != "burst":
            await asyncio.sleep(1)  # as retry-after says; without it most requests would meet a full server
        return reply if good and reply.status == 200 else None

    def wish(self, **fields):
        """A model of those in use at this time, and a clip that has one text with it."""
        model = self.chance.choice(self.models)
        clip = self.chance.choice(self.material.clips[model])
        return clip, {"model": model, "language": clip.language} | fields

    def request(self, fields, audio, key=None, path="/v1/audio/transcriptions"):
        """The same as bytes, for those who send it themselves; and where its body begins."""
        body = form(fields, audio)
        lines = rude.head("POST", path, len(body), FORM, self.target.key if key is None else key)
        return lines + body, len(lines)


def form(fields, audio):
    """A multipart body; without a file where there is no audio."""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items()]
    if audio is not None:
        parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
                     "Content-Type: application/octet-stream\r\n\r\n".encode() + audio + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def said(reply, fields):
    """What an answer says, in a form that is the same whenever the text is."""
    if fields.get("response_format", "json") in ("text", "srt", "vtt"):
        return reply.text()
    answer = reply.json()
    times = [(piece["start"], piece["end"], piece["text"]) for piece in answer.get("segments", [])]
    return json.dumps([answer["text"], times], ensure_ascii=False)


async def plain(caller):
    clip, fields = caller.wish(response_format=caller.chance.choice(FORMATS))
    await _one_text(caller, "plain", clip, fields)


async def words(caller):
    clip, fields = caller.wish(response_format="verbose_json")
    fields["timestamp_granularities[]"] = "word"
    if reply := await caller.transcribe("words", clip, fields):
        found = reply.json()["words"]
        text = " ".join(one["word"] for one in found)
        caller.ledger.same_text("words", (clip.name, *sorted(fields.items())), text, reply)
        if any(one["start"] > one["end"] for one in found):
            caller.ledger.fault("words", "a word ends before it begins", reply)


async def wishes(caller):
    clip, fields = caller.wish(**caller.chance.choice(WISHES))
    await _one_text(caller, "wishes", clip, fields)


async def stream(caller):
    clip, fields = caller.wish(stream="true", response_format=caller.chance.choice(("json", "text")))
    if reply := await caller.transcribe("stream", clip, fields):
        events = [json.loads(line[6:]) for line in reply.text().splitlines() if line.startswith("data: ")]
        done = [event["text"] for event in events if event.get("type") == "transcript.text.done"]
        pieces = "".join(event["delta"] for event in events if event.get("type") == "transcript.text.delta")
        if len(done) != 1 or pieces != done[0] or any("error" in event for event in events):
            caller.ledger.fault("stream", "a stream without one end, or with another text than its pieces", reply)
        else:
            caller.ledger.same_text("stream", (clip.name, fields["model"], "stream"), done[0], reply)


async def translation(caller):
    model = caller.target.models[0]
    clip = caller.chance.choice(caller.material.foreign or caller.material.clips[model])
    fields = {"model": model, "response_format": caller.chance.choice(FORMATS), "temperature": "[0]"}
    await _one_text(caller, "translation", clip, fields, "translations")


async def long_file(caller):
    """May be cut off by the deadline, when its turn comes late: that is the one 5xx that is provoked."""
    fields = {"model": caller.chance.choice(caller.models), "language": "en", "temperature": "[0]"}
    await _one_text(caller, "long", caller.material.long, fields, expected={200, 504})


async def other_format(caller):
    if caller.material.formats:
        fields = {"model": caller.chance.choice(caller.models), "language": "en", "temperature": "[0]"}
        await _one_text(caller, "format", caller.chance.choice(caller.material.formats), fields)


async def bad_file(caller):
    clip = caller.chance.choice(caller.material.bad)
    fields = {"model": caller.chance.choice(caller.models)}
    # A file that breaks off gives what it holds until there.
    await caller.transcribe("bad file", clip, fields, expected={200, 400} if "truncated" in clip.name else {400})


async def oversize(caller):
    body = bytes(caller.target.upload_mib * 2**20 + caller.chance.randrange(1, 2**20))
    path = f"/v1/audio/transcriptions?model={caller.models[0]}"

    async def in_chunks():
        for start in range(0, len(body), 2**16):
            yield body[start:start + 2**16]

    announced = caller.chance.random() < 0.5
    reply = await caller.ask("POST", path, body if announced else in_chunks(), {"Content-Type": "audio/wav"})
    caller.ledger.note("oversize", reply, {413} | FULL)


async def wrong_parameter(caller):
    fields, param = caller.chance.choice(WRONG)
    clip, usual = caller.wish()
    reply = await caller.ask("POST", "/v1/audio/transcriptions", form(usual | fields, clip.read()),
                             {"Content-Type": FORM})
    refused = caller.ledger.note("wrong parameter", reply, {400} | FULL) and reply.status == 400
    if refused and reply.json()["error"]["param"] != param:
        caller.ledger.fault("wrong parameter", f"{fields} is not said to be about {param}", reply)


async def no_form(caller):
    """Bodies that are no form, or a form that lacks something."""
    clip, fields = caller.wish()
    whole = form(fields, clip.read())
    body = caller.chance.choice((form(fields, None), form({}, clip.read()), whole[:len(whole) // 2], b"", b"--",
                                 bytes(999)))
    reply = await caller.ask("POST", "/v1/audio/transcriptions", body, {"Content-Type": FORM})
    caller.ledger.note("no form", reply, {400} | FULL)


async def wrong_key(caller):
    clip, fields = caller.wish()
    key = caller.chance.choice(("", "wrong", caller.target.key[:-1], caller.target.key + "x"))
    path = caller.chance.choice(("/v1/audio/transcriptions", "/v1/models", "/api/ps", "/v1/nothing"))
    post = path.endswith("transcriptions")
    reply = await caller.ask("POST" if post else "GET", path, form(fields, clip.read()) if post else None,
                             {"Content-Type": FORM} if post else None, key=key)
    caller.ledger.note("wrong key", reply, {401})


async def unknown(caller):
    if caller.chance.random() < 0.4:
        clip, fields = caller.wish(model=caller.chance.choice(("no-such-model", "owner/none", "whisper-9")))
        await caller.transcribe("unknown", clip, fields, expected={404})
    else:
        method, path, status = caller.chance.choice(ABSENT)
        caller.ledger.note("unknown", await caller.ask(method, path), {status})


async def look(caller):
    path = caller.chance.choice(PUBLIC + LISTS + tuple(f"/v1/models/{model}" for model in caller.target.models))
    accept = caller.chance.choice(("*/*", "application/openmetrics-text"))
    reply = await caller.ask("GET", path, headers={"Accept": accept}, key="" if path in PUBLIC else None)
    caller.ledger.note("look", reply, {200})


async def models(caller):
    """Loads and unloads while others use them: a conflict is an answer, and so is that it is gone."""
    model = caller.chance.choice(caller.target.models)
    if caller.chance.random() < 0.4:
        caller.ledger.note("load", await caller.ask("POST", f"/api/ps/{model}"), {201, 404, 409})
    else:
        caller.ledger.note("unload", await caller.ask("DELETE", f"/api/ps/{model}"), {204, 404, 409})


async def burst(caller):
    """More at once than there are places: each is let in or sent away, and told when to come again."""
    clip, fields = caller.wish(response_format="text")
    await asyncio.gather(*(_one_text(caller, "burst", clip, fields) for _ in range(2 * caller.target.capacity)))


async def kept_connection(caller):
    """Several requests over one connection: so many answers, and not a byte more."""
    clip, fields = caller.wish(response_format="text")
    request, _ = caller.request(fields, clip.read())
    get = rude.head("GET", "/v1/models", 0, "text/plain", caller.target.key)
    try:
        replies, more = await rude.keep(caller.target.address, [get, request, get])
    except OSError as error:
        replies, more = [Reply(0, repr(error).encode(), {}, 0.0)], b""
    for reply in replies:
        caller.ledger.note("kept connection", reply, {200} | FULL)
    if more:
        caller.ledger.fault("kept connection", f"bytes that nobody asked for: {more[:80]!r}")


async def leave_upload(caller):
    clip, fields = caller.wish()
    request, body = caller.request(fields, clip.read())
    sent = caller.chance.randrange(body, len(request))
    await _rude(caller, "leave upload", rude.leave(caller.target.address, request, sent,
                                                  caller.chance.uniform(0, 0.5), caller.chance.random() < 0.5))


async def leave_wait(caller):
    clip, fields = caller.wish()
    request, _ = caller.request(fields, clip.read())
    await _rude(caller, "leave wait", rude.leave(caller.target.address, request, len(request),
                                                caller.chance.uniform(0, 2), caller.chance.random() < 0.5))


async def leave_stream(caller):
    clip = caller.chance.choice((caller.material.long, caller.material.clips[caller.models[0]][0]))
    request, _ = caller.request({"model": caller.models[0], "stream": "true"}, clip.read())
    await _rude(caller, "leave stream", rude.leave_stream(caller.target.address, request, caller.chance.uniform(1, 8)))


async def half_sent(caller):
    """Stands still in its body: 408 once the patience for a piece is over."""
    clip, fields = caller.wish()
    request, body = caller.request(fields, clip.read())
    sent = caller.chance.randrange(body, len(request) - 2000)
    await _rude(caller, "half sent", rude.stand_still(caller.target.address, request, sent), {408} | FULL)


async def half_closed(caller):
    clip, fields = caller.wish()
    request, body = caller.request(fields, clip.read())
    sent = caller.chance.randrange(body, len(request) - 2000)
    await _rude(caller, "half closed", rude.end_early(caller.target.address, request, sent), {400, "closed"} | FULL)


async def slow_head(caller):
    """Never ends its head: the connection is closed once the patience for one is over."""
    request, body = caller.request({}, b"")
    sent = caller.chance.randrange(0, body - 2)
    await _rude(caller, "slow head", rude.stand_still(caller.target.address, request, sent), {408, "closed"})


async def no_http(caller):
    garbage = caller.chance.choice((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
                                    b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\n"
                                    b"Content-Length: -1\r\n\r\n", b"\r\n\r\n\r\n\r\nhello", b"x" * 100000))
    await _rude(caller, "no HTTP", rude.end_early(caller.target.address, garbage, len(garbage)),
                {400, 414, 431, 505, "closed"})


KINDS = {plain: 30, words: 5, wishes: 10, stream: 10, translation: 5, long_file: 1, other_format: 5, bad_file: 8,
         oversize: 2, wrong_parameter: 8, no_form: 4, wrong_key: 5, unknown: 5, look: 8, models: 8, burst: 1,
         kept_connection: 4, leave_upload: 5, leave_wait: 5, leave_stream: 4, half_sent: 2, half_closed: 3,
         slow_head: 1, no_http: 2}


async def send_one(caller):
    """Sends something of any kind."""
    await caller.chance.choices(list(KINDS), list(KINDS.values()))[0](caller)


async def _one_text(caller, kind, clip, fields, route="transcriptions", expected=frozenset({200})):
    if reply := await caller.transcribe(kind, clip, fields, route, expected):
        key = (clip.name, route, *sorted(fields.items()))
        caller.ledger.same_text(kind, key, said(reply, fields), reply)


async def _rude(caller, kind, doing, expected=None):
    """Notes what became of a request that was never whole; `expected` where it must be one of these."""
    try:
        saw = await doing
    except OSError as error:
        caller.ledger.fault(kind, f"no connection: {error!r}")
        return
    seen = saw.status if isinstance(saw, Reply) else saw
    caller.ledger.note_left(kind, seen)
    if expected is not None and seen not in expected:
        caller.ledger.fault(kind, f"{seen} instead of {sorted(map(str, expected))}",
                            saw if isinstance(saw, Reply) else None)


def row_of(seed, number):
    """The chance of one caller."""
    return random.Random(f"{seed} {number}")
