//! Which recordings are meant, and what the files written for them are called.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What a folder's recordings end in; a file that is named itself may be called anything.
const EXTENSIONS: [&str; 21] = [
    "3gp", "aac", "aif", "aiff", "amr", "caf", "flac", "m4a", "mka", "mkv", "mov", "mp3", "mp4",
    "mpeg", "mpga", "oga", "ogg", "opus", "wav", "webm", "wma",
];

/// A recording.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// What is written is called so, and then by its format.
    output: PathBuf,
}

impl Input {
    /// The file to write in the format of this extension.
    pub fn output(&self, extension: &str) -> PathBuf {
        let mut name = OsString::from(&self.output);
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    }
}

/// The recordings that `paths` mean, folders searched to any depth, in order; beside them what is
/// wrong with the paths that mean none. What is written goes beside each, or into `output_dir`.
pub fn collect(paths: &[PathBuf], output_dir: Option<&Path>) -> (Vec<Input>, Vec<anyhow::Error>) {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let found = files.len();
        match add(path, &mut files, Origin::Named) {
            Ok(()) if files.len() == found => {
                errors.push(anyhow::anyhow!("{}: no recordings in it", path.display()));
            }
            Ok(()) => {}
            Err(error) => errors.push(error.context(path.display().to_string())),
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file: &PathBuf| seen.insert(file.clone()));

    let beside = |file: &Path| match output_dir {
        Some(folder) => folder.join(file.file_name().unwrap_or_default()),
        None => file.to_owned(),
    };
    let mut same = HashMap::<_, usize>::new();
    for file in &files {
        *same.entry(beside(file).with_extension("")).or_default() += 1;
    }
    let input = |path: PathBuf| {
        let whole = beside(&path);
        let short = whole.with_extension("");
        // a.mp3 and a.wav would both become a.txt.
        let output = if same[&short] > 1 { whole } else { short };
        Input { path, output }
    };
    (files.into_iter().map(input).collect(), errors)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Named,
    InFolder,
}

fn add(path: &Path, files: &mut Vec<PathBuf>, origin: Origin) -> anyhow::Result<()> {
    let kind = fs::metadata(path).context("cannot be read")?;
    if kind.is_dir() {
        let entries = fs::read_dir(path).context("cannot be read")?;
        let mut inside = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        inside.sort();
        for path in inside {
            // What cannot be read inside a folder was not asked for by name.
            let _unreadable = add(&path, files, Origin::InFolder);
        }
    } else if origin == Origin::Named || is_recording(path) {
        files.push(path.to_owned());
    }
    Ok(())
}

fn is_recording(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        let extension = extension.to_ascii_lowercase();
        EXTENSIONS.contains(&extension.as_str())
    })
}

#[cfg(test)]
mod tests {
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

    #[track_caller]
    fn check(files: &[&str], paths: &[&str], output_dir: Option<&str>, outputs: &[(&str, &str)]) {
        let root = folder(files);
        let paths: Vec<_> = paths.iter().map(|path| root.path().join(path)).collect();
        let output_dir = output_dir.map(|folder| root.path().join(folder));
        let (inputs, errors) = collect(&paths, output_dir.as_deref());
        assert_eq!(errors.len(), 0, "{errors:?}");
        let below = |path: &Path| {
            let path = path.strip_prefix(root.path()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let found: Vec<_> = inputs
            .iter()
            .map(|input| (below(&input.path), below(&input.output("txt"))))
            .collect();
        let expected: Vec<_> = outputs
            .iter()
            .map(|(path, output)| ((*path).to_owned(), (*output).to_owned()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn writes_beside_each_recording_or_into_a_folder() {
        check(&["a.mp3"], &["a.mp3"], None, &[("a.mp3", "a.txt")]);
        check(
            &["d/a.mp3"],
            &["d/a.mp3"],
            Some("out"),
            &[("d/a.mp3", "out/a.txt")],
        );
        check(
            &["no_extension"],
            &["no_extension"],
            None,
            &[("no_extension", "no_extension.txt")],
        );
        check(&["a.b.mp3"], &["a.b.mp3"], None, &[("a.b.mp3", "a.b.txt")]);
    }

    #[test]
    fn two_recordings_of_one_name_keep_their_endings() {
        check(
            &["a.mp3", "a.wav", "b.wav"],
            &["a.mp3", "a.wav", "b.wav"],
            None,
            &[
                ("a.mp3", "a.mp3.txt"),
                ("a.wav", "a.wav.txt"),
                ("b.wav", "b.txt"),
            ],
        );
        check(
            &["d/a.mp3", "e/a.wav"],
            &["d", "e"],
            Some("out"),
            &[("d/a.mp3", "out/a.mp3.txt"), ("e/a.wav", "out/a.wav.txt")],
        );
    }

    #[test]
    fn a_folder_means_its_recordings_in_order() {
        check(
            &["b.OGG", "a.wav", "a.txt", "sub/c.flac", "README"],
            &["."],
            None,
            &[
                ("a.wav", "a.txt"),
                ("b.OGG", "b.txt"),
                ("sub/c.flac", "sub/c.txt"),
            ],
        );
        check(&["a.wav"], &["a.wav", "a.wav"], None, &[("a.wav", "a.txt")]);
    }

    #[test]
    fn names_what_is_not_there() {
        let root = folder(&["empty/README"]);
        let paths = ["none.wav", "empty"].map(|path| root.path().join(path));
        let (inputs, errors) = collect(&paths, None);
        assert_eq!(inputs, []);
        let errors: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
        assert!(errors[0].contains("none.wav: cannot be read"), "{errors:?}");
        assert!(
            errors[1].contains("empty: no recordings in it"),
            "{errors:?}"
        );
    }
}
