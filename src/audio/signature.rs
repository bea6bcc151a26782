//! Recognises formats that only ffmpeg decodes, by their first bytes.
//!
//! A list rather than "whatever symphonia refuses": garbage is then refused at once instead of
//! costing a process, and ffmpeg's hundreds of demuxers see only content that looks like theirs.

use super::AudioError;

/// How much of a file is looked at. In front of what we look for may stand a WAV file's `bext` chunk
/// of 602 bytes and more, or in CAF the padding with which Apple fills a page of 4,096.
pub const HEAD_BYTES: usize = 8_192;

/// Offset, bytes found there, name for messages.
const FOREIGN: [(usize, &[u8], &str); 24] = [
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF (WMA)"),
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK_V3", "SILK"),
    (0, b"FLV\x01", "FLV"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"TTA1", "TTA"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"DSD ", "DSF"),
    (0, b"FRM8", "DSDIFF"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"Creative Voice File\x1a", "VOC"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"\x00\x00\x01\xba", "MPEG program stream"),
    (0, b"\x47\x40", "MPEG transport stream"),
    (8, b"AVI LIST", "AVI"),
    (8, b"8SVX", "8SVX"),
    (28, b"Speex   ", "Ogg with Speex"),
];

/// Refuses what only ffmpeg decodes, given the first [`HEAD_BYTES`] of a file.
///
/// # Errors
/// [`AudioError::NeedsFfmpeg`] with the name of the format.
pub fn refuse_foreign(head: &[u8]) -> Result<(), AudioError> {
    let found = FOREIGN
        .iter()
        .find(|(offset, bytes, _)| head.get(*offset..).is_some_and(|at| at.starts_with(bytes)))
        .map(|(_, _, name)| (*name).to_owned())
        .or_else(|| foreign_wav(head))
        .or_else(|| foreign_au(head));
    match found {
        Some(found) => Err(AudioError::NeedsFfmpeg { found }),
        None => Ok(()),
    }
}

/// Walks the chunks of a RIFF, RF64 or BW64 file: each one's name, where its content begins, and
/// the length it claims.
pub fn riff_chunks(head: &[u8]) -> impl Iterator<Item = (&[u8], usize, u32)> {
    let mut at = 12;
    std::iter::from_fn(move || {
        let name = head.get(at..at + 4)?;
        let length = u32::from_le_bytes(array(head, at + 4)?);
        let content = at + 8;
        // Chunks are padded to an even length.
        at = content.checked_add((length as usize).checked_next_multiple_of(2)?)?;
        Some((name, content, length))
    })
}

/// The `N` bytes at an offset.
pub fn array<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..)?.first_chunk().copied()
}

/// A WAV file with a codec other than those symphonia reads in WAV.
fn foreign_wav(head: &[u8]) -> Option<String> {
    if !matches!(head.get(..4)?, b"RIFF" | b"RF64" | b"BW64") || head.get(8..12)? != b"WAVE" {
        return None;
    }
    let (_, format, _) = riff_chunks(head).find(|(name, ..)| *name == b"fmt ")?;
    // Registered in RFC 2361 and Microsoft's mmreg.h.
    match u16::from_le_bytes(array(head, format)?) {
        // PCM, ADPCM, float, A-law, mu-law, IMA ADPCM, MPEG audio, MP3, extensible.
        1 | 2 | 3 | 6 | 7 | 0x11 | 0x50 | 0x55 | 0xfffe => None,
        0x31 => Some("WAV with GSM 6.10".to_owned()),
        0x45 | 0x64 => Some("WAV with G.726".to_owned()),
        0x65 | 0x28f => Some("WAV with G.722".to_owned()),
        0x160..=0x162 => Some("WAV with WMA".to_owned()),
        tag => Some(format!("WAV with codec {tag:#06x}")),
    }
}

/// A Sun AU file with a codec other than those `rewrap` passes on.
fn foreign_au(head: &[u8]) -> Option<String> {
    if !head.starts_with(b".snd") {
        return None;
    }
    match u32::from_be_bytes(array(head, 12)?) {
        1 | 3..=7 | 27 => None,
        encoding => Some(format!("AU with encoding {encoding}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &[u8], expected: Option<&str>) {
        let found = match refuse_foreign(head) {
            Err(AudioError::NeedsFfmpeg { found }) => Some(found),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        };
        assert_eq!(found.as_deref(), expected);
    }

    fn wav(codec: u16) -> Vec<u8> {
        let mut head = b"RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        head.extend(codec.to_le_bytes());
        head
    }

    #[test]
    fn names_what_only_ffmpeg_decodes() {
        check(b"#!AMR-WB\n", Some("AMR"));
        check(b"RIFF\0\0\0\0AVI LIST", Some("AVI"));
        check(&wav(0x31), Some("WAV with GSM 6.10"));
        check(&wav(0x123), Some("WAV with codec 0x0123"));
        check(
            b".snd\0\0\0\x20\0\0\0\0\0\0\0\x17",
            Some("AU with encoding 23"),
        );
    }

    #[test]
    fn lets_everything_else_pass() {
        check(b"", None);
        check(b"R", None);
        check(b"fLaC", None);
        check(&wav(1), None);
        check(b"RIFF\xff\xff\xff\xffWAVEjunk\xff\xff\xff\xff", None);
        check(b".snd\0\0\0\x20\0\0\0\0\0\0\0\x03", None);
        check(b".snd", None);
    }
}
