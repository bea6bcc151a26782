"""The server conforms to its OpenAPI document, and no request causes a server error.

The document is valid; a client generated from it works; Schemathesis calls every operation with valid
and invalid requests; random bytes over a bare socket are answered.
"""
import contextlib
import gzip
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

import pytest

import needs
import random_requests
import servers
from speech import ENDING

KEY = "key of the check"
# The document's example is the model that may be deleted; the other is the default, the target of the alias whisper-1,
# so that uploads are transcribed to the end.
KEPT_MODEL, DELETED_MODEL = "tiny.en", "base"
# Schemathesis' settings. An upload that the document allows may be refused: some fields are incompatible (docs/api.md,
# "Combinations"), which JSON Schema could express only with a schema for each combination; a language has about a
# hundred spellings. So 400 is an expected answer. WebSockets answer a request without an upgrade with 426.
SCHEMATHESIS = """
[phases.stateful]
enabled = true
[[operations]]
include-tag = "audio"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 429]
[[operations]]
include-tag = "peers"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 429]
[[operations]]
include-path = "/v1/realtime"
checks.positive_data_acceptance.expected-statuses = [426]
checks.negative_data_rejection.expected-statuses = ["4xx"]
[[operations]]
include-path = "/v1/audio/transcriptions/stream"
checks.positive_data_acceptance.expected-statuses = [426]
checks.negative_data_rejection.expected-statuses = ["4xx"]
"""


@contextlib.contextmanager
def serving_copies(program, models_dir, **settings):
    """The address of a server without a hub, with copies of the models, which may be deleted."""
    with tempfile.TemporaryDirectory(prefix="halkspeech-openapi-") as folder:
        folder = pathlib.Path(folder)
        for name in (KEPT_MODEL, DELETED_MODEL):
            shutil.copytree(models_dir / name, folder / "models" / name)
        with servers.serve(program, folder / "models", name="openapi", WHISPER__MODEL=KEPT_MODEL, WHISPER__BEAM_SIZE=1,
                           WHISPER__COMPUTE_TYPE="int8", HF_HUB_OFFLINE="true", HF_HUB_CACHE=folder / "hub",
                           LOG_LEVEL="warning", **settings) as server:
            yield server.url


@pytest.fixture(scope="module")
def url(program, models_dir):
    """The address of a server without keys."""
    with serving_copies(program, models_dir) as address:
        yield address


@pytest.fixture(params=["without_keys", "with_keys"])
def target(request, program, models_dir):
    """The address of a server for this test only, and its key, if it has one."""
    key = KEY if request.param == "with_keys" else None
    with serving_copies(program, models_dir, **({"API_KEY": key} if key else {})) as address:
        yield address, key


@pytest.fixture(scope="module")
def document(url):
    with urllib.request.urlopen(url + "/openapi.json", timeout=30) as answer:
        return json.load(answer)


def test_the_document_is_valid(document):
    needs.module("openapi_spec_validator").validate(document)
    assert document["paths"]
    assert document["components"]["schemas"]


def test_swagger_ui_comes_from_the_server(url):
    with urllib.request.urlopen(url + "/docs", timeout=30) as page:
        text = gzip.decompress(page.read()).decode()
    for name in re.findall(r'(?:src|href)="([^"#]+)"', text):
        assert "//" not in name
        urllib.request.urlopen(urllib.parse.urljoin(f"{url}/docs/", name), timeout=30).close()


class GeneratedClient:
    """A client generated from the document without warnings."""

    def __init__(self, url, document, folder):
        path, config = folder / "openapi.json", folder / "client.json"
        path.write_text(json.dumps(document))
        config.write_text(json.dumps({"post_hooks": [], "literal_enums": True,
                                      "package_name_override": "generated_client"}))
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", path, "--config", config,
                   "--output-path", folder / "client", "--overwrite", "--fail-on-warning"]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert result.returncode == 0, result.stdout
        sys.path.insert(0, str(folder / "client"))
        self.client = importlib.import_module("generated_client").Client(base_url=url)
        self.models = importlib.import_module("generated_client.models")
        self.types = importlib.import_module("generated_client.types")

    def call(self, operation, **arguments):
        module = importlib.import_module(f"generated_client.api.{operation}")
        return module.sync_detailed(client=self.client, **arguments)

    def recording(self, path):
        return self.types.File(payload=path.open("rb"), file_name=path.name, mime_type="audio/wav")


@pytest.fixture(scope="module")
def generated(url, document, tmp_path_factory):
    needs.module("openapi_python_client")
    return GeneratedClient(url, document, tmp_path_factory.mktemp("client"))


def test_the_generated_client_lists_the_models(generated):
    listed = generated.call("models.list_models").parsed
    assert type(listed) is generated.models.ModelList
    # Aliases are listed too, with the model that they name.
    assert {model.id for model in listed.data if "alias_of" not in model.to_dict()} == {KEPT_MODEL, DELETED_MODEL}


def test_the_generated_client_shows_a_model(generated):
    assert generated.call("models.show_model", id=KEPT_MODEL).parsed.id == KEPT_MODEL


def test_the_generated_client_reads_json(generated, sample):
    form = generated.models.CreateTranscriptionRequest(file=generated.recording(sample), model="whisper-1",
                                                       language="en")
    answer = generated.call("audio.create_transcription", body=form)
    assert type(answer.parsed) is generated.models.Transcription
    assert ENDING in answer.parsed.text
    assert int(answer.headers["x-batch-size"]) >= 1


def test_the_generated_client_reads_verbose_json_with_words(generated, sample):
    models = generated.models
    form = models.CreateTranscriptionRequest(
        file=generated.recording(sample), model="whisper-1", response_format="verbose_json",
        timestamp_granularities=["word", "segment"])
    parsed = generated.call("audio.create_transcription", body=form).parsed
    assert type(parsed) is models.TranscriptionVerbose
    assert type(parsed.segments[0]) is models.TranscriptionSegment
    assert type(parsed.words[0]) is models.TranscriptionWord


def test_the_generated_client_sends_a_bare_recording_with_its_parameters_in_the_query(generated, sample):
    answer = generated.call("audio.create_transcription", body=generated.recording(sample), model="whisper-1")
    assert ENDING in answer.parsed.text


@pytest.mark.parametrize(("arguments", "expected"), [
    ({"model": "no/such"}, (404, "model", "model_not_found")),
    ({"model": "whisper-1", "language": "klingon"}, (400, "language", "invalid_value")),
], ids=["model", "language"])
def test_the_generated_client_reads_errors(generated, sample, arguments, expected):
    form = generated.models.CreateTranscriptionRequest(file=generated.recording(sample), **arguments)
    answer = generated.call("audio.create_transcription", body=form)
    assert type(answer.parsed) is generated.models.ErrorResponse
    assert (answer.status_code, answer.parsed.error.param, answer.parsed.error.code) == expected


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_schemathesis_finds_nothing(target, sample, tmp_path, seed, short):
    """All checks of Schemathesis, 100 cases of each operation."""
    url, key = target
    needs.module("schemathesis", requirements="requirements-slow.txt")
    config = tmp_path / "schemathesis.toml"
    config.write_text(SCHEMATHESIS)
    command = [pathlib.Path(sys.executable).parent / "st", "--config-file", config, "run", url + "/openapi.json",
               "--checks", "all", "--max-examples", "10" if short else "100", "--seed", str(seed),
               # The duration of a transcription depends on the machine and on the parameters.
               "--request-timeout", "600", "--max-response-time", "600", "--continue-on-failure"]
    if key:
        command += ["-H", f"Authorization: Bearer {key}"]
    hooks = pathlib.Path(__file__).with_name("schemathesis_hooks.py")
    env = os.environ | {"SCHEMATHESIS_HOOKS": str(hooks), "SAMPLE": str(sample), "NO_COLOR": "1"}
    result = subprocess.run(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    assert result.returncode == 0, result.stdout
    print(*(line.strip() for line in result.stdout.splitlines() if re.search(r"\d+ generated", line)))
    print(json.loads((tmp_path / "answers.json").read_text()))


def test_a_few_random_requests_cause_no_server_error(target, seed):
    send_random_requests(*target, 200, seed)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_random_requests_cause_no_server_error(target, seed, short):
    send_random_requests(*target, 1000 if short else 10_000, seed)


def send_random_requests(url, key, count, seed):
    """Sends random requests, each of which must get an answer below 500; the server must be ready afterwards."""
    print(dict(sorted(random_requests.send(url, key, count, seed).items())))
    with urllib.request.urlopen(url + "/ready", timeout=30) as answer:
        assert answer.status == 200
