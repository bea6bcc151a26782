//! Real models for unit tests: their vocabularies, their folders and sample audio.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::Vocabulary;

static BASE: LazyLock<Vocabulary> = LazyLock::new(|| read("base"));
static TINY_EN: LazyLock<Vocabulary> = LazyLock::new(|| read("tiny.en"));

/// The multilingual `base` or the English-only `tiny.en`, read once.
pub fn load(model: &str) -> &'static Vocabulary {
    match model {
        "base" => &BASE,
        "tiny.en" => &TINY_EN,
        _ => panic!("no such test model: {model}"),
    }
}

/// The folder of a model fetched by `make models`.
pub fn model_dir(model: &str) -> PathBuf {
    cached("MODELS_DIR", "models", model)
}

/// A sentence of 11 s at 16 kHz, whose text is in the tests of `tests/model`.
pub fn sample_pcm() -> Vec<f32> {
    let wav = std::fs::read(cached("SAMPLES_DIR", "samples", "jfk.wav")).unwrap();
    let data = wav.windows(4).position(|name| name == b"data").unwrap();
    let samples = wav[data + 8..].chunks_exact(2);
    samples
        .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0)
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile passes the folders of models and samples"
)]
fn cached(variable: &str, folder: &str, name: &str) -> PathBuf {
    let dir = match std::env::var_os(variable) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir()
            .expect("a home directory")
            .join(".cache/halkspeech")
            .join(folder),
    };
    let path = dir.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `make models`",
        path.display()
    );
    path
}

fn read(model: &str) -> Vocabulary {
    Vocabulary::load(&model_dir(model)).unwrap()
}
