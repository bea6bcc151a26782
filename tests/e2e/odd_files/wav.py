"""Chunks of WAV and AIFF files."""
import struct


def chunk(name, body, order="<"):
    return name + struct.pack(order + "I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(*chunks, form=b"WAVE"):
    body = b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + form + body


def fmt(tag=1, channels=1, rate=16000, bits=16, extra=b"", align=None, per_second=None):
    align = channels * bits // 8 if align is None else align
    return struct.pack("<HHIIHH", tag, channels, rate, rate * align if per_second is None else per_second, align,
                       bits) + extra


def extensible(tag, valid, mask):
    return struct.pack("<HHIH", 22, valid, mask, tag) + bytes.fromhex("000000001000800000aa00389b71")
