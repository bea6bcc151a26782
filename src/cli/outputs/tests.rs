//! What files are called, and which are not touched.

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

/// What is planned in txt and srt below a folder with these files: recordings with their files.
fn planned(
    files: &[&str],
    recordings: &[&str],
    output_dir: Option<&str>,
    existing: Existing,
) -> Result<Vec<String>, String> {
    let root = folder(files);
    let recordings = recordings.iter().map(|path| root.path().join(path));
    let output_dir = output_dir.map(|folder| root.path().join(folder));
    let formats = [((), "txt"), ((), "srt")];
    let works = plan(
        recordings.collect(),
        &formats,
        output_dir.as_deref(),
        existing,
    );
    let below = format!("{}/", root.path().display());
    let shown = |path: &Path| path.display().to_string().replace(&below, "");
    let line = |work: &Work<()>| {
        let outputs = work.outputs.iter().map(|(_, path)| shown(path));
        let outputs: Vec<_> = outputs.collect();
        format!("{}: {}", shown(&work.recording), outputs.join(" "))
    };
    match works {
        Ok(works) => Ok(works.iter().map(line).collect()),
        Err(error) => Err(error.to_string().replace(&below, "")),
    }
}

#[track_caller]
fn check(recordings: &[&str], output_dir: Option<&str>, expected: &[&str]) {
    let works = planned(recordings, recordings, output_dir, Existing::Refuse);
    assert_eq!(works.unwrap(), expected);
}

#[track_caller]
fn check_refused(files: &[&str], recordings: &[&str], existing: Existing, piece: &str) {
    let error = planned(files, recordings, None, existing).unwrap_err();
    assert!(error.contains(piece), "no {piece:?} in {error}");
}

#[test]
fn writes_beside_each_recording_or_into_a_folder() {
    check(&["a.mp3"], None, &["a.mp3: a.txt a.srt"]);
    check(&["d/a.mp3"], None, &["d/a.mp3: d/a.txt d/a.srt"]);
    check(&["d/a.mp3"], Some("out"), &["d/a.mp3: out/a.txt out/a.srt"]);
    check(&["a"], None, &["a: a.txt a.srt"]);
    check(&["a.b.mp3"], None, &["a.b.mp3: a.b.txt a.b.srt"]);
}

#[test]
fn two_recordings_of_one_name_keep_their_endings() {
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
fn two_recordings_of_one_file_name_do_not_go_into_one_folder() {
    let recordings = ["d/a.wav", "e/a.wav"];
    for existing in [Existing::Refuse, Existing::Skip, Existing::Overwrite] {
        let error = planned(&recordings, &recordings, Some("out"), existing).unwrap_err();
        let piece = "d/a.wav and e/a.wav would both be written to out/a.wav.txt";
        assert!(error.contains(piece), "{error}");
    }
    let recordings = ["a.mp3", "a.wav", "a.mp3.ogg"];
    let piece = "a.mp3 and a.mp3.ogg would both be written to a.mp3.txt";
    check_refused(&recordings, &recordings, Existing::Refuse, piece);
}

#[test]
fn no_recording_is_written_to_whatever_it_is_called() {
    for existing in [Existing::Refuse, Existing::Skip, Existing::Overwrite] {
        let piece = "voice.txt is a recording, and the text of voice.txt would overwrite it";
        check_refused(&["voice.txt"], &["voice.txt"], existing, piece);
        let recordings = ["a.mp3", "a.wav", "a.mp3.srt"];
        let piece = "a.mp3.srt is a recording, and the text of a.mp3 would overwrite it";
        check_refused(&recordings, &recordings, existing, piece);
    }
}

#[test]
fn what_is_there_is_kept_unless_it_is_to_be_overwritten() {
    let files = ["a.wav", "a.txt", "b.wav", "b.srt", "b.txt", "c.wav"];
    let recordings = ["a.wav", "b.wav", "c.wav"];
    let planned = |existing| planned(&files, &recordings, None, existing);

    let refused = planned(Existing::Refuse).unwrap_err();
    for line in [
        "a.txt is there already",
        "b.srt is there already",
        "--force",
    ] {
        assert!(refused.contains(line), "{refused}");
    }
    assert_eq!(
        planned(Existing::Skip).unwrap(),
        ["a.wav: a.srt", "c.wav: c.txt c.srt"]
    );
    assert_eq!(
        planned(Existing::Overwrite).unwrap(),
        [
            "a.wav: a.txt a.srt",
            "b.wav: b.txt b.srt",
            "c.wav: c.txt c.srt"
        ]
    );
}

#[test]
fn a_refusal_names_some_of_many_files() {
    let names: Vec<_> = (0..20).map(|number| format!("{number}.wav")).collect();
    let texts: Vec<_> = (0..20).map(|number| format!("{number}.txt")).collect();
    let recordings: Vec<_> = names.iter().map(String::as_str).collect();
    let files: Vec<_> = names.iter().chain(&texts).map(String::as_str).collect();
    let error = planned(&files, &recordings, None, Existing::Refuse).unwrap_err();
    assert!(error.contains("and 10 more"), "{error}");
    assert_eq!(error.lines().count(), 13, "{error}");
}

#[test]
fn what_came_in_the_meantime_is_kept_too() {
    let root = folder(&["notes.txt"]);
    let path = root.path().join("notes.txt");
    for existing in [Existing::Refuse, Existing::Skip] {
        let error = write_whole(&path, "new", existing).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    }
    write_whole(&path, "new", Existing::Overwrite).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
}
