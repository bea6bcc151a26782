//! A key or token that is never displayed.

use std::fmt;
use std::hint::black_box;

use serde::{Deserialize, Serialize, Serializer};

/// A text that is displayed and serialized as `***`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `candidate` is the secret. The time depends only on the
    /// candidate's length, which prevents timing attacks.
    pub fn verify(&self, candidate: &str) -> bool {
        let mut difference = u8::from(self.0.len() != candidate.len());
        for (secret, candidate) in self.0.bytes().cycle().zip(candidate.bytes()) {
            difference |= black_box(secret ^ candidate);
        }
        black_box(difference) == 0
    }

    /// The plain text, for sending it to its service.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        // Destructured completely, so that no field can be forgotten.
        let Self(other) = other;
        self.verify(other)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifies_only_the_whole_secret() {
        let secret = Secret::new("abc");
        for (candidate, expected) in [
            ("abc", true),
            ("", false),
            ("ab", false),
            ("abd", false),
            ("xbc", false),
            ("abcabc", false),
            ("abca", false),
        ] {
            assert_eq!(secret.verify(candidate), expected, "{candidate:?}");
        }
        assert!(!Secret::new("").verify("abc"));
    }

    #[test]
    fn is_never_displayed() {
        let secret = Some(Secret::new("hunter2"));
        assert_eq!(format!("{secret:?}"), "Some(***)");
        assert_eq!(Secret::new("hunter2").to_string(), "***");
    }
}
