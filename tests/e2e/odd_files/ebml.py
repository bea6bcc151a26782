"""Elements and blocks of Matroska files."""
import itertools
import struct


def ebml(code, body):
    """An element of Matroska; numbers are written as unsigned integers."""
    if isinstance(body, int):
        body = body.to_bytes(max(1, (body.bit_length() + 7) // 8), "big")
    return bytes.fromhex(code) + (len(body) | 1 << 56).to_bytes(8, "big") + body


def laced(frames, how):
    """The body of a block with several frames."""
    sizes = [len(frame) for frame in frames]
    head = bytes((len(frames) - 1,))
    if how == 1:
        for size in sizes[:-1]:
            head += b"\xff" * (size // 255) + bytes((size % 255,))
    elif how == 3:
        head += (sizes[0] | 0x4000).to_bytes(2, "big")
        for before, size in itertools.pairwise(sizes[:-1]):
            head += (size - before + 0x1FFF | 0x4000).to_bytes(2, "big")
    return head + b"".join(frames)


def matroska(codec, private, frames, frame_ms, rate, lacing=0, per_block=1, groups=False, encoding=b"", delay_ns=0,
             cluster_ms=2000, scale=1000000, first_ms=0, kind=b"matroska", before=b""):
    track = (ebml("d7", 1) + ebml("73c5", 7) + ebml("83", 2) + ebml("86", codec) +
             (ebml("63a2", private) if private else b"") + (ebml("56aa", delay_ns) if delay_ns else b"") + encoding +
             ebml("e1", ebml("b5", struct.pack(">d", rate)) + ebml("9f", 1)))
    info = ebml("1549a966", ebml("2ad7b1", scale) + ebml("4d80", b"odd") + ebml("5741", b"odd"))
    body, block_list, cluster_at = info + before + ebml("1654ae6b", ebml("ae", track)), b"", None
    unit = scale / 1e6
    for index in range(0, len(frames), per_block):
        block_frames = frames[index:index + per_block]
        at = first_ms + index * frame_ms
        if cluster_at is None or at - cluster_at >= cluster_ms:
            if cluster_at is not None:
                body += ebml("1f43b675", ebml("e7", int(cluster_at / unit)) + block_list)
            cluster_at, block_list = at, b""
        flags = (0 if groups else 0x80) | (lacing << 1 if len(block_frames) > 1 else 0)
        payload = laced(block_frames, lacing) if len(block_frames) > 1 else block_frames[0]
        block = b"\x81" + struct.pack(">hB", int(at / unit) - int(cluster_at / unit), flags) + payload
        block_list += ebml("a0", ebml("a1", block)) if groups else ebml("a3", block)
    body += ebml("1f43b675", ebml("e7", int(cluster_at / unit)) + block_list)
    head = ebml("1a45dfa3", ebml("4286", 1) + ebml("42f7", 1) + ebml("42f2", 4) + ebml("42f3", 8) +
                ebml("4282", kind) + ebml("4287", 4) + ebml("4285", 2))
    return head + ebml("18538067", body)
