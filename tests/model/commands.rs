//! The command line, without a server.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::speech::{SENTENCE, models_dir, sample, words};

/// Runs the program with these arguments in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halkspeech"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("MODELS_DIR", models_dir())
        .env("HF_HUB_CACHE", folder.join("hub"))
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn writes_a_recording_down_beside_it_in_each_format() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("talk.wav"), sample()).unwrap();

    let output = run(
        folder.path(),
        &[
            "transcribe",
            "-m",
            "tiny.en",
            "-f",
            "txt,srt,vtt,json",
            "--words",
            "talk.wav",
        ],
    );

    assert_eq!(stderr(&output), "", "no bar where nobody looks");
    assert!(output.status.success());
    assert_eq!(stdout(&output), "talk.txt\ntalk.srt\ntalk.vtt\ntalk.json\n");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(words(&read("talk.txt")), words(SENTENCE));
    assert!(read("talk.srt").starts_with("1\n00:00:0"));
    assert!(read("talk.vtt").starts_with("WEBVTT\n\n00:00:0"));
    let json: Value = serde_json::from_str(&read("talk.json")).unwrap();
    assert_eq!(words(json["text"].as_str().unwrap()), words(SENTENCE));
    assert_eq!(
        json["words"].as_array().unwrap().len(),
        words(SENTENCE).len()
    );
}

#[test]
fn a_bad_recording_among_good_ones_is_named_and_makes_the_exit_code_one() {
    let folder = tempfile::tempdir().unwrap();
    let recordings = folder.path().join("recordings/deep");
    fs::create_dir_all(&recordings).unwrap();
    for name in ["a.wav", "b.wav"] {
        fs::write(recordings.join(name), sample()).unwrap();
    }
    fs::write(recordings.join("bad.mp3"), "no audio at all").unwrap();
    fs::write(recordings.join("notes.md"), "no recording").unwrap();

    let output = run(
        folder.path(),
        &[
            "transcribe",
            "-m",
            "tiny.en",
            "-o",
            "out",
            "recordings",
            "gone.wav",
        ],
    );

    assert_eq!(output.status.code(), Some(1));
    let errors = stderr(&output);
    for piece in [
        "bad.mp3: ",
        "gone.wav: cannot be read",
        "2 of 4 recordings were not written down",
    ] {
        assert!(errors.contains(piece), "no {piece:?} in {errors}");
    }
    assert_eq!(stdout(&output), "out/a.txt\nout/b.txt\n");
    let text = fs::read_to_string(folder.path().join("out/b.txt")).unwrap();
    assert_eq!(words(&text), words(SENTENCE));
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 2);
}

#[test]
fn prints_instead_of_writing_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("talk.wav"), sample()).unwrap();

    let output = run(
        folder.path(),
        &["transcribe", "-m", "tiny.en", "--stdout", "talk.wav"],
    );

    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(words(&stdout(&output)), words(SENTENCE));
    assert!(!folder.path().join("talk.txt").exists());
}

#[test]
fn what_cannot_work_is_said_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("talk.wav"), sample()).unwrap();
    for (arguments, code, piece) in [
        (
            &["transcribe", "-m", "owner/none", "talk.wav"][..],
            1,
            "halkspeech models pull owner/none",
        ),
        (
            &["transcribe", "-m", "../base", "talk.wav"],
            1,
            "names no model",
        ),
        (&["transcribe", "-l", "klingon", "talk.wav"], 2, "klingon"),
        (&["transcribe"], 2, "FILE"),
        (&["bench"], 2, "--manifest"),
        (
            &["bench", "--url", "http://192.0.2.1", "talk.wav"],
            2,
            "--allow-remote",
        ),
        (&["bench", "none.wav"], 1, "none.wav"),
        (&["models", "show", "owner/none"], 1, "models list"),
        (&["models", "rm", "owner/none"], 1, "models list"),
        (&["models", "pull", "owner/none"], 1, "may not be asked"),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let errors = stderr(&output);
        assert!(errors.contains(piece), "no {piece:?} in {errors}");
    }
}

#[test]
fn lists_and_shows_the_models_on_disk() {
    let folder = tempfile::tempdir().unwrap();

    let list = stdout(&run(folder.path(), &["models", "list"]));

    let row = |id: &str| {
        let mut rows = list
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.find(|row| row[0] == id)
            .unwrap_or_else(|| panic!("no {id} in {list}"))
    };
    assert_eq!(
        row("MODEL"),
        ["MODEL", "FAMILY", "SIZE", "TYPE", "LANGUAGES"]
    );
    assert_eq!(row("tiny.en")[1], "tiny.en");
    assert_eq!(row("tiny.en").last(), Some(&"en"));
    assert_eq!(row("base")[1], "base");
    assert!(list.contains("99 languages"), "{list}");

    let shown = stdout(&run(folder.path(), &["models", "show", "base"]));
    for piece in ["6 encoder, 6 decoder", "whisper-1", " tr "] {
        assert!(shown.contains(piece), "no {piece:?} in {shown}");
    }
}

#[test]
fn help_and_completions_tell_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["completions", "bash"]] {
        let output = run(folder.path(), arguments);
        assert!(output.status.success());
        for command in [
            "serve",
            "transcribe",
            "models",
            "bench",
            "health",
            "completions",
        ] {
            assert!(
                stdout(&output).contains(command),
                "{arguments:?} lacks {command}"
            );
        }
    }
}
