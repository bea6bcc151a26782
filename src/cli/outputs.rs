//! Which files are written for recordings, settled before the first one is transcribed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::{inputs, printed};

/// Most files that a refusal names.
const MAX_NAMED: usize = 10;

/// What is done with files that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They are kept, and nothing is done.
    Refuse,
    /// They are kept, and what is not there is written.
    Skip,
    /// They are written anew.
    Overwrite,
}

/// A recording, and the files to write for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Work<F> {
    /// The recording.
    pub recording: PathBuf,
    /// The formats with their files, which are all different from those of other recordings.
    pub outputs: Vec<(F, PathBuf)>,
}

/// What a file is for.
enum Use {
    Recording,
    OutputOf(PathBuf),
}

impl Use {
    /// Why the file cannot be written for this recording, too.
    fn fault(&self, file: &Path, recording: &Path) -> String {
        let (file, recording) = (printed::path(file), printed::path(recording));
        match self {
            Self::Recording => {
                format!("{file} is a recording, and the text of {recording} would overwrite it")
            }
            Self::OutputOf(other) => {
                let other = printed::path(other);
                format!("{other} and {recording} would both be written to {file}")
            }
        }
    }
}

/// The files for each recording in formats with these extensions, beside it or in `output_dir`.
/// Recordings of which nothing is left to write are left out.
///
/// # Errors
/// A file would be written twice, is a recording, or is there already; all such files are named.
pub fn plan<F: Copy>(
    recordings: Vec<PathBuf>,
    formats: &[(F, &str)],
    output_dir: Option<&Path>,
    existing: Existing,
) -> anyhow::Result<Vec<Work<F>>> {
    let stems = stems(&recordings, output_dir);
    let mut uses: HashMap<PathBuf, Use> = (recordings.iter())
        .map(|recording| (inputs::place(recording), Use::Recording))
        .collect();
    let (mut taken, mut present) = (Vec::new(), Vec::new());
    let mut works = Vec::new();
    for (recording, stem) in recordings.into_iter().zip(stems) {
        let mut outputs = Vec::new();
        for (format, extension) in formats {
            let path = with_ending(&stem, extension);
            match uses.entry(inputs::place(&path)) {
                Entry::Occupied(other) => taken.push(other.get().fault(&path, &recording)),
                Entry::Vacant(free) => {
                    free.insert(Use::OutputOf(recording.clone()));
                    if existing == Existing::Overwrite || !is_there(&path) {
                        outputs.push((*format, path));
                    } else if existing == Existing::Refuse {
                        present.push(format!("{} is there already", printed::path(&path)));
                    }
                }
            }
        }
        if !outputs.is_empty() {
            works.push(Work { recording, outputs });
        }
    }
    if !taken.is_empty() {
        let way_out = "write them elsewhere, one after the other (--output-dir)";
        bail!("{}", refusal(&taken, way_out));
    }
    if !present.is_empty() {
        let way_out = "--skip-existing leaves out what is there, --force overwrites it";
        bail!("{}", refusal(&present, way_out));
    }
    Ok(works)
}

/// Writes a file that is there whole or not at all.
///
/// # Errors
/// The system's; also where the file is there and is not to be overwritten.
pub fn write_whole(path: &Path, text: &str, existing: Existing) -> io::Result<()> {
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
        Existing::Overwrite => file.persist(path)?,
        // Somebody may have written it since it was looked for.
        Existing::Refuse | Existing::Skip => file.persist_noclobber(path)?,
    };
    Ok(())
}

/// What the files of each recording are called before their endings.
fn stems(recordings: &[PathBuf], output_dir: Option<&Path>) -> Vec<PathBuf> {
    let whole = |recording: &Path| match output_dir {
        Some(folder) => folder.join(recording.file_name().unwrap_or_default()),
        None if recording.is_file() && !inputs::is_standard_input(recording) => {
            recording.to_owned()
        }
        // A pipe has no folder that files could go into.
        None => PathBuf::from(recording.file_name().unwrap_or_default()),
    };
    let wholes: Vec<_> = recordings
        .iter()
        .map(|recording| whole(recording))
        .collect();
    let mut same = HashMap::<_, usize>::new();
    for whole in &wholes {
        *same
            .entry(inputs::place(&whole.with_extension("")))
            .or_default() += 1;
    }
    let stem = |whole: PathBuf| {
        let short = whole.with_extension("");
        // a.mp3 and a.wav would both become a.txt.
        let is_shared = same[&inputs::place(&short)] > 1;
        if is_shared { whole } else { short }
    };
    wholes.into_iter().map(stem).collect()
}

fn with_ending(stem: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(stem);
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Whether anything is there, a link that leads nowhere included.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn refusal(faults: &[String], way_out: &str) -> String {
    let mut lines = vec!["nothing was transcribed:".to_owned()];
    lines.extend(faults.iter().take(MAX_NAMED).cloned());
    if faults.len() > MAX_NAMED {
        lines.push(format!("and {} more", faults.len() - MAX_NAMED));
    }
    lines.push(way_out.to_owned());
    lines.join("\n  ")
}

#[cfg(test)]
mod tests;
