//! Recognises files by their first bytes: formats that only ffmpeg decodes, which skip the built-in
//! decoders, and other kinds of files, for error messages.

/// Number of bytes examined: enough to recognise a transport stream.
pub const HEAD_BYTES: usize = 4_096;

/// Offset, bytes at that offset, name for messages.
type Signature = (usize, &'static [u8], &'static str);

/// Formats that ffmpeg decodes and the built-in decoders do not.
const FFMPEG_ONLY: [Signature; 42] = [
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF (WMA)"),
    (0, b"#!AMR", "AMR"),
    (0, b"FLV\x01", "FLV"),
    (0, b"FWS", "SWF"),
    (0, b"CWS", "SWF"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"TTA1", "TTA"),
    (0, b"tBaK", "TAK"),
    (0, b"ajkg", "Shorten"),
    (0, b"TWIN", "VQF"),
    (0, b"DSD ", "DSF"),
    (0, b"FRM8", "DSDIFF"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"Creative Voice File\x1a", "VOC"),
    (0, b".SoX", "SoX"),
    (0, b"XoS.", "SoX"),
    (0, b"\x64\xa3\x01\x00", "IRCAM"),
    (0, b"2BIT", "AVR"),
    (0, b"EA3\x01", "OpenMG (ATRAC)"),
    (0, b"ea3\x03", "OpenMG (ATRAC)"),
    (0, b"nut/multimedia container", "NUT"),
    (
        0,
        b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01",
        "MXF",
    ),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "WTV"),
    (0, b"DHAV", "DHAV"),
    (0, b"NSVf", "NSV"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"\xfe\x7f\x01\x80", "DTS"),
    (0, b"\x00\x00\x01\xba", "MPEG program stream"),
    (4, b"\xf8\x72\x6f\xba", "TrueHD"),
    (4, b"\xf8\x72\x6f\xbb", "MLP"),
    (8, b"AVI ", "AVI"),
    (8, b"QLCM", "QCP"),
    (8, b"XWMA", "xWMA"),
    (8, b"8SVX", "8SVX"),
    (8, b"16SV", "16SV"),
    (28, b"Speex   ", "Ogg with Speex"),
];

/// Formats that neither the built-in decoders nor ffmpeg decode to speech.
const NOT_DECODED: [Signature; 32] = [
    (0, b"#!SILK_V3", "SILK"),
    (1, b"#!SILK_V3", "SILK"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"MThd", "a MIDI file"),
    (4, b"ftypaax", "an Audible file"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftypheic", "a HEIC image"),
    (4, b"ftypmif1", "a HEIF image"),
    (4, b"ftypavif", "an AVIF image"),
    (0, b"%PDF", "a PDF document"),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "a Microsoft Office document",
    ),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"<!DOCTYPE html", "an HTML page"),
    (0, b"<!doctype html", "an HTML page"),
    (0, b"<html", "an HTML page"),
    (0, b"<?xml", "an XML document"),
];

/// Formats of the built-in decoders, for messages about files that they could not read.
const BUILT_IN: [Signature; 12] = [
    (8, b"WAVE", "WAV"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b".snd", "AU"),
    (0, b"caff", "CAF"),
    (4, b"ftyp", "MP4"),
    (4, b"moov", "MOV"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska/WebM"),
    (0, b"OggS", "Ogg"),
    (0, b"fLaC", "FLAC"),
    (0, b"ID3", "MP3"),
];

/// Packet sizes of transport streams (ISO/IEC 13818-1, 2.4.3.2), on Blu-ray discs with four additional
/// bytes of time and in DVB with 16 bytes of error correction.
const TRANSPORT_PACKET_BYTES: [usize; 3] = [188, 192, 204];
const TRANSPORT_SYNC: u8 = 0x47;

/// Number of consecutive packets that confirm a transport stream.
const TRANSPORT_PACKETS: usize = 6;

/// The name of a format that only ffmpeg decodes, by the first [`HEAD_BYTES`] of a file.
pub fn ffmpeg_only(head: &[u8]) -> Option<&'static str> {
    find(&FFMPEG_ONLY, head)
        .or_else(|| is_transport_stream(head).then_some("MPEG transport stream"))
}

/// The kind of a file that no decoder can decode to audio.
pub fn not_decoded(head: &[u8]) -> Option<&'static str> {
    if let Some(name) = find(&NOT_DECODED, head) {
        return Some(name);
    }
    match head {
        [] => Some("an empty file"),
        [first, rest @ ..] if rest.iter().all(|byte| byte == first) => {
            Some("a file of one repeated byte")
        }
        _ if is_text(head) => Some("a text file"),
        _ => None,
    }
}

/// The built-in decoders' format with these first bytes, for messages.
pub fn built_in(head: &[u8]) -> Option<&'static str> {
    find(&BUILT_IN, head)
}

fn find(signatures: &[Signature], head: &[u8]) -> Option<&'static str> {
    let mut found = signatures
        .iter()
        .filter(|(offset, bytes, _)| head.get(*offset..).is_some_and(|at| at.starts_with(bytes)));
    found.next().map(|(_, _, name)| *name)
}

/// Whether `head` contains consecutive packets of a transport stream, starting at any offset.
fn is_transport_stream(head: &[u8]) -> bool {
    TRANSPORT_PACKET_BYTES.iter().any(|length| {
        (0..*length).any(|start| {
            let mut syncs = head
                .iter()
                .skip(start)
                .step_by(*length)
                .take(TRANSPORT_PACKETS);
            syncs.len() == TRANSPORT_PACKETS && syncs.all(|byte| *byte == TRANSPORT_SYNC)
        })
    })
}

fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be truncated.
        Err(error) if error.error_len().is_none() => {
            let (valid, _) = head.split_at(error.valid_up_to());
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty()
        && text
            .chars()
            .all(|char| !char.is_control() || matches!(char, '\t' | '\r' | '\n' | '\x0c'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_formats_that_only_ffmpeg_decodes() {
        for (head, expected) in [
            (&b"#!AMR-WB\n"[..], Some("AMR")),
            (b"RIFF\0\0\0\0AVI JUNK", Some("AVI")),
            (b"\x0b\x77\x4e\x77", Some("AC-3")),
            (b"", None),
            (b"R", None),
            (b"fLaC", None),
            (b"RIFF\0\0\0\0WAVEfmt ", None),
            (b"GGGGGGGG", None),
        ] {
            assert_eq!(ffmpeg_only(head), expected, "{head:?}");
        }
    }

    #[test]
    fn names_kinds_of_files_other_than_audio() {
        for (head, expected) in [
            (&b"\xff\xd8\xff\xe0"[..], Some("a JPEG image")),
            (b"%PDF-1.7", Some("a PDF document")),
            (b"<!DOCTYPE html>", Some("an HTML page")),
            (b"PK\x03\x04\x14", Some("a ZIP archive")),
            (b"\x02#!SILK_V3", Some("SILK")),
            ("Merhaba, dünya.\n".as_bytes(), Some("a text file")),
            // The last character is truncated.
            (b"Merhaba, d\xc3", Some("a text file")),
            (b"", Some("an empty file")),
            (&[0; 4_096], Some("a file of one repeated byte")),
            (b"ID3\x04\0\0\0\0\0\0", None),
            (b"\xff\xfb\x90\x64", None),
            (b"RIFF\0\0\0\0WAVEfmt ", None),
        ] {
            assert_eq!(not_decoded(head), expected, "{head:?}");
        }
    }

    #[test]
    fn finds_a_transport_stream_at_any_offset() {
        for length in TRANSPORT_PACKET_BYTES {
            for start in [0, 4, 100, length - 1] {
                let mut head = vec![0x11; 1_500];
                let mut packets = 0;
                for at in (start..head.len()).step_by(length) {
                    head[at] = TRANSPORT_SYNC;
                    packets += 1;
                }
                assert_eq!(
                    ffmpeg_only(&head),
                    Some("MPEG transport stream"),
                    "{length}, {start}"
                );
                // A missing sync byte breaks the sequence.
                head[start + (packets - 1) / 2 * length] = 0;
                assert_eq!(ffmpeg_only(&head), None, "{length}, {start}");
            }
        }
    }
}
