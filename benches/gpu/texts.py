"""Holds what the card writes down against what the processor writes down: real speech, a real model, word by word."""
import asyncio
import difflib
import os
import re

import clips
from asking import Connection, target
from server import Server

AT_ONCE = 8
# How often each recording is sent where all are sent at once, and what batches they make then.
COPIES = 4
LARGE = {"WHISPER__BATCH_SIZE": "512", "WHISPER__BATCH_WINDOW_MS": "50", "WHISPER__MAX_CONCURRENT_REQUESTS": "2000"}


def compare(args, folders):
    """Returns, for results.json, the words of all recordings and each place in which the two differ."""
    found = clips.recordings(args.clips, args.language, args.most_clips)
    models, model = os.path.split(os.path.abspath(args.real_model))
    common = {"MODELS_DIR": models, "WHISPER__MODEL": model, **LARGE}
    sides = {"card": {"WHISPER__INFERENCE_DEVICE": args.device, "WHISPER__COMPUTE_TYPE": args.compute_type},
             "processor": {"WHISPER__INFERENCE_DEVICE": "cpu", "WHISPER__COMPUTE_TYPE": "float32"}}
    texts, changed = {}, 0
    for side, settings in sides.items():
        log = os.path.join(folders.out, f"texts-{side}.log")
        with Server(args.binary, common | settings, log, args.cublas) as server:
            texts[side] = asyncio.run(transcribe(server.address, model, found, AT_ONCE))
            if side == "card":
                together = asyncio.run(transcribe(server.address, model, found * COPIES, len(found) * COPIES))
                changed = sum(text != alone for text, alone in zip(together, texts[side] * COPIES))
    words = edits = 0
    differences = []
    for (name, _, _), ours, theirs in zip(found, texts["card"], texts["processor"]):
        words += len(plain(theirs))
        for removed, added in differing(plain(theirs), plain(ours)):
            edits += max(len(removed), len(added))
            differences.append({"clip": name, "processor": " ".join(removed), "card": " ".join(added)})
            print(f"  {name}: {' '.join(removed)!r} on the processor, {' '.join(added)!r} on the card", flush=True)
    print(f"  {len(found)} recordings, {words} words, {edits} differ; {changed} of {len(found) * COPIES} texts on the "
          "card are others where all are sent at once", flush=True)
    return {"model": model, "clips": len(found), "words": words, "words_that_differ": edits,
            "texts_at_once": len(found) * COPIES, "texts_that_company_changes": changed, "differences": differences,
            "empty": sum(not plain(text) for text in texts["card"])}


async def transcribe(address, model, found, at_once):
    """The texts in the order of the clips. At temperature 0 alone, since what is sampled differs by chance."""
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
    """Pairs of what stands in the one list and in the other, where they differ."""
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [(before[a:b], after[c:d]) for kind, a, b, c, d in steps if kind != "equal"]
