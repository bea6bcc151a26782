//! The load generator, against a server with real weights.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::server::Server;
use super::speech::{SENTENCE, sample};

/// Runs `halkspeech bench` with these arguments against `server`.
fn bench(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_halkspeech"))
        .args(["bench", "--url", &server.url("")])
        .args(arguments)
        .env_clear()
        .env("API_KEY", "let me in")
        .output()
        .unwrap()
}

#[test]
fn measures_a_server_under_closed_and_open_load() {
    let server = Server::start(&[("WHISPER__MODEL", "tiny.en"), ("API_KEY", "let me in")]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("talk.wav"), sample()).unwrap();
    let line = json!({"file": "talk.wav", "language": "en", "text": SENTENCE, "kind": "short"});
    let manifest = folder.path().join("manifest.jsonl");
    fs::write(&manifest, format!("{line}\n")).unwrap();
    let manifest = manifest.to_str().unwrap();

    for (load, loads) in [
        (&["--concurrency", "1,4", "-n", "8"][..], 2),
        (&["--rate", "4", "--arrivals", "poisson", "-n", "8"], 1),
    ] {
        let arguments = ["--manifest", manifest, "--send-language", "--json", "-"];
        let output = bench(&server, &[&arguments[..], load].concat());

        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(errors, "", "no progress bar without a terminal");
        assert_eq!(output.status.code(), Some(0));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["clips"], 1);
        let runs = report["runs"].as_array().unwrap();
        assert_eq!(runs.len(), loads);
        for run in runs {
            assert_eq!(run["ok"], 8, "{run}");
            assert_eq!(run["errors"], json!({}));
            assert_eq!(run["words_wrong"], 0, "{run}");
            assert_eq!(run["word_error_rate"], 0.0);
            assert_eq!(run["words"], 8 * 22);
            assert_eq!(run["clips_with_several_texts"], 0);
            assert!(run["mean_batch"].as_f64().unwrap() >= 1.0);
            let number = |name: &str| run[name].as_f64().unwrap();
            let audio_s = number("audio_s_per_s") * number("seconds");
            // The server reports a duration of 11 s.
            assert!((audio_s - 88.0).abs() < 0.1, "{audio_s}");
        }
    }
}

#[test]
fn prints_a_table_and_exits_with_one_if_requests_are_refused() {
    let server = Server::with_model("tiny.en");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("talk.wav"), sample()).unwrap();
    let clip = folder.path().join("talk.wav");

    let fields = ["--form", "response_format=klingon", "-c", "2", "-n", "3"];
    let output = bench(&server, &[&fields[..], &[clip.to_str().unwrap()]].concat());

    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<_> = table.lines().map(str::trim_start).collect();
    assert!(rows[3].starts_with("callers  requests  failed"), "{table}");
    assert!(rows[4].starts_with("2         3       3"), "{table}");
    let errors = String::from_utf8(output.stderr).unwrap();
    for expected in ["3 of 3 requests were not answered", "3 × 400: ", "klingon"] {
        assert!(errors.contains(expected), "no {expected:?} in {errors}");
    }
}
