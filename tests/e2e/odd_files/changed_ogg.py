"""Ogg files whose bytes are changed."""
import struct

from odd_files.generate import bytes_case, cut, encoded, noise
from odd_files.ogg_pages import junk_between, ogg, ogg_page, ogg_pages, renumbered, without, wrong_crc
from odd_files.tags import id3v2


def register():
    opus, vorbis, flac = "-c:a libopus -b:a 24k", "-c:a libvorbis", "-c:a flac"
    for name, arguments in (("opus", opus), ("vorbis", vorbis), ("flac", flac)):
        bytes_case(f"{name}_chained.ogg")(lambda arguments=arguments: renumbered(arguments,
            1) + renumbered(arguments, 2))
        bytes_case(f"{name}_chained_same_serial.ogg")(lambda arguments=arguments: 2 * renumbered(arguments, 1))
        bytes_case(f"{name}_cut.ogg")(lambda arguments=arguments: cut(encoded(arguments, "ogg"), 0.6))
        bytes_case(f"{name}_no_end_flag.ogg")(lambda arguments=arguments: ogg(
            [page[0] & ~4, *page[1:]] for page in ogg_pages(encoded(arguments, "ogg"))))
        bytes_case(f"{name}_page_lost.ogg")(lambda arguments=arguments: ogg(without(ogg_pages(
            encoded(arguments + " -page_duration 500000", "ogg")), 8)))
        bytes_case(f"{name}_page_crc_wrong.ogg")(lambda arguments=arguments: wrong_crc(
            encoded(arguments + " -page_duration 500000", "ogg"), 8))
        bytes_case(f"{name}_crc_all_zero.ogg")(lambda arguments=arguments: b"".join(
            page[:22] + bytes(4) + page[26:] for page in (ogg_page(*one) for one in ogg_pages(encoded(arguments,
                "ogg")))))
        bytes_case(f"{name}_junk_between.ogg")(lambda arguments=arguments: junk_between(encoded(arguments, "ogg")))
        bytes_case(f"{name}_granules_from_an_hour.ogg")(lambda arguments=arguments: ogg(
            [flags, granule + 3600 * 48000 if granule > 0 else granule, *rest]
            for flags, granule, *rest in ogg_pages(encoded(arguments, "ogg"))))
        bytes_case(f"{name}_junk_behind.ogg")(lambda arguments=arguments: encoded(arguments, "ogg") + noise(5000))
        bytes_case(f"{name}_id3_before.ogg")(lambda arguments=arguments: id3v2() + encoded(arguments, "ogg"))
    bytes_case("opus_then_vorbis_chained.ogg")(lambda: renumbered(opus, 1) + renumbered(vorbis, 2))
    bytes_case("vorbis_rates_chained.ogg")(lambda: renumbered(vorbis,
        1) + renumbered("-c:a libvorbis -ar 44100 -ac 2", 2))

    def opus_head(at, value):
        pages = ogg_pages(encoded(opus, "ogg"))
        head = pages[0][5]
        pages[0][5] = head[:at] + value + head[at + len(value):]
        return ogg(pages)
    bytes_case("opus_preskip_0.opus")(lambda: opus_head(10, b"\0\0"))
    bytes_case("opus_preskip_48000.opus")(lambda: opus_head(10, struct.pack("<H", 48000)))
    bytes_case("opus_gain_minus_20db.opus")(lambda: opus_head(16, struct.pack("<h", -20 * 256)))
    bytes_case("opus_rate_declared_0.opus")(lambda: opus_head(12, bytes(4)))
    bytes_case("opus_rate_declared_44100.opus")(lambda: opus_head(12, struct.pack("<I", 44100)))
    bytes_case("opus_version_15.opus")(lambda: opus_head(8, b"\x0f"))
    bytes_case("opus_granules_minus_1.opus")(lambda: ogg(
        [flags, -1 if granule > 0 and not flags & 4 else granule, *rest]
        for flags, granule, *rest in ogg_pages(encoded(opus, "ogg"))))
    bytes_case("opus_granules_zero.opus")(lambda: ogg(
        [flags, 0, *rest] for flags, granule, *rest in ogg_pages(encoded(opus, "ogg"))))
