"""WAV, AIFF, AU, CAF and W64 files whose bytes are changed."""

import struct

from odd_files.generate import bytes_case, cut, encoded, noise, raw
from odd_files.tags import id3v2
from odd_files.wav import chunk, extensible, fmt, riff


def register():
    # Functions, so that ffmpeg runs only when a file is made.
    def body():
        return raw()

    def data():
        return chunk(b"data", body())

    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd\0"))
    cue = chunk(b"cue ", struct.pack("<IIIIIII", 1, 1, 800, 0x61746164, 0, 0, 800)[:28])
    smpl = chunk(b"smpl", bytes(36))
    pcm = chunk(b"fmt ", fmt())
    files = {
        "list_before_data": lambda: (pcm, info, data()),
        "cue_smpl_list_after": lambda: (pcm, data(), cue, smpl, info),
        "cue_smpl_before": lambda: (pcm, cue, smpl, data()),
        "junk_before_fmt": lambda: (chunk(b"JUNK", bytes(4096)), pcm, data()),
        "fmt_18": lambda: (chunk(b"fmt ", fmt(extra=b"\0\0")), data()),
        "fmt_20": lambda: (chunk(b"fmt ", fmt(extra=bytes(4))), data()),
        "fmt_40_tag_1": lambda: (chunk(b"fmt ", fmt(extra=bytes(24))), data()),
        "fmt_14_no_bits": lambda: (chunk(b"fmt ", fmt()[:14]), data()),
        "per_second_zero": lambda: (chunk(b"fmt ", fmt(per_second=0)), data()),
        "align_zero": lambda: (chunk(b"fmt ", fmt(align=0)), data()),
        "align_wrong_4": lambda: (chunk(b"fmt ", fmt(align=4, per_second=32000)), data()),
        "extensible_mask_0": lambda: (chunk(b"fmt ", fmt(0xFFFE, extra=extensible(1, 16, 0))), data()),
        "extensible_float": lambda: (
            chunk(b"fmt ", fmt(0xFFFE, bits=32, extra=extensible(3, 32, 4))),
            chunk(b"data", raw("f32le")),
        ),
        "extensible_mulaw": lambda: (
            chunk(b"fmt ", fmt(0xFFFE, bits=8, extra=extensible(7, 8, 4))),
            chunk(b"data", raw("mulaw")),
        ),
        "extensible_24_in_32": lambda: (
            chunk(b"fmt ", fmt(0xFFFE, bits=32, extra=extensible(1, 24, 4))),
            chunk(b"data", raw("s32le")),
        ),
        "extensible_20_in_24": lambda: (
            chunk(b"fmt ", fmt(0xFFFE, bits=24, extra=extensible(1, 20, 4))),
            chunk(b"data", raw("s24le")),
        ),
        "extensible_valid_0": lambda: (chunk(b"fmt ", fmt(0xFFFE, extra=extensible(1, 0, 4))), data()),
        "bits_12_in_16": lambda: (chunk(b"fmt ", fmt(bits=12, align=2)), data()),
        "bits_24_in_align_4": lambda: (chunk(b"fmt ", fmt(bits=24, align=4)), chunk(b"data", raw("s32le"))),
        "data_size_huge": lambda: (pcm, data()[:4] + b"\xff\xff\xff\xff" + data()[8:]),
        "data_size_7fffffff": lambda: (pcm, data()[:4] + b"\xff\xff\xff\x7f" + data()[8:]),
        "data_size_odd": lambda: (pcm, chunk(b"data", body()[:-1])),
        "two_data": lambda: (pcm, chunk(b"data", body()[:160000]), info, chunk(b"data", body()[160000:])),
        "data_before_fmt": lambda: (data(), pcm),
        "fmt_twice": lambda: (pcm, pcm, data()),
        "id3_chunk": lambda: (pcm, chunk(b"id3 ", id3v2()), data()),
        "xml_bext_umid": lambda: (
            chunk(b"bext", bytes(602)),
            pcm,
            chunk(b"iXML", b"<a/>"),
            chunk(b"axml", b"<b/>"),
            data(),
        ),
        "s8_extensible_valid_8": lambda: (
            chunk(b"fmt ", fmt(0xFFFE, bits=8, extra=extensible(1, 8, 4))),
            chunk(b"data", raw("u8")),
        ),
        "fact_wrong": lambda: (
            chunk(b"fmt ", fmt(7, bits=8, extra=b"\0\0")),
            chunk(b"fact", struct.pack("<I", 100)),
            chunk(b"data", raw("mulaw")),
        ),
        "chunk_name_space": lambda: (pcm, chunk(b"    ", bytes(6)), data()),
        "riff_padding_100k": lambda: (pcm, chunk(b"PAD ", bytes(100000)), data()),
        "rate_15999": lambda: (chunk(b"fmt ", fmt(rate=15999)), data()),
        "float16_no": lambda: (chunk(b"fmt ", fmt(3, bits=64)), chunk(b"data", raw("f64le"))),
    }
    for name, chunks in files.items():
        bytes_case(f"wav_{name}.wav")(lambda chunks=chunks: riff(*chunks()))

    def whole():
        return riff(pcm, data())

    bytes_case("wav_riff_size_small.wav")(lambda: whole()[:4] + struct.pack("<I", 36) + whole()[8:])
    bytes_case("wav_riff_size_huge.wav")(lambda: whole()[:4] + b"\xff\xff\xff\xff" + whole()[8:])
    bytes_case("wav_id3_before.wav")(lambda: id3v2() + whole())
    bytes_case("wav_zeros_before.wav")(lambda: bytes(64) + whole())
    bytes_case("wav_junk_behind.wav")(lambda: whole() + noise(100000))
    bytes_case("wav_joined.wav")(lambda: whole() + whole())
    bytes_case("wav_cut.wav")(lambda: cut(whole(), 0.7))
    bytes_case("wav_cut_odd_byte.wav")(lambda: whole()[:200001])
    bytes_case("wav_rifx.wav")(
        lambda: (
            b"RIFX"
            + struct.pack(">I", len(body()) + 36)
            + b"WAVE"
            + chunk(b"fmt ", struct.pack(">HHIIHH", 1, 1, 16000, 32000, 2, 16), ">")
            + chunk(b"data", raw("s16be"), ">")
        )
    )
    bytes_case("wav_rf64_sizes_minus_1_no_ds64_data.wav")(
        lambda: (
            b"RF64\xff\xff\xff\xffWAVE"
            + chunk(b"ds64", struct.pack("<QQQI", 0, 0, 0, 0))
            + pcm
            + b"data\xff\xff\xff\xff"
            + body()
        )
    )
    bytes_case("wav_bw64.wav")(
        lambda: (
            b"BW64\xff\xff\xff\xffWAVE"
            + chunk(b"ds64", struct.pack("<QQQI", len(body()) + 72, len(body()), 0, 0))
            + pcm
            + b"data\xff\xff\xff\xff"
            + body()
        )
    )
    bytes_case("wav_named.mp3")(lambda: whole())
    bytes_case("m4a_named.wav")(lambda: encoded("-c:a aac", "m4a"))
    bytes_case("mp3_named.m4a")(lambda: encoded("-ar 44100", "mp3"))
    bytes_case("ogg_named.mp3")(lambda: encoded("-c:a libopus", "ogg"))
    bytes_case("webm_named.wav")(lambda: encoded("-c:a libopus", "webm"))

    def aiff():
        return encoded("", "aiff")

    def at():
        return aiff().find(b"SSND")

    def comm():
        start = aiff().find(b"COMM")
        return aiff()[start : start + 26]

    def ssnd():
        return raw("s16be")

    def form(*chunks, kind=b"AIFF"):
        return b"FORM" + struct.pack(">I", sum(map(len, chunks)) + 4) + kind + b"".join(chunks)

    def sound(offset=0):
        return chunk(b"SSND", struct.pack(">II", offset, 0) + bytes(offset) + ssnd(), ">")

    bytes_case("aiff_comm_after_ssnd.aiff")(lambda: form(sound(), comm()))
    bytes_case("aiff_ssnd_offset_1000.aiff")(lambda: form(comm(), sound(1000)))
    bytes_case("aiff_notes_between.aiff")(
        lambda: form(
            chunk(b"NAME", b"odd", ">"),
            comm(),
            chunk(b"ANNO", b"odd!!", ">"),
            chunk(b"MARK", b"\0\0", ">"),
            sound(),
            chunk(b"ID3 ", id3v2(), ">"),
        )
    )
    bytes_case("aiff_sizes_zero.aiff")(
        lambda: aiff()[:4] + bytes(4) + aiff()[8 : at() + 4] + bytes(4) + aiff()[at() + 8 :]
    )
    bytes_case("aiff_cut.aiff")(lambda: cut(aiff(), 0.6))
    bytes_case("aifc_raw_u8.aifc")(
        lambda: form(
            chunk(b"FVER", bytes.fromhex("a2805140"), ">"),
            chunk(b"COMM", struct.pack(">hIh", 1, len(body()) // 2, 8) + comm()[16:26] + b"raw \0\0", ">"),
            chunk(b"SSND", bytes(8) + raw("u8"), ">"),
            kind=b"AIFC",
        )
    )
    bytes_case("aifc_twos.aifc")(
        lambda: form(
            chunk(b"COMM", struct.pack(">hIh", 1, len(body()) // 2, 16) + comm()[16:26] + b"twos\x0bodd packing", ">"),
            sound(),
            kind=b"AIFC",
        )
    )
    bytes_case("aifc_in24.aifc")(
        lambda: form(
            chunk(b"COMM", struct.pack(">hIh", 1, len(body()) // 2, 24) + comm()[16:26] + b"in24\0\0", ">"),
            chunk(b"SSND", bytes(8) + raw("s24be"), ">"),
            kind=b"AIFC",
        )
    )
    bytes_case("au_offset_24.au")(lambda: struct.pack(">4sIIIII", b".snd", 24, len(ssnd()), 3, 16000, 1) + ssnd())
    bytes_case("au_offset_1001.au")(
        lambda: struct.pack(">4sIIIII", b".snd", 1001, 0xFFFFFFFF, 3, 16000, 1).ljust(1001, b"\0") + ssnd()
    )
    bytes_case("au_size_zero.au")(lambda: struct.pack(">4sIIIII", b".snd", 28, 0, 3, 16000, 1) + bytes(4) + ssnd())
    bytes_case("au_dec_little_endian.au")(
        lambda: struct.pack("<4sIIIII", b"dns.", 28, len(body()), 3, 16000, 1) + bytes(4) + body()
    )

    def caf(*chunks):
        return b"caff\0\1\0\0" + b"".join(
            name + struct.pack(">q", len(part) if size is None else size) + part for name, part, size in chunks
        )

    desc = (b"desc", struct.pack(">d4sIIIII", 16000.0, b"lpcm", 2, 2, 1, 1, 16), None)
    bytes_case("caf_size_unknown.caf")(lambda: caf(desc, (b"data", bytes(4) + body(), -1)))
    bytes_case("caf_free_info_first.caf")(
        lambda: caf(
            desc,
            (b"free", bytes(4000), None),
            (b"info", struct.pack(">I", 1) + b"title\0odd\0", None),
            (b"data", bytes(4) + body(), None),
            (b"uuid", bytes(40), None),
        )
    )
    bytes_case("caf_24_in_32.caf")(
        lambda: caf(
            (b"desc", struct.pack(">d4sIIIII", 16000.0, b"lpcm", 2, 4, 1, 1, 24), None),
            (b"data", bytes(4) + raw("s32le"), None),
        )
    )
    bytes_case("caf_cut.caf")(lambda: cut(caf(desc, (b"data", bytes(4) + body(), None)), 0.6))
    bytes_case("w64_cut.w64")(lambda: cut(encoded("", "w64"), 0.6))
