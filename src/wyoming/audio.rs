//! The samples of an utterance as 16 kHz PCM.

use halkspeech_audio::Resampler;
use serde_json::{Map, Value};

use super::error::ConnectionError;

/// Bytes of a sample.
const WIDTH: u64 = 2;
/// Most channels.
const MAX_CHANNELS: u64 = 8;

/// The format of an utterance: 16-bit samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    rate_hz: u32,
    channels: usize,
}

/// Reads samples in chunks of any length.
pub struct SampleReader {
    format: AudioFormat,
    resampler: Resampler,
    /// The first bytes of samples that are not complete.
    rest: Vec<u8>,
}

impl AudioFormat {
    /// Reads the format in an event of this type.
    ///
    /// # Errors
    /// [`ConnectionError::Field`].
    pub fn read(event: &str, data: &Map<String, Value>) -> Result<Self, ConnectionError> {
        let number = |field: &str| data.get(field).and_then(Value::as_u64);
        let invalid = |field, expected| ConnectionError::Field {
            event: event.to_owned(),
            field,
            expected,
        };
        let rate_hz = number("rate").and_then(|rate_hz| u32::try_from(rate_hz).ok());
        let is_supported = |rate_hz: &u32| Resampler::new(*rate_hz).is_some();
        let rate_hz = rate_hz.filter(is_supported);
        let rate_hz = rate_hz.ok_or(invalid("rate", "a rate that recorders use, such as 16000"))?;
        if number("width") != Some(WIDTH) {
            return Err(invalid("width", "2: samples of 16 bits"));
        }
        let channels = number("channels").filter(|channels| (1..=MAX_CHANNELS).contains(channels));
        let channels = channels.ok_or(invalid("channels", "1 to 8"))?;
        Ok(Self {
            rate_hz,
            channels: channels as usize,
        })
    }
}

impl SampleReader {
    /// A reader of this format; `None` if its rate is not supported.
    pub fn new(format: AudioFormat) -> Option<Self> {
        Some(Self {
            format,
            resampler: Resampler::new(format.rate_hz)?,
            rest: Vec::new(),
        })
    }

    /// The format.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// The PCM of the next bytes, channels averaged; some of it waits in the resampler.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<f32> {
        self.rest.extend_from_slice(bytes);
        let frame_bytes = self.format.channels * WIDTH as usize;
        let whole = self.rest.len() / frame_bytes * frame_bytes;
        let frames = self.rest[..whole].chunks_exact(frame_bytes);
        let samples: Vec<f32> = frames.map(mixed).collect();
        self.rest.drain(..whole);
        let mut pcm = Vec::new();
        self.resampler.push(&samples, &mut pcm);
        pcm
    }

    /// The PCM that waited.
    pub fn finish(self) -> Vec<f32> {
        let mut pcm = Vec::new();
        self.resampler.finish(&mut pcm);
        pcm
    }
}

fn mixed(frame: &[u8]) -> f32 {
    let (samples, _) = frame.as_chunks::<2>();
    let sum: f32 = samples
        .iter()
        .map(|bytes| f32::from(i16::from_le_bytes(*bytes)))
        .sum();
    sum / samples.len() as f32 / 32_768.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn format(data: &Value) -> Result<AudioFormat, String> {
        let format = AudioFormat::read("audio-start", data.as_object().unwrap());
        format.map_err(|error| error.to_string())
    }

    #[test]
    fn an_error_names_the_field_of_a_format() {
        let valid = AudioFormat {
            rate_hz: 22_050,
            channels: 2,
        };
        assert_eq!(
            format(&json!({"rate": 22050, "width": 2, "channels": 2})),
            Ok(valid)
        );
        for (data, field) in [
            (json!({}), "rate"),
            (json!({"rate": 100, "width": 2, "channels": 1}), "rate"),
            (json!({"rate": 16000, "width": 4, "channels": 1}), "width"),
            (
                json!({"rate": 16000, "width": 2, "channels": 0}),
                "channels",
            ),
        ] {
            let error = format(&data).unwrap_err();
            assert!(
                error.starts_with(&format!("audio-start: '{field}' must be")),
                "{error}"
            );
        }
    }

    #[test]
    fn channels_are_averaged_and_samples_may_be_divided() {
        let stereo = AudioFormat {
            rate_hz: 16_000,
            channels: 2,
        };
        let bytes: Vec<u8> = [16_384_i16, 0, -32_768, -32_768, 3, 1]
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        for length in [1, 3, 4, 12] {
            let mut reader = SampleReader::new(stereo).unwrap();
            let pcm: Vec<f32> = bytes
                .chunks(length)
                .flat_map(|bytes| reader.push(bytes))
                .collect();
            assert_eq!(pcm, [0.25, -1.0, 2.0 / 32_768.0], "{length}");
            assert_eq!(reader.finish(), [0.0; 0]);
        }
    }

    #[test]
    fn other_rates_are_resampled_to_the_end() {
        let mut reader = SampleReader::new(AudioFormat {
            rate_hz: 48_000,
            channels: 1,
        })
        .unwrap();
        let mut samples = reader.push(&[0; 96_000]).len();
        samples += reader.finish().len();
        assert_eq!(samples, 16_000);
    }
}
