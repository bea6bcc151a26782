//! The recordings that are sent, and what a manifest knows of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;

use crate::cli::{inputs, escape};

/// A recording, held in memory so that the disk is no part of what is measured.
#[derive(Clone, Debug, Default)]
pub struct Clip {
    /// Its file's name.
    pub name: String,
    /// The file.
    pub audio: Bytes,
    /// The language spoken.
    pub language: Option<String>,
    /// What is said; empty where nobody speaks.
    pub text: Option<String>,
    /// How long it is.
    pub duration_s: Option<f64>,
}

/// Which lines of a manifest are meant; all where nothing is asked for.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
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
struct Line {
    file: PathBuf,
    language: Option<String>,
    text: Option<String>,
    duration_s: Option<f64>,
    kind: Option<String>,
}

/// The recordings that `paths` mean, folders searched to any depth.
pub fn of_paths(paths: &[PathBuf]) -> anyhow::Result<Vec<Clip>> {
    let (inputs, errors) = inputs::collect(paths);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    inputs.iter().map(|path| read(path)).collect()
}

/// The recordings of a manifest that are selected.
pub fn of_manifest(manifest: &Path, selection: &Selection) -> anyhow::Result<Vec<Clip>> {
    let shown = escape::path(manifest);
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {shown}"))?;
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut lines = 0;
    let mut clips = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        lines += 1;
        let line: Line =
            serde_json::from_str(line).with_context(|| format!("{shown}, line {number}"))?;
        if selection.takes(&line) {
            clips.push(Clip {
                language: line.language.filter(|language| !language.is_empty()),
                text: line.text,
                duration_s: line.duration_s,
                ..read(&folder.join(line.file))?
            });
        }
    }
    if clips.is_empty() {
        bail!("{shown} has {lines} clips, and none that is selected");
    }
    Ok(clips)
}

impl Selection {
    fn takes(&self, line: &Line) -> bool {
        let within = |wanted: &[String], has: Option<&String>| {
            wanted.is_empty() || has.is_some_and(|has| wanted.contains(has))
        };
        let length = |holds: &dyn Fn(f64) -> bool| line.duration_s.is_some_and(holds);
        within(&self.kind, line.kind.as_ref())
            && within(&self.language, line.language.as_ref())
            && self.min_s.is_none_or(|min_s| length(&|s| s >= min_s))
            && self.max_s.is_none_or(|max_s| length(&|s| s <= max_s))
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
    fn check(selection: &Selection, expected: &[&str]) {
        let folder = folder();
        let clips = of_manifest(&folder.path().join("manifest.jsonl"), selection);
        let names: Vec<_> = match &clips {
            Ok(clips) => clips.iter().map(|clip| clip.name.as_str()).collect(),
            Err(_) => Vec::new(),
        };
        assert_eq!(names, expected, "{selection:?}");
    }

    #[test]
    fn a_manifest_tells_of_files_beside_it() {
        let folder = folder();
        let manifest = folder.path().join("manifest.jsonl");
        let clips = of_manifest(&manifest, &Selection::default()).unwrap();
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
        let default = Selection::default;
        check(&default(), &["a.wav", "b.ogg", "c.wav"]);
        let kind = texts(&["short", "long"]);
        check(&Selection { kind, ..default() }, &["a.wav", "b.ogg"]);
        let language = texts(&["tr"]);
        check(
            &Selection {
                language,
                ..default()
            },
            &["b.ogg"],
        );
        let min_s = Some(2.0);
        check(&Selection { min_s, ..default() }, &["a.wav", "b.ogg"]);
        let max_s = Some(2.0);
        check(&Selection { max_s, ..default() }, &["a.wav"]);
        let min_s = Some(99.0);
        check(&Selection { min_s, ..default() }, &[]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = folder();
        let error_of = |text: &str| {
            let manifest = folder.path().join("bad.jsonl");
            fs::write(&manifest, text).unwrap();
            let error = of_manifest(&manifest, &Selection::default()).unwrap_err();
            format!("{error:#}")
        };
        for (text, piece) in [
            ("\n{}", "bad.jsonl, line 2: missing field `file`"),
            (r#"{"file": "none.wav"}"#, "none.wav"),
            ("", "has 0 clips"),
        ] {
            let error = error_of(text);
            assert!(error.contains(piece), "no {piece:?} in {error}");
        }
        let error = of_paths(&[folder.path().join("none.wav")]).unwrap_err();
        assert!(format!("{error:#}").contains("none.wav"), "{error:#}");
    }

    #[test]
    fn a_folder_means_its_recordings() {
        let folder = folder();
        let clips = of_paths(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = clips.iter().map(|clip| clip.name.as_str()).collect();
        assert_eq!(names, ["a.wav", "c.wav", "b.ogg"]);
    }
}
