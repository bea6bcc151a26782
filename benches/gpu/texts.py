"""Compares the transcripts of the GPU with those of the CPU, word by word: real speech, a real model."""
import asyncio
import difflib
import os
import re

import clips
from connection import Connection, target
from server import Server

AT_ONCE = 8
# Copies of each recording when all are sent at once, and the settings of the batches.
COPIES = 4
LARGE = {"WHISPER__BATCH_SIZE": "512", "WHISPER__BATCH_WINDOW_MS": "50", "WHISPER__MAX_CONCURRENT_REQUESTS": "2000"}


def compare(args, folders):
    """Returns, for results.json, the number of words of all recordings and each difference."""
    found = clips.recordings(args.clips, args.language, args.max_clips)
    models, model = os.path.split(os.path.abspath(args.real_model))
    common = {"MODELS_DIR": models, "WHISPER__MODEL": model, **LARGE}
    devices = {"gpu": {"WHISPER__INFERENCE_DEVICE": args.device, "WHISPER__COMPUTE_TYPE": args.compute_type},
               "cpu": {"WHISPER__INFERENCE_DEVICE": "cpu", "WHISPER__COMPUTE_TYPE": "float32"}}
    texts, changed = {}, 0
    for device, settings in devices.items():
        log = os.path.join(folders.out, f"texts-{device}.log")
        with Server(args.binary, common | settings, log, args.cublas) as server:
            texts[device] = asyncio.run(transcribe(server.address, model, found, AT_ONCE))
            if device == "gpu":
                together = asyncio.run(transcribe(server.address, model, found * COPIES, len(found) * COPIES))
                changed = sum(text != alone for text, alone in zip(together, texts[device] * COPIES))
    words = edits = 0
    differences = []
    for (name, _, _), gpu_text, cpu_text in zip(found, texts["gpu"], texts["cpu"]):
        words += len(plain(cpu_text))
        for removed, added in differing(plain(cpu_text), plain(gpu_text)):
            edits += max(len(removed), len(added))
            differences.append({"clip": name, "cpu": " ".join(removed), "gpu": " ".join(added)})
            print(f"  {name}: {' '.join(removed)!r} on the CPU, {' '.join(added)!r} on the GPU", flush=True)
    print(f"  {len(found)} recordings, {words} words, {edits} differ; {changed} of {len(found) * COPIES} texts on the "
          "GPU differ when all are sent at once", flush=True)
    return {"model": model, "clips": len(found), "words": words, "words_that_differ": edits,
            "texts_at_once": len(found) * COPIES, "texts_that_company_changes": changed, "differences": differences,
            "empty": sum(not plain(text) for text in texts["gpu"])}


async def transcribe(address, model, found, at_once):
    """The texts in the order of the clips. Only at temperature 0, since sampled texts differ at random."""
    todo, texts = list(enumerate(found)), [None] * len(found)

    async def call():
        connection = Connection(address)
        while todo:
            index, (name, language, audio) = todo.pop()
            path = target({"model": model, "language": language, "temperature": "[0]"})
            answer = await connection.post(path, audio)
            if answer.status != 200:
                raise RuntimeError(f"{name}: status {answer.status}: {answer.body[:200]!r}")
            texts[index] = answer.text()
        connection.close()

    await asyncio.gather(*(call() for _ in range(at_once)))
    return texts


def plain(text):
    return re.sub(r"[^\w\s]", "", text.lower()).split()


def differing(before, after):
    """Pairs of the differing parts of the two lists."""
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [(before[a:b], after[c:d]) for kind, a, b, c, d in steps if kind != "equal"]
