"""Writes the files of `crates/audio/src/vad/silero.rs` from the package silero-vad: weights and reference values.

    pip install numpy onnx onnxruntime
    pip download --no-deps silero-vad==6.2.3 && unzip silero_vad-6.2.3-*.whl -d silero
    python scripts/vad_reference.py --package silero/silero_vad --jfk PATH

- crates/audio/src/vad/silero_v6.safetensors: the weights of silero_vad_16k_op15.onnx, bit for bit, without
  the Fourier basis. The package's own silero_vad_16k.safetensors holds a different network.
- crates/audio/fixtures/vad_reference.json: the speech probability of every 32 ms frame as onnxruntime
  computes it with that file, frame by frame.
"""

import argparse
import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from test_signals import recording, synthetic

ROOT = Path(__file__).resolve().parent.parent
RATE_HZ, FRAME, CONTEXT = 16_000, 512, 64
MODEL_SHA256 = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"

# Name in the safetensors file: name in the ONNX file.
TENSORS = {
    **{
        f"conv{i + 1}.{kind}": f"model.encoder.{i}.reparam_conv.{kind}"
        for i in range(4)
        for kind in ("weight", "bias")
    },
    **{
        f"lstm_cell.{kind}": f"model.decoder.rnn.{kind}"
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
    **{f"final_conv.{kind}": f"model.decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
}


def initializers(graph):
    """All initializers of a graph and of the graphs in its nodes, by name."""
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found |= initializers(attribute.g)
    return found


def safetensors(model):
    """The weights as a safetensors file: the header's length, the header, the values."""
    found = initializers(onnx.load(model).graph)
    header, data = {"__metadata__": {"source": f"silero-vad 6.2.3 {model.name} (MIT)"}}, b""
    for name, source in TENSORS.items():
        values = found[source].astype("<f4")
        offsets = [len(data), len(data) + values.nbytes]
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": offsets}
        data += values.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def probabilities(session, pcm):
    """Frame by frame, as the package's own wrapper does it."""
    state, context, found = np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT, np.float32), []
    pcm = np.pad(pcm, (0, -len(pcm) % FRAME))
    for frame in pcm.reshape(-1, FRAME):
        samples = np.concatenate([context, frame])[None]
        inputs = {"input": samples, "state": state, "sr": np.array(RATE_HZ, np.int64)}
        probability, state = session.run(None, inputs)
        found.append(float(probability[0, 0]))
        context = frame[-CONTEXT:]
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--jfk", type=Path, required=True, help="jfk.wav, which `make models` fetches")
    arguments = parser.parse_args()
    model = arguments.package / "data/silero_vad_16k_op15.onnx"
    assert hashlib.sha256(model.read_bytes()).hexdigest() == MODEL_SHA256
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    weights = ROOT / "crates/audio/src/vad/silero_v6.safetensors"
    weights.write_bytes(safetensors(model))
    print(f"{weights}: {hashlib.sha256(weights.read_bytes()).hexdigest()}")

    cases = []
    for signal, pcm in (("synthetic", synthetic(160_123)), ("jfk", recording(arguments.jfk))):
        values = [round(value, 6) for value in probabilities(session, pcm)]
        cases.append({"signal": signal, "samples": len(pcm), "probabilities": values})
    target = ROOT / "crates/audio/fixtures/vad_reference.json"
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    target.write_text(f"[\n{lines}\n]\n")
    print(f"{target}: {len(cases)} cases, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
