//! Finds the recordings that command-line paths refer to, and opens them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::escape;

/// Extensions of recordings in a folder; a file that is named directly may have any name.
const EXTENSIONS: [&str; 21] = [
    "3gp", "aac", "aif", "aiff", "amr", "caf", "flac", "m4a", "mka", "mkv", "mov", "mp3", "mp4",
    "mpeg", "mpga", "oga", "ogg", "opus", "wav", "webm", "wma",
];

/// The path of standard input; `-` is an alias.
const STANDARD_INPUT: &str = "/dev/stdin";

/// The recordings at `paths`, with folders searched recursively, each once and in order; and an error for
/// each path without recordings.
pub fn collect(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<anyhow::Error>) {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        match recordings_at(path) {
            Ok(recordings) => files.extend(recordings),
            Err(error) => errors.push(error.context(escape::path(path))),
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(resolved_path(file)));
    (files, errors)
}

/// Opens a recording as a seekable file. A pipe is read to its end into a temporary file first.
///
/// # Errors
/// The system's error.
pub fn open(path: &Path) -> io::Result<File> {
    let mut file = if is_standard_input(path) {
        // Not by its path: opening a named pipe again would wait for another writer.
        File::from(io::stdin().as_fd().try_clone_to_owned()?)
    } else {
        File::open(path)?
    };
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut spooled = tempfile::tempfile()?;
    io::copy(&mut file, &mut spooled)?;
    spooled.rewind()?;
    Ok(spooled)
}

/// Whether it is a path of standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// The path of a file in its canonical folder. Links to files are not resolved.
pub fn resolved_path(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")));
    match (folder, file.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        // The folder does not exist yet.
        _ => file.to_owned(),
    }
}

/// The recordings at a path of the command line, at least one.
fn recordings_at(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path == Path::new("-") || is_standard_input(path) {
        return Ok(vec![PathBuf::from(STANDARD_INPUT)]);
    }
    let kind = fs::metadata(path).context("cannot be read")?;
    if kind.is_file() || kind.file_type().is_fifo() {
        return Ok(vec![path.to_owned()]);
    }
    if !kind.is_dir() {
        bail!("neither a file, a folder nor a pipe");
    }
    let mut files = Vec::new();
    search_folder(path, &mut files, &mut HashSet::new()).context("cannot be read")?;
    if files.is_empty() {
        bail!("no recordings in it");
    }
    Ok(files)
}

/// Finds the recordings in a folder. Links may form a cycle, so each folder is searched once; pipes and
/// devices in it are skipped, because reading one could block forever.
fn search_folder(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    searched: &mut HashSet<(u64, u64)>,
) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    if !searched.insert((metadata.dev(), metadata.ino())) {
        return Ok(());
    }
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        // An unreadable file in a folder is skipped, because it was not named directly.
        let Ok(kind) = fs::metadata(&path) else {
            continue;
        };
        if kind.is_dir() {
            let _unreadable = search_folder(&path, files, searched);
        } else if kind.is_file() && is_recording(&path) {
            files.push(path);
        }
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
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// A folder with these files; a name that ends in `|` is a pipe.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file.trim_end_matches('|'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if file.ends_with('|') {
                mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
            } else {
                fs::write(path, "x").unwrap();
            }
        }
        root
    }

    #[track_caller]
    fn check(root: &Path, paths: &[&str], expected: &[&str]) {
        let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
        let (files, errors) = collect(&paths);
        assert_eq!(errors.len(), 0, "{errors:?}");
        let expected: Vec<_> = expected.iter().map(|path| root.join(path)).collect();
        assert_eq!(files, expected);
    }

    #[test]
    fn a_folder_is_replaced_by_its_recordings_in_order() {
        let root = folder(&["b.OGG", "a.wav", "a.txt", "sub/c.flac", "README"]);
        check(root.path(), &["."], &["a.wav", "b.OGG", "sub/c.flac"]);
    }

    #[test]
    fn a_recording_that_is_named_twice_is_listed_once() {
        let root = folder(&["a.wav", "sub/b.wav"]);
        check(root.path(), &["a.wav", "sub/../a.wav", "a.wav"], &["a.wav"]);
        check(root.path(), &["sub", "."], &["sub/b.wav", "a.wav"]);
        check(root.path(), &["sub", "sub"], &["sub/b.wav"]);
    }

    #[test]
    fn links_are_followed_and_cycles_end() {
        let root = folder(&["in/a.wav", "out/b.wav"]);
        let inside = root.path().join("in");
        for (link, target) in [
            ("l1", "."),
            ("l2", "."),
            ("l3", "../out"),
            ("c.wav", "a.wav"),
        ] {
            symlink(target, inside.join(link)).unwrap();
        }
        symlink("gone.wav", inside.join("d.wav")).unwrap();
        check(
            root.path(),
            &["in"],
            &["in/a.wav", "in/c.wav", "in/l3/b.wav"],
        );
    }

    #[test]
    fn a_pipe_is_a_recording_only_if_it_is_named_directly() {
        let root = folder(&["a.wav", "pipe.wav|"]);
        check(root.path(), &["."], &["a.wav"]);
        check(root.path(), &["pipe.wav"], &["pipe.wav"]);
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let root = folder(&["pipe|"]);
        let path = root.path().join("pipe");
        let mut text = String::new();
        std::thread::scope(|scope| {
            let writer = std::thread::Builder::new();
            let written = writer.spawn_scoped(scope, || fs::write(&path, "sound").unwrap());
            let mut file = open(&path).unwrap();
            file.read_to_string(&mut text).unwrap();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            written.unwrap().join().unwrap();
        });
        assert_eq!(text, "soundsound");
    }

    #[test]
    fn both_names_of_standard_input_are_the_same_recording() {
        let (files, errors) = collect(&["-".into(), "/dev/stdin".into()]);
        assert_eq!(files, [PathBuf::from("/dev/stdin")]);
        assert_eq!(errors.len(), 0, "{errors:?}");
    }

    #[test]
    fn an_error_names_each_path_without_recordings() {
        let root = folder(&["empty/README"]);
        let mut paths = ["none.wav", "empty"]
            .map(|path| root.path().join(path))
            .to_vec();
        paths.push("/dev/null".into());
        let (files, errors) = collect(&paths);
        assert_eq!(files.len(), 0, "{files:?}");
        let errors: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
        for (error, expected) in errors.iter().zip([
            "none.wav: cannot be read",
            "empty: no recordings in it",
            "/dev/null: neither a file",
        ]) {
            assert!(error.contains(expected), "{errors:?}");
        }
        assert_eq!(errors.len(), 3);
    }
}
