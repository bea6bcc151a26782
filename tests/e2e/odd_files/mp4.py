"""Boxes of MP4 files."""
import struct

from odd_files.generate import encoded


def box(name, body):
    return struct.pack(">I", len(body) + 8) + name + body


def boxes(data):
    """The name and body of each MP4 box."""
    at, found = 0, []
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at:at + 8])
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", data[at + 8:at + 16])[0], 16
        size = size or len(data) - at
        found.append((name, data[at + head:at + size]))
        at += size
    return found


def change_boxes(data, change):
    """Rebuilds boxes; `change(name, body)` returns the bytes of a box, or None to keep it."""
    out = b""
    for name, body in boxes(data):
        if name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts"):
            body = change_boxes(body, change)
        changed = change(name, body)
        out += box(name, body) if changed is None else changed
    return out


def moved(moov, by):
    """The index (moov) with its chunk offsets moved."""
    def move(name, body):
        if name == b"stco":
            offsets = struct.unpack(f">{(len(body) - 8) // 4}I", body[8:])
            return box(name, body[:8] + b"".join(struct.pack(">I", offset + by) for offset in offsets))
    return change_boxes(moov, move)


def mp4(arguments="-c:a aac", suffix="m4a"):
    return dict(boxes(encoded(arguments, suffix)))
