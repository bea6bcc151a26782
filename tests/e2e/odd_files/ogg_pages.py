"""Pages and packets of Ogg files."""
import struct

from odd_files.generate import encoded, noise


def _crc_table():
    """The table of Ogg's checksum, by byte."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


OGG_CRC = _crc_table()


def ogg_page(flags, granule, serial, number, lacing, body):
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, number, 0, len(lacing)) + bytes(lacing) + body
    crc = 0
    for octet in page:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ OGG_CRC[(crc >> 24) ^ octet]
    return page[:22] + struct.pack("<I", crc) + page[26:]


def ogg_pages(data):
    """The pages as lists of flags, granule, serial, number, lacing and body."""
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
    packets, unfinished = [], b""
    for *_, lacing, body in ogg_pages(data):
        at = 0
        for size in lacing:
            unfinished += body[at:at + size]
            at += size
            if size < 255:
                packets.append(unfinished)
                unfinished = b""
    return packets


def opus_packets(arguments="-ar 48000 -b:a 24k"):
    packets = ogg_packets(encoded(f"-c:a libopus {arguments}", "ogg"))
    return packets[0], packets[2:]


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
