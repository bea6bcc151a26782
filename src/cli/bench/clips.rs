//! The recordings that are sent, and their entries in a manifest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;

use crate::cli::{escape, inputs};

/// A recording, kept in memory so that disk reads are not measured.
#[derive(Clone, Debug, Default)]
pub struct Clip {
    /// The file name.
    pub name: String,
    /// The file's contents.
    pub audio: Bytes,
    /// The spoken language.
    pub language: Option<String>,
    /// The reference text; empty for a recording without speech.
    pub text: Option<String>,
    /// The duration in seconds.
    pub duration_s: Option<f64>,
}

/// Selects entries of a manifest; all by default.
#[derive(Clone, Debug, Default, Args)]
pub struct ClipSelection {
    /// Only clips of these kinds
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "KINDS",
        conflicts_with = "paths"
    )]
    kind: Vec<String>,
    /// Only clips in these languages, written as in the manifest
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LANGUAGES",
        conflicts_with = "paths"
    )]
    language: Vec<String>,
    /// Only clips of this length or longer, in seconds
    #[arg(long, value_name = "S", conflicts_with = "paths")]
    min_s: Option<f64>,
    /// Only clips of this length or shorter, in seconds
    #[arg(long, value_name = "S", conflicts_with = "paths")]
    max_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct ManifestEntry {
    file: PathBuf,
    language: Option<String>,
    text: Option<String>,
    duration_s: Option<f64>,
    kind: Option<String>,
}

/// Reads the recordings at `paths`; folders are searched recursively.
pub fn from_paths(paths: &[PathBuf]) -> anyhow::Result<Vec<Clip>> {
    let (inputs, errors) = inputs::collect(paths);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    inputs.iter().map(|path| read(path)).collect()
}

/// Reads the selected recordings of a manifest.
pub fn from_manifest(manifest: &Path, selection: &ClipSelection) -> anyhow::Result<Vec<Clip>> {
    let shown = escape::path(manifest);
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {shown}"))?;
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut entries = 0;
    let mut clips = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        entries += 1;
        let entry: ManifestEntry =
            serde_json::from_str(line).with_context(|| format!("{shown}, line {number}"))?;
        if selection.matches(&entry) {
            clips.push(Clip {
                language: entry.language.filter(|language| !language.is_empty()),
                text: entry.text,
                duration_s: entry.duration_s,
                ..read(&folder.join(entry.file))?
            });
        }
    }
    if clips.is_empty() {
        bail!("{shown} has {entries} clips, none of which is selected");
    }
    Ok(clips)
}

impl ClipSelection {
    fn matches(&self, entry: &ManifestEntry) -> bool {
        let is_allowed = |allowed: &[String], value: Option<&String>| {
            allowed.is_empty() || value.is_some_and(|value| allowed.contains(value))
        };
        let duration = |condition: &dyn Fn(f64) -> bool| entry.duration_s.is_some_and(condition);
        is_allowed(&self.kind, entry.kind.as_ref())
            && is_allowed(&self.language, entry.language.as_ref())
            && self.min_s.is_none_or(|min_s| duration(&|s| s >= min_s))
            && self.max_s.is_none_or(|max_s| duration(&|s| s <= max_s))
    }
}

fn read(path: &Path) -> anyhow::Result<Clip> {
    let audio = fs::read(path).with_context(|| format!("cannot read {}", escape::path(path)))?;
    let name = path.file_name().unwrap_or_default();
    Ok(Clip {
        name: name.to_string_lossy().into_owned(),
        audio: audio.into(),
        ..Clip::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"file": "a.wav", "language": "en", "text": "one", "duration_s": 2.0, "kind": "short", "licence": "MIT"}

{"file": "sub/b.ogg", "language": "tr", "text": "", "duration_s": 40, "kind": "long"}
{"file": "c.wav", "language": ""}
"#;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        for file in ["a.wav", "sub/b.ogg", "c.wav"] {
            fs::write(folder.path().join(file), file).unwrap();
        }
        fs::write(folder.path().join("manifest.jsonl"), MANIFEST).unwrap();
        folder
    }

    #[track_caller]
    fn check(selection: &ClipSelection, expected: &[&str]) {
        let folder = folder();
        let clips = from_manifest(&folder.path().join("manifest.jsonl"), selection);
        let names: Vec<_> = match &clips {
            Ok(clips) => clips.iter().map(|clip| clip.name.as_str()).collect(),
            Err(_) => Vec::new(),
        };
        assert_eq!(names, expected, "{selection:?}");
    }

    #[test]
    fn a_manifest_describes_files_in_its_folder() {
        let folder = folder();
        let manifest = folder.path().join("manifest.jsonl");
        let clips = from_manifest(&manifest, &ClipSelection::default()).unwrap();
        let [a, b, c] = &clips[..] else {
            panic!("{clips:?}");
        };
        assert_eq!(&a.audio[..], b"a.wav");
        assert_eq!(a.language.as_deref(), Some("en"));
        assert_eq!((a.text.as_deref(), a.duration_s), (Some("one"), Some(2.0)));
        assert_eq!((b.name.as_str(), b.text.as_deref()), ("b.ogg", Some("")));
        assert_eq!((&c.language, &c.text, c.duration_s), (&None, &None, None));
    }

    #[test]
    fn selects_by_kind_language_and_length() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        let default = ClipSelection::default;
        check(&default(), &["a.wav", "b.ogg", "c.wav"]);
        let kind = texts(&["short", "long"]);
        check(&ClipSelection { kind, ..default() }, &["a.wav", "b.ogg"]);
        let language = texts(&["tr"]);
        check(
            &ClipSelection {
                language,
                ..default()
            },
            &["b.ogg"],
        );
        let min_s = Some(2.0);
        check(&ClipSelection { min_s, ..default() }, &["a.wav", "b.ogg"]);
        let max_s = Some(2.0);
        check(&ClipSelection { max_s, ..default() }, &["a.wav"]);
        let min_s = Some(99.0);
        check(&ClipSelection { min_s, ..default() }, &[]);
    }

    #[test]
    fn errors_name_the_line_or_file() {
        let folder = folder();
        let error_of = |text: &str| {
            let manifest = folder.path().join("bad.jsonl");
            fs::write(&manifest, text).unwrap();
            let error = from_manifest(&manifest, &ClipSelection::default()).unwrap_err();
            format!("{error:#}")
        };
        for (text, expected) in [
            ("\n{}", "bad.jsonl, line 2: missing field `file`"),
            (r#"{"file": "none.wav"}"#, "none.wav"),
            ("", "has 0 clips"),
        ] {
            let error = error_of(text);
            assert!(error.contains(expected), "no {expected:?} in {error}");
        }
        let error = from_paths(&[folder.path().join("none.wav")]).unwrap_err();
        assert!(format!("{error:#}").contains("none.wav"), "{error:#}");
    }

    #[test]
    fn a_folder_is_replaced_by_its_recordings() {
        let folder = folder();
        let clips = from_paths(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = clips.iter().map(|clip| clip.name.as_str()).collect();
        assert_eq!(names, ["a.wav", "c.wav", "b.ogg"]);
    }
}
