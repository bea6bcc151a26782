"""A program built for GPUs: its GPU code, and a transcription on a GPU.

HALKSPEECH_BIN is the program built by `make cuda` or `make cuda-runner`, LD_LIBRARY_PATH the folder of cuBLAS
(docs/gpu.md).
"""
import pathlib
import subprocess
import sys

import pytest

import servers
from speech import ENDING

CHECK = pathlib.Path(__file__).parents[2] / "scripts/check_cuda_binary.py"

pytestmark = pytest.mark.gpu


def test_the_program_has_gpu_code_for_every_architecture(program):
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    libraries = "libcublasLt" if "cuda-runner" in version else "libcublas,libcublasLt"
    command = [sys.executable, CHECK, program, "--libraries", libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_gpu_transcribes_the_sample(server, sample):
    url = server("gpu", WHISPER__MODEL="base", WHISPER__INFERENCE_DEVICE="cuda").url
    assert ENDING in servers.transcribe_file(url, sample, {"language": "en"})
    assert any(name.startswith("halkspeech_device_memory_bytes") for name in servers.metrics(url))
