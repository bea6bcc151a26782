//! Plans the output files of all recordings before the first one is transcribed, and writes them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::{escape, inputs};

/// Most files that an error names.
const MAX_NAMED: usize = 10;

/// How existing output files are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingFiles {
    /// Fail before anything is transcribed.
    Refuse,
    /// Keep them and write the missing files.
    Skip,
    /// Overwrite them.
    Overwrite,
}

/// A recording and its output files.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordingOutputs<F> {
    /// The recording.
    pub recording: PathBuf,
    /// The formats with their files; no two recordings share a file.
    pub outputs: Vec<(F, PathBuf)>,
}

/// What a file is used for.
enum FileUse {
    Recording,
    OutputOf(PathBuf),
}

impl FileUse {
    /// Why the file cannot be written for this recording as well.
    fn conflict(&self, file: &Path, recording: &Path) -> String {
        let (file, recording) = (escape::path(file), escape::path(recording));
        match self {
            Self::Recording => {
                format!("{file} is a recording, and the text of {recording} would overwrite it")
            }
            Self::OutputOf(other) => {
                let other = escape::path(other);
                format!("{other} and {recording} would both be written to {file}")
            }
        }
    }
}

/// Plans the files of each recording in formats with these extensions, next to it or in `output_dir`.
/// Omits recordings whose files are all skipped.
///
/// # Errors
/// A file would be written twice, is a recording, or already exists; the error names such files.
pub fn plan<F: Copy>(
    recordings: Vec<PathBuf>,
    formats: &[(F, &str)],
    output_dir: Option<&Path>,
    existing: ExistingFiles,
) -> anyhow::Result<Vec<RecordingOutputs<F>>> {
    let stems = stems(&recordings, output_dir);
    let mut uses: HashMap<PathBuf, FileUse> = (recordings.iter())
        .map(|recording| (inputs::resolved_path(recording), FileUse::Recording))
        .collect();
    let (mut conflicts, mut present) = (Vec::new(), Vec::new());
    let mut planned = Vec::new();
    for (recording, stem) in recordings.into_iter().zip(stems) {
        let mut outputs = Vec::new();
        for (format, extension) in formats {
            let path = append_extension(&stem, extension);
            match uses.entry(inputs::resolved_path(&path)) {
                Entry::Occupied(other) => conflicts.push(other.get().conflict(&path, &recording)),
                Entry::Vacant(free) => {
                    free.insert(FileUse::OutputOf(recording.clone()));
                    if existing == ExistingFiles::Overwrite || !exists(&path) {
                        outputs.push((*format, path));
                    } else if existing == ExistingFiles::Refuse {
                        present.push(format!("{} already exists", escape::path(&path)));
                    }
                }
            }
        }
        if !outputs.is_empty() {
            planned.push(RecordingOutputs { recording, outputs });
        }
    }
    if !conflicts.is_empty() {
        let remedy = "write them to different folders, one run for each (--output-dir)";
        bail!("{}", error_message(&conflicts, remedy));
    }
    if !present.is_empty() {
        let remedy = "--skip-existing skips existing files, --force overwrites them";
        bail!("{}", error_message(&present, remedy));
    }
    Ok(planned)
}

/// Writes a file atomically: it is complete or does not exist.
///
/// # Errors
/// The system's error; also if the file exists and must not be overwritten.
pub fn write_atomically(path: &Path, text: &str, existing: ExistingFiles) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .permissions(PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    match existing {
        ExistingFiles::Overwrite => file.persist(path)?,
        // Another program may have written it since the check.
        ExistingFiles::Refuse | ExistingFiles::Skip => file.persist_noclobber(path)?,
    };
    Ok(())
}

/// The paths of each recording's files without their extensions.
fn stems(recordings: &[PathBuf], output_dir: Option<&Path>) -> Vec<PathBuf> {
    let with_extension = |recording: &Path| match output_dir {
        Some(folder) => folder.join(recording.file_name().unwrap_or_default()),
        None if recording.is_file() && !inputs::is_standard_input(recording) => {
            recording.to_owned()
        }
        // The folder of a pipe is not one for files.
        None => PathBuf::from(recording.file_name().unwrap_or_default()),
    };
    let paths: Vec<_> = recordings
        .iter()
        .map(|recording| with_extension(recording))
        .collect();
    let mut counts = HashMap::<_, usize>::new();
    for path in &paths {
        *counts
            .entry(inputs::resolved_path(&path.with_extension("")))
            .or_default() += 1;
    }
    let stem = |path: PathBuf| {
        let stem = path.with_extension("");
        // a.mp3 and a.wav would both become a.txt.
        let is_shared = counts[&inputs::resolved_path(&stem)] > 1;
        if is_shared { path } else { stem }
    };
    paths.into_iter().map(stem).collect()
}

fn append_extension(stem: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(stem);
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Whether the path exists; a broken link counts.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn error_message(problems: &[String], remedy: &str) -> String {
    let mut lines = vec!["nothing was transcribed:".to_owned()];
    lines.extend(problems.iter().take(MAX_NAMED).cloned());
    if problems.len() > MAX_NAMED {
        lines.push(format!("and {} more", problems.len() - MAX_NAMED));
    }
    lines.push(remedy.to_owned());
    lines.join("\n  ")
}

#[cfg(test)]
mod tests;
