//! Finds the networks of speaker diarization on disk.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::{Candidate, FileStamp, ModelLocation, Store};
use crate::models::{ModelId, files};

/// The networks of speaker diarization, complete on disk.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredSpeakerModel {
    /// Its name.
    pub id: ModelId,
    /// The folder of its files.
    pub dir: PathBuf,
    /// Size of its files, in bytes.
    pub size_bytes: u64,
    /// When the first network was written, in seconds since 1970.
    pub created: u64,
    pub(super) location: ModelLocation,
    /// Of the networks; others mean that the files were replaced.
    stamps: Vec<FileStamp>,
}

impl StoredSpeakerModel {
    /// Whether this is its name, in any letter case.
    #[must_use]
    pub fn is_named(&self, id: &ModelId) -> bool {
        self.id.as_str().eq_ignore_ascii_case(id.as_str())
    }
}

impl Store {
    /// The folder [`files::SPEAKER_MODEL`], else the first other folder or snapshot with both networks.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn speaker_model(&self) -> io::Result<Option<Arc<StoredSpeakerModel>>> {
        let mut candidates = self.named_folders()?;
        candidates.extend(self.snapshots(&BTreeSet::new())?);
        let mut found: Vec<_> = candidates.into_iter().filter_map(read).collect();
        // Stable, so that the order of the search decides among the others.
        found.sort_by_key(|model| model.id.as_str() != files::SPEAKER_MODEL);
        Ok(found.into_iter().next().map(Arc::new))
    }
}

fn read(candidate: Candidate) -> Option<StoredSpeakerModel> {
    let Candidate { id, dir, location } = candidate;
    let stamp = |name: &str| FileStamp::of(&dir.join(name));
    let networks = files::SPEAKER_NETWORKS.iter();
    let stamps = networks
        .map(|&name| stamp(name))
        .collect::<Option<Vec<_>>>()?;
    let others = files::SPEAKER_FILES.iter().filter_map(|&name| stamp(name));
    let created = stamps.first()?.modified.duration_since(UNIX_EPOCH);
    Some(StoredSpeakerModel {
        size_bytes: others.map(|file| file.bytes).sum(),
        created: created.unwrap_or_default().as_secs(),
        id,
        dir,
        location,
        stamps,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn write(folder: &Path, names: &[&str]) {
        fs::create_dir_all(folder).unwrap();
        for name in names {
            fs::write(folder.join(name), "four").unwrap();
        }
    }

    fn found(root: &Path) -> Option<(String, u64)> {
        let store = Store::new(root.join("models"), root.join("hub"));
        let model = store.speaker_model().unwrap()?;
        Some((model.id.to_string(), model.size_bytes))
    }

    #[test]
    fn a_folder_with_both_networks_is_found() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(found(root.path()), None);
        let folder = root.path().join("models").join(files::SPEAKER_MODEL);
        write(&folder, &files::SPEAKER_NETWORKS[..1]);
        assert_eq!(found(root.path()), None, "one network is missing");
        write(&folder, &files::SPEAKER_NETWORKS);
        let name = files::SPEAKER_MODEL.to_owned();
        assert_eq!(found(root.path()), Some((name.clone(), 8)));
        write(&folder, &["LICENSES", "other"]);
        assert_eq!(found(root.path()), Some((name.clone(), 12)));
        // Other folders have other names, and come after it.
        write(&root.path().join("models/a"), &files::SPEAKER_NETWORKS);
        assert_eq!(found(root.path()), Some((name, 12)));
    }

    #[test]
    fn a_snapshot_of_the_cache_is_found() {
        let root = tempfile::tempdir().unwrap();
        let repository = root.path().join("hub/models--owner--voices");
        write(&repository.join("snapshots/abc"), &files::SPEAKER_NETWORKS);
        write(&repository.join("refs"), &[]);
        fs::write(repository.join("refs/main"), "abc").unwrap();
        assert_eq!(found(root.path()), Some(("owner/voices".to_owned(), 8)));
        write(&root.path().join("models/voices"), &files::SPEAKER_NETWORKS);
        let in_folder = Some(("voices".to_owned(), 8));
        assert_eq!(found(root.path()), in_folder, "folders come first");
    }

    #[test]
    fn deletes_its_files_only() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("models"), root.path().join("hub"));
        let folder = root.path().join("models/speaker-diarization");
        write(&folder, &files::SPEAKER_FILES);
        let model = store.speaker_model().unwrap().unwrap();
        store.delete_speaker_model(&model).unwrap();
        assert!(!folder.exists());
        write(&folder, &files::SPEAKER_FILES);
        write(&folder, &["notes"]);
        store.delete_speaker_model(&model).unwrap();
        assert!(folder.join("notes").exists());
        assert_eq!(found(root.path()), None);
    }
}
