//! Real speech, and word errors against reference texts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The text of the sample and of every file in `formats/`.
pub const SENTENCE: &str = "And so, my fellow Americans, ask not what your country can do for \
                            you, ask what you can do for your country.";

/// The folder that the variable names, else the one of this name in the cache.
#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile passes the folders of models and samples to the tests"
)]
fn cache(variable: &str, name: &str) -> PathBuf {
    let default = || {
        std::env::home_dir()
            .unwrap()
            .join(".cache/halkspeech")
            .join(name)
    };
    std::env::var_os(variable).map_or_else(default, PathBuf::from)
}

pub fn models_dir() -> PathBuf {
    cache("MODELS_DIR", "models")
}

/// A WAV file of [`SENTENCE`]: 16 kHz, mono, 16 bit, 11 s.
pub fn sample() -> Vec<u8> {
    let path = cache("SAMPLES_DIR", "samples").join("jfk.wav");
    fs::read(&path).unwrap_or_else(|_| panic!("{} is missing: run `make models`", path.display()))
}

/// The samples of [`sample`], without the header.
pub fn sample_pcm() -> Vec<u8> {
    let wav = sample();
    let data = wav.windows(4).position(|name| name == b"data").unwrap();
    wav[data + 8..].to_vec()
}

/// A 16 kHz mono WAV file of these 16-bit samples.
pub fn wav(pcm: &[u8]) -> Vec<u8> {
    wav_file(b"\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0", pcm)
}

/// A 16 kHz stereo WAV file of these interleaved 16-bit samples.
pub fn stereo_wav(pcm: &[u8]) -> Vec<u8> {
    wav_file(b"\x02\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x10\0", pcm)
}

fn wav_file(format: &[u8; 14], pcm: &[u8]) -> Vec<u8> {
    let length = u32::try_from(pcm.len()).unwrap();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    wav.extend(format);
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    wav.extend(pcm);
    wav
}

/// The folder of recordings.
#[expect(
    clippy::disallowed_methods,
    reason = "no setting names the recordings, which only tests use"
)]
pub fn recordings() -> PathBuf {
    let folder = std::env::var_os("HALKSPEECH_RECORDINGS")
        .map(PathBuf::from)
        .expect("set HALKSPEECH_RECORDINGS to the folder of the recordings");
    assert!(folder.is_dir(), "{} is no folder", folder.display());
    folder
}

/// The clips of one language and kind: file and reference text.
pub fn clips(folder: &Path, language: &str, kind: &str) -> Vec<(PathBuf, String)> {
    let manifest = fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let clip = |line: &str| {
        let clip: Value = serde_json::from_str(line).unwrap();
        (clip["language"] == language && clip["kind"] == kind).then(|| {
            let text = clip["text"].as_str().unwrap().to_owned();
            (folder.join(clip["file"].as_str().unwrap()), text)
        })
    };
    manifest.lines().filter_map(clip).collect()
}

/// The substitutions, deletions and insertions of `hypothesis` against `reference`.
pub fn word_errors(reference: &str, hypothesis: &str) -> usize {
    let (reference, hypothesis) = (words(reference), words(hypothesis));
    let mut row: Vec<usize> = (0..=hypothesis.len()).collect();
    for (i, expected) in reference.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, actual) in hypothesis.iter().enumerate() {
            let replaced = diagonal + usize::from(expected != actual);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[hypothesis.len()]
}

/// The words in lower case, without punctuation.
pub fn words(text: &str) -> Vec<String> {
    // Turkish has a dotted and a dotless i, each with its own capital.
    let text = text
        .replace('İ', "i")
        .to_lowercase()
        .replace(['\'', '’'], "");
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}
