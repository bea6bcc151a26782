//! The hub's listing of a model: the commit, the files to download, their digests.
//!
//! Requested directly rather than through hf-hub, whose version 1.0.0 reads the SHA-256 of a large file
//! from a field that the hub's tree listing does not have. This listing is the one that
//! `huggingface_hub`'s `model_info(files_metadata=True)` requests.

use std::time::Duration;

use serde::Deserialize;

use super::error::{HubError, HubFault, HubRefusal, RequestContext};
use crate::models::ModelId;
use crate::models::files::{self, WEIGHTS};

/// Maximum size of a listing, in bytes: about ten thousand files.
const MAX_BYTES: usize = 4 << 20;
/// The weights of a model that has not been converted.
const TRANSFORMERS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// One commit of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// The full hash.
    pub commit: String,
    /// The files to download, in this order.
    pub files: Vec<RemoteFile>,
}

/// A file on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Its name in the repository.
    pub name: &'static str,
    /// Its size, in bytes.
    pub size: u64,
    /// Its hash.
    pub object: Object,
}

/// The hash that identifies a file, in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// In git's large file storage, by its SHA-256.
    Large(String),
    /// In git itself, by the SHA-1 of the blob.
    Git(String),
}

impl RemoteFile {
    /// The name of its blob in the cache.
    pub fn etag(&self) -> &str {
        match &self.object {
            Object::Large(hash) | Object::Git(hash) => hash,
        }
    }
}

#[derive(Deserialize)]
struct ModelInfo {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// The address of the listing of a model's revision.
pub(super) fn address(
    endpoint: &reqwest::Url,
    id: &ModelId,
    revision: &str,
) -> Result<reqwest::Url, HubError> {
    let mut address = endpoint.clone();
    // A revision is one path segment, its slashes written as %2F.
    address
        .path_segments_mut()
        .map_err(|()| HubFault::Client)?
        .pop_if_empty()
        .extend(["api", "models"])
        .extend(id.repository().split('/'))
        .extend(["revision", revision]);
    address.set_query(Some("blobs=true"));
    Ok(address)
}

/// Sends the request for a listing and reads the response.
pub(super) async fn fetch(
    request: reqwest::RequestBuilder,
    context: RequestContext<'_>,
) -> Result<Listing, HubError> {
    let client_error = |error| context.client_error(error);
    let mut response = request.send().await.map_err(client_error)?;
    if !response.status().is_success() {
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let seconds = header("retry-after").and_then(|value| value.trim().parse().ok());
        return Err(context.refused(HubRefusal {
            status: response.status().as_u16(),
            code: header("x-error-code"),
            retry_after: seconds.map(Duration::from_secs),
        }));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(client_error)? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(HubError::ListingTooLong {
                id: context.id.clone(),
                limit: MAX_BYTES,
            });
        }
        body.extend_from_slice(&chunk);
    }
    read(&body, context.id)
}

fn read(body: &[u8], id: &ModelId) -> Result<Listing, HubError> {
    let info: ModelInfo = serde_json::from_slice(body).map_err(|error| HubError::Unavailable {
        source: Box::new(error),
    })?;
    let has = |name: &str| info.siblings.iter().any(|file| file.rfilename == name);
    let missing = files::required().filter(|file| file.find(has).is_none());
    let missing: Vec<String> = missing.map(|file| file.to_string()).collect();
    if !missing.is_empty() {
        return Err(HubError::NotWhisper {
            id: id.clone(),
            missing,
            is_transformers: TRANSFORMERS.into_iter().any(has),
        });
    }
    let commit = info.sha.filter(|hash| is_hash(hash, 40));
    let find = |name| info.siblings.iter().find(|file| file.rfilename == name);
    // The large file comes last, so that an error in a small one is found early.
    let small = files::names().filter(|name| *name != WEIGHTS);
    let files = small
        .chain([WEIGHTS])
        .filter_map(|name| find(name).map(|file| remote(name, file)));
    Ok(Listing {
        commit: commit.ok_or(HubFault::Malformed("no commit"))?,
        files: files.collect::<Result<_, _>>()?,
    })
}

/// Validates the hashes, since they become file names.
fn remote(name: &'static str, file: &Sibling) -> Result<RemoteFile, HubFault> {
    let (size, object) = match (file, &file.lfs) {
        (_, Some(lfs)) if is_hash(&lfs.sha256, 64) => {
            (Some(lfs.size), Object::Large(lfs.sha256.clone()))
        }
        (
            Sibling {
                blob_id: Some(hash),
                ..
            },
            None,
        ) if is_hash(hash, 40) => (file.size, Object::Git(hash.clone())),
        _ => return Err(HubFault::Malformed("a file without a hash")),
    };
    let size = size.ok_or(HubFault::Malformed("a file without a size"))?;
    Ok(RemoteFile { name, size, object })
}

/// Whether `text` is a hash with this number of digits, as git and the hub write them.
pub(super) fn is_hash(text: &str, digits: usize) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == digits && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn listed(commit: &str, files: &[Value]) -> Result<Listing, HubError> {
        let body = json!({ "id": "owner/name", "sha": commit, "siblings": files });
        let id = ModelId::parse("owner/name").unwrap();
        read(body.to_string().as_bytes(), &id)
    }

    fn small(name: &str) -> Value {
        json!({ "rfilename": name, "size": 3, "blobId": "b".repeat(40) })
    }

    fn large(name: &str) -> Value {
        let lfs = json!({ "sha256": "a".repeat(64), "size": 5, "pointerSize": 135 });
        json!({ "rfilename": name, "size": 5, "blobId": "c".repeat(40), "lfs": lfs })
    }

    #[test]
    fn picks_the_wanted_files_with_the_weights_last() {
        let files = [
            large("model.bin"),
            small("README.md"),
            small("vocabulary.txt"),
            small("tokenizer.json"),
            small("config.json"),
        ];
        let listing = listed(&"0".repeat(40), &files).unwrap();
        let names: Vec<_> = listing.files.iter().map(|file| file.name).collect();
        let expected = [
            "config.json",
            "tokenizer.json",
            "vocabulary.txt",
            "model.bin",
        ];
        assert_eq!(names, expected);
        assert_eq!(listing.files[0].object, Object::Git("b".repeat(40)));
        assert_eq!(listing.files[3].object, Object::Large("a".repeat(64)));
        assert_eq!(listing.files[3].size, 5);
    }

    #[test]
    fn names_the_missing_files_of_a_repository() {
        let files = [small("config.json"), large("model.safetensors")];
        let Err(HubError::NotWhisper {
            missing,
            is_transformers,
            ..
        }) = listed(&"0".repeat(40), &files)
        else {
            panic!("it is not a Whisper model");
        };
        let expected = [
            "model.bin",
            "tokenizer.json",
            "vocabulary.json or vocabulary.txt",
        ];
        assert_eq!(missing, expected);
        assert!(is_transformers);
    }

    #[test]
    fn refuses_a_hash_that_could_leave_the_cache() {
        let names = ["config.json", "tokenizer.json", "vocabulary.txt"];
        let mut files: Vec<_> = names.into_iter().map(small).collect();
        files.push(large("model.bin"));
        assert!(listed(&"0".repeat(40), &files).is_ok());
        assert!(listed("../../../etc", &files).is_err());
        files[0]["blobId"] = json!("../../../../etc/passwd/aaaaaaaaaaaaaaaaa");
        assert!(listed(&"0".repeat(40), &files).is_err());
    }

    #[test]
    fn writes_a_revision_as_one_segment() {
        let endpoint = reqwest::Url::parse("https://hub.test/mirror/").unwrap();
        let id = ModelId::parse("owner/name@refs/pr/1").unwrap();
        assert_eq!(
            address(&endpoint, &id, "refs/pr/1").unwrap().as_str(),
            "https://hub.test/mirror/api/models/owner/name/revision/refs%2Fpr%2F1?blobs=true"
        );
    }
}
