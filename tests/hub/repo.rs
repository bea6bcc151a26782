//! Repositories of the fake hub.

use std::collections::BTreeMap;
use std::path::Path;

use axum::body::Bytes;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A repository with one commit.
#[derive(Clone, Default)]
pub struct HubRepo {
    files: BTreeMap<String, Content>,
    branches: Vec<String>,
}

/// The content of a file.
#[derive(Clone)]
pub struct Content {
    pub bytes: Bytes,
    /// Whether it is in Git LFS.
    pub is_large: bool,
    pub sha256: String,
}

impl HubRepo {
    /// An empty repository with the branch `main`.
    pub fn new() -> Self {
        Self::default().branch("main")
    }

    /// Placeholder files of a model, with these weights.
    pub fn whisper(weights: impl Into<Bytes>) -> Self {
        Self::new()
            .file("README.md", "Not wanted.")
            .file("config.json", r#"{"alignment_heads": []}"#)
            .file("tokenizer.json", r#"{"model": {}}"#)
            .file("vocabulary.txt", "a\nb\n")
            .file("model.bin", weights)
    }

    /// A repository with the files of a folder.
    pub fn from_dir(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        entries.fold(Self::new(), |repo, entry| {
            let name = entry.file_name().into_string().unwrap();
            repo.file(&name, std::fs::read(entry.path()).unwrap())
        })
    }

    /// Adds a file; weights are in Git LFS regardless of their size.
    pub fn file(mut self, name: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let content = Content {
            is_large: name.ends_with(".bin") || name.ends_with(".safetensors"),
            sha256: hexadecimal(&Sha256::digest(&bytes)),
            bytes,
        };
        self.files.insert(name.to_owned(), content);
        self
    }

    /// Adds a branch.
    pub fn branch(mut self, name: &str) -> Self {
        self.branches.push(name.to_owned());
        self
    }

    /// The commit hash, derived from the files.
    pub fn commit(&self) -> String {
        let mut hash = Sha256::new();
        for (name, content) in &self.files {
            hash.update(name);
            hash.update(&content.sha256);
        }
        hexadecimal(&hash.finalize())[..40].to_owned()
    }

    /// A file's contents.
    pub fn content(&self, file: &str) -> Option<&Content> {
        self.files.get(file)
    }

    /// Whether this is one of its branches or its commit hash.
    pub fn has_revision(&self, revision: &str) -> bool {
        revision == self.commit() || self.branches.iter().any(|branch| branch == revision)
    }

    /// The response of `/api/models/{id}`.
    pub fn info(&self, id: &str) -> Value {
        let siblings = self.files.iter().map(|(name, content)| {
            let lfs = content.is_large.then(|| {
                json!({ "sha256": content.sha256, "size": content.bytes.len(), "pointerSize": 135 })
            });
            let mut sibling = json!({
                "rfilename": name,
                "size": content.bytes.len(),
                "blobId": content.git_hash(),
            });
            if let Some(lfs) = lfs {
                sibling["lfs"] = lfs;
            }
            sibling
        });
        let siblings: Vec<_> = siblings.collect();
        json!({ "_id": "0", "id": id, "modelId": id, "sha": self.commit(), "private": false,
                "tags": [], "downloads": 0, "likes": 0, "siblings": siblings })
    }

    /// The response of `/api/models/{id}/tree/{revision}`.
    pub fn tree(&self) -> Value {
        let entries = self.files.iter().map(|(name, content)| {
            let mut entry = json!({
                "type": "file",
                "oid": content.git_hash(),
                "size": content.bytes.len(),
                "path": name,
            });
            if content.is_large {
                let size = content.bytes.len();
                entry["lfs"] = json!({ "oid": content.sha256, "size": size, "pointerSize": 135 });
            }
            entry
        });
        entries.collect()
    }
}

impl Content {
    /// The `ETag` of the file.
    pub fn etag(&self) -> String {
        if self.is_large {
            self.sha256.clone()
        } else {
            self.git_hash()
        }
    }

    /// The git blob hash of the contents.
    fn git_hash(&self) -> String {
        let mut hash = Sha1::new_with_prefix(format!("blob {}\0", self.bytes.len()));
        hash.update(&self.bytes);
        hexadecimal(&hash.finalize())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
