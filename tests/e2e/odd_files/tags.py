"""Tags before and after a stream: ID3, APE, Lyrics3."""
import struct


def id3v2(version=3, padding=100, title="odd", flags=0):
    body = b"\0" + title.encode("latin-1")
    if version == 2:
        frames = b"TT2" + struct.pack(">I", len(body))[1:] + body
    else:
        frames = b"TIT2" + struct.pack(">IH", len(body), 0) + body
    frames += b"\0" * padding
    size = bytes((len(frames) >> shift) & 127 for shift in (21, 14, 7, 0))
    tag = b"ID3" + bytes((version, 0, flags)) + size + frames
    return tag + (b"3DI" + tag[3:10] if flags & 0x10 else b"")


def id3v1():
    return b"TAG" + b"odd".ljust(125, b"\0")


def ape(header=True):
    item = struct.pack("<II", 3, 0) + b"Title\0odd"
    def edge(flags):
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8)
    return (edge(0xA0000000) if header else b"") + item + edge(0x80000000 if header else 0)


def lyrics3():
    body = b"LYRICSBEGININD0000200LYR00010[00:01]odd"
    return body + b"%06dLYRICS200" % len(body)
