//! The real models for unit tests: their vocabularies, and where they are.

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

/// The folder of a model that `make models` brings.
#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile tells the tests where the models are"
)]
pub fn model_dir(model: &str) -> PathBuf {
    let models = match std::env::var_os("MODELS_DIR") {
        Some(models) => PathBuf::from(models),
        None => std::env::home_dir()
            .expect("a home directory")
            .join(".cache/halkspeech/models"),
    };
    let dir = models.join(model);
    assert!(
        dir.exists(),
        "{} is missing: run `make models`",
        dir.display()
    );
    dir
}

fn read(model: &str) -> Vocabulary {
    Vocabulary::load(&model_dir(model)).unwrap()
}
