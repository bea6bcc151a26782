//! The commands `config` and `doctor`, and escaping of names in all commands.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::speech::{models_dir, sample};

/// Runs the program with these arguments and variables in `folder`.
fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halkspeech"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("UVICORN_PORT", "0")
        .env("HF_HUB_CACHE", folder.join("hub"))
        .envs(variables.iter().copied());
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn config_prints_the_settings_with_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("WHISPER__BATCH_SIZE", "3"), ("API_KEYS", "x")];

    let output = run(folder.path(), &["config", "--model", "tiny"], &variables);

    assert!(output.status.success());
    let table = stdout(&output);
    let line = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("whisper.model "), "whisper.model tiny flag --model");
    let batch_size = "whisper.batch_size 3 environment WHISPER__BATCH_SIZE";
    assert_eq!(line("whisper.batch_size"), batch_size);
    assert_eq!(line("log.level"), "log.level info default");
    let warning = "warning: API_KEYS in the environment is no setting";
    assert!(stderr(&output).starts_with(warning), "{}", stderr(&output));

    let output = run(folder.path(), &["config"], &[("UVICORN_PORT", "http")]);
    assert_eq!(output.status.code(), Some(1));
    let error = "halkspeech: UVICORN_PORT is \"http\", expected a whole number";
    assert!(stderr(&output).starts_with(error), "{}", stderr(&output));
}

#[test]
fn doctor_prints_a_line_per_check_and_fails_on_errors() {
    let folder = tempfile::tempdir().unwrap();
    let models = models_dir();
    let models = models.to_str().unwrap();
    let doctor = |variables: &[(&str, &str)]| run(folder.path(), &["doctor"], variables);

    let good = doctor(&[("MODELS_DIR", models), ("WHISPER__MODEL", "base")]);
    let lines = stdout(&good);
    assert!(good.status.success(), "{lines}");
    for subject in [
        "settings",
        "device",
        "models",
        "memory",
        "live",
        "downloads",
        "port",
        "keys",
        "ffmpeg",
        "temporary files",
        "descriptors",
    ] {
        let is_of = |line: &&str| line[9..].starts_with(subject);
        assert_eq!(lines.lines().filter(is_of).count(), 1, "{subject}: {lines}");
    }

    for (variable, value, expected) in [
        (
            "WHISPER__BATCH_SIZE",
            "0",
            "error    settings         WHISPER__BATCH_SIZE is \"0\"",
        ),
        (
            "MODELS_DIR",
            "/gone",
            "warning  models           MODELS_DIR is /gone, which cannot be read",
        ),
        (
            "MODELS_DIR",
            "/gone",
            "error    models           the default model base",
        ),
        (
            "WHISPER__COMPUTE_TYPE",
            "float16",
            "error    device           WHISPER__COMPUTE_TYPE is",
        ),
        (
            "TMPDIR",
            "/gone",
            "error    temporary files  no temporary file can be created in /gone",
        ),
    ] {
        let cpu = ("WHISPER__INFERENCE_DEVICE", "cpu");
        let output = doctor(&[cpu, ("WHISPER__MODEL", "base"), (variable, value)]);
        let lines = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{lines}");
        assert!(
            lines.lines().any(|line| line.starts_with(expected)),
            "{expected}: {lines}"
        );
    }
}

#[test]
fn escape_sequences_in_names_are_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a\u{1b}[2Jb\u{9b}.wav";
    fs::write(folder.path().join(name), "no audio").unwrap();
    fs::write(folder.path().join("ok.wav"), sample()).unwrap();
    let models = models_dir();
    let variables = [("MODELS_DIR", models.to_str().unwrap())];
    let model = "../\u{1b}]0;x";
    let gone = "gone\u{1b}[1m.wav";
    for arguments in [
        &["transcribe", "-m", "tiny.en", name][..],
        &["transcribe", "-m", "tiny.en", gone],
        &[
            "transcribe",
            "-m",
            "tiny.en",
            "--force",
            "ok.wav",
            "-o",
            name,
        ],
        &["transcribe", "-m", model, "ok.wav"],
        &["transcribe", gone, "--none\u{1b}"],
        &["models", "show", model],
        &["models", "rm", model],
        &["models", "pull", model],
        &["bench", "--url", "http://127.0.0.1:9", gone],
        &["health", "--url", "http://127.0.0.1:9/\u{1b}"],
        &["config", "--config", gone],
        &["doctor", "--config", gone],
    ] {
        let output = run(folder.path(), arguments, &variables);

        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let printed = stdout(&output) + &stderr(&output);
        let is_raw = |c: char| c.is_control() && c != '\n';
        assert!(!printed.contains(is_raw), "{arguments:?}: {printed:?}");
        assert!(printed.contains(r"\u{1b}"), "{arguments:?}: {printed}");
    }
}

#[test]
fn the_models_dir_flag_is_accepted_after_the_action() {
    let folder = tempfile::tempdir().unwrap();
    let models = models_dir();
    let arguments = ["models", "list", "--models-dir", models.to_str().unwrap()];
    let list = stdout(&run(folder.path(), &arguments, &[]));
    assert!(list.contains("tiny.en"), "{list}");

    let wrong = run(
        folder.path(),
        &["models", "list"],
        &[("MODELS_DIR", "/gone")],
    );
    let warning = "warning: MODELS_DIR is /gone, which cannot be read";
    assert!(stderr(&wrong).starts_with(warning), "{}", stderr(&wrong));
}

#[test]
fn the_only_model_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("talk.wav"), sample()).unwrap();
    // A folder of models instead of the cache, as in a container.
    fs::create_dir(folder.path().join("hub")).unwrap();
    let model = folder.path().join("hub/mine");
    std::os::unix::fs::symlink(models_dir().join("tiny.en"), model).unwrap();

    let output = run(
        folder.path(),
        &["transcribe", "talk.wav"],
        &[("MODELS_DIR", "/gone")],
    );

    assert_eq!(stdout(&output), "talk.txt\n", "{}", stderr(&output));
}
