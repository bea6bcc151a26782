//! The command line, without a server.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::speech::{SENTENCE, models_dir, sample, words};

/// Runs the program with these arguments in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder, arguments).output().unwrap()
}

/// The program with these arguments in `folder`.
fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halkspeech"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("MODELS_DIR", models_dir())
        .env("HF_HUB_CACHE", folder.join("hub"))
        .env("HF_HUB_OFFLINE", "1");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn writes_each_format_next_to_the_recording() {
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

    assert_eq!(stderr(&output), "", "no progress bar without a terminal");
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
fn a_failed_recording_is_named_and_the_exit_code_is_one() {
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
    for expected in [
        "bad.mp3: ",
        "gone.wav: cannot be read",
        "2 of 4 recordings were not transcribed",
    ] {
        assert!(errors.contains(expected), "no {expected:?} in {errors}");
    }
    assert_eq!(stdout(&output), "out/a.txt\nout/b.txt\n");
    let text = fs::read_to_string(folder.path().join("out/b.txt")).unwrap();
    assert_eq!(words(&text), words(SENTENCE));
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 2);
}

#[test]
fn prints_to_standard_output_on_request() {
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
fn nothing_is_transcribed_if_output_files_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["d", "e", "out"] {
        fs::create_dir(path(name)).unwrap();
    }
    for name in ["d/a.wav", "e/a.wav", "talk.wav", "voice.txt"] {
        fs::write(path(name), sample()).unwrap();
    }
    fs::write(path("talk.txt"), "my notes").unwrap();

    for (arguments, expected) in [
        (
            &["-o", "out", "d/a.wav", "e/a.wav"][..],
            "d/a.wav and e/a.wav would both be written to out/a.wav.txt",
        ),
        (&["d/a.wav", "talk.wav"], "talk.txt already exists"),
        (&["--force", "voice.txt"], "voice.txt is a recording"),
    ] {
        let arguments = [&["transcribe", "-m", "tiny.en"], arguments].concat();
        let output = run(folder.path(), &arguments);

        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let errors = stderr(&output);
        assert!(errors.contains(expected), "no {expected:?} in {errors}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    assert_eq!(fs::read(path("voice.txt")).unwrap(), sample());
    assert_eq!(fs::read(path("talk.txt")).unwrap(), b"my notes");
    assert_eq!(fs::read_dir(path("out")).unwrap().count(), 0);
    assert!(!path("d/a.txt").exists());
}

#[test]
fn skip_existing_continues_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a.wav", "b.wav"] {
        fs::write(path(name), sample()).unwrap();
    }
    fs::write(path("a.txt"), "done before").unwrap();
    let transcribe = |flag| run(folder.path(), &["transcribe", "-m", "tiny.en", flag, "."]);

    let first = transcribe("--skip-existing");
    let second = transcribe("--skip-existing");
    let kept = fs::read_to_string(path("a.txt")).unwrap();
    let third = transcribe("--force");

    assert_eq!(stdout(&first), "./b.txt\n", "{}", stderr(&first));
    assert_eq!(
        (stdout(&second).as_str(), second.status.code()),
        ("", Some(0))
    );
    assert_eq!(kept, "done before");
    assert_eq!(stdout(&third), "./a.txt\n./b.txt\n", "{}", stderr(&third));
    let text = fs::read_to_string(path("a.txt")).unwrap();
    assert_eq!(words(&text), words(SENTENCE));
}

#[test]
fn standard_input_is_transcribed() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    fs::write(&input, sample()).unwrap();

    let mut piped = program(
        folder.path(),
        &["transcribe", "-m", "tiny.en", "--stdout", "-"],
    );
    piped.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut piped = piped.spawn().unwrap();
    let mut pipe = piped.stdin.take().unwrap();
    pipe.write_all(&sample()).unwrap();
    drop(pipe);
    let piped = piped.wait_with_output().unwrap();
    let mut redirected = program(
        folder.path(),
        &["transcribe", "-m", "tiny.en", "/dev/stdin"],
    );
    redirected.stdin(File::open(&input).unwrap());
    let redirected = redirected.output().unwrap();

    assert_eq!(words(&stdout(&piped)), words(SENTENCE));
    assert_eq!(
        stdout(&redirected),
        "stdin.txt\n",
        "{}",
        stderr(&redirected)
    );
    let text = fs::read_to_string(folder.path().join("stdin.txt")).unwrap();
    assert_eq!(words(&text), words(SENTENCE));
}

#[test]
fn invalid_arguments_are_reported_with_their_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("talk.wav"), sample()).unwrap();
    for (arguments, code, expected) in [
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
        (
            &["models", "pull", "owner/none"],
            1,
            "requests to the hub are disabled",
        ),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let errors = stderr(&output);
        assert!(errors.contains(expected), "no {expected:?} in {errors}");
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
    for expected in ["6 encoder, 6 decoder", "whisper-1", " tr "] {
        assert!(shown.contains(expected), "no {expected:?} in {shown}");
    }
}

#[test]
fn help_and_completions_contain_every_command() {
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
