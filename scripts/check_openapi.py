#!/usr/bin/env python3
"""Checks that a HalkSpeech server is what its OpenAPI document says, and that nothing sent to it is a server error.

usage: check_openapi.py [BINARY]

BINARY  the server's program, started on free ports and stopped at the end
        (default: $CARGO_TARGET_DIR/release/halkspeech, with the Makefile's CARGO_TARGET_DIR)

1. The document is valid (openapi-spec-validator).
2. A client generated from it (openapi-python-client) lists models, transcribes, and reads errors, all typed.
3. Schemathesis calls every operation with what the document allows and with what it does not, with and without keys.
4. Random methods, paths, headers and bodies over a bare socket are answered, and never with a 5xx.

Needs `pip install openapi-spec-validator openapi-python-client schemathesis`, and from `make models` the models tiny.en
and base and the sample jfk.wav. CASES=N sets how many cases of an operation Schemathesis makes up (default 100),
NOISE=N how many random requests are sent (default 10000), SEED=N repeats a run.
"""
import contextlib
import gzip
import importlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

import openapi_spec_validator

import noise
import servers

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "halkspeech"
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "release" / "halkspeech"
MODELS = pathlib.Path(os.environ.get("MODELS_DIR") or CACHE / "models")
SAMPLE = pathlib.Path(os.environ.get("SAMPLES_DIR") or CACHE / "samples") / "jfk.wav"
SAID = "ask what you can do for your country"
KEY = "key of the check"
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**9))
# The hub is never asked. The document's example is the model that may be lost; the other is the default, which the
# alias whisper-1 stands for, so that uploads are transcribed to the end.
KEPT, LOST = "tiny.en", "base"
SETTINGS = {"WHISPER__MODEL": KEPT, "WHISPER__BEAM_SIZE": 1, "HF_HUB_OFFLINE": "true", "LOG_LEVEL": "warning"}
HOOKS = pathlib.Path(__file__).with_name("openapi_hooks.py")
# What Schemathesis asks for beyond its defaults. An upload that the document allows may be refused all the same: fields
# do not go together (docs/api.md, "What goes together"), which JSON Schema could say only with a schema for each
# combination; a language is any of some hundred spellings. So 400 is an answer to it.
CONFIG = """
[phases.stateful]
enabled = true
[[operations]]
include-tag = "audio"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 429]
[[operations]]
include-tag = "peers"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 429]
"""
results = []


@contextlib.contextmanager
def check(name):
    """Prints whether the block ran without an exception, and goes on either way; the block may add to what is said."""
    said = []
    try:
        yield said
        print("ok    " + ": ".join([name, *said]), flush=True)
        results.append(True)
    except Exception as error:  # Whatever it is, the check has failed.
        print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
        results.append(False)


def equal(found, expected, what):
    assert found == expected, f"{what} is {found!r}, not {expected!r}"


def document_of(url):
    with urllib.request.urlopen(url + "/openapi.json", timeout=30) as answer:
        return json.load(answer)


def check_document(url):
    document = document_of(url)
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    with check("the document is valid") as said:
        openapi_spec_validator.validate(document)
        said.append(f"OpenAPI {document['openapi']}, {len(operations)} operations, "
                    f"{len(document['components']['schemas'])} schemas")
    with check("Swagger UI comes from the server"):
        with urllib.request.urlopen(url + "/docs", timeout=30) as page:
            text = gzip.decompress(page.read()).decode()
        for name in re.findall(r'(?:src|href)="([^"#]+)"', text):
            assert "//" not in name, name
            urllib.request.urlopen(urllib.parse.urljoin(f"{url}/docs/", name), timeout=30).close()


def generated_client(url, folder):
    """A client's package, made of the document."""
    document, config = folder / "openapi.json", folder / "client.json"
    document.write_text(json.dumps(document_of(url)))
    config.write_text(json.dumps({"post_hooks": [], "literal_enums": True,
                                  "package_name_override": "generated_client"}))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--config", config,
               "--output-path", folder / "client", "--overwrite", "--fail-on-warning"]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert made.returncode == 0, made.stdout
    sys.path.insert(0, str(folder / "client"))
    return importlib.import_module("generated_client")


def check_client(url, folder):
    made = None
    with check("a client is generated, without a warning"):
        made = generated_client(url, folder)
    if made is None:
        return
    client = made.Client(base_url=url)
    models = importlib.import_module("generated_client.models")
    types = importlib.import_module("generated_client.types")

    def call(operation, **arguments):
        module = importlib.import_module(f"generated_client.api.{operation}")
        return module.sync_detailed(client=client, **arguments)

    def recording():
        return types.File(payload=SAMPLE.open("rb"), file_name=SAMPLE.name, mime_type="audio/wav")

    with check("generated client: the models are listed"):
        listed = call("models.list_models").parsed
        equal(type(listed), models.ModelList, "type")
        equal({model.id for model in listed.data}, {KEPT, LOST}, "names")
    with check("generated client: a model is shown"):
        equal(call("models.show_model", id=KEPT).parsed.id, KEPT, "id")
    with check("generated client: json"):
        form = models.CreateTranscriptionRequest(file=recording(), model="whisper-1", language="en")
        answer = call("audio.create_transcription", body=form)
        equal(type(answer.parsed), models.Transcription, "type")
        assert SAID in answer.parsed.text, answer.parsed.text
        assert int(answer.headers["x-batch-size"]) >= 1
    with check("generated client: verbose_json with words"):
        form = models.CreateTranscriptionRequest(
            file=recording(), model="whisper-1", response_format="verbose_json",
            timestamp_granularities=["word", "segment"])
        parsed = call("audio.create_transcription", body=form).parsed
        equal(type(parsed), models.TranscriptionVerbose, "type")
        equal(type(parsed.segments[0]), models.TranscriptionSegment, "type of a segment")
        equal(type(parsed.words[0]), models.TranscriptionWord, "type of a word")
    with check("generated client: the bare recording, with its parameters in the query"):
        answer = call("audio.create_transcription", body=recording(), model="whisper-1")
        assert SAID in answer.parsed.text, answer.parsed.text
    for name, arguments, status, param, code in [
        ("no such model", {"model": "no/such"}, 404, "model", "model_not_found"),
        ("no such language", {"model": "whisper-1", "language": "klingon"}, 400, "language", "invalid_value"),
    ]:
        with check(f"generated client: {name} is a typed error"):
            form = models.CreateTranscriptionRequest(file=recording(), **arguments)
            answer = call("audio.create_transcription", body=form)
            equal(type(answer.parsed), models.ErrorResponse, "type")
            found = answer.parsed.error
            equal((answer.status_code, found.param, found.code), (status, param, code), "(status, param, code)")


def check_with_schemathesis(url, folder, key):
    """Runs Schemathesis with all of its checks; how many cases it sent."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [pathlib.Path(sys.executable).parent / "st", "--config-file", config, "run", url + "/openapi.json",
               "--checks", "all", "--max-examples", os.environ.get("CASES") or "100", "--seed", str(SEED),
               # How long a transcription takes is the machine's matter, and its parameters'.
               "--request-timeout", "600", "--max-response-time", "600", "--continue-on-failure"]
    if key:
        command += ["-H", f"Authorization: Bearer {key}"]
    env = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS), "SAMPLE": str(SAMPLE), "NO_COLOR": "1"}
    with check(f"Schemathesis, {'with' if key else 'without'} keys, seed {SEED}") as said:
        done = subprocess.run(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        said += [line.strip() for line in done.stdout.splitlines() if re.search(r"\d+ generated", line)]
        answers = json.loads((folder / "answers.json").read_text())
        said.append(", ".join(f"{status}: {number}" for status, number in sorted(answers.items())))


def check_with_noise(url, key):
    count = int(os.environ.get("NOISE") or 10000)
    with check(f"noise, {'with' if key else 'without'} keys, seed {SEED}") as said:
        statuses = noise.send(url, key, count, SEED)
        said.append(", ".join(f"{status}: {number}" for status, number in sorted(statuses.items())))
    with check("the server is as it was"):
        equal(urllib.request.urlopen(url + "/ready", timeout=30).status, 200, "/ready")


@contextlib.contextmanager
def server(binary, folder, **settings):
    """A server with models that may be lost."""
    models = folder / "models"
    for name in (KEPT, LOST):
        shutil.rmtree(models / name, ignore_errors=True)
        shutil.copytree(MODELS / name, models / name)
    settings = SETTINGS | {"HF_HUB_CACHE": folder / "hub"} | settings
    with servers.halkspeech(binary, str(models), **settings) as url:
        yield url


def main():
    if len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    servers.end_on_sigterm()
    binary = sys.argv[1] if len(sys.argv) > 1 else BINARY
    with tempfile.TemporaryDirectory(prefix="halkspeech-openapi-") as folder:
        folder = pathlib.Path(folder)
        with server(binary, folder) as url:
            check_document(url)
            check_client(url, folder)
            check_with_schemathesis(url, folder, None)
            check_with_noise(url, None)
        with server(binary, folder, API_KEY=KEY) as url:
            check_with_schemathesis(url, folder, KEY)
            check_with_noise(url, KEY)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
