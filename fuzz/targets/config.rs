//! Any configuration file with any environment gives settings, or an error that names the problem and its
//! place. Neither contains secrets.
//!
//! The input is a TOML file, a line `---`, and lines of `NAME=value`.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use halkspeech::config::{ConfigError, Flags, LoadedSettings, Settings, Sources};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

/// A secret that no input is likely to contain.
const SECRET: &str = "Kp7-not-to-be-shown";

static FILE: LazyLock<NamedTempFile> =
    LazyLock::new(|| NamedTempFile::new().expect("a temporary file can be made"));

fuzz_target!(|text: &str| {
    if text.contains(SECRET) {
        return;
    }
    let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
    fs::write(FILE.path(), with_secret(file)).expect("the file can be written");
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.chain([("HF_TOKEN", SECRET)]);
    let loaded = Settings::load(Sources {
        file: Some(FILE.path().to_owned()),
        env: variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
        flags: Flags::default(),
    });
    let shown = match &loaded {
        Ok(loaded) => check(loaded),
        Err(error) => check_error(error),
    };
    assert!(!shown.contains(SECRET), "{shown}");
});

/// Appends a key to the file, so that errors in the preceding text may quote it.
fn with_secret(file: &str) -> String {
    if file.contains("server") {
        file.to_owned()
    } else {
        format!("{file}\n[server]\napi_key = \"{SECRET}\"\n")
    }
}

/// Everything that can be displayed of the settings.
fn check(loaded: &LoadedSettings) -> String {
    let table = loaded
        .table()
        .expect("the table is written from checked settings");
    for model in loaded.settings.per_model.keys() {
        assert!(!model.trim().is_empty());
        let _applies = loaded.settings.whisper_for(model);
    }
    let warnings = loaded.warnings.iter().map(ToString::to_string);
    format!("{table}{loaded:?}{}", warnings.collect::<String>())
}

/// Everything that can be displayed of an error.
fn check_error(error: &ConfigError) -> String {
    match error {
        ConfigError::ReadFile { .. } | ConfigError::Mismatch(_) => {
            panic!("not caused by the file: {error:?}")
        }
        ConfigError::ParseFile { message, .. } => assert!(!message.is_empty()),
        ConfigError::Problems(problems) => assert!(!problems.is_empty()),
    }
    format!("{error}{error:?}")
}
