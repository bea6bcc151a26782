//! The vocabularies of real models, for unit tests.

use std::sync::{Arc, LazyLock};

use super::Vocabulary;
use super::fetched_files::model_dir;

static BASE: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| read("base"));
static TINY_EN: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| read("tiny.en"));

/// The multilingual `base` or the English-only `tiny.en`, read once.
pub fn load(model: &str) -> &'static Arc<Vocabulary> {
    match model {
        "base" => &BASE,
        "tiny.en" => &TINY_EN,
        _ => panic!("no such test model: {model}"),
    }
}

fn read(model: &str) -> Arc<Vocabulary> {
    Arc::new(Vocabulary::load(&model_dir(model)).unwrap())
}
