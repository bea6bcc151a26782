//! Signals for the tests of the detector.

use std::path::PathBuf;

pub use crate::synthetic_speech::synthetic;

/// A sentence of 11 s at 16 kHz.
#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile passes the folder of the sample"
)]
pub fn sample_pcm() -> Vec<f32> {
    let folder = std::env::var_os("SAMPLES_DIR").map_or_else(
        || {
            std::env::home_dir()
                .unwrap()
                .join(".cache/halkspeech/samples")
        },
        PathBuf::from,
    );
    let path = folder.join("jfk.wav");
    let wav = std::fs::read(&path)
        .unwrap_or_else(|_| panic!("{} is missing: run `make models`", path.display()));
    let data = wav.windows(4).position(|name| name == b"data").unwrap();
    let (samples, _) = wav[data + 8..].as_chunks();
    let samples = samples.iter().copied().map(i16::from_le_bytes);
    samples.map(|sample| f32::from(sample) / 32_768.0).collect()
}
