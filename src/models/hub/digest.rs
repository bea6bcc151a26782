//! The digest that the hub lists for a file, computed incrementally.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::listing::{Object, RemoteFile};

/// The digest of the received part of a file.
#[derive(Clone)]
pub(super) enum Digest {
    /// For a large file.
    Sha256(Sha256),
    /// For a file in git, which also digests a header before the contents.
    Git(Sha1),
}

impl Digest {
    /// An empty digest, of the kind that the file is listed with.
    pub fn new(file: &RemoteFile) -> Self {
        match &file.object {
            Object::Large(_) => Self::Sha256(Sha256::new()),
            Object::Git(_) => Self::Git(Sha1::new_with_prefix(format!("blob {}\0", file.size))),
        }
    }

    /// Adds bytes at the end.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(digest) => digest.update(bytes),
            Self::Git(digest) => digest.update(bytes),
        }
    }

    /// In lower-case hexadecimal, as the hub lists it.
    pub fn hexadecimal(&self) -> String {
        let bytes = match self {
            Self::Sha256(digest) => digest.clone().finalize().to_vec(),
            Self::Git(digest) => digest.clone().finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(object: Object, expected: &str) {
        let file = RemoteFile {
            name: "config.json",
            size: 6,
            object,
        };
        let mut digest = Digest::new(&file);
        digest.update(b"hel");
        digest.update(b"lo\n");
        assert_eq!(digest.hexadecimal(), expected);
    }

    /// As `sha256sum` and `git hash-object` write them.
    #[test]
    fn computes_the_listed_digests() {
        check(
            Object::Large(String::new()),
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        );
        check(
            Object::Git(String::new()),
            "ce013625030ba8dba906f756967f9e9ca394464a",
        );
    }
}
