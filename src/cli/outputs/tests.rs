//! Names of output files, conflicts, and handling of existing files.

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    root
}

/// Plans outputs in txt and srt in a folder with these files; returns a line per recording with its files.
fn planned(
    files: &[&str],
    recordings: &[&str],
    output_dir: Option<&str>,
    existing: ExistingFiles,
) -> Result<Vec<String>, String> {
    let root = folder(files);
    let recordings = recordings.iter().map(|path| root.path().join(path));
    let output_dir = output_dir.map(|folder| root.path().join(folder));
    let formats = [((), "txt"), ((), "srt")];
    let plan = plan(
        recordings.collect(),
        &formats,
        output_dir.as_deref(),
        existing,
    );
    let below = format!("{}/", root.path().display());
    let shown = |path: &Path| path.display().to_string().replace(&below, "");
    let line = |planned: &RecordingOutputs<()>| {
        let outputs = planned.outputs.iter().map(|(_, path)| shown(path));
        let outputs: Vec<_> = outputs.collect();
        format!("{}: {}", shown(&planned.recording), outputs.join(" "))
    };
    match plan {
        Ok(plan) => Ok(plan.iter().map(line).collect()),
        Err(error) => Err(error.to_string().replace(&below, "")),
    }
}

#[track_caller]
fn check(recordings: &[&str], output_dir: Option<&str>, expected: &[&str]) {
    let lines = planned(recordings, recordings, output_dir, ExistingFiles::Refuse);
    assert_eq!(lines.unwrap(), expected);
}

#[track_caller]
fn check_refused(files: &[&str], recordings: &[&str], existing: ExistingFiles, expected: &str) {
    let error = planned(files, recordings, None, existing).unwrap_err();
    assert!(error.contains(expected), "no {expected:?} in {error}");
}

#[test]
fn writes_next_to_each_recording_or_into_a_folder() {
    check(&["a.mp3"], None, &["a.mp3: a.txt a.srt"]);
    check(&["d/a.mp3"], None, &["d/a.mp3: d/a.txt d/a.srt"]);
    check(&["d/a.mp3"], Some("out"), &["d/a.mp3: out/a.txt out/a.srt"]);
    check(&["a"], None, &["a: a.txt a.srt"]);
    check(&["a.b.mp3"], None, &["a.b.mp3: a.b.txt a.b.srt"]);
}

#[test]
fn recordings_with_the_same_stem_keep_their_extensions() {
    check(
        &["a.mp3", "./a.wav", "b.wav"],
        None,
        &[
            "a.mp3: a.mp3.txt a.mp3.srt",
            "./a.wav: ./a.wav.txt ./a.wav.srt",
            "b.wav: b.txt b.srt",
        ],
    );
    check(
        &["d/a.mp3", "e/a.wav"],
        Some("out"),
        &[
            "d/a.mp3: out/a.mp3.txt out/a.mp3.srt",
            "e/a.wav: out/a.wav.txt out/a.wav.srt",
        ],
    );
}

#[test]
fn recordings_with_the_same_file_name_are_refused_in_one_folder() {
    let recordings = ["d/a.wav", "e/a.wav"];
    for existing in [
        ExistingFiles::Refuse,
        ExistingFiles::Skip,
        ExistingFiles::Overwrite,
    ] {
        let error = planned(&recordings, &recordings, Some("out"), existing).unwrap_err();
        let expected = "d/a.wav and e/a.wav would both be written to out/a.wav.txt";
        assert!(error.contains(expected), "{error}");
    }
    let recordings = ["a.mp3", "a.wav", "a.mp3.ogg"];
    let expected = "a.mp3 and a.mp3.ogg would both be written to a.mp3.txt";
    check_refused(&recordings, &recordings, ExistingFiles::Refuse, expected);
}

#[test]
fn a_recording_is_never_overwritten() {
    for existing in [
        ExistingFiles::Refuse,
        ExistingFiles::Skip,
        ExistingFiles::Overwrite,
    ] {
        let expected = "voice.txt is a recording, and the text of voice.txt would overwrite it";
        check_refused(&["voice.txt"], &["voice.txt"], existing, expected);
        let recordings = ["a.mp3", "a.wav", "a.mp3.srt"];
        let expected = "a.mp3.srt is a recording, and the text of a.mp3 would overwrite it";
        check_refused(&recordings, &recordings, existing, expected);
    }
}

#[test]
fn existing_files_are_kept_unless_overwriting_is_requested() {
    let files = ["a.wav", "a.txt", "b.wav", "b.srt", "b.txt", "c.wav"];
    let recordings = ["a.wav", "b.wav", "c.wav"];
    let planned = |existing| planned(&files, &recordings, None, existing);

    let refused = planned(ExistingFiles::Refuse).unwrap_err();
    for expected in ["a.txt already exists", "b.srt already exists", "--force"] {
        assert!(refused.contains(expected), "{refused}");
    }
    assert_eq!(
        planned(ExistingFiles::Skip).unwrap(),
        ["a.wav: a.srt", "c.wav: c.txt c.srt"]
    );
    assert_eq!(
        planned(ExistingFiles::Overwrite).unwrap(),
        [
            "a.wav: a.txt a.srt",
            "b.wav: b.txt b.srt",
            "c.wav: c.txt c.srt"
        ]
    );
}

#[test]
fn an_error_names_at_most_ten_files() {
    let names: Vec<_> = (0..20).map(|number| format!("{number}.wav")).collect();
    let texts: Vec<_> = (0..20).map(|number| format!("{number}.txt")).collect();
    let recordings: Vec<_> = names.iter().map(String::as_str).collect();
    let files: Vec<_> = names.iter().chain(&texts).map(String::as_str).collect();
    let error = planned(&files, &recordings, None, ExistingFiles::Refuse).unwrap_err();
    assert!(error.contains("and 10 more"), "{error}");
    assert_eq!(error.lines().count(), 13, "{error}");
}

#[test]
fn a_file_created_in_the_meantime_is_kept() {
    let root = folder(&["notes.txt"]);
    let path = root.path().join("notes.txt");
    for existing in [ExistingFiles::Refuse, ExistingFiles::Skip] {
        let error = write_atomically(&path, "new", existing).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    }
    write_atomically(&path, "new", ExistingFiles::Overwrite).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}
