#!/usr/bin/env python3
"""Makes odd sound files of one speech sample and compares what a HalkSpeech server reads in them with ffmpeg.

usage: check_odd_files.py --sample FILE --work FOLDER [--binary FILE --models-dir FOLDER] [--without-ffmpeg]
                          [--model tiny.en] [--at-a-time 8] [--only PART_OF_NAME] [--but ANSWERS]

Without --binary the files are made and decoded by ffmpeg, and nothing else. With it a server is started, and each file
is sent to it, and so is the WAV that ffmpeg makes of the file, unless length and words are those of the sample. A file
is equal if the server's duration is within 0.1 s of that of the WAV, its text is at most one word away, and its first
segment begins within 0.5 s of the WAV's.
--without-ffmpeg starts the server with AUDIO__FFMPEG=off and sends only what docs/audio.md names as built in.
--but leaves out the files that are equal in the answers of an earlier run, e.g. the one without ffmpeg.
The answers are kept in FOLDER/answers*.json, one line a file is printed, and the exit status is 1 if any differs.
Needs ffmpeg and ffprobe with the usual encoders; a file whose encoder is absent is named and left out.
"""
import argparse
import concurrent.futures
import functools
import json
import os
import random
import shlex
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import wave
import zlib

from servers import end_on_sigterm, halkspeech
from words import edits, units

CASES = {}
WORK = ""
VIDEO = "-f lavfi -i testsrc=s=160x120:r=10:d=11"
H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 20"


def case(name, arguments, inputs="-i speech.wav"):
    """A file that one call of ffmpeg makes."""
    CASES[name] = lambda: ffmpeg(f"{inputs} {arguments} -y made/{name}")


def bytes_case(name):
    """A file whose bytes the decorated function returns."""
    def register(make):
        def write():
            data = make()
            with open(os.path.join(WORK, "made", name), "wb") as out:
                out.write(data)
        CASES[name] = write
        return make
    return register


def ffmpeg(arguments):
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", *shlex.split(arguments)], cwd=WORK,
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "ffmpeg failed")


@functools.lru_cache(None)
def encoded(arguments, suffix, inputs="-i speech.wav"):
    """The bytes that ffmpeg makes with these arguments."""
    name = f"parts/{zlib.crc32((arguments + inputs).encode()):08x}-{threading.get_ident()}.{suffix}"
    ffmpeg(f"{inputs} {arguments} -y {name}")
    with open(os.path.join(WORK, name), "rb") as file:
        return file.read()


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


# ---- pieces of formats

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


def raw(form="s16le", arguments=""):
    return encoded(f"{arguments} -f {form}", form)


def box(name, body):
    return struct.pack(">I", len(body) + 8) + name + body


def boxes(data):
    """(name, body) of MP4 boxes."""
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
    """The index with its places of chunks moved."""
    def move(name, body):
        if name == b"stco":
            places = struct.unpack(f">{(len(body) - 8) // 4}I", body[8:])
            return box(name, body[:8] + b"".join(struct.pack(">I", place + by) for place in places))
    return change_boxes(moov, move)


def mp4(arguments="-c:a aac", suffix="m4a"):
    return dict(boxes(encoded(arguments, suffix)))


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


OGG_CRC = []
for byte in range(256):
    value = byte << 24
    for _ in range(8):
        value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
    OGG_CRC.append(value & 0xFFFFFFFF)


def ogg_page(flags, granule, serial, number, lacing, body):
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, number, 0, len(lacing)) + bytes(lacing) + body
    crc = 0
    for octet in page:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ OGG_CRC[(crc >> 24) ^ octet]
    return page[:22] + struct.pack("<I", crc) + page[26:]


def ogg_pages(data):
    """[flags, granule, serial, number, lacing, body] of pages."""
    at, pages = 0, []
    while data[at:at + 4] == b"OggS":
        flags, granule, serial, number, _, count = struct.unpack("<BqIIIB", data[at + 5:at + 27])
        lacing = list(data[at + 27:at + 27 + count])
        start = at + 27 + count
        at = start + sum(lacing)
        pages.append([flags, granule, serial, number, lacing, data[start:at]])
    return pages


def ogg(pages):
    return b"".join(ogg_page(*page) for page in pages)


def ogg_packets(data):
    packets, open_one = [], b""
    for *_, lacing, body in ogg_pages(data):
        at = 0
        for size in lacing:
            open_one += body[at:at + size]
            at += size
            if size < 255:
                packets.append(open_one)
                open_one = b""
    return packets


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
        for before, size in zip(sizes, sizes[1:-1]):
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
        some = frames[index:index + per_block]
        at = first_ms + index * frame_ms
        if cluster_at is None or at - cluster_at >= cluster_ms:
            if cluster_at is not None:
                body += ebml("1f43b675", ebml("e7", int(cluster_at / unit)) + block_list)
            cluster_at, block_list = at, b""
        flags = (0 if groups else 0x80) | (lacing << 1 if len(some) > 1 else 0)
        payload = laced(some, lacing) if len(some) > 1 else some[0]
        block = b"\x81" + struct.pack(">hB", int(at / unit) - int(cluster_at / unit), flags) + payload
        block_list += ebml("a0", ebml("a1", block)) if groups else ebml("a3", block)
    body += ebml("1f43b675", ebml("e7", int(cluster_at / unit)) + block_list)
    head = ebml("1a45dfa3", ebml("4286", 1) + ebml("42f7", 1) + ebml("42f2", 4) + ebml("42f3", 8) +
                ebml("4282", kind) + ebml("4287", 4) + ebml("4285", 2))
    return head + ebml("18538067", body)


def opus_packets(arguments="-ar 48000 -b:a 24k"):
    packets = ogg_packets(encoded(f"-c:a libopus {arguments}", "ogg"))
    return packets[0], packets[2:]


@functools.lru_cache(None)
def frames_of(arguments, suffix):
    """The frames of a raw stream (MP3, ADTS, AC-3), as ffprobe finds them."""
    data = encoded(arguments, suffix)
    path = os.path.join(WORK, "parts", f"frames-{zlib.crc32(arguments.encode()):08x}-{threading.get_ident()}.{suffix}")
    with open(path, "wb") as out:
        out.write(data)
    rows = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", path],
                          capture_output=True, text=True, check=True).stdout.split()
    return [data[int(pos):int(pos) + int(size)] for size, pos in (row.strip(",").split(",")[:2] for row in rows)]


# ---- files that ffmpeg makes

def phones_and_mp4():
    case("phone_aac_8k.3gp", "-c:a aac -ar 8000 -b:a 12k")
    case("phone_aac_stereo_44k.3gp", "-c:a aac -ar 44100 -ac 2 -b:a 64k")
    case("phone_aac.3g2", "-c:a aac -ar 16000")
    case("phone_video_rotated.mp4", f"{H264} -c:a aac -metadata:s:v rotate=90", f"{VIDEO} -i speech.wav")
    case("voice_opus_in.mp4", "-c:a libopus -b:a 24k")
    case("book_chapters.m4b", "-map 0:a -map_metadata 1 -c:a aac -f ipod", "-i speech.wav -i chapters.txt")
    case("book_chapters_cover.m4b", "-map 0:a -map 2:v -map_metadata 1 -c:a aac -c:v mjpeg -disposition:v attached_pic"
         " -f ipod", "-i speech.wav -i chapters.txt -i cover.jpg")
    for codec in ("alac", "flac -strict -2", "libmp3lame", "ac3", "eac3", "mp2", "dca -strict -2 -ar 48000",
                  "libvorbis", "truehd -strict -2 -ar 48000"):
        case(f"mp4_{codec.split()[0]}.mp4", f"-c:a {codec}")
    for codec in ("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_f32le", "pcm_f32be",
                  "pcm_f64be", "pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ima_qt", "alac", "libmp3lame", "ac3",
                  "adpcm_ms", "adpcm_ima_wav"):
        case(f"mov_{codec}.mov", f"-c:a {codec}")
    case("mov_alac_24bit_96k_stereo.mov", "-c:a alac -sample_fmt s32p -ar 96000 -ac 2")
    case("m4a_alac_6_channels.m4a", "-c:a alac -af pan=6c|c2=c0 -ar 48000")
    case("m4a_alac_8k.m4a", "-c:a alac -ar 8000")
    for name, flags in {"keyframes": "frag_keyframe+empty_moov+default_base_moof",
        "dash": "dash -frag_duration 1000000",
                        "cmaf": "cmaf -frag_duration 500000", "single": "empty_moov -frag_duration 60000000",
                        "global_sidx": "dash+global_sidx -frag_duration 1000000",
                        "delay_moov": "delay_moov+frag_every_frame", "no_tfhd_offset":
                        "empty_moov+omit_tfhd_offset -frag_duration 700000", "separate": "separate_moof+empty_moov "
                        "-frag_duration 1000000", "faststart_hybrid": "frag_custom+empty_moov",
                        "skip_trailer": "skip_trailer+empty_moov -frag_duration 1000000"}.items():
        case(f"fragments_{name}.mp4", f"-c:a aac -movflags {flags}")
    for codec in ("libopus", "flac -strict -2", "alac", "libmp3lame", "ac3"):
        case(f"fragments_{codec.split()[0]}.mp4", f"-c:a {codec} -movflags empty_moov -frag_duration 1000000")
    case("fragments_with_video.mp4", f"{H264} -c:a aac -movflags frag_keyframe+empty_moov", f"{VIDEO} -i speech.wav")
    case("fragments_live.ismv", "-c:a aac -frag_duration 1000000")
    case("faststart.m4a", "-c:a aac -movflags faststart")
    case("no_edit_list.m4a", "-c:a aac -use_editlist 0")
    case("metadata_keys.m4a", "-c:a aac -movflags use_metadata_tags -metadata com.apple.quicktime.make=odd")
    case("timecode_track.mov", f"{H264} -c:a aac -timecode 01:00:00:00", f"{VIDEO} -i speech.wav")
    case("subtitles.mp4", f"-map 0 -map 1 -map 2 {H264} -c:a aac -c:s mov_text", f"{VIDEO} -i speech.wav -i lines.srt")
    case("late_audio_2s.mp4", f"{H264} -c:a aac", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("late_audio_2s_fragments.mp4", f"{H264} -c:a aac -movflags frag_keyframe+empty_moov",
         f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("late_audio_alone_2s.m4a", "-c:a aac", "-itsoffset 2 -i speech.wav")
    case("early_audio_half_second.mp4", f"{H264} -c:a aac", f"-itsoffset 0.5 {VIDEO} -i speech.wav")
    case("audio_longer_than_video.mp4", f"{H264} -c:a aac", "-f lavfi -i testsrc=s=160x120:r=10:d=3 -i speech.wav")
    case("video_longer_than_audio.mp4", f"{H264} -c:a aac", "-f lavfi -i testsrc=s=160x120:r=10:d=20 -i speech.wav")
    case("two_tracks_second_silent.mp4", "-map 0 -map 1 -c:a aac",
        "-i speech.wav -f lavfi -i anullsrc=r=16000:cl=mono:d=11")
    case("two_tracks_first_disabled.mp4", "-map 1 -map 0 -c:a aac -disposition:a:0 0 -disposition:a:1 default",
         "-i speech.wav -f lavfi -i sine=300:d=11")
    case("two_audio_files_in.mov", "-map 0 -map 0 -c:a:0 pcm_s16le -c:a:1 aac")
    case("aac_6_channels_centre.m4a", "-af pan=5.1|FC=c0 -ar 48000 -c:a aac")
    case("aac_stereo_right_only.m4a", "-af pan=stereo|c1=c0 -c:a aac")
    case("aac_opposite_phase.m4a", "-af 'pan=stereo|c0=c0|c1=-1*c0' -c:a aac -aac_ms 0")
    for rate in (7350, 11025, 12000, 24000, 32000, 64000, 96000):
        case(f"aac_{rate}.m4a", f"-c:a aac -ar {rate}")
    case("one_second.m4a", "-t 1 -c:a aac", "-ss 0.3 -i speech.wav")
    case("one_second.mp3", "-t 1", "-ss 0.3 -i speech.wav")
    case("one_second.ogg", "-t 1 -c:a libopus", "-ss 0.3 -i speech.wav")
    case("one_second.webm", "-t 1 -c:a libopus", "-ss 0.3 -i speech.wav")
    case("one_second.flac", "-t 1", "-ss 0.3 -i speech.wav")
    case("one_second_vorbis.ogg", "-t 1 -c:a libvorbis", "-ss 0.3 -i speech.wav")
    case("silence_around.m4a", "-af adelay=5000,apad=pad_dur=6 -c:a aac")
    case("silence_around_dtx.ogg", "-af adelay=5000,apad=pad_dur=6 -c:a libopus -dtx 1 -application voip")
    case("silence_around.mp3", "-af adelay=5000,apad=pad_dur=6 -q:a 4")


def streams():
    for rate in (8000, 11025, 12000, 22050, 24000, 32000, 48000):
        case(f"mp3_{rate}.mp3", f"-ar {rate} -b:a {32 if rate < 30000 else 64}k")
    case("mp3_joint.mp3", "-ar 44100 -ac 2 -joint_stereo 1 -b:a 96k")
    case("mp3_plain_stereo.mp3", "-ar 44100 -ac 2 -joint_stereo 0 -b:a 128k")
    case("mp3_opposite_phase.mp3", "-af 'pan=stereo|c0=c0|c1=-1*c0' -ar 44100 -b:a 128k")
    case("mp3_right_only.mp3", "-af pan=stereo|c1=c0 -ar 44100 -b:a 128k")
    for quality in (0, 9):
        case(f"mp3_vbr_{quality}.mp3", f"-ar 44100 -q:a {quality}")
    case("mp3_abr.mp3", "-ar 44100 -abr 1 -b:a 56k")
    case("mp3_8kbit.mp3", "-ar 8000 -b:a 8k")
    case("mp3_320kbit_no_reservoir.mp3", "-ar 48000 -ac 2 -b:a 320k -reservoir 0")
    case("mp3_no_xing_cbr.mp3", "-write_xing 0 -id3v2_version 0 -b:a 64k")
    case("mp3_id3v23_and_v1.mp3", "-id3v2_version 3 -write_id3v1 1 -metadata title=odd")
    case("mp3_cover.mp3", "-map 0 -map 1 -c:v copy -id3v2_version 3", "-i speech.wav -i cover.jpg")
    case("mp3_cover_png_v24.mp3", "-map 0 -map 1 -c:v png -id3v2_version 4", "-i speech.wav -i cover.jpg")
    case("mp3_shine.mp3", "-c:a libshine -ar 44100 -ac 2 -b:a 128k")
    case("layer2.mp2", "-c:a mp2 -ar 44100 -b:a 128k")
    case("layer2_crc.mp2", "-c:a libtwolame -error_protection 1 -ar 44100 -b:a 128k")
    case("layer2_named.mp3", "-c:a mp2 -ar 24000 -b:a 64k -f mp2")
    for rate in (8000, 22050, 48000, 96000):
        case(f"adts_{rate}.aac", f"-c:a aac -ar {rate}")
    case("adts_main.aac", "-c:a aac -profile:a aac_main -strict -2")
    case("adts_ltp.aac", "-c:a aac -profile:a aac_ltp -strict -2")
    case("adts_mpeg2.aac", "-c:a aac -profile:a mpeg2_aac_low")
    case("adts_id3.aac", "-c:a aac -write_id3v2 1 -metadata title=odd")
    case("adts_ape.aac", "-c:a aac -write_apetag 1 -metadata title=odd")
    case("adts_6_channels.aac", "-af pan=5.1|FC=c0 -ar 48000 -c:a aac")
    case("adts_quad_pce.aac", "-af pan=quad|FL=c0|FR=c0 -ar 48000 -c:a aac")
    case("loas.latm", "-c:a aac -f latm")
    for codec in ("ac3", "eac3"):
        case(f"raw.{codec}", f"-c:a {codec}")
    case("raw.dts", "-c:a dca -strict -2 -ar 48000 -ac 2")
    case("raw.thd", "-c:a truehd -strict -2 -ar 48000 -f truehd")
    for rate in (4000, 8000, 22050, 48000, 96000, 192000):
        case(f"flac_{rate}.flac", f"-ar {rate}")
    case("flac_24bit_96k_stereo.flac", "-sample_fmt s32 -ar 96000 -ac 2")
    case("flac_6_channels_centre.flac", "-af pan=5.1|FC=c0 -ar 48000")
    case("flac_tiny_blocks.flac", "-frame_size 64")
    case("flac_big_blocks.flac", "-frame_size 65535 -compression_level 12")
    case("flac_cover.flac", "-map 0 -map 1 -c:v copy -disposition:v attached_pic", "-i speech.wav -i cover.jpg")
    case("flac_fixed_level_0.flac", "-compression_level 0")
    for suffix in ("wv", "tta", "spx", "voc", "sox", "ircam"):
        case(f"other.{suffix}", "-c:a libspeex" if suffix == "spx" else "")
    case("other_f32.wv", "-sample_fmt fltp -ac 2")
    case("other_gsm.gsm", "-c:a libgsm -ar 8000")
    case("other_u8.voc", "-c:a pcm_u8")


def ogg_and_matroska():
    for page in (20000, 60000, 20000000):
        case(f"opus_page_{page}us.ogg", f"-c:a libopus -page_duration {page}")
        case(f"vorbis_page_{page}us.ogg", f"-c:a libvorbis -page_duration {page}")
    for frame in (2.5, 5, 10, 40, 60, 120):
        case(f"opus_frame_{frame}ms.opus", f"-c:a libopus -frame_duration {frame}")
    case("opus_6_channels.opus", "-af pan=5.1|FC=c0 -ar 48000 -c:a libopus")
    case("opus_3_channels.opus", "-af 'pan=3.0|FC=c0' -ar 48000 -c:a libopus -mapping_family 1")
    case("opus_mapping_255.opus", "-af pan=quad|FL=c0 -ar 48000 -c:a libopus -mapping_family 255")
    case("opus_opposite_phase.opus", "-af 'pan=stereo|c0=c0|c1=-1*c0' -ar 48000 -c:a libopus -apply_phase_inv 0")
    case("opus_cbr_6k_narrow.opus", "-ar 8000 -c:a libopus -b:a 6k -vbr off")
    case("opus_cover.opus", "-c:a libopus -metadata METADATA_BLOCK_PICTURE=" + "A" * 60000)
    case("vorbis_8k.ogg", "-c:a libvorbis -ar 8000")
    case("vorbis_96k_stereo.ogg", "-c:a libvorbis -ar 96000 -ac 2 -q 6")
    case("vorbis_6_channels.ogg", "-af pan=5.1|FC=c0 -ar 48000 -c:a libvorbis")
    case("flac_24bit.oga", "-c:a flac -sample_fmt s32 -ar 48000")
    case("flac_page_20ms.oga", "-c:a flac -page_duration 20000")
    case("theora_and_vorbis.ogv", "-c:v libtheora -c:a libvorbis", f"{VIDEO} -i speech.wav")
    case("theora_and_late_opus.ogv", "-c:v libtheora -c:a libopus", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("two_tracks.ogg", "-map 0 -map 0 -c:a:0 libvorbis -c:a:1 libopus")
    case("late_2s.opus", "-c:a libopus", "-itsoffset 2 -i speech.wav")
    for codec in ("libopus", "libvorbis", "libmp3lame", "aac", "flac", "alac", "pcm_s16le", "pcm_s16be", "pcm_f32le",
                  "pcm_s24le", "pcm_u8", "pcm_alaw", "ac3", "eac3", "mp2", "tta", "wavpack", "wmav2",
                  "dca -strict -2 -ar 48000", "truehd -strict -2 -ar 48000"):
        case(f"matroska_{codec.split()[0]}.mkv", f"-c:a {codec}")
    for codec in ("libopus", "aac", "libmp3lame", "flac"):
        case(f"mka_clusters_60ms_{codec}.mka", f"-c:a {codec} -cluster_time_limit 60")
        case(f"mka_live_{codec}.mka", f"-c:a {codec} -live 1")
    case("mka_one_cluster.mka", "-c:a aac -cluster_time_limit 32000 -cluster_size_limit 100000000")
    case("mka_cues_first.mka", "-c:a aac -cues_to_front 1")
    case("mka_index_space.mka", "-c:a libvorbis -reserve_index_space 100000")
    case("mka_no_crc.mka", "-c:a libopus -write_crc32 0")
    case("webm_dash.webm", "-c:a libopus -dash 1 -dash_track_number 1")
    case("webm_live.webm", "-c:a libopus -live 1")
    case("webm_vp8_vorbis.webm", "-c:v libvpx -b:v 100k -cpu-used 8 -c:a libvorbis", f"{VIDEO} -i speech.wav")
    case("webm_late_2s.webm", "-c:v libvpx -b:v 100k -cpu-used 8 -c:a libopus", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("mkv_late_alone_2s.mka", "-c:a aac", "-itsoffset 2 -i speech.wav")
    case("mkv_attachment.mkv", "-c:a aac -attach cover.jpg -metadata:s:t mimetype=image/jpeg")
    case("mkv_subtitles.mkv", f"-map 0 -map 1 -map 2 {H264} -c:a libopus -c:s srt",
        f"{VIDEO} -i speech.wav -i lines.srt")
    case("mkv_chapters.mka", "-map 0 -map_metadata 1 -c:a flac", "-i speech.wav -i chapters.txt")
    case("mkv_two_tracks_forced.mka", "-map 1 -map 0 -c:a libopus -disposition:a:0 0 -disposition:a:1 default+forced",
         "-i speech.wav -f lavfi -i sine=300:d=11")
    case("mkv_far_clock.mka", "-c:a aac -copyts -output_ts_offset 90000 -avoid_negative_ts disabled")
    case("mkv_negative_clock.mka", "-c:a aac -copyts -output_ts_offset -0.3 -avoid_negative_ts disabled")
    case("mkv_remuxed_from_m4a.mka", "-c copy", "-i made/faststart.m4a")
    case("mkv_remuxed_from_adts.mka", "-c copy", "-i made/adts_48000.aac")
    case("m4a_remuxed_from_mkv.m4a", "-c copy", "-i made/matroska_aac.mkv")
    case("ogg_remuxed_from_webm.ogg", "-c copy", "-i made/one_second.webm")
    case("webm_remuxed_from_ogg.webm", "-c copy", "-i made/opus_frame_60ms.opus")
    case("webm_cut_by_copy.webm", "-c copy", "-ss 3.01 -i made/webm_dash.webm")
    case("m4a_cut_by_copy.m4a", "-c copy", "-ss 3.01 -i made/faststart.m4a")
    case("mp3_cut_by_copy.mp3", "-c copy", "-ss 3.01 -i made/mp3_joint.mp3")
    case("flac_cut_by_copy.flac", "-c copy", "-ss 3.01 -i made/flac_48000.flac")
    case("ogg_cut_by_copy.opus", "-c copy", "-ss 3.01 -i made/opus_frame_60ms.opus")
    case("vorbis_cut_by_copy.ogg", "-c copy", "-ss 3.01 -i made/vorbis_8k.ogg")


def samples():
    """Containers of plain samples, and those of video."""
    for codec in ("pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ms",
                  "adpcm_ima_wav", "adpcm_yamaha", "adpcm_swf", "g722", "g726 -ar 8000", "libgsm_ms -ar 8000", "mp2",
                  "libmp3lame", "ac3", "wmav2", "aac", "dca -strict -2 -ar 48000", "g723_1 -ar 8000 -b:a 6300"):
        case(f"wav_{codec.split()[0]}.wav", f"-c:a {codec}")
    for codec in ("adpcm_ms", "adpcm_ima_wav"):
        case(f"wav_{codec}_stereo_44k.wav", f"-c:a {codec} -ar 44100 -ac 2")
    for rate in (4000, 7350, 11024, 96000, 192000, 384000):
        case(f"wav_{rate}.wav", f"-ar {rate}")
    case("wav_6_channels_rear_only.wav", "-af pan=5.1|BL=c0 -ar 48000")
    case("wav_8_channels_float.wav", "-af pan=7.1|FC=c0 -c:a pcm_f32le -ar 48000")
    case("wav_bext.wav", "-write_bext 1 -metadata description=odd -metadata originator=odd")
    case("wav_peak.wav", "-write_peak on -ac 2 -ar 48000")
    case("wav_rf64.wav", "-rf64 always")
    case("wav_rf64_24bit_bext.wav", "-rf64 always -c:a pcm_s24le -write_bext 1 -metadata description=odd")
    for codec in ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "adpcm_ima_wav", "libmp3lame"):
        case(f"w64_{codec}.w64", f"-c:a {codec}")
    case("wav_opposite_phase.wav", "-af 'pan=stereo|c0=c0|c1=-1*c0'")
    case("wav_quiet.wav", "-af volume=0.02")
    case("wav_clipped.wav", "-af volume=8")
    for codec in ("pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_mulaw",
                  "adpcm_ima_qt", "pcm_s16le"):
        case(f"aiff_{codec}.aiff", f"-c:a {codec}")
    case("aiff_id3.aif", "-write_id3v2 1 -metadata title=odd")
    case("aiff_odd_rate_11127.aif", "-ar 11127")
    for codec in ("pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_alaw",
                  "g722 -ar 16000", "g726 -ar 8000", "adpcm_g726le -ar 8000"):
        case(f"au_{codec.split()[0]}.au", f"-c:a {codec}")
    case("au_long_note.au", "-metadata title=" + "odd" * 400)
    for codec in ("pcm_s8", "pcm_s16le", "pcm_s24be", "pcm_s32le", "pcm_f32be", "pcm_f64le", "pcm_alaw", "pcm_mulaw",
                  "alac", "libopus", "adpcm_ima_qt", "libmp3lame", "flac", "ac3", "mp2", "libgsm -ar 8000", "aac"):
        case(f"caf_{codec.split()[0]}.caf", f"-c:a {codec}")
    for codec in ("aac", "mp2", "libmp3lame", "ac3", "eac3", "libopus", "dca -strict -2 -ar 48000"):
        case(f"ts_{codec.split()[0]}.ts", f"-c:a {codec} -f mpegts")
    case("ts_latm.ts", "-c:a aac -mpegts_flags latm -f mpegts")
    case("ts_video.m2ts", f"{H264} -c:a aac -mpegts_m2ts_mode 1 -f mpegts", f"{VIDEO} -i speech.wav")
    case("ts_stuffed.ts", "-c:a mp2 -muxrate 1000000 -f mpegts")
    case("ts_late_2s.ts", f"{H264} -c:a aac -f mpegts", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("ts_far_clock.ts", "-c:a aac -output_ts_offset 40000 -f mpegts")
    for form, codec in (("vob", "ac3"), ("vob", "mp2"), ("vob", "pcm_dvd -ar 48000 -ac 2"), ("mpeg", "libmp3lame"),
                        ("svcd", "mp2 -ar 44100"), ("dvd", "ac3 -ar 48000")):
        case(f"ps_{form}_{codec.split()[0]}.{'vob' if form != 'mpeg' else 'mpg'}",
             f"-c:v mpeg2video -r 25 -c:a {codec} -f {form}", f"{VIDEO} -i speech.wav")
    for codec in ("aac", "libmp3lame -ar 44100", "libspeex", "nellymoser", "pcm_s16le -ar 44100", "pcm_alaw -ar 8000",
                  "adpcm_swf -ar 22050"):
        case(f"flv_{codec.split()[0]}.flv", f"-c:a {codec}")
    case("flv_video.flv", f"-c:v flv -c:a libmp3lame -ar 44100", f"{VIDEO} -i speech.wav")
    case("flv.f4v", "-c:a aac")
    for codec in ("pcm_s16le", "libmp3lame", "ac3", "mp2", "adpcm_ms", "aac", "wmav2", "pcm_mulaw"):
        case(f"avi_{codec}.avi", f"-c:v mpeg4 -c:a {codec}", f"{VIDEO} -i speech.wav")
    case("avi_late_2s.avi", "-c:v mpeg4 -c:a libmp3lame", f"{VIDEO} -itsoffset 2 -i speech.wav")
    for codec in ("wmav1", "wmav2", "libmp3lame", "pcm_s16le", "aac"):
        case(f"asf_{codec}.wma", f"-c:a {codec} -f asf")
    case("asf_stream.asf", "-c:a wmav2 -f asf_stream")
    case("asf_video.wmv", "-c:v wmv2 -c:a wmav2", f"{VIDEO} -i speech.wav")
    case("other.nut", "-c:a libvorbis")
    case("other.mxf", "-c:v mpeg2video -r 25 -c:a pcm_s16le -ar 48000", f"{VIDEO} -i speech.wav")
    case("other.wtv", "-c:v mpeg2video -r 25 -c:a mp2", f"{VIDEO} -i speech.wav")
    case("other.rm", "-c:a ac3")
    case("other.dv", "-c:v dvvideo -s 720x576 -pix_fmt yuv420p -r 25 -c:a pcm_s16le -ar 48000 -ac 2",
         f"{VIDEO} -i speech.wav")


# ---- files whose bytes are changed

def surgery_mp4():
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


def cut(data, part):
    return data[:int(len(data) * part)]


def surgery_streams():
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


def surgery_samples():
    body = raw()
    data = chunk(b"data", body)
    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd\0"))
    cue = chunk(b"cue ", struct.pack("<IIIIIII", 1, 1, 800, 0x61746164, 0, 0, 800)[:28])
    smpl = chunk(b"smpl", bytes(36))
    pcm = chunk(b"fmt ", fmt())
    files = {
        "list_before_data": (pcm, info, data), "cue_smpl_list_after": (pcm, data, cue, smpl, info),
        "cue_smpl_before": (pcm, cue, smpl, data), "junk_before_fmt": (chunk(b"JUNK", bytes(4096)), pcm, data),
        "fmt_18": (chunk(b"fmt ", fmt(extra=b"\0\0")), data), "fmt_20": (chunk(b"fmt ", fmt(extra=bytes(4))), data),
        "fmt_40_tag_1": (chunk(b"fmt ", fmt(extra=bytes(24))), data), "fmt_14_no_bits": (chunk(b"fmt ", fmt()[:14]),
            data),
        "per_second_zero": (chunk(b"fmt ", fmt(per_second=0)), data), "align_zero": (chunk(b"fmt ", fmt(align=0)),
            data),
        "align_wrong_4": (chunk(b"fmt ", fmt(align=4, per_second=32000)), data),
        "extensible_mask_0": (chunk(b"fmt ", fmt(0xFFFE, extra=extensible(1, 16, 0))), data),
        "extensible_float": (chunk(b"fmt ", fmt(0xFFFE, bits=32, extra=extensible(3, 32, 4))), chunk(b"data",
            raw("f32le"))),
        "extensible_mulaw": (chunk(b"fmt ", fmt(0xFFFE, bits=8, extra=extensible(7, 8, 4))), chunk(b"data",
            raw("mulaw"))),
        "extensible_24_in_32": (chunk(b"fmt ", fmt(0xFFFE, bits=32, extra=extensible(1, 24, 4))), chunk(b"data",
            raw("s32le"))),
        "extensible_20_in_24": (chunk(b"fmt ", fmt(0xFFFE, bits=24, extra=extensible(1, 20, 4))), chunk(b"data",
            raw("s24le"))),
        "extensible_valid_0": (chunk(b"fmt ", fmt(0xFFFE, extra=extensible(1, 0, 4))), data),
        "bits_12_in_16": (chunk(b"fmt ", fmt(bits=12, align=2)), data),
        "bits_24_in_align_4": (chunk(b"fmt ", fmt(bits=24, align=4)), chunk(b"data", raw("s32le"))),
        "data_size_huge": (pcm, data[:4] + b"\xff\xff\xff\xff" + data[8:]),
        "data_size_7fffffff": (pcm, data[:4] + b"\xff\xff\xff\x7f" + data[8:]),
        "data_size_odd": (pcm, chunk(b"data", body[:-1])), "two_data": (pcm, chunk(b"data", body[:160000]), info,
                                                                       chunk(b"data", body[160000:])),
        "data_before_fmt": (data, pcm), "fmt_twice": (pcm, pcm, data), "id3_chunk": (pcm, chunk(b"id3 ", id3v2()),
            data),
        "xml_bext_umid": (chunk(b"bext", bytes(602)), pcm, chunk(b"iXML", b"<a/>"), chunk(b"axml", b"<b/>"), data),
        "s8_extensible_valid_8": (chunk(b"fmt ", fmt(0xFFFE, bits=8, extra=extensible(1, 8, 4))), chunk(b"data",
            raw("u8"))),
        "fact_wrong": (chunk(b"fmt ", fmt(7, bits=8, extra=b"\0\0")), chunk(b"fact", struct.pack("<I", 100)),
                       chunk(b"data", raw("mulaw"))), "chunk_name_space": (pcm, chunk(b"    ", bytes(6)), data),
        "riff_padding_100k": (pcm, chunk(b"PAD ", bytes(100000)), data),
        "rate_15999": (chunk(b"fmt ", fmt(rate=15999)), data), "float16_no": (chunk(b"fmt ", fmt(3, bits=64)),
                                                                              chunk(b"data", raw("f64le"))),
    }
    for name, chunks in files.items():
        bytes_case(f"wav_{name}.wav")(lambda chunks=chunks: riff(*chunks))
    whole = riff(pcm, data)
    bytes_case("wav_riff_size_small.wav")(lambda: whole[:4] + struct.pack("<I", 36) + whole[8:])
    bytes_case("wav_riff_size_huge.wav")(lambda: whole[:4] + b"\xff\xff\xff\xff" + whole[8:])
    bytes_case("wav_id3_before.wav")(lambda: id3v2() + whole)
    bytes_case("wav_zeros_before.wav")(lambda: bytes(64) + whole)
    bytes_case("wav_junk_behind.wav")(lambda: whole + noise(100000))
    bytes_case("wav_joined.wav")(lambda: whole + whole)
    bytes_case("wav_cut.wav")(lambda: cut(whole, 0.7))
    bytes_case("wav_cut_odd_byte.wav")(lambda: whole[:200001])
    bytes_case("wav_rifx.wav")(lambda: b"RIFX" + struct.pack(">I", len(body) + 36) + b"WAVE" + chunk(
        b"fmt ", struct.pack(">HHIIHH", 1, 1, 16000, 32000, 2, 16), ">") + chunk(b"data", raw("s16be"), ">"))
    bytes_case("wav_rf64_sizes_minus_1_no_ds64_data.wav")(lambda: b"RF64\xff\xff\xff\xffWAVE" + chunk(
        b"ds64", struct.pack("<QQQI", 0, 0, 0, 0)) + pcm + b"data\xff\xff\xff\xff" + body)
    bytes_case("wav_bw64.wav")(lambda: b"BW64\xff\xff\xff\xffWAVE" + chunk(
        b"ds64", struct.pack("<QQQI", len(body) + 72, len(body), 0, 0)) + pcm + b"data\xff\xff\xff\xff" + body)
    bytes_case("wav_named.mp3")(lambda: whole)
    bytes_case("m4a_named.wav")(lambda: encoded("-c:a aac", "m4a"))
    bytes_case("mp3_named.m4a")(lambda: encoded("-ar 44100", "mp3"))
    bytes_case("ogg_named.mp3")(lambda: encoded("-c:a libopus", "ogg"))
    bytes_case("webm_named.wav")(lambda: encoded("-c:a libopus", "webm"))

    aiff = encoded("", "aiff")
    at = aiff.find(b"SSND")
    comm_at = aiff.find(b"COMM")
    comm, ssnd = aiff[comm_at:comm_at + 26], raw("s16be")
    def form(*chunks, kind=b"AIFF"):
        return b"FORM" + struct.pack(">I", sum(map(len, chunks)) + 4) + kind + b"".join(chunks)
    def sound(offset=0):
        return chunk(b"SSND", struct.pack(">II", offset, 0) + bytes(offset) + ssnd, ">")
    bytes_case("aiff_comm_after_ssnd.aiff")(lambda: form(sound(), comm))
    bytes_case("aiff_ssnd_offset_1000.aiff")(lambda: form(comm, sound(1000)))
    bytes_case("aiff_notes_between.aiff")(lambda: form(chunk(b"NAME", b"odd", ">"), comm, chunk(b"ANNO", b"odd!!", ">"),
                                                       chunk(b"MARK", b"\0\0", ">"), sound(), chunk(b"ID3 ", id3v2(),
                                                           ">")))
    bytes_case("aiff_sizes_zero.aiff")(lambda: aiff[:4] + bytes(4) + aiff[8:at + 4] + bytes(4) + aiff[at + 8:])
    bytes_case("aiff_cut.aiff")(lambda: cut(aiff, 0.6))
    bytes_case("aifc_raw_u8.aifc")(lambda: form(chunk(b"FVER", bytes.fromhex("a2805140"), ">"), chunk(
        b"COMM", struct.pack(">hIh", 1, len(body) // 2, 8) + comm[16:26] + b"raw \0\0", ">"),
        chunk(b"SSND", bytes(8) + raw("u8"), ">"), kind=b"AIFC"))
    bytes_case("aifc_twos.aifc")(lambda: form(chunk(b"COMM", struct.pack(
        ">hIh", 1, len(body) // 2, 16) + comm[16:26] + b"twos\x0bodd packing", ">"), sound(), kind=b"AIFC"))
    bytes_case("aifc_in24.aifc")(lambda: form(chunk(b"COMM", struct.pack(
        ">hIh", 1, len(body) // 2, 24) + comm[16:26] + b"in24\0\0", ">"), chunk(b"SSND", bytes(8) + raw("s24be"), ">"),
        kind=b"AIFC"))
    bytes_case("au_offset_24.au")(lambda: struct.pack(">4sIIIII", b".snd", 24, len(ssnd), 3, 16000, 1) + ssnd)
    bytes_case("au_offset_1001.au")(lambda: struct.pack(
        ">4sIIIII", b".snd", 1001, 0xFFFFFFFF, 3, 16000, 1).ljust(1001, b"\0") + ssnd)
    bytes_case("au_size_zero.au")(lambda: struct.pack(">4sIIIII", b".snd", 28, 0, 3, 16000, 1) + bytes(4) + ssnd)
    bytes_case("au_dec_little_endian.au")(lambda: struct.pack("<4sIIIII", b"dns.", 28, len(body), 3, 16000, 1) +
                                          bytes(4) + body)

    def caf(*chunks):
        return b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(part) if size is None else size) + part
                                         for name, part, size in chunks)
    desc = (b"desc", struct.pack(">d4sIIIII", 16000.0, b"lpcm", 2, 2, 1, 1, 16), None)
    bytes_case("caf_size_unknown.caf")(lambda: caf(desc, (b"data", bytes(4) + body, -1)))
    bytes_case("caf_free_info_first.caf")(lambda: caf(desc, (b"free", bytes(4000), None), (
        b"info", struct.pack(">I", 1) + b"title\0odd\0", None), (b"data", bytes(4) + body, None), (b"uuid",
            bytes(40), None)))
    bytes_case("caf_24_in_32.caf")(lambda: caf((b"desc", struct.pack(
        ">d4sIIIII", 16000.0, b"lpcm", 2, 4, 1, 1, 24), None), (b"data", bytes(4) + raw("s32le"), None)))
    bytes_case("caf_cut.caf")(lambda: cut(caf(desc, (b"data", bytes(4) + body, None)), 0.6))
    bytes_case("w64_cut.w64")(lambda: cut(encoded("", "w64"), 0.6))


def surgery_ogg():
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
    bytes_case("opus_rate_said_0.opus")(lambda: opus_head(12, bytes(4)))
    bytes_case("opus_rate_said_44100.opus")(lambda: opus_head(12, struct.pack("<I", 44100)))
    bytes_case("opus_version_15.opus")(lambda: opus_head(8, b"\x0f"))
    bytes_case("opus_granules_minus_1.opus")(lambda: ogg(
        [flags, -1 if granule > 0 and not flags & 4 else granule, *rest]
        for flags, granule, *rest in ogg_pages(encoded(opus, "ogg"))))
    bytes_case("opus_granules_zero.opus")(lambda: ogg(
        [flags, 0, *rest] for flags, granule, *rest in ogg_pages(encoded(opus, "ogg"))))


def renumbered(arguments, serial):
    return ogg([page[0], page[1], serial, *page[3:]] for page in ogg_pages(encoded(arguments, "ogg")))


def without(pages, index):
    return pages[:index] + pages[index + 1:]


def wrong_crc(data, index):
    pages = [ogg_page(*page) for page in ogg_pages(data)]
    pages[index] = pages[index][:22] + b"oddo" + pages[index][26:]
    return b"".join(pages)


def junk_between(data):
    pages = [ogg_page(*page) for page in ogg_pages(data)]
    return b"".join(pages[:5]) + noise(800) + b"".join(pages[5:])


def surgery_matroska():
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


def middle(data, junk):
    """Some bytes in the middle overwritten."""
    at = len(data) // 2
    return data[:at] + junk + data[at + len(junk):]


# ---- comparing

def make_all(sample, only):
    for folder in ("made", "parts", "ffmpeg"):
        os.makedirs(os.path.join(WORK, folder), exist_ok=True)
    ffmpeg(f"-i {shlex.quote(os.path.abspath(sample))} -ac 1 -ar 16000 -c:a pcm_s16le -bitexact -y speech.wav")
    ffmpeg("-f lavfi -i testsrc=s=160x120:d=1 -frames:v 1 -update 1 -y cover.jpg")
    with open(os.path.join(WORK, "chapters.txt"), "w", encoding="utf-8") as out:
        out.write(";FFMETADATA1\ntitle=odd\n" + "".join(
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={at}\nEND={at + 4000}\ntitle=part\n" for at in (0, 4000)))
    with open(os.path.join(WORK, "lines.srt"), "w", encoding="utf-8") as out:
        out.write("1\n00:00:01,000 --> 00:00:03,000\nodd\n\n2\n00:00:04,000 --> 00:00:06,000\nodd\n")
    for register in (phones_and_mp4, streams, ogg_and_matroska, samples, surgery_mp4, surgery_streams, surgery_samples,
                     surgery_ogg, surgery_matroska):
        register()
    missing = [name for name in CASES if not os.path.exists(os.path.join(WORK, "made", name)) and only in name]
    # Copies are made of other files, so they come last.
    copies = [name for name in missing if "_by_copy" in name or "remuxed" in name]
    for names in ([name for name in missing if name not in copies], copies):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for name, error in zip(names, pool.map(attempt, names)):
                if error:
                    print(f"not made: {name}: {error}")
    return [name for name in CASES if only in name and os.path.exists(os.path.join(WORK, "made", name)) and
            os.path.getsize(os.path.join(WORK, "made", name))]


def attempt(name):
    try:
        CASES[name]()
    except (RuntimeError, subprocess.CalledProcessError, ValueError, IndexError, KeyError, struct.error) as error:
        path = os.path.join(WORK, "made", name)
        if os.path.exists(path):
            os.remove(path)
        return f"{type(error).__name__}: {error}"


def by_ffmpeg(name):
    """What ffmpeg makes of a file: the WAV, its seconds, the duration it shows, format and codec."""
    wav = os.path.join(WORK, "ffmpeg", name + ".wav")
    kept = os.path.join(WORK, "ffmpeg", name + ".json")
    source = os.path.join(WORK, "made", name)
    if os.path.exists(kept) and os.path.getmtime(kept) >= os.path.getmtime(source):
        with open(kept, encoding="utf-8") as file:
            return json.load(file)
    if not os.path.exists(wav) or os.path.getmtime(wav) < os.path.getmtime(source):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", source, "-vn", "-af",
                        "aresample=async=1:first_pts=0", "-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le", "-y", wav],
                       capture_output=True)
    seconds = 0.0
    if os.path.exists(wav) and os.path.getsize(wav) > 44:
        with wave.open(wav) as file:
            seconds = file.getnframes() / 16000
    shown = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "a", "-show_entries",
                            "format=duration,format_name:stream=codec_name", "-of", "json", source],
                           capture_output=True, text=True)
    told = json.loads(shown.stdout or "{}")
    form = told.get("format", {})
    known = {"wav": wav, "seconds": seconds, "shown": float(form.get("duration", "nan")),
             "format": form.get("format_name", "?"),
             "codec": (told.get("streams") or [{}])[0].get("codec_name", "?")}
    with open(kept, "w", encoding="utf-8") as out:
        json.dump(known, out)
    return known


def built_in(form, codec):
    """Whether docs/audio.md names a format as read without ffmpeg."""
    plain = codec.startswith(("pcm_", "adpcm_")) and codec not in ("pcm_dvd", "pcm_bluray")
    if form in ("wav", "w64", "aiff", "au", "caf"):
        return plain
    if form in ("mp3", "flac", "aac"):
        return form == codec
    if form.startswith("mov,"):
        return codec in ("aac", "alac")
    if form == "ogg":
        return codec in ("opus", "vorbis", "flac")
    return form.startswith("matroska") and codec in ("opus", "vorbis", "mp3", "aac", "flac")


def transcribe(url, path, model):
    """Sends a file as a form, as callers do; (duration, text, start of the first segment, error)."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        return {"error": repr(error)}
    edge = "odd-files-boundary"
    fields = {"model": model, "language": "en", "response_format": "verbose_json", "beam_size": "1", "temperature": "0"}
    body = "".join(f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                   for name, value in fields.items()).encode()
    body += (f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{os.path.basename(path)}"\r\n'
             "Content-Type: application/octet-stream\r\n\r\n").encode() + data + f"\r\n--{edge}--\r\n".encode()
    request = urllib.request.Request(url + "/v1/audio/transcriptions", body,
                                     {"Content-Type": f"multipart/form-data; boundary={edge}"})
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            told = json.load(response)
    except urllib.error.HTTPError as error:
        return {"error": f"{error.code} {error.read().decode(errors='replace')[:300]}"}
    except OSError as error:
        return {"error": repr(error)}
    segments = told.get("segments") or []
    return {"seconds": told["duration"], "text": told["text"], "start": segments[0]["start"] if segments else None}


def as_sample(ours, sample, known):
    """Whether a file gave the words and the length of the sample to both: then the WAV of ffmpeg is not transcribed."""
    return ("error" not in ours and abs(known["seconds"] - sample["seconds"]) < 0.3 and
            abs(ours["seconds"] - known["seconds"]) <= 0.1 and units(ours["text"], "en") == units(sample["text"], "en"))


def verdict(ours, theirs, known):
    """What differs, in words; empty if nothing does."""
    if "error" in ours:
        return "refused" if known["seconds"] else ""
    if not known["seconds"]:
        return "only ours reads it"
    found = []
    if abs(ours["seconds"] - known["seconds"]) > 0.1:
        found.append("duration")
    if edits(units(theirs.get("text", ""), "en"), units(ours["text"], "en")) > 1:
        found.append("words")
    elif ours["start"] is not None and theirs.get("start") is not None and abs(ours["start"] - theirs["start"]) > 0.5:
        found.append("start")
    return ", ".join(found)


def main():
    global WORK
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--binary")
    parser.add_argument("--models-dir", default=os.path.expanduser("~/.cache/halkspeech/models"))
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--without-ffmpeg", action="store_true")
    parser.add_argument("--at-a-time", type=int, default=8)
    parser.add_argument("--only", default="")
    parser.add_argument("--but")
    args = parser.parse_args()
    end_on_sigterm()
    WORK = os.path.abspath(args.work)
    os.makedirs(WORK, exist_ok=True)
    names = make_all(args.sample, args.only)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        known = dict(zip(names, pool.map(by_ffmpeg, names)))
    if args.without_ffmpeg:
        names = [name for name in names if built_in(known[name]["format"], known[name]["codec"])]
    if args.but:
        with open(args.but, encoding="utf-8") as file:
            equal = {row["name"] for row in json.load(file) if not row["differs"]}
        names = [name for name in names if name not in equal]
    print(f"{len(names)} files", flush=True)
    if not args.binary:
        return
    settings = {"WHISPER__MODEL": args.model} | ({"AUDIO__FFMPEG": "off"} if args.without_ffmpeg else {})
    texts = os.path.join(WORK, "texts_of_ffmpeg.json")
    theirs = {}
    if os.path.exists(texts):
        with open(texts, encoding="utf-8") as file:
            theirs = json.load(file)
    with halkspeech(args.binary, args.models_dir, **settings) as url, \
            concurrent.futures.ThreadPoolExecutor(args.at_a_time) as pool:
        ours = dict(zip(names, pool.map(lambda name: transcribe(url, os.path.join(WORK, "made", name), args.model),
                                        names)))
        sample = transcribe(url, os.path.join(WORK, "speech.wav"), args.model)
        wanted = {}
        for name in names:
            if known[name]["seconds"] and not as_sample(ours[name], sample, known[name]):
                with open(known[name]["wav"], "rb") as file:
                    wanted[name] = f"{args.model} {zlib.crc32(file.read()):08x}"
        first = {key: name for name, key in wanted.items() if key not in theirs}
        for key, answer in zip(first, pool.map(lambda name: transcribe(url, known[name]["wav"], args.model),
                                               first.values())):
            theirs[key] = answer
    with open(texts, "w", encoding="utf-8") as out:
        json.dump(theirs, out)
    rows, differs = [], 0
    for name in names:
        reference = theirs[wanted[name]] if name in wanted else sample
        row = {"name": name, "differs": verdict(ours[name], reference, known[name]), "ours": ours[name],
               "of_ffmpeg": reference, "known": known[name]}
        rows.append(row)
        differs += bool(row["differs"])
        print(f"{'FAIL' if row['differs'] else 'ok  '} {name} ({known[name]['format']}, {known[name]['codec']}): "
              f"{row['differs'] or 'equal'}; ours {ours[name].get('seconds', 0):.2f} s, ffmpeg "
              f"{known[name]['seconds']:.2f} s, shown {known[name]['shown']:.2f} s" + (
                  f"; {ours[name]['error']}" if "error" in ours[name] else ""))
    with open(os.path.join(WORK, f"answers{'-without-ffmpeg' if args.without_ffmpeg else ''}.json"), "w",
              encoding="utf-8") as out:
        json.dump(rows, out, indent=1)
    print(f"{len(names)} files, {len(names) - differs} equal, {differs} differ")
    sys.exit(1 if differs else 0)


if __name__ == "__main__":
    main()
