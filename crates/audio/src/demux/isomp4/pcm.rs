//! The PCM format of a sample entry.
//!
//! Sources: Apple's QuickTime File Format ("Sound sample descriptions") for the four-character codes
//! and version 2 entries, ISO/IEC 23003-5 for `ipcm` and `fpcm`.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known as codec;

use super::boxes::BoxType;

/// Numeric type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleType {
    /// A two's complement integer.
    Signed,
    /// An integer offset by half its range.
    Unsigned,
    /// An IEEE 754 float.
    Float,
}

/// The order of a sample's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// A PCM format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcmFormat {
    /// Numeric type.
    pub sample_type: SampleType,
    /// Bits per sample, rounded up to whole bytes.
    pub bits: u32,
    /// Byte order.
    pub order: ByteOrder,
}

impl PcmFormat {
    /// The format of an entry of type `kind` with a sample size of `bits` and a byte order, if stated.
    pub fn of_entry(kind: BoxType, bits: u32, order: Option<ByteOrder>) -> Option<Self> {
        let stated = order.unwrap_or(ByteOrder::Big);
        let (sample_type, bits, order) = match &kind {
            b"raw " | b"NONE" if bits <= 8 => (SampleType::Unsigned, 8, stated),
            b"raw " | b"NONE" | b"twos" | b"ipcm" => (SampleType::Signed, bits, stated),
            b"sowt" | b"lpcm" => (SampleType::Signed, bits, ByteOrder::Little),
            b"in24" => (SampleType::Signed, 24, stated),
            b"in32" => (SampleType::Signed, 32, stated),
            b"fl32" => (SampleType::Float, 32, stated),
            b"fl64" => (SampleType::Float, 64, stated),
            b"fpcm" => (SampleType::Float, bits, stated),
            _ => return None,
        };
        Some(Self {
            sample_type,
            bits: bits.checked_next_multiple_of(8)?,
            order,
        })
    }

    /// The format of an `lpcm` entry of version 2 from its flags and the bits and bytes per sample.
    pub fn of_flags(flags: u32, bits: u32, bytes: u32) -> Option<Self> {
        const FLOAT: u32 = 1;
        const BIG_ENDIAN: u32 = 2;
        const SIGNED: u32 = 4;
        const ALIGNED_HIGH: u32 = 0x10;
        const NON_INTERLEAVED: u32 = 0x20;
        if flags & NON_INTERLEAVED != 0 {
            return None;
        }
        let packed = bits.checked_next_multiple_of(8)?;
        let bits = match bytes.checked_mul(8)? {
            taken if taken == packed => packed,
            // The bits are the high bits of a longer integer.
            taken if flags & ALIGNED_HIGH != 0 => taken,
            _ => return None,
        };
        let sample_type = match flags & (FLOAT | SIGNED) {
            0 => SampleType::Unsigned,
            SIGNED => SampleType::Signed,
            _ => SampleType::Float,
        };
        let order = match flags & BIG_ENDIAN {
            0 => ByteOrder::Little,
            _ => ByteOrder::Big,
        };
        Some(Self {
            sample_type,
            bits,
            order,
        })
    }

    /// The codec of this format, if supported.
    pub fn codec(self) -> Option<AudioCodecId> {
        use ByteOrder::{Big, Little};
        use SampleType::{Float, Signed, Unsigned};
        Some(match (self.sample_type, self.bits, self.order) {
            (Signed, 8, _) => codec::CODEC_ID_PCM_S8,
            (Signed, 16, Little) => codec::CODEC_ID_PCM_S16LE,
            (Signed, 16, Big) => codec::CODEC_ID_PCM_S16BE,
            (Signed, 24, Little) => codec::CODEC_ID_PCM_S24LE,
            (Signed, 24, Big) => codec::CODEC_ID_PCM_S24BE,
            (Signed, 32, Little) => codec::CODEC_ID_PCM_S32LE,
            (Signed, 32, Big) => codec::CODEC_ID_PCM_S32BE,
            (Unsigned, 8, _) => codec::CODEC_ID_PCM_U8,
            (Unsigned, 16, Little) => codec::CODEC_ID_PCM_U16LE,
            (Unsigned, 16, Big) => codec::CODEC_ID_PCM_U16BE,
            (Unsigned, 24, Little) => codec::CODEC_ID_PCM_U24LE,
            (Unsigned, 24, Big) => codec::CODEC_ID_PCM_U24BE,
            (Unsigned, 32, Little) => codec::CODEC_ID_PCM_U32LE,
            (Unsigned, 32, Big) => codec::CODEC_ID_PCM_U32BE,
            (Float, 32, Little) => codec::CODEC_ID_PCM_F32LE,
            (Float, 32, Big) => codec::CODEC_ID_PCM_F32BE,
            (Float, 64, Little) => codec::CODEC_ID_PCM_F64LE,
            (Float, 64, Big) => codec::CODEC_ID_PCM_F64BE,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Option<PcmFormat>, expected: Option<AudioCodecId>) {
        assert_eq!(format.and_then(PcmFormat::codec), expected, "{format:?}");
    }

    #[test]
    fn quicktime_pcm_is_big_endian_by_default() {
        let little = Some(ByteOrder::Little);
        for (kind, bits, big, small) in [
            (
                b"twos",
                16,
                codec::CODEC_ID_PCM_S16BE,
                codec::CODEC_ID_PCM_S16LE,
            ),
            (
                b"in24",
                16,
                codec::CODEC_ID_PCM_S24BE,
                codec::CODEC_ID_PCM_S24LE,
            ),
            (
                b"in32",
                16,
                codec::CODEC_ID_PCM_S32BE,
                codec::CODEC_ID_PCM_S32LE,
            ),
            (
                b"fl32",
                16,
                codec::CODEC_ID_PCM_F32BE,
                codec::CODEC_ID_PCM_F32LE,
            ),
            (
                b"fl64",
                16,
                codec::CODEC_ID_PCM_F64BE,
                codec::CODEC_ID_PCM_F64LE,
            ),
            (
                b"ipcm",
                24,
                codec::CODEC_ID_PCM_S24BE,
                codec::CODEC_ID_PCM_S24LE,
            ),
            (
                b"fpcm",
                32,
                codec::CODEC_ID_PCM_F32BE,
                codec::CODEC_ID_PCM_F32LE,
            ),
            (
                b"NONE",
                16,
                codec::CODEC_ID_PCM_S16BE,
                codec::CODEC_ID_PCM_S16LE,
            ),
        ] {
            check(PcmFormat::of_entry(*kind, bits, None), Some(big));
            check(PcmFormat::of_entry(*kind, bits, little), Some(small));
        }
    }

    #[test]
    fn other_codes_imply_a_byte_order() {
        let check = |kind: &BoxType, bits, expected| {
            check(PcmFormat::of_entry(*kind, bits, None), expected);
        };
        check(b"sowt", 16, Some(codec::CODEC_ID_PCM_S16LE));
        check(b"sowt", 24, Some(codec::CODEC_ID_PCM_S24LE));
        check(b"raw ", 8, Some(codec::CODEC_ID_PCM_U8));
        check(b"twos", 8, Some(codec::CODEC_ID_PCM_S8));
        check(b"twos", 48, None);
        check(b"mp4a", 16, None);
    }

    #[test]
    fn flags_determine_the_format_of_lpcm() {
        let check = |flags, bits, bytes, expected| {
            check(PcmFormat::of_flags(flags, bits, bytes), expected);
        };
        check(0x0c, 16, 2, Some(codec::CODEC_ID_PCM_S16LE));
        check(0x0e, 24, 3, Some(codec::CODEC_ID_PCM_S24BE));
        check(0x09, 32, 4, Some(codec::CODEC_ID_PCM_F32LE));
        check(0x0b, 64, 8, Some(codec::CODEC_ID_PCM_F64BE));
        check(0x14, 24, 4, Some(codec::CODEC_ID_PCM_S32LE));
        check(0x04, 24, 4, None);
        check(0x2c, 16, 2, None);
        check(0x00, u32::MAX, u32::MAX, None);
    }
}
