//! Converts the raw samples of a stream to 16 kHz PCM.

use std::mem;

use super::Resampler;

/// How a sample is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleEncoding {
    /// 16 bits, signed, the low byte first.
    Pcm16,
    /// G.711 µ-law, a byte.
    MuLaw,
    /// G.711 A-law, a byte.
    ALaw,
}

/// Converts raw mono samples of any rate to PCM at [`SAMPLE_RATE_HZ`](super::SAMPLE_RATE_HZ), in chunks of any
/// number of bytes: the first byte of a divided sample is kept for the next chunk.
///
/// The result does not depend on how the input is divided into chunks.
pub struct SampleStream {
    encoding: SampleEncoding,
    resampler: Resampler,
    /// The first byte of a sample whose second one has not come yet.
    low_byte: Option<u8>,
}

impl SampleStream {
    /// A stream of samples at `rate_hz`; `None` for rates that a [`Resampler`] does not support.
    #[must_use]
    pub fn new(encoding: SampleEncoding, rate_hz: u32) -> Option<Self> {
        Some(Self {
            encoding,
            resampler: Resampler::new(rate_hz)?,
            low_byte: None,
        })
    }

    /// Converts the next chunk. Up to 0.2 s of it is held back for the filter of the resampler, 0.1 s from
    /// 16 kHz on.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<f32> {
        let samples = self.decode(bytes);
        let mut pcm = Vec::new();
        self.resampler.push(&samples, &mut pcm);
        pcm
    }

    /// The samples that were held back; afterwards the stream continues as a new one does, but for half a
    /// sample. To be called where the audio is divided, so that each part is complete.
    pub fn flush(&mut self) -> Vec<f32> {
        let mut pcm = Vec::new();
        if let Some(next) = Resampler::new(self.resampler.rate_hz()) {
            mem::replace(&mut self.resampler, next).finish(&mut pcm);
        }
        pcm
    }

    fn decode(&mut self, bytes: &[u8]) -> Vec<f32> {
        match self.encoding {
            SampleEncoding::Pcm16 => self.decode_pcm16(bytes),
            SampleEncoding::MuLaw => bytes.iter().map(|byte| scale(mu_law(*byte))).collect(),
            SampleEncoding::ALaw => bytes.iter().map(|byte| scale(a_law(*byte))).collect(),
        }
    }

    fn decode_pcm16(&mut self, bytes: &[u8]) -> Vec<f32> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        let mut bytes = bytes;
        if let Some(low) = self.low_byte
            && let Some((high, rest)) = bytes.split_first()
        {
            samples.push(scale(i16::from_le_bytes([low, *high])));
            self.low_byte = None;
            bytes = rest;
        }
        let (pairs, rest) = bytes.as_chunks();
        samples.extend(pairs.iter().map(|pair| scale(i16::from_le_bytes(*pair))));
        if let Some(low) = rest.first() {
            self.low_byte = Some(*low);
        }
        samples
    }
}

fn scale(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// A µ-law byte as a 16-bit sample (ITU-T G.711, table 2; as `ulaw2linear` of Sun's g711.c).
fn mu_law(byte: u8) -> i16 {
    const BIAS: i16 = 0x84;
    let code = !byte;
    let magnitude = ((i16::from(code & 0x0f) << 3) + BIAS) << ((code & 0x70) >> 4);
    if code & 0x80 == 0 {
        magnitude - BIAS
    } else {
        BIAS - magnitude
    }
}

/// An A-law byte as a 16-bit sample (ITU-T G.711, table 1; as `alaw2linear` of Sun's g711.c).
fn a_law(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let step = i16::from(code & 0x0f) << 4;
    let magnitude = match (code & 0x70) >> 4 {
        0 => step + 0x08,
        segment => (step + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(encoding: SampleEncoding, rate_hz: u32, bytes: &[u8], chunk: usize) -> Vec<f32> {
        let mut stream = SampleStream::new(encoding, rate_hz).unwrap();
        let mut pcm: Vec<f32> = bytes
            .chunks(chunk)
            .flat_map(|bytes| stream.push(bytes))
            .collect();
        pcm.extend(stream.flush());
        pcm
    }

    /// A tone of 400 Hz as 16-bit samples.
    fn tone(rate_hz: u32, samples: usize) -> Vec<u8> {
        (0..samples)
            .map(|index| (index as f64 * 400.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin())
            .flat_map(|value| ((value * 16_000.0) as i16).to_le_bytes())
            .collect()
    }

    #[test]
    fn decodes_each_encoding() {
        for (encoding, bytes, expected) in [
            (
                SampleEncoding::Pcm16,
                &[0, 0x40, 0xff, 0xff][..],
                [0x4000, -1],
            ),
            (SampleEncoding::MuLaw, &[0xbf, 0x3f], [1_980, -1_980]),
            (SampleEncoding::MuLaw, &[0x80, 0x00], [32_124, -32_124]),
            (SampleEncoding::MuLaw, &[0xff, 0x7f], [0, 0]),
            (SampleEncoding::ALaw, &[0xe5, 0x65], [1_056, -1_056]),
            (SampleEncoding::ALaw, &[0xaa, 0x2a], [32_256, -32_256]),
            (SampleEncoding::ALaw, &[0xd5, 0x55], [8, -8]),
        ] {
            let expected = expected.map(|sample| f32::from(sample as i16) / 32_768.0);
            assert_eq!(
                convert(encoding, 16_000, bytes, 9),
                expected,
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn does_not_depend_on_the_chunks() {
        let bytes = tone(24_000, 24_000);
        let whole = convert(SampleEncoding::Pcm16, 24_000, &bytes, bytes.len());
        assert_eq!(whole.len(), 16_000);
        for chunk in [1, 3, 960, 4_801] {
            assert!(
                convert(SampleEncoding::Pcm16, 24_000, &bytes, chunk) == whole,
                "chunks of {chunk} bytes"
            );
        }
    }

    #[test]
    fn keeps_the_first_byte_of_a_sample_across_a_flush() {
        let mut stream = SampleStream::new(SampleEncoding::Pcm16, 16_000).unwrap();
        assert_eq!(stream.push(&[0, 0x40, 0]), [0.5]);
        assert_eq!(stream.push(&[]), [0.0; 0]);
        assert_eq!(stream.flush(), [0.0; 0]);
        assert_eq!(stream.push(&[0x20]), [0.25]);
    }

    #[test]
    fn a_flush_completes_the_part_before_it() {
        let bytes = tone(8_000, 8_000);
        let mut stream = SampleStream::new(SampleEncoding::Pcm16, 8_000).unwrap();
        for _ in 0..2 {
            let held_back = 16_000 - stream.push(&bytes).len();
            assert!((1..=3_200).contains(&held_back), "{held_back}");
            assert_eq!(stream.flush().len(), held_back);
            assert_eq!(stream.flush(), [0.0; 0]);
        }
    }

    #[test]
    fn refuses_rates_of_no_recorder() {
        assert!(SampleStream::new(SampleEncoding::Pcm16, 100).is_none());
    }
}
