//! Tests of the configuration files in `configs/`.

use std::fs;
use std::path::PathBuf;

use DeviceChoice::{Auto, Cpu, Cuda};

use super::*;
use halkspeech_whisper::engine::ComputeType;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
const TURBO: &str = "deepdml/faster-whisper-large-v3-turbo-ct2";
const LARGE: &str = "Systran/faster-whisper-large-v3";

/// The values of a preset: device, model, batch size, batch window in milliseconds, queue size,
/// concurrent requests.
type Preset = (DeviceChoice, &'static str, usize, u64, usize, usize);

/// The presets, sorted by name.
const PRESETS: [(&str, Preset); 8] = [
    ("beast", (Cuda, TURBO, 768, 30, 16_384, 3000)),
    ("conservative", (Cuda, TURBO, 128, 25, 4096, 1000)),
    ("cpu", (Cpu, "base", 8, 20, 2048, 256)),
    ("default", (Auto, "base", 8, 20, 2048, 256)),
    ("extreme", (Cuda, LARGE, 512, 40, 8192, 2000)),
    ("normal", (Cuda, TURBO, 256, 25, 4096, 1000)),
    ("quality", (Cuda, LARGE, 384, 35, 4096, 1500)),
    ("ultra-fast", (Cuda, TURBO, 512, 20, 8192, 2000)),
];

/// Loads a file in `configs/`, which must cause no warning.
#[track_caller]
fn preset(name: &str) -> Settings {
    let loaded = Settings::load(Sources {
        file: Some(PathBuf::from(FOLDER).join(format!("{name}.toml"))),
        env: variables(&[]),
        flags: Flags::default(),
    });
    let loaded = loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(loaded.warnings, [], "{name}");
    loaded.settings
}

#[test]
fn every_configuration_file_is_a_preset() {
    let entries = fs::read_dir(FOLDER).unwrap();
    let mut files: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    let expected: Vec<String> = PRESETS.map(|(name, _)| format!("{name}.toml")).into();
    assert_eq!(files, expected);
}

#[test]
fn a_preset_sets_its_values() {
    for (name, expected) in PRESETS {
        let whisper = preset(name).whisper;
        let actual = (
            whisper.inference_device,
            whisper.model.as_str(),
            whisper.batch_size.get(),
            whisper.batch_window_ms,
            whisper.max_queue_size.get(),
            whisper.max_concurrent_requests.get(),
        );
        assert_eq!(actual, expected, "{name}");
    }
}

#[test]
fn a_preset_changes_nothing_else() {
    let defaults = from_env(&[]).unwrap().settings;
    for (name, _) in PRESETS {
        let mut settings = preset(name);
        let whisper = &mut settings.whisper;
        let default = defaults.whisper.clone();
        if whisper.inference_device == Cuda {
            assert_eq!(whisper.compute_type, ComputeType::Float16, "{name}");
            whisper.compute_type = default.compute_type;
            (whisper.cpu_threads, whisper.num_workers) = (0, 0);
        }
        whisper.model = default.model;
        whisper.inference_device = default.inference_device;
        whisper.batch_size = default.batch_size;
        whisper.batch_window_ms = default.batch_window_ms;
        whisper.max_queue_size = default.max_queue_size;
        whisper.max_concurrent_requests = default.max_concurrent_requests;
        assert_eq!(settings, defaults, "{name}");
    }
}
