//! Tests the dependencies that Cargo does not, by reading the sources: between modules of this crate, and on
//! the clock and the environment.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules that each module may use; `app` and `cli` may use all.
const ALLOWED_DEPENDENCIES: [(&str, &[&str]); 17] = [
    (
        "http",
        &[
            "caller",
            "clock",
            "config",
            "format",
            "job",
            "live",
            "models",
            "queue",
            "session",
            "telemetry",
            "transcribe",
            "transcript",
        ],
    ),
    (
        "wyoming",
        &["caller", "clock", "live", "models", "session", "transcribe"],
    ),
    (
        "session",
        &[
            "caller",
            "clock",
            "job",
            "live",
            "models",
            "queue",
            "telemetry",
            "transcribe",
        ],
    ),
    ("live", &["transcript"]),
    (
        "transcribe",
        &[
            "caller",
            "clock",
            "job",
            "live",
            "models",
            "queue",
            "schedule",
            "telemetry",
            "transcript",
        ],
    ),
    ("caller", &[]),
    ("clock", &[]),
    ("job", &["caller", "schedule", "telemetry"]),
    (
        "queue",
        &["caller", "clock", "job", "schedule", "telemetry"],
    ),
    ("batch", &["clock", "job", "queue", "schedule", "telemetry"]),
    ("schedule", &["caller"]),
    (
        "worker",
        &["batch", "clock", "job", "queue", "schedule", "telemetry"],
    ),
    ("transcript", &[]),
    ("format", &["transcript"]),
    ("config", &[]),
    (
        "models",
        &["batch", "queue", "schedule", "telemetry", "worker"],
    ),
    ("telemetry", &["config"]),
];

/// A word, and the only files or folders whose code may contain it.
const CONFINED_WORDS: [(&str, &[&str]); 7] = [
    ("axum", &["http.rs", "http/"]),
    (
        "hf_hub",
        &["models/hub.rs", "models/hub/", "telemetry/logging.rs"],
    ),
    ("StatusCode", &["http.rs", "http/"]),
    // The response types of `format` derive their own schemas.
    ("utoipa", &["http.rs", "http/", "format/"]),
    ("governor", &["http/rate_limit.rs"]),
    ("whisper_ct2", &["app.rs", "app/", "cli/version.rs"]),
    ("opentelemetry", &["telemetry/traces.rs"]),
];

/// Files and folders without a runtime, a clock or the environment.
const PURE: [&str; 36] = [
    "crates/audio/src/",
    "crates/whisper/src/",
    "caller.rs",
    "caller/",
    "batch/pending.rs",
    "batch/policy.rs",
    "live.rs",
    "live/",
    "cli/bench/response.rs",
    "cli/bench/arrivals.rs",
    "cli/bench/live/alignment.rs",
    "cli/bench/live/measures.rs",
    "cli/bench/live/protocol.rs",
    "cli/bench/live/record.rs",
    "cli/bench/live/reference.rs",
    "cli/bench/live/report.rs",
    "cli/bench/live/report/",
    "cli/bench/live/turns.rs",
    "cli/bench/report.rs",
    "cli/bench/statistics.rs",
    "cli/bench/target.rs",
    "cli/bench/word_errors.rs",
    "schedule.rs",
    "schedule/",
    "models/aliases.rs",
    "models/files.rs",
    "models/id.rs",
    "models/loaded/budget.rs",
    "models/shape.rs",
    "models/shape/",
    "transcribe/front_end/scheduler.rs",
    "transcribe/hallucinations.rs",
    "transcript.rs",
    "format.rs",
    "format/",
    "worker/batch_split.rs",
];

struct Source {
    /// Path below `src`, with forward slashes.
    path: String,
    /// The code without its comments and tests.
    code: String,
}

impl Source {
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    fn is_in(&self, paths: &[&str]) -> bool {
        paths
            .iter()
            .any(|path| self.path == *path || (path.ends_with('/') && self.path.starts_with(path)))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    // Other dependencies of the crates are in their `Cargo.toml`.
    walk(&root.join("crates/audio/src"), &mut files);
    walk(&root.join("crates/whisper/src"), &mut files);
    let source = |file: PathBuf| {
        let path = file.strip_prefix(root).unwrap();
        let path = path.strip_prefix("src").unwrap_or(path);
        let path = path.to_string_lossy().replace('\\', "/");
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
    // Files that contain only tests may use anything.
    let test_files = [
        "layering.rs",
        "batch/batcher/tests.rs",
        "cli/bench/load/tests.rs",
        "cli/bench/live/play/tests.rs",
        "config/tests.rs",
        "crates/audio/src/needs_recordings.rs",
        "crates/audio/src/vad/silero/test_signals.rs",
        "http/openapi/tests.rs",
        "http/parameters/tests.rs",
        "http/parameters/tests/",
        "models/store/tests.rs",
        "queue/tests.rs",
        "models/store/tests/",
        "crates/whisper/src/test_models.rs",
        "schedule/admission/tests.rs",
        "schedule/properties.rs",
        "schedule/test_device.rs",
        "schedule/tests.rs",
        "schedule/tests/",
        "worker/continuous/tests.rs",
        "wyoming/tests.rs",
    ];
    files
        .into_iter()
        .map(source)
        .filter(|source| !source.is_in(&test_files))
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

fn modules_used(code: &str) -> BTreeSet<&str> {
    code.split("crate::")
        .skip(1)
        .filter_map(|path| {
            path.split(|c: char| !c.is_ascii_lowercase() && c != '_')
                .next()
        })
        .filter(|module| {
            ALLOWED_DEPENDENCIES
                .iter()
                .any(|(known, _)| known == module)
        })
        .collect()
}

#[test]
fn a_module_uses_only_its_allowed_dependencies() {
    let mut violations = Vec::new();
    for source in sources() {
        let Some((module, allowed)) = ALLOWED_DEPENDENCIES
            .iter()
            .find(|(module, _)| *module == source.module())
        else {
            continue;
        };
        for used in modules_used(&source.code) {
            if used != *module && !allowed.contains(&used) {
                violations.push(format!("{} uses crate::{used}", source.path));
            }
        }
    }
    assert_eq!(
        violations, [""; 0],
        "see ALLOWED_DEPENDENCIES in layering.rs"
    );
}

#[test]
fn a_confined_word_is_used_only_in_its_files() {
    let mut violations = Vec::new();
    for source in sources() {
        for (word, paths) in CONFINED_WORDS {
            if source.code.contains(word) && !source.is_in(paths) {
                violations.push(format!("{} contains {word}", source.path));
            }
        }
    }
    assert_eq!(violations, [""; 0]);
}

#[test]
fn pure_modules_have_no_runtime_no_clock_and_no_environment() {
    let mut violations = Vec::new();
    for source in sources().into_iter().filter(|source| source.is_in(&PURE)) {
        for word in [
            "tokio",
            "Instant::now",
            "SystemTime",
            "crate::clock",
            "std::env",
            "env::var",
        ] {
            if source.code.contains(word) {
                violations.push(format!("{} uses {word}", source.path));
            }
        }
    }
    assert_eq!(violations, [""; 0]);
}
