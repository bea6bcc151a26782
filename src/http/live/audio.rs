//! The audio of a socket as 16 kHz PCM.

use std::fmt;

use halkspeech_audio::Resampler;

use super::field_reader::{Change, FieldReader, InvalidField};

/// How a client encodes its audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// The encoding of a sample.
    pub encoding: Encoding,
    /// Samples per second.
    pub rate_hz: u32,
}

/// The encoding of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 16 bits, little endian.
    Pcm16,
    /// G.711 µ-law.
    MuLaw,
    /// G.711 A-law.
    ALaw,
}

/// Reads a client's audio in pieces of any length.
pub struct AudioReader {
    format: AudioFormat,
    resampler: Resampler,
    /// The first byte of a sample whose second one has not come yet.
    odd: Option<u8>,
    samples: Vec<f32>,
}

impl Default for AudioFormat {
    /// The format of a realtime session that names none.
    fn default() -> Self {
        Self {
            encoding: Encoding::Pcm16,
            rate_hz: 24_000,
        }
    }
}

impl AudioFormat {
    /// Changes the fields that the object has. Another encoding has its usual rate.
    pub fn read(self, fields: &FieldReader<'_>) -> Result<Self, InvalidField> {
        let kinds = ["audio/pcm", "audio/pcmu", "audio/pcma"];
        let encoding = match fields.word("type", &kinds)? {
            Change::Keep => self.encoding,
            Change::Set("audio/pcmu") => Encoding::MuLaw,
            Change::Set("audio/pcma") => Encoding::ALaw,
            Change::Set(_) | Change::Clear => Encoding::Pcm16,
        };
        let usual = match encoding {
            Encoding::Pcm16 => 24_000,
            Encoding::MuLaw | Encoding::ALaw => 8_000,
        };
        let mut rate_hz = if encoding == self.encoding {
            u64::from(self.rate_hz)
        } else {
            usual
        };
        let change = fields.integer("rate", 4_000..=384_000)?;
        change.apply_or(&mut rate_hz, usual);
        let format = Self {
            encoding,
            rate_hz: rate_hz as u32,
        };
        if format.is_supported() {
            Ok(format)
        } else {
            Err(fields.invalid("rate", "a rate that recorders use, such as 16000 or 24000"))
        }
    }

    /// Whether audio of this rate can be resampled.
    pub fn is_supported(self) -> bool {
        Resampler::new(self.rate_hz).is_some()
    }

    /// Bytes of a quarter of a second, at least one sample.
    pub fn piece_bytes(self) -> usize {
        let bytes_per_sample = match self.encoding {
            Encoding::Pcm16 => 2,
            Encoding::MuLaw | Encoding::ALaw => 1,
        };
        (self.rate_hz as usize / 4).max(1) * bytes_per_sample
    }
}

impl AudioReader {
    /// A reader of this format; none if its rate is not supported.
    pub fn new(format: AudioFormat) -> Option<Self> {
        Some(Self {
            format,
            resampler: Resampler::new(format.rate_hz)?,
            odd: None,
            samples: Vec::new(),
        })
    }

    /// The format.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Reads the next bytes and appends the PCM that is ready.
    pub fn push(&mut self, bytes: &[u8], pcm: &mut Vec<f32>) {
        self.samples.clear();
        match self.format.encoding {
            Encoding::Pcm16 => self.push_pcm16(bytes),
            Encoding::MuLaw => self.samples.extend(bytes.iter().map(|byte| mu_law(*byte))),
            Encoding::ALaw => self.samples.extend(bytes.iter().map(|byte| a_law(*byte))),
        }
        self.resampler.push(&self.samples, pcm);
    }

    /// Appends the PCM that waits in the resampler, at the end of a turn. Later audio starts anew.
    pub fn flush(&mut self, pcm: &mut Vec<f32>) {
        if let Some(fresh) = Resampler::new(self.format.rate_hz) {
            std::mem::replace(&mut self.resampler, fresh).finish(pcm);
        }
    }

    /// Drops what waits.
    pub fn reset(&mut self) {
        self.odd = None;
        self.flush(&mut Vec::new());
    }

    fn push_pcm16(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        if let (Some(first), Some((second, rest))) = (self.odd, bytes.split_first()) {
            self.samples.push(pcm16([first, *second]));
            self.odd = None;
            bytes = rest;
        }
        let (pairs, rest) = bytes.as_chunks::<2>();
        self.samples.extend(pairs.iter().map(|pair| pcm16(*pair)));
        if let [odd] = rest {
            self.odd = Some(*odd);
        }
    }
}

impl fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioReader")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

fn pcm16(bytes: [u8; 2]) -> f32 {
    f32::from(i16::from_le_bytes(bytes)) / 32_768.0
}

/// ITU-T G.711, table 2.
fn mu_law(byte: u8) -> f32 {
    const BIAS: i16 = 0x84;
    let bits = !byte;
    let magnitude = (i16::from(bits & 0x0f) << 3) + BIAS;
    let magnitude = (magnitude << ((bits & 0x70) >> 4)) - BIAS;
    let sample = if bits & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    };
    f32::from(sample) / 32_768.0
}

/// ITU-T G.711, table 1.
fn a_law(byte: u8) -> f32 {
    let bits = byte ^ 0x55;
    let segment = (bits & 0x70) >> 4;
    let step = i16::from(bits & 0x0f) << 4;
    let magnitude = match segment {
        0 => step + 8,
        _ => (step + 0x108) << (segment - 1),
    };
    let sample = if bits & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    };
    f32::from(sample) / 32_768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(encoding: Encoding, rate_hz: u32) -> AudioReader {
        AudioReader::new(AudioFormat { encoding, rate_hz }).unwrap()
    }

    fn read(reader: &mut AudioReader, pieces: &[&[u8]]) -> Vec<f32> {
        let mut pcm = Vec::new();
        for piece in pieces {
            reader.push(piece, &mut pcm);
        }
        pcm
    }

    #[test]
    fn an_odd_byte_is_carried_over() {
        let bytes: Vec<u8> = [1_i16, -2, 300, i16::MIN]
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        let whole = read(&mut reader(Encoding::Pcm16, 16_000), &[&bytes]);
        assert_eq!(whole[2..], [300.0 / 32_768.0, -1.0]);
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let mut reader = reader(Encoding::Pcm16, 16_000);
            let pieces = read(&mut reader, &[first, &[], second]);
            assert_eq!(pieces, whole, "{cut}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&mut reader(Encoding::Pcm16, 16_000), &single), whole);
    }

    #[test]
    fn decodes_the_companded_formats() {
        let samples = |encoding, bytes: &[u8]| -> Vec<f32> {
            let pcm = read(&mut reader(encoding, 16_000), &[bytes]);
            pcm.iter().map(|sample| sample * 32_768.0).collect()
        };
        assert_eq!(
            samples(Encoding::MuLaw, &[0xff, 0x7f, 0x00, 0x80, 0xf0, 0x6f]),
            [0.0, 0.0, -32_124.0, 32_124.0, 120.0, -132.0]
        );
        assert_eq!(
            samples(Encoding::ALaw, &[0xd5, 0x55, 0xaa, 0x2a, 0xc5]),
            [8.0, -8.0, 32_256.0, -32_256.0, 264.0]
        );
    }

    #[test]
    fn the_pcm_does_not_depend_on_the_pieces_and_ends_with_the_turn() {
        let sample = |index: u32| ((index as f32 * 0.05).sin() * 9_000.0) as i16;
        let bytes: Vec<u8> = (0..24_000)
            .flat_map(|index| sample(index).to_le_bytes())
            .collect();
        let mut whole = Vec::new();
        let mut one = reader(Encoding::Pcm16, 24_000);
        one.push(&bytes, &mut whole);
        one.flush(&mut whole);
        for length in [7, 480, 2_400] {
            let mut pcm = Vec::new();
            let mut other = reader(Encoding::Pcm16, 24_000);
            for piece in bytes.chunks(length) {
                other.push(piece, &mut pcm);
            }
            other.flush(&mut pcm);
            assert!(pcm == whole, "{length}");
        }
        assert_eq!(whole.len(), 16_000);
        let mut next = Vec::new();
        one.flush(&mut next);
        assert_eq!(next, [0.0; 0]);
    }

    #[test]
    fn refuses_rates_that_are_no_audio() {
        for (rate_hz, is_supported) in [(3_999, false), (4_000, true), (11_025, true), (0, false)] {
            let format = AudioFormat {
                encoding: Encoding::Pcm16,
                rate_hz,
            };
            assert_eq!(format.is_supported(), is_supported, "{rate_hz}");
            assert_eq!(AudioReader::new(format).is_some(), is_supported);
        }
    }
}
