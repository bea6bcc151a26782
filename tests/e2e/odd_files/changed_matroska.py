"""Matroska, MPEG-TS, FLV, AVI and ASF files whose bytes are changed."""
import zlib

from odd_files.ebml import ebml, matroska
from odd_files.generate import bytes_case, cut, encoded, frames_of, middle, noise
from odd_files.ogg_pages import opus_packets


def register():
    def opus(**more):
        head, packets = opus_packets()
        return matroska(b"A_OPUS", head, packets, 20, 48000, **{"delay_ns": 6500000} | more)

    mp3_arguments = "-write_xing 0 -id3v2_version 0 -ar 16000 -b:a 32k -reservoir 0"
    def mp3(**more):
        return matroska(b"A_MPEG/L3", b"", frames_of(mp3_arguments, "mp3"), 36, 16000, **more)
    for how, name in ((1, "xiph"), (3, "ebml")):
        bytes_case(f"lace_{name}_opus.mka")(lambda how=how: opus(lacing=how, per_block=8))
        bytes_case(f"lace_{name}_mp3.mka")(lambda how=how: mp3(lacing=how, per_block=8))
    bytes_case("lace_fixed_mp3.mka")(lambda: mp3(lacing=2, per_block=4))
    bytes_case("block_groups_opus.webm")(lambda: opus(groups=True, kind=b"webm"))
    bytes_case("no_codec_delay_opus.webm")(lambda: opus(delay_ns=0, kind=b"webm"))
    bytes_case("scale_10ms_opus.webm")(lambda: opus(scale=10000000))
    bytes_case("scale_100us_opus.mka")(lambda: opus(scale=100000))
    bytes_case("first_at_5s_opus.webm")(lambda: opus(first_ms=5000))
    bytes_case("first_at_an_hour_opus.webm")(lambda: opus(first_ms=3600000))
    bytes_case("void_and_unknown_elements.mka")(lambda: opus(before=ebml("ec", bytes(50000)) + ebml("4fff", bytes(20))))
    def encoding(kind, settings=b""):
        return ebml("6d80", ebml("6240", ebml("5031", 0) + ebml("5032", 1) + ebml("5033", 0) + ebml(
            "5034", ebml("4254", kind) + (ebml("4255", settings) if settings else b""))))
    bytes_case("header_stripped_mp3.mka")(lambda: matroska(
        b"A_MPEG/L3", b"", [frame[2:] for frame in frames_of(mp3_arguments, "mp3")], 36, 16000,
        encoding=encoding(3, frames_of(mp3_arguments, "mp3")[0][:2])))
    bytes_case("zlib_opus.mka")(lambda: matroska(b"A_OPUS", opus_packets()[0], [
        zlib.compress(packet) for packet in opus_packets()[1]], 20, 48000, encoding=encoding(0)))
    bytes_case("header_stripped_laced_ac3.mka")(lambda: matroska(
        b"A_AC3", b"", [frame[2:] for frame in frames_of("-ar 48000 -b:a 96k", "ac3")], 32, 48000, lacing=2,
            per_block=8,
        encoding=encoding(3, b"\x0b\x77")))
    for name, arguments, suffix in (("opus", "-c:a libopus", "webm"), ("aac", "-c:a aac", "mkv"),
                                    ("flac", "-c:a flac", "mka")):
        bytes_case(f"matroska_{name}_cut.{suffix}")(lambda a=arguments, s=suffix: cut(
            encoded(a + " -cluster_time_limit 1000", s), 0.6))
        bytes_case(f"matroska_{name}_junk_inside.{suffix}")(lambda a=arguments, s=suffix: middle(
            encoded(a + " -cluster_time_limit 1000", s), noise(400)))
        bytes_case(f"matroska_{name}_junk_behind.{suffix}")(lambda a=arguments, s=suffix: encoded(a, s) + noise(3000))
        bytes_case(f"matroska_{name}_joined.{suffix}")(lambda a=arguments, s=suffix: 2 * encoded(a + " -live 1", s))
    packets = "-c:a mp2 -f mpegts"
    bytes_case("ts_204_byte_packets.ts")(lambda: b"".join(
        encoded(packets, "ts")[at:at + 188] + bytes(16) for at in range(0, len(encoded(packets, "ts")), 188)))
    bytes_case("ts_cut_in_a_packet.ts")(lambda: encoded(packets, "ts")[1000:-1000])
    bytes_case("ts_joined.ts")(lambda: 2 * encoded(packets, "ts"))
    bytes_case("flv_cut.flv")(lambda: cut(encoded("-c:a aac", "flv"), 0.6))
    bytes_case("avi_cut.avi")(lambda: cut(encoded("-c:a pcm_s16le", "avi"), 0.6))
    bytes_case("asf_cut.wma")(lambda: cut(encoded("-c:a wmav2", "asf"), 0.6))
