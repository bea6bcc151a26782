//! Holds the invariants on what a room may know, by reading the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use; `app` and `cli` wire and may use all.
const KNOWS: [(&str, &[&str]); 15] = [
    (
        "http",
        &[
            "audio",
            "batch",
            "caller",
            "config",
            "engine",
            "format",
            "job",
            "models",
            "queue",
            "telemetry",
            "tokens",
            "transcribe",
            "transcript",
        ],
    ),
    (
        "transcribe",
        &[
            "audio",
            "batch",
            "caller",
            "engine",
            "features",
            "job",
            "models",
            "queue",
            "telemetry",
            "tokens",
            "transcript",
        ],
    ),
    ("caller", &[]),
    ("audio", &[]),
    ("features", &[]),
    ("job", &["batch", "engine", "features", "tokens"]),
    ("queue", &["job"]),
    ("batch", &["features", "job", "queue", "telemetry"]),
    (
        "engine",
        &["batch", "config", "features", "job", "telemetry", "tokens"],
    ),
    ("tokens", &[]),
    ("transcript", &["tokens"]),
    ("format", &["tokens", "transcript"]),
    ("config", &["audio"]),
    (
        "models",
        &[
            "batch",
            "engine",
            "features",
            "queue",
            "telemetry",
            "tokens",
        ],
    ),
    ("telemetry", &["config"]),
];

/// A word, and the files (or folders) that alone may name it.
const NAMED_ONLY_IN: [(&str, &[&str]); 8] = [
    ("axum", &["http.rs", "http/"]),
    (
        "hf_hub",
        &["models/hub.rs", "models/hub/", "telemetry/logging.rs"],
    ),
    ("StatusCode", &["http.rs", "http/"]),
    // The shapes of answers, which `format` writes, state their schemas themselves.
    ("utoipa", &["http.rs", "http/", "format/"]),
    ("governor", &["http/rate.rs"]),
    ("ct2rs", &["engine/ct2.rs", "engine/ct2/"]),
    ("opentelemetry", &["telemetry/traces.rs"]),
    ("env::var", &["config.rs", "config/"]),
];

/// No runtime, no clock, no environment in these.
const PURE: [&str; 30] = [
    "audio.rs",
    "audio/",
    "features.rs",
    "features/",
    "tokens.rs",
    "tokens/",
    "caller.rs",
    "caller/",
    "batch/key.rs",
    "batch/pending.rs",
    "batch/policy.rs",
    "cli/bench/answer.rs",
    "cli/bench/arrivals.rs",
    "cli/bench/report.rs",
    "cli/bench/tally.rs",
    "cli/bench/target.rs",
    "cli/bench/words.rs",
    "engine/fallback.rs",
    "engine/memory.rs",
    "engine/batch_split.rs",
    "models/aliases.rs",
    "models/id.rs",
    "models/loaded/budget.rs",
    "models/shape.rs",
    "models/shape/",
    "transcribe/front_end/turns.rs",
    "transcribe/guard.rs",
    "transcript.rs",
    "format.rs",
    "format/",
];

struct Source {
    /// Path below `src`, with forward slashes.
    path: String,
    /// The code without its comments and tests.
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path == *place || (place.ends_with('/') && self.path.starts_with(place))
        })
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let source = |file: PathBuf| {
        let path = file
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        Source {
            path,
            code: code.collect::<Vec<_>>().join("\n"),
        }
    };
    // Files that exist for tests alone are not held to the rules of the rooms.
    let for_tests = [
        "layering.rs",
        "batch/batcher/tests.rs",
        "cli/bench/load/tests.rs",
        "config/tests.rs",
        "http/openapi/tests.rs",
        "http/parameters/tests.rs",
        "http/parameters/tests/",
        "models/store/tests.rs",
        "models/store/tests/",
        "tokens/test_models.rs",
    ];
    files
        .into_iter()
        .map(source)
        .filter(|source| !source.is_in(&for_tests))
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn rooms_used(code: &str) -> BTreeSet<&str> {
    code.split("crate::")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_lowercase() && c != '_')
                .next()
        })
        .filter(|room| KNOWS.iter().any(|(known, _)| known == room))
        .collect()
}

#[test]
fn a_room_knows_only_the_rooms_it_may() {
    let mut broken = Vec::new();
    for source in sources() {
        let Some((room, allowed)) = KNOWS.iter().find(|(room, _)| *room == source.room()) else {
            continue;
        };
        for used in rooms_used(&source.code) {
            if used != *room && !allowed.contains(&used) {
                broken.push(format!("{} uses crate::{used}", source.path));
            }
        }
    }
    assert_eq!(broken, [""; 0], "see KNOWS in layering.rs");
}

#[test]
fn what_belongs_to_one_room_is_named_nowhere_else() {
    let mut broken = Vec::new();
    for source in sources() {
        for (word, places) in NAMED_ONLY_IN {
            if source.code.contains(word) && !source.is_in(places) {
                broken.push(format!("{} names {word}", source.path));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn pure_rooms_have_no_runtime_no_clock_and_no_environment() {
    let mut broken = Vec::new();
    for source in sources().into_iter().filter(|source| source.is_in(&PURE)) {
        for word in [
            "tokio",
            "Instant::now",
            "SystemTime",
            "std::env",
            "env::var",
        ] {
            if source.code.contains(word) {
                broken.push(format!("{} uses {word}", source.path));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}
