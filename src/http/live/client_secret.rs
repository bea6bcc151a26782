//! Client secrets: signed tokens that open a socket and nothing else.
//!
//! A browser or a device gets one from a server that holds the key. A token is `ek_` and, in base64url without
//! padding: a version byte, the second it expires in (big endian), the session as JSON, and an HMAC-SHA256 of all
//! before. The key of the HMAC is derived (HKDF, RFC 5869) from the API key that asked and from `SERVER__SECRET`.
//! Nothing is stored: any replica with the same key takes it, and removing the key ends it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::field_reader::Object;
use crate::config::Secret;
use crate::http::error::LiveError;

/// Precedes every token.
pub const PREFIX: &str = "ek_";
/// Longest session of a token, in bytes of JSON.
const MAX_SESSION_BYTES: usize = 2 * 1024;
/// Shortest API key that may sign without `SERVER__SECRET`.
const MIN_KEY_CHARS: usize = 16;
const VERSION: u8 = 1;
/// Bytes of the version and the expiry.
const HEAD_BYTES: usize = 9;
const MAC_BYTES: usize = 32;
/// Separates these keys from any other that might be derived from the same ones.
const PURPOSE: &[u8] = b"halkspeech client secret 1";

/// Signs and checks client secrets.
pub struct ClientSecrets {
    server_secret: Option<Secret>,
    /// Signs for a server without keys.
    process_key: Vec<u8>,
}

/// The content of a valid token.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenedSecret {
    /// The index of the key that signed it; none for a server without keys.
    pub key: Option<usize>,
    /// The session that it names.
    pub session: Object,
}

impl ClientSecrets {
    /// Signs with `server_secret` too, if it is set.
    pub fn new(server_secret: Option<Secret>) -> Self {
        // Three version 4 UUIDs have 366 random bits.
        let random = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
        let process_key = match &server_secret {
            Some(secret) => secret.expose().as_bytes().to_vec(),
            None => random.iter().flat_map(|id| id.into_bytes()).collect(),
        };
        Self {
            server_secret,
            process_key,
        }
    }

    /// A token for `session` that expires at `expiry`, in seconds since 1970, signed with this API key.
    ///
    /// # Errors
    /// The key is too weak, or the session too long.
    pub fn sign(
        &self,
        key: Option<&Secret>,
        session: &Object,
        expiry: u64,
    ) -> Result<String, LiveError> {
        let is_weak = |key: &Secret| key.expose().chars().count() < MIN_KEY_CHARS;
        if self.server_secret.is_none() && key.is_some_and(is_weak) {
            return Err(LiveError::WeakKey);
        }
        let session = serde_json::to_vec(session).unwrap_or_default();
        if session.len() > MAX_SESSION_BYTES {
            return Err(LiveError::SecretTooLong {
                limit: MAX_SESSION_BYTES,
            });
        }
        let mut token = vec![VERSION];
        token.extend_from_slice(&expiry.to_be_bytes());
        token.extend_from_slice(&session);
        let mac = self.mac(key, &token).finalize().into_bytes();
        token.extend_from_slice(&mac);
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token)))
    }

    /// The content of a token, if one of these keys signed it and it is valid at `now`.
    pub fn open(&self, keys: &[Secret], token: &str, now: u64) -> Option<OpenedSecret> {
        let token = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (signed, mac) = token.split_at_checked(token.len().checked_sub(MAC_BYTES)?)?;
        let (head, session) = signed.split_at_checked(HEAD_BYTES)?;
        let (version, expiry) = head.split_first()?;
        let is_signed_by = |key| self.mac(key, signed).verify_slice(mac).is_ok();
        let key = if keys.is_empty() {
            is_signed_by(None).then_some(None)
        } else {
            // All keys are tried, so that the time does not reveal which one signed.
            let verified = keys.iter().map(|key| is_signed_by(Some(key))).enumerate();
            verified.fold(
                None,
                |found, (index, is_key)| {
                    if is_key { Some(Some(index)) } else { found }
                },
            )
        };
        let key = key?;
        let expiry = u64::from_be_bytes(expiry.try_into().ok()?);
        if *version != VERSION || expiry <= now {
            return None;
        }
        let session = serde_json::from_slice(session).ok()?;
        Some(OpenedSecret { key, session })
    }

    fn mac(&self, key: Option<&Secret>, signed: &[u8]) -> Hmac<Sha256> {
        let key = key.map_or(&*self.process_key, |key| key.expose().as_bytes());
        let salt = self.server_secret.as_ref();
        let salt = salt.map(|secret| secret.expose().as_bytes());
        let mut derived = [0; MAC_BYTES];
        let derivation = Hkdf::<Sha256>::new(salt, key).expand(PURPOSE, &mut derived);
        derivation.expect("32 bytes are the length of one SHA-256");
        let mac = Hmac::<Sha256>::new_from_slice(&derived);
        let mut mac = mac.expect("an HMAC has keys of any length");
        mac.update(signed);
        mac
    }
}

impl fmt::Debug for ClientSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecrets(***)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const LONG: &str = "a-key-of-more-than-16";

    fn session(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_token_names_its_key_and_its_session() {
        let secrets = ClientSecrets::new(None);
        let keys = [Secret::new("another-key-of-16-chars"), Secret::new(LONG)];
        let session = session(json!({ "type": "transcription" }));
        let token = secrets.sign(Some(&keys[1]), &session, NOW + 10).unwrap();
        assert!(token.starts_with("ek_"));

        let opened = secrets.open(&keys, &token, NOW).unwrap();
        assert_eq!(opened.key, Some(1));
        assert_eq!(opened.session, session);

        // Any replica with the key takes it.
        assert!(ClientSecrets::new(None).open(&keys, &token, NOW).is_some());
        // Removing the key ends it, and so does its time.
        assert_eq!(secrets.open(&keys[..1], &token, NOW), None);
        assert_eq!(secrets.open(&[], &token, NOW), None);
        assert!(secrets.open(&keys, &token, NOW + 9).is_some());
        assert_eq!(secrets.open(&keys, &token, NOW + 10), None);
    }

    #[test]
    fn a_changed_token_is_not_valid() {
        let secrets = ClientSecrets::new(None);
        let keys = [Secret::new(LONG)];
        let token = secrets.sign(Some(&keys[0]), &Object::new(), NOW + 10);
        let token = token.unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = format!("ek_{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(secrets.open(&keys, &changed, NOW), None, "{index}");
        }
        for malformed in [
            "",
            "ek_",
            "ek_AQ",
            "ek_ä",
            &token[..token.len() - 4],
            &token[3..],
        ] {
            assert_eq!(secrets.open(&keys, malformed, NOW), None, "{malformed}");
        }
    }

    #[test]
    fn the_servers_secret_signs_with_the_key() {
        let secrets = ClientSecrets::new(Some(Secret::new("s1")));
        let keys = [Secret::new("short")];
        let token = secrets.sign(Some(&keys[0]), &Object::new(), NOW + 10);
        let token = token.unwrap();
        assert!(secrets.open(&keys, &token, NOW).is_some());
        for other in [None, Some(Secret::new("s2"))] {
            assert_eq!(ClientSecrets::new(other).open(&keys, &token, NOW), None);
        }
        let weak = ClientSecrets::new(None).sign(Some(&keys[0]), &Object::new(), NOW);
        assert!(matches!(weak, Err(LiveError::WeakKey)));
    }

    #[test]
    fn without_keys_the_process_or_the_servers_secret_signs() {
        let secrets = ClientSecrets::new(None);
        let token = secrets.sign(None, &Object::new(), NOW + 10).unwrap();
        assert_eq!(secrets.open(&[], &token, NOW).unwrap().key, None);
        assert_eq!(ClientSecrets::new(None).open(&[], &token, NOW), None);

        let replicas = ["s", "s"].map(|text| ClientSecrets::new(Some(Secret::new(text))));
        let token = replicas[0].sign(None, &Object::new(), NOW + 10).unwrap();
        assert!(replicas[1].open(&[], &token, NOW).is_some());
    }

    #[test]
    fn a_long_session_is_refused() {
        let secrets = ClientSecrets::new(None);
        let sign = |length: usize| {
            let session = session(json!({ "a": "x".repeat(length) }));
            secrets.sign(None, &session, NOW)
        };
        sign(MAX_SESSION_BYTES - 8).unwrap();
        let refused = sign(MAX_SESSION_BYTES - 7);
        assert!(matches!(refused, Err(LiveError::SecretTooLong { .. })));
    }
}
