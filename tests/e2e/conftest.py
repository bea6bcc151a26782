"""Fixtures of the tests of the whole program: the program, models, audio, and servers that are always stopped."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import tempfile

import pytest

import needs
import servers
from failures.harness import FaultHarness, table

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "halkspeech"
LOG_LINES = 40  # of each server, below the report of a failed test
SEED = pytest.StashKey[int]()
FAULT_ROWS = pytest.StashKey[list]()  # FaultRow of each fault


def pytest_addoption(parser):
    group = parser.getgroup("halkspeech")
    group.addoption("--url", help="use this running server for tests without their own settings; its key is "
                                  "$OPENAI_API_KEY")
    group.addoption("--short", action="store_true", help="run slow tests in their short form, to check that they work")
    group.addoption("--seed", type=int, help="repeat the random requests of the run with this seed")
    group.addoption("--node-modules", help="the folder node_modules that contains the packages openai and esbuild")
    group.addoption("--async-openai", metavar="PROGRAM", help="the program that `cargo build` makes of "
                                                              "clients/async-openai")
    group.addoption("--failures-table", metavar="FILE", help="write the results of each fault as a Markdown table")
    group.addoption("--odd-files", metavar="FOLDER", help="keep the odd files and the answers in this folder")
    group.addoption("--prometheus", default="http://127.0.0.1:9090", help="the Prometheus of the dashboard")
    group.addoption("--compose", default="docker compose", help="the command for Compose, or docker-compose")
    group.addoption("--replicas-url", default="http://127.0.0.1:8000", help="the proxy of two replicas")
    group.addoption("--soak", action="append", default=[], metavar="NAME=VALUE", help="change the soak, for example "
                                                                                      "minutes=10 (soak/plan.py)")
    group.addoption("--soak-out", metavar="FOLDER", help="write soak.md and soak.json here")


def pytest_configure(config):
    # SIGTERM ends a run as ctrl-c does, so that fixtures stop their servers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.stash[FAULT_ROWS] = []
    seed = config.getoption("--seed")
    config.stash[SEED] = random.SystemRandom().randrange(10**9) if seed is None else seed


def pytest_report_header(config):
    return [f"program: {program_path()}", f"logs of servers: {servers.log_folder()}",
            f"seed of random requests: {config.stash[SEED]}"]


def pytest_runtest_setup(item):
    if item.get_closest_marker("root") and os.geteuid():
        needs.missing("root", "needs root to mount disks or to run the server as another user")
    if item.get_closest_marker("gpu") and not shutil.which("nvidia-smi"):
        needs.missing("gpu", "there is no NVIDIA GPU: nvidia-smi is not installed")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of the log of each running server below a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in servers.running_servers():
            report.sections.append((f"end of {server.log}", "\n".join(server.log_text().splitlines()[-LOG_LINES:])))


def program_path():
    """HALKSPEECH_BIN, else the output of `cargo build --release` in the Makefile's folder or in the checkout."""
    if named := os.environ.get("HALKSPEECH_BIN"):
        return pathlib.Path(named).resolve()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
    folders = [target, ROOT / "target"]
    paths = [folder / "release" / "halkspeech" for folder in folders]
    return next((path for path in paths if path.exists()), paths[0])


@pytest.fixture(scope="session")
def program():
    """The path of the program under test."""
    return needs.existing(program_path(), "program", "run `make build`, or set HALKSPEECH_BIN")


@pytest.fixture(scope="session")
def models_dir():
    """The folder with the models tiny.en and base."""
    folder = pathlib.Path(os.environ.get("MODELS_DIR") or CACHE / "models")
    for model in ("tiny.en", "base"):
        needs.existing(folder / model / "model.bin", "models", "run `make models`, or set MODELS_DIR")
    return folder


@pytest.fixture(scope="session")
def sample():
    """A WAV file of 11 s with the words of speech.SENTENCE."""
    folder = pathlib.Path(os.environ.get("SAMPLES_DIR") or CACHE / "samples")
    return needs.existing(folder / "jfk.wav", "samples", "run `make models`, or set SAMPLES_DIR")


@pytest.fixture(scope="session")
def recordings():
    """The folder of recordings in many languages, described by its manifest.jsonl."""
    return needs.recordings_manifest().parent


@pytest.fixture(scope="session")
def seed(pytestconfig):
    """The seed of all random requests, which the header of the report contains."""
    return pytestconfig.stash[SEED]


@pytest.fixture(scope="session")
def short(pytestconfig):
    """Whether slow tests run in their short form."""
    return pytestconfig.getoption("--short")


@pytest.fixture
def server(program, models_dir):
    """Starts servers for one test: `server(WHISPER__MODEL="tiny.en", …)` returns a ready `servers.Server`."""
    with starter(program, models_dir) as start:
        yield start


@pytest.fixture(scope="module")
def module_server(program, models_dir):
    """The same for all tests of a module: its servers run until the last of them is over."""
    with starter(program, models_dir) as start:
        yield start


@pytest.fixture(scope="module")
def strict_server(module_server):
    """The address of a server with settings that cause every error of the SDK tests except the timeout."""
    import sdk
    return module_server("sdk", WHISPER__MODEL=sdk.MODEL, API_KEY=sdk.KEY, SERVER__MAX_UPLOAD_MIB=2,
                         WHISPER__MAX_CONCURRENT_REQUESTS=1, SERVER__REJECT_UNKNOWN_FIELDS="true",
                         LOG_LEVEL="critical").url


@pytest.fixture(scope="module")
def sdk_server(pytestconfig, request):
    """The address that --url names, else that of `strict_server`."""
    url = pytestconfig.getoption("--url")
    return url.rstrip("/") if url else request.getfixturevalue("strict_server")


@contextlib.contextmanager
def starter(program, models_dir):
    """A function that starts servers, each of which is stopped when the block ends."""
    with contextlib.ExitStack() as stack:
        def start(name="halkspeech", models=models_dir, **more):
            return stack.enter_context(servers.serve(program, models, name=name, **more))
        yield start


@pytest.fixture
def public_folder():
    """An empty folder that every user may read, which pytest's tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="halkspeech-e2e-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


@pytest.fixture(scope="session")
def public_program(program, models_dir):
    """A copy of the program and of the model tiny.en that every user may run and read."""
    with tempfile.TemporaryDirectory(prefix="halkspeech-e2e-") as folder:
        folder = pathlib.Path(folder)
        copy = pathlib.Path(shutil.copy(program, folder / "halkspeech"))
        shutil.copytree(models_dir / "tiny.en", folder / "models" / "tiny.en")
        for path in (folder, folder / "models", folder / "models" / "tiny.en", copy):
            path.chmod(0o755)
        for path in (folder / "models" / "tiny.en").iterdir():
            path.chmod(0o644)
        yield copy, folder / "models"


@pytest.fixture
def harness(public_program, sample, public_folder, request):
    """Provokes faults; the rows of the table are collected for --failures-table."""
    fault_harness = FaultHarness(*public_program, sample, public_folder)
    yield fault_harness
    request.config.stash[FAULT_ROWS].extend(fault_harness.rows)


@pytest.fixture(scope="module")
def module_harness(public_program, sample):
    """The same for all tests of a module."""
    with tempfile.TemporaryDirectory(prefix="halkspeech-e2e-") as folder:
        yield FaultHarness(*public_program, sample, pathlib.Path(folder))


def pytest_sessionfinish(session):
    path, rows = session.config.getoption("--failures-table"), session.config.stash[FAULT_ROWS]
    if path:
        pathlib.Path(path).write_text(table(rows), encoding="utf-8")
