"""MP3, ADTS and FLAC files whose bytes are changed."""
import struct

from odd_files.generate import bytes_case, cut, encoded, frames_of, noise
from odd_files.tags import ape, id3v1, id3v2, lyrics3
from odd_files.wav import chunk, riff


def register():
    def mp3(arguments="-write_xing 0 -id3v2_version 0 -ar 44100 -b:a 64k"):
        return encoded(arguments, "mp3")
    for name, before in {"id3v22": id3v2(2), "id3v23": id3v2(3), "id3v24_footer": id3v2(4, 0, flags=0x10),
                         "id3_twice": id3v2(3) + id3v2(4), "id3_2mb": id3v2(4, 2000000), "zeros_10k": bytes(10000),
                         "junk_3k": noise(3000), "ape_first": ape(), "id3_unsync": id3v2(3, flags=0x80),
                         "line_break": b"\r\n", "zeros_300k": bytes(300000),
                         "http_head": b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 88000\r\n\r\n"
                         }.items():
        bytes_case(f"mp3_before_{name}.mp3")(lambda before=before: before + mp3())
    for name, after in {"id3v1": id3v1(), "ape": ape(), "ape_id3v1": ape() + id3v1(), "lyrics3": lyrics3() + id3v1(),
                        "zeros": bytes(20000), "junk": noise(20000), "id3v24": id3v2(4, 50), "text": b"odd\n" * 2000
                        }.items():
        bytes_case(f"mp3_behind_{name}.mp3")(lambda after=after: mp3() + after)
    bytes_case("mp3_cut_both_ends.mp3")(lambda: mp3()[5111:-5111])
    bytes_case("mp3_xing_cut_at_half.mp3")(lambda: cut(encoded("-ar 44100 -q:a 4", "mp3"), 0.5))
    bytes_case("mp3_tag_in_the_middle.mp3")(lambda: mp3() + id3v1() + id3v2(3, 2000) + mp3())
    bytes_case("mp3_rates_joined.mp3")(lambda: mp3() + mp3("-write_xing 0 -id3v2_version 0 -ar 16000 -b:a 32k"))
    bytes_case("mp3_mono_then_stereo.mp3")(lambda: mp3() + mp3(
        "-write_xing 0 -id3v2_version 0 -ar 44100 -ac 2 -b:a 128k"))
    bytes_case("mp3_hole_of_zeros.mp3")(lambda: mp3()[:40000] + bytes(3000) + mp3()[43000:])
    bytes_case("mp3_in_rmp3.mp3")(lambda: riff(chunk(b"data", mp3()), form=b"RMP3"))
    bytes_case("mp3_three_xing_joined.mp3")(lambda: 3 * encoded("-ar 44100 -q:a 4 -id3v2_version 3", "mp3"))

    def xing(frames_scale):
        data = bytearray(encoded("-ar 44100 -b:a 64k -id3v2_version 0", "mp3"))
        at = data.find(b"Info") + 8
        count = struct.unpack(">I", data[at:at + 4])[0]
        data[at:at + 4] = struct.pack(">I", int(count * frames_scale))
        return bytes(data)
    bytes_case("mp3_xing_count_half.mp3")(lambda: xing(0.5))
    bytes_case("mp3_xing_count_tenfold.mp3")(lambda: xing(10))

    @bytes_case("mp3_vbri.mp3")
    def _():
        frames = frames_of("-write_xing 0 -id3v2_version 0 -ar 44100 -b:a 64k", "mp3")
        head = frames[0][:4] + bytes(32) + b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 75, sum(map(len, frames)),
                                                                len(frames), 1, 1, 2, 1) + bytes(4)
        return head.ljust(len(frames[0]), b"\0") + b"".join(frames)

    def dual():
        # A plain stereo stream is a dual channel one with another mode in each header.
        return b"".join(frame[:3] + bytes((frame[3] & 0x3F | 0x80,)) + frame[4:] for frame in frames_of(
            "-write_xing 0 -id3v2_version 0 -ar 44100 -ac 2 -joint_stereo 0 -b:a 128k", "mp3"))
    bytes_case("mp3_dual_channel.mp3")(dual)

    adts = "-c:a aac -ar 44100"
    bytes_case("adts_cut_both_ends.aac")(lambda: encoded(adts, "aac")[1234:-1234])
    bytes_case("adts_junk_before.aac")(lambda: noise(2000) + encoded(adts, "aac"))
    bytes_case("adts_id3v1_behind.aac")(lambda: encoded(adts, "aac") + id3v1())
    bytes_case("adts_id3_each_fifty.aac")(lambda: b"".join(
        (id3v2(4, 40) if index % 50 == 0 else b"") + frame for index, frame in enumerate(frames_of(adts, "aac"))))
    bytes_case("adts_junk_inside.aac")(lambda: encoded(adts, "aac")[:30000] + noise(700) + encoded(adts, "aac")[30000:])
    bytes_case("adts_rates_joined.aac")(lambda: encoded(adts, "aac") + encoded("-c:a aac -ar 16000", "aac"))
    bytes_case("adts_mono_then_stereo.aac")(lambda: encoded(adts, "aac") + encoded("-c:a aac -ar 44100 -ac 2", "aac"))
    bytes_case("adts_crc.aac")(lambda: b"".join(
        bytes((f[0], f[1] & 0xFE, f[2])) + ((int.from_bytes(f[3:7], "big") + (2 << 13)).to_bytes(4, "big")) + b"\0\0" +
        f[7:] for f in frames_of(adts, "aac")))

    def flac(change=lambda data: data, arguments="-ar 44100"):
        return change(bytearray(encoded(arguments, "flac")))

    def total(samples):
        def change(data):
            data[21] = data[21] & 0xF0 | samples >> 32
            data[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
            return data
        return change

    def patched(at, value):
        def change(data):
            data[at:at + len(value)] = value
            return data
        return change
    bytes_case("flac_total_zero.flac")(lambda: flac(total(0)))
    bytes_case("flac_total_small.flac")(lambda: flac(total(44100)))
    bytes_case("flac_total_huge.flac")(lambda: flac(total(2 ** 36 - 1)))
    bytes_case("flac_md5_wrong.flac")(lambda: flac(patched(26, noise(16))))
    bytes_case("flac_md5_zero.flac")(lambda: flac(patched(26, bytes(16))))
    bytes_case("flac_frame_sizes_zero.flac")(lambda: flac(patched(12, bytes(6))))
    bytes_case("flac_id3_before.flac")(lambda: id3v2(4, 3000) + flac())
    bytes_case("flac_id3v1_behind.flac")(lambda: flac() + id3v1())
    bytes_case("flac_ape_behind.flac")(lambda: flac() + ape())
    bytes_case("flac_cut.flac")(lambda: cut(flac(), 0.55))
    bytes_case("flac_joined.flac")(lambda: flac() + flac())
    bytes_case("flac_junk_inside.flac")(lambda: flac()[:150000] + noise(500) + flac()[150000:])
    bytes_case("flac_bytes_lost_inside.flac")(lambda: flac()[:150000] + flac()[153000:])
    bytes_case("flac_zeros_behind.flac")(lambda: flac() + bytes(10000))
    bytes_case("flac_blocks_odd.flac")(lambda: flac(lambda data: data[:42] + b"\x02\0\0\x10oddodd0123456789"[:20] +
                                                    b"\x64\0\1\0" + noise(256) + b"\x01\x0f\0\0" +
                                                    bytes(983040) + data[42:]))
