"""MP4 files whose bytes are changed."""
import struct

from odd_files.generate import bytes_case, cut, encoded, noise
from odd_files.mp4 import box, boxes, change_boxes, moved, mp4
from odd_files.tags import id3v2


def register():
    @bytes_case("mdat_64bit_size.m4a")
    def _():
        part = mp4()
        return (box(b"ftyp", part[b"ftyp"]) + struct.pack(">I4sQ", 1, b"mdat", len(part[b"mdat"]) + 16) +
                part[b"mdat"] + box(b"moov", part[b"moov"]))

    @bytes_case("mdat_size_zero_at_end.m4a")
    def _():
        part = mp4("-c:a aac -movflags faststart")
        return (box(b"ftyp", part[b"ftyp"]) + moved(box(b"moov", part[b"moov"]), -8) + struct.pack(">I4s", 0, b"mdat") +
                part[b"mdat"])

    def with_before(extra, moov_size_64=False):
        part = mp4()
        moov = moved(box(b"moov", part[b"moov"]), len(extra) - 8)
        if moov_size_64:
            moov = struct.pack(">I4sQ", 1, b"moov", len(moov) + 8) + moov[8:]
        return box(b"ftyp", part[b"ftyp"]) + extra + box(b"mdat", part[b"mdat"]) + moov

    for name, extra in {"uuid_first": box(b"uuid", noise(5000)), "free_boxes": box(b"free", bytes(300000)) +
                        box(b"skip", bytes(10)) + box(b"free", b""), "wide": box(b"wide", b""),
                        "junk_box": box(b"\xa9odd", noise(1000)), "pdin_meta": box(b"pdin", bytes(12)) +
                        box(b"meta", bytes(4) + box(b"hdlr", bytes(24)))}.items():
        bytes_case(f"boxes_{name}.m4a")(lambda extra=extra: with_before(extra))
    bytes_case("moov_64bit_size.m4a")(lambda: with_before(b"", True))
    bytes_case("trailing_junk.m4a")(lambda: encoded("-c:a aac", "m4a") + noise(5000))
    bytes_case("trailing_zeros.m4a")(lambda: encoded("-c:a aac", "m4a") + bytes(5000))
    bytes_case("mdat_empty_first.m4a")(lambda: with_before(box(b"mdat", b"")))
    bytes_case("id3_before.m4a")(lambda: id3v2() + encoded("-c:a aac", "m4a"))

    @bytes_case("co64.m4a")
    def _():
        part = mp4()
        def wider(name, body):
            if name == b"stco":
                places = struct.unpack(f">{(len(body) - 8) // 4}I", body[8:])
                return box(b"co64", body[:8] + b"".join(struct.pack(">Q", place - 8) for place in places))
        return (box(b"ftyp", part[b"ftyp"]) + box(b"mdat", part[b"mdat"]) +
                change_boxes(box(b"moov", part[b"moov"]), wider))

    def replaced(change, arguments="-c:a aac", suffix="m4a"):
        data = encoded(arguments, suffix)
        at = data.rfind(b"moov") - 4
        return data[:at] + change_boxes(data[at:], change)

    def duration_zero(name, body):
        if name == b"mvhd":
            return box(name, body[:16] + bytes(4) + body[20:])
        if name == b"tkhd":
            return box(name, body[:20] + bytes(4) + body[24:])
        if name == b"mdhd":
            return box(name, body[:16] + bytes(4) + body[20:])
        return b"" if name == b"edts" else None
    bytes_case("durations_zero.m4a")(lambda: replaced(duration_zero))
    bytes_case("track_disabled.m4a")(lambda: replaced(
        lambda name, body: box(name, body[:3] + b"\0" + body[4:]) if name == b"tkhd" else None))
    bytes_case("udta_junk.m4a")(lambda: replaced(
        lambda name, body: box(name, noise(200)) if name == b"udta" else None))
    bytes_case("udta_zero_end.mov")(lambda: replaced(
        lambda name, body: box(name, body + bytes(4)) if name == b"udta" else None, "-c:a alac -metadata title=odd",
            "mov"))
    bytes_case("handler_unnamed.m4a")(lambda: replaced(
        lambda name, body: box(name, body[:24]) if name == b"hdlr" else None))
    bytes_case("sample_rate_zero_in_entry.m4a")(lambda: replaced(
        lambda name, body: box(name, body[:40] + bytes(4) + body[44:]) if name == b"stsd" else None))
    bytes_case("channels_two_in_entry.m4a")(lambda: replaced(
        lambda name, body: box(name, body[:32] + b"\0\2" + body[34:]) if name == b"stsd" else None))
    bytes_case("brand_unknown.m4a")(lambda: encoded("-c:a aac", "m4a").replace(b"ftypM4A ", b"ftypodd!", 1))
    for part in (0.4, 0.85):
        bytes_case(f"fragments_cut_at_{part}.mp4")(lambda part=part: cut(
            encoded("-c:a aac -movflags empty_moov+default_base_moof -frag_duration 1000000", "mp4"), part))
    bytes_case("faststart_cut_at_0.6.m4a")(lambda: cut(encoded("-c:a aac -movflags faststart", "m4a"), 0.6))

    def fragments(change):
        data = encoded("-c:a aac -movflags empty_moov+default_base_moof -frag_duration 1000000", "mp4")
        return b"".join(box(name, body) for name, body in change(boxes(data)))
    bytes_case("fragments_no_mfra.mp4")(lambda: fragments(lambda all: [one for one in all if one[0] != b"mfra"]))
    bytes_case("fragments_styp_between.mp4")(lambda: fragments(lambda all: [
        one for each in all for one in ([(b"styp", b"msdh\0\0\0\0msdh")] if each[0] == b"moof" else []) + [each]]))
    bytes_case("fragments_emsg_prft.mp4")(lambda: fragments(lambda all: [
        one for each in all for one in ([(b"emsg", bytes(24)), (b"prft", bytes(20))] if each[0] == b"moof" else []) +
        [each]]))
    bytes_case("fragments_one_missing.mp4")(lambda: fragments(lambda all: all[:6] + all[8:]))
    bytes_case("fragments_init_twice.mp4")(lambda: fragments(lambda all: all[:8] + all[:2] + all[8:]))
    bytes_case("fragments_two_recordings_joined.mp4")(lambda: 2 * fragments(
        lambda all: [one for one in all if one[0] != b"mfra"]))
    bytes_case("two_m4a_joined.m4a")(lambda: 2 * encoded("-c:a aac", "m4a"))
