//! Any bytes as one of a model's files, the others being valid: the model is listed or not, with memory
//! bounded by the size of the files.
//!
//! The first letter of the input selects the file that the remaining bytes are: `w`eights, `t`okenizer,
//! `j`son vocabulary or a vocabulary of `l`ines.
#![no_main]

use std::fs;
use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::LazyLock;

use halkspeech::models::{ModelShape, Store};
use halkspeech_whisper::{Language, Vocabulary};
use halkspeech_fuzz::model_files::{Fixture, lay_out};
use halkspeech_fuzz::panics;
use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;

/// A folder with one model.
static MODELS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let fixture = Fixture {
        vocabulary_size: 51_865,
        ..Fixture::default()
    };
    lay_out(&folder.path().join("model"), &fixture);
    folder
});

fuzz_target!(init: panics::allow_panics_of_dependencies(), |data: &[u8]| -> Corpus {
    match data.split_first() {
        Some((b'w', file)) => check_weights(file),
        Some((b't', file)) => check_tokenizer(file),
        Some((b'j', file)) => check_vocabulary("vocabulary.json", file),
        Some((b'l', file)) => check_vocabulary("vocabulary.txt", file),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

fn check_weights(file: &[u8]) {
    if let Ok(shape) = ModelShape::read(Cursor::new(file)) {
        assert!(shape.memory_bytes(1, 1) <= file.len() as u64);
        assert!(shape.parameters <= file.len() as u64);
        assert!(!shape.family().is_empty());
    }
}

fn check_tokenizer(file: &[u8]) {
    fs::write(model().join("tokenizer.json"), file).expect("the folder can be written");
    // As in the server: after a panic the model cannot be loaded.
    let Ok(Ok(vocabulary)) = catch_unwind(|| Vocabulary::load(&model())) else {
        return;
    };
    let eot = vocabulary.eot();
    let encoded = catch_unwind(|| vocabulary.encode(" Merhaba, dünya! <|endoftext|>"));
    assert!(encoded.is_ok_and(|ids| ids.iter().all(|&id| id < eot)));
    for id in [
        0,
        eot.wrapping_sub(1),
        eot,
        vocabulary.timestamp_begin(),
        u32::MAX,
    ] {
        assert!(id < eot || vocabulary.bytes(id).is_empty());
        let _text = vocabulary.decode(&[id, id]);
        let _token = vocabulary.token(id);
    }
    for &language in vocabulary.languages() {
        assert!(vocabulary.language_token(language).is_some());
    }
}

fn check_vocabulary(name: &str, file: &[u8]) {
    for other in ["vocabulary.json", "vocabulary.txt"] {
        let _absent = fs::remove_file(model().join(other));
    }
    fs::write(model().join(name), file).expect("the folder can be written");
    let nowhere = MODELS.path().join("model/none");
    for model in Store::new(MODELS.path().to_owned(), nowhere).list(&[]) {
        let is_code =
            |code: &String| Language::parse(code).is_some_and(|language| language.code() == code);
        assert!(model.languages.iter().all(is_code));
    }
}

fn model() -> PathBuf {
    MODELS.path().join("model")
}
