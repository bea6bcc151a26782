"""Holds what the card writes down against what the processor writes down: real speech, a real model, word by word."""
import asyncio
import difflib
import os
import re

import clips
from asking import Connection, target
from server import Server

AT_ONCE = 8


def compare(args, folders):
    """Returns, for results.json, the words of all recordings and each place in which the two differ."""
    found = clips.recordings(args.clips, args.language, args.most_clips)
    models, model = os.path.split(os.path.abspath(args.real_model))
    common = {"MODELS_DIR": models, "WHISPER__MODEL": model}
    sides = {"card": {"WHISPER__INFERENCE_DEVICE": args.device, "WHISPER__COMPUTE_TYPE": args.compute_type},
             "processor": {"WHISPER__INFERENCE_DEVICE": "cpu", "WHISPER__COMPUTE_TYPE": "float32"}}
    texts = {}
    for side, settings in sides.items():
        log = os.path.join(folders.out, f"texts-{side}.log")
        with Server(args.binary, common | settings, log, args.cublas) as server:
            texts[side] = asyncio.run(transcribe(server.address, model, args.language, found))
    words = edits = 0
    differences = []
    for (name, _), ours, theirs in zip(found, texts["card"], texts["processor"]):
        words += len(plain(theirs))
        for removed, added in differing(plain(theirs), plain(ours)):
            edits += max(len(removed), len(added))
            differences.append({"clip": name, "processor": " ".join(removed), "card": " ".join(added)})
            print(f"  {name}: {' '.join(removed)!r} on the processor, {' '.join(added)!r} on the card", flush=True)
    print(f"  {len(found)} recordings, {words} words, {edits} differ", flush=True)
    return {"model": model, "clips": len(found), "words": words, "words_that_differ": edits,
            "differences": differences, "empty": sum(not plain(text) for text in texts["card"])}


async def transcribe(address, model, language, found):
    """The texts in the order of the clips. At temperature 0 alone, since what is sampled differs by chance."""
    path = target({"model": model, "language": language, "temperature": "[0]"})
    todo, texts = list(enumerate(found)), [None] * len(found)

    async def call():
        connection = Connection(address)
        while todo:
            index, (name, audio) = todo.pop()
            answer = await connection.post(path, audio)
            if answer.status != 200:
                raise RuntimeError(f"{name}: status {answer.status}: {answer.body[:200]!r}")
            texts[index] = answer.text()
        connection.close()

    await asyncio.gather(*(call() for _ in range(AT_ONCE)))
    return texts


def plain(text):
    return re.sub(r"[^\w\s]", "", text.lower()).split()


def differing(before, after):
    """Pairs of what stands in the one list and in the other, where they differ."""
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [(before[a:b], after[c:d]) for kind, a, b, c, d in steps if kind != "equal"]
