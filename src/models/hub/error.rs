//! Why a model could not be fetched from the hub.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::HFError;

use crate::models::ModelId;

/// Why a model could not be fetched. No message holds the token, nor an address that was signed
/// for this server.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The server is set never to ask the hub.
    #[error("model {id} is not on disk and the hub may not be asked")]
    Offline {
        /// The model.
        id: ModelId,
    },
    /// The hub has no such repository, or hides it from us.
    #[error("hub has no model {id}, or hides it")]
    NotFound {
        /// The model.
        id: ModelId,
    },
    /// The repository is there, its branch, tag or commit is not.
    #[error("hub has no such revision of model {id}")]
    RevisionNotFound {
        /// The model, with the revision that was asked for.
        id: ModelId,
    },
    /// The hub does not let us have it: it is gated, or the token is not good.
    #[error("hub denies access to model {id}")]
    Denied {
        /// The model.
        id: ModelId,
    },
    /// The hub wants us to ask less often.
    #[error("hub takes no more requests for now")]
    RateLimited {
        /// How long it wants us to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// The hub cannot be reached, fails, or breaks off again and again.
    #[error("hub is unavailable")]
    Unavailable {
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub fell silent.
    #[error("hub was silent for longer than {} s", silence.as_secs_f32())]
    Stalled {
        /// The silence that was borne.
        silence: Duration,
    },
    /// The repository holds no CTranslate2 Whisper model.
    #[error("model {id} lacks {}", missing.join(", "))]
    NotWhisper {
        /// The model.
        id: ModelId,
        /// Files it would need.
        missing: Vec<String>,
        /// Whether it holds the weights in the form of the transformers library.
        is_transformers: bool,
    },
    /// The hub's list of the repository's files never seems to end.
    #[error("hub's list of the files of {id} is longer than {limit} bytes")]
    ListingTooLong {
        /// The model.
        id: ModelId,
        /// The most that is read of it, in bytes.
        limit: usize,
    },
    /// The disk of the cache has no room for it.
    #[error("disk has {free} bytes free of the {needed} that are needed")]
    NoSpace {
        /// What is still missing of the model and a reserve, in bytes.
        needed: u64,
        /// What the disk has, in bytes.
        free: u64,
    },
    /// What the hub sent is not what it lists; it was thrown away.
    #[error("file {file} is not the one that the hub lists: {problem}")]
    Corrupt {
        /// The file's name in the repository.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The cache cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The download was ended because the server shuts down; what has come is kept.
    #[error("download was stopped")]
    Stopped,
    /// The download panicked.
    #[error("download panicked")]
    Panicked,
    /// The hub's address or the TLS set-up is of no use.
    #[error("client for the hub cannot be made")]
    Client {
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What makes the hub count as unavailable, where no other error says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HubFault {
    #[error("hub answered with status {0}")]
    Status(u16),
    #[error("connection ended early")]
    EndedEarly,
    #[error("answer cannot be understood: {0}")]
    Malformed(&'static str),
    /// What the xet client says may hold signed addresses.
    #[error("transfer through xet failed")]
    Xet,
    #[error("hub's client failed")]
    Client,
}

/// A refusal, as the hub words it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HubRefusal<'a> {
    pub status: u16,
    /// The header `X-Error-Code`.
    pub code: Option<&'a str>,
    /// The header `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// Who asks the hub for what: with this its refusals can be read.
#[derive(Clone, Copy)]
pub(super) struct HubRequest<'a> {
    pub id: &'a ModelId,
    pub has_token: bool,
    /// The longest silence that is borne.
    pub silence: Duration,
}

impl HubError {
    /// For `map_err`: something went wrong with this file or folder.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether asking again soon may help.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Stalled { .. })
    }
}

impl From<HubFault> for HubError {
    fn from(fault: HubFault) -> Self {
        Self::Unavailable {
            source: Box::new(fault),
        }
    }
}

impl HubRequest<'_> {
    /// Reads a refusal. The hub's error code tells more than its status: without a token it hides
    /// repositories that do not exist behind the same 401 as private ones.
    pub fn refused(&self, refusal: HubRefusal<'_>) -> HubError {
        let id = self.id.clone();
        match (refusal.status, refusal.code) {
            (_, Some("GatedRepo")) => HubError::Denied { id },
            (_, Some("RepoNotFound")) => HubError::NotFound { id },
            (_, Some("RevisionNotFound")) => HubError::RevisionNotFound { id },
            (401, _) if !self.has_token => HubError::NotFound { id },
            (401 | 403, _) => HubError::Denied { id },
            (404, None) => HubError::NotFound { id },
            (429, _) => HubError::RateLimited {
                retry_after: refusal.retry_after,
            },
            (status, _) => HubFault::Status(status).into(),
        }
    }

    /// Reads what the HTTP client says.
    pub fn broken(&self, error: reqwest::Error) -> HubError {
        if error.is_timeout() {
            return self.stalled();
        }
        // The address may be a signed one.
        HubError::Unavailable {
            source: Box::new(error.without_url()),
        }
    }

    /// Reads what hf-hub says.
    pub fn failed(&self, error: HFError) -> HubError {
        let (context, retry_after) = match error {
            HFError::Request { source, .. } => return self.broken(source),
            HFError::Xet { .. } => return HubFault::Xet.into(),
            HFError::MalformedResponse { .. } => {
                return HubFault::Malformed("a header is missing").into();
            }
            HFError::RateLimited {
                context,
                retry_after,
            } => (Some(context), retry_after),
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context } => (Some(context), None),
            HFError::RepoNotFound { context, .. }
            | HFError::RevisionNotFound { context, .. }
            | HFError::EntryNotFound { context, .. } => (context, None),
            _ => (None, None),
        };
        let Some(context) = context else {
            return HubFault::Client.into();
        };
        self.refused(HubRefusal {
            status: context.status.as_u16(),
            code: context.error_code.as_deref(),
            retry_after,
        })
    }

    /// The wait before the hub is asked again; in proportion to the patience that there is.
    pub fn back_off(&self) -> Duration {
        self.silence / 100
    }

    /// The hub fell silent.
    pub fn stalled(&self) -> HubError {
        HubError::Stalled {
            silence: self.silence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, code: Option<&str>, has_token: bool, expected: &str) {
        let id = ModelId::parse("owner/name").unwrap();
        let asked = HubRequest {
            id: &id,
            has_token,
            silence: Duration::ZERO,
        };
        let refusal = HubRefusal {
            status,
            code,
            retry_after: None,
        };
        let error = asked.refused(refusal).to_string();
        assert!(error.contains(expected), "{status} {code:?}: {error}");
    }

    #[test]
    fn tells_refusals_apart_as_far_as_the_hub_does() {
        check(404, Some("RepoNotFound"), true, "no model owner/name");
        check(401, Some("RepoNotFound"), false, "no model owner/name");
        check(401, None, false, "no model owner/name");
        check(404, None, false, "no model owner/name");
        check(404, Some("RevisionNotFound"), false, "no such revision");
        check(401, None, true, "denies access");
        check(403, None, false, "denies access");
        check(401, Some("GatedRepo"), false, "denies access");
        check(429, None, false, "no more requests");
        check(404, Some("EntryNotFound"), false, "unavailable");
        check(503, None, false, "unavailable");
    }
}
