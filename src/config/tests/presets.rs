//! The files in `configs/` are settings that a server starts with.

use std::fs;
use std::path::PathBuf;

use DeviceChoice::{Auto, Cpu, Cuda};

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
const TURBO: &str = "deepdml/faster-whisper-large-v3-turbo-ct2";
const LARGE: &str = "Systran/faster-whisper-large-v3";

/// What a file promises by its name: device, model, batch size, window in milliseconds, queue,
/// concurrent requests.
type Promise = (DeviceChoice, &'static str, usize, u64, usize, usize);

/// By name, in order.
const PRESETS: [(&str, Promise); 8] = [
    ("beast", (Cuda, TURBO, 768, 30, 16_384, 3000)),
    ("conservative", (Cuda, TURBO, 128, 25, 4096, 1000)),
    ("cpu", (Cpu, "base", 8, 20, 2048, 256)),
    ("default", (Auto, "base", 8, 20, 2048, 256)),
    ("extreme", (Cuda, LARGE, 512, 40, 8192, 2000)),
    ("normal", (Cuda, TURBO, 256, 25, 4096, 1000)),
    ("quality", (Cuda, LARGE, 384, 35, 4096, 1500)),
    ("ultra-fast", (Cuda, TURBO, 512, 20, 8192, 2000)),
];

/// The settings of a file in `configs/`, which must give no warning.
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
fn every_file_of_settings_is_a_preset() {
    let entries = fs::read_dir(FOLDER).unwrap();
    let mut files: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort_unstable();
    let expected: Vec<String> = PRESETS.map(|(name, _)| format!("{name}.toml")).into();
    assert_eq!(files, expected);
}

#[test]
fn a_preset_holds_what_its_name_promises() {
    for (name, promise) in PRESETS {
        let whisper = preset(name).whisper;
        let held = (
            whisper.inference_device,
            whisper.model.as_str(),
            whisper.batch_size.get(),
            whisper.batch_window_ms,
            whisper.max_queue_size.get(),
            whisper.max_concurrent_requests.get(),
        );
        assert_eq!(held, promise, "{name}");
    }
}

#[test]
fn a_preset_changes_nothing_else() {
    let defaults = from_env(&[]).unwrap().settings;
    for (name, _) in PRESETS {
        let mut settings = preset(name);
        let ours = &mut settings.whisper;
        let of_defaults = defaults.whisper.clone();
        if ours.inference_device == Cuda {
            assert_eq!(ours.compute_type, ComputeType::Float16, "{name}");
            ours.compute_type = of_defaults.compute_type;
            (ours.cpu_threads, ours.num_workers) = (0, 0);
        }
        ours.model = of_defaults.model;
        ours.inference_device = of_defaults.inference_device;
        ours.batch_size = of_defaults.batch_size;
        ours.batch_window_ms = of_defaults.batch_window_ms;
        ours.max_queue_size = of_defaults.max_queue_size;
        ours.max_concurrent_requests = of_defaults.max_concurrent_requests;
        assert_eq!(settings, defaults, "{name}");
    }
}
