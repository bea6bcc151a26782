//! Errors of downloads from the hub.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::HFError;

use crate::models::ModelId;

/// Why a model could not be downloaded. No message contains the token or a signed address.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The settings disable requests to the hub.
    #[error("model {id} is not on disk and requests to the hub are disabled")]
    Offline {
        /// The model.
        id: ModelId,
    },
    /// The hub has no such repository, or hides it.
    #[error("hub has no model {id}, or hides it")]
    NotFound {
        /// The model.
        id: ModelId,
    },
    /// The repository exists, but not the branch, tag or commit.
    #[error("hub has no such revision of model {id}")]
    RevisionNotFound {
        /// The model, with the requested revision.
        id: ModelId,
    },
    /// The hub denies access: the model is gated, or the token is invalid.
    #[error("hub denies access to model {id}")]
    Denied {
        /// The model.
        id: ModelId,
    },
    /// The hub limits the rate of requests.
    #[error("hub takes no more requests for now")]
    RateLimited {
        /// The `Retry-After` of the response, if any.
        retry_after: Option<Duration>,
    },
    /// The hub cannot be reached, fails, or repeatedly closes the connection.
    #[error("hub is unavailable")]
    Unavailable {
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub sent nothing within the timeout.
    #[error("hub was silent for longer than {} s", timeout.as_secs_f32())]
    Stalled {
        /// The timeout.
        timeout: Duration,
    },
    /// The repository does not contain a CTranslate2 Whisper model.
    #[error("model {id} lacks {}", missing.join(", "))]
    NotWhisper {
        /// The model.
        id: ModelId,
        /// The missing files.
        missing: Vec<String>,
        /// Whether it contains weights in the format of the transformers library.
        is_transformers: bool,
    },
    /// The hub's list of the repository's files is too long.
    #[error("hub's list of the files of {id} is longer than {limit} bytes")]
    ListingTooLong {
        /// The model.
        id: ModelId,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The disk of the cache has too little free space.
    #[error("disk has {free} bytes free of the {needed} that are needed")]
    NoSpace {
        /// The remaining size of the download plus a reserve, in bytes.
        needed: u64,
        /// Free space on the disk, in bytes.
        free: u64,
    },
    /// The received file does not match the listing; it was deleted.
    #[error("file {file} is not the one that the hub lists: {problem}")]
    Corrupt {
        /// The file's name in the repository.
        file: String,
        /// The mismatch.
        problem: String,
    },
    /// The cache cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The download was stopped because the server shuts down; received data is kept.
    #[error("download was stopped")]
    Stopped,
    /// The download panicked.
    #[error("download panicked")]
    Panicked,
    /// The hub's address is invalid, or TLS cannot be set up.
    #[error("client for the hub cannot be made")]
    Client {
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why the hub counts as unavailable, if no other error applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HubFault {
    #[error("hub answered with status {0}")]
    Status(u16),
    #[error("connection ended early")]
    EndedEarly,
    #[error("answer cannot be understood: {0}")]
    Malformed(&'static str),
    /// Without the xet client's message, which may contain signed addresses.
    #[error("transfer through xet failed")]
    Xet,
    #[error("hub's client failed")]
    Client,
}

/// An error response of the hub.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HubRefusal<'a> {
    pub status: u16,
    /// The header `X-Error-Code`.
    pub code: Option<&'a str>,
    /// The header `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// What a request to the hub is about; needed to interpret its error responses.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'a> {
    pub id: &'a ModelId,
    pub has_token: bool,
    /// Maximum time without data.
    pub timeout: Duration,
}

impl HubError {
    /// For `map_err`: an I/O error on this file or folder.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether an early retry may succeed.
    pub(super) fn is_transient(&self) -> bool {
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

impl RequestContext<'_> {
    /// Interprets an error response. The hub's error code says more than its status: without a token,
    /// repositories that do not exist get the same 401 as private ones.
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

    /// Interprets an error of the HTTP client.
    pub fn client_error(&self, error: reqwest::Error) -> HubError {
        // No connection within the timeout, as behind a firewall: the hub has sent nothing yet.
        if error.is_timeout() && !error.is_connect() {
            return self.stalled();
        }
        // The address may be a signed one.
        HubError::Unavailable {
            source: Box::new(error.without_url()),
        }
    }

    /// Interprets an error of hf-hub.
    pub fn hub_error(&self, error: HFError) -> HubError {
        let (context, retry_after) = match error {
            HFError::Request { source, .. } => return self.client_error(source),
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

    /// The delay before a retry, in proportion to the timeout.
    pub fn retry_delay(&self) -> Duration {
        self.timeout / 100
    }

    /// The error for a timeout.
    pub fn stalled(&self) -> HubError {
        HubError::Stalled {
            timeout: self.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[track_caller]
    fn check(status: u16, code: Option<&str>, has_token: bool, expected: &str) {
        let id = ModelId::parse("owner/name").unwrap();
        let context = RequestContext {
            id: &id,
            has_token,
            timeout: Duration::ZERO,
        };
        let refusal = HubRefusal {
            status,
            code,
            retry_after: None,
        };
        let error = context.refused(refusal).to_string();
        assert!(error.contains(expected), "{status} {code:?}: {error}");
    }

    #[test]
    fn distinguishes_error_responses_as_the_hub_does() {
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

    #[tokio::test]
    async fn a_connection_that_times_out_is_a_hub_that_cannot_be_reached() {
        let id = ModelId::parse("owner/name").unwrap();
        let timeout = Duration::from_millis(100);
        let context = RequestContext {
            id: &id,
            has_token: false,
            timeout,
        };
        // The kernel drops connections to a listener whose backlog is full, as firewalls do.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut backlog = Vec::new();
        while let Ok(connection) = TcpStream::connect_timeout(&address, timeout) {
            backlog.push(connection);
        }
        let client = reqwest::Client::builder()
            .connect_timeout(timeout)
            .no_proxy();

        let request = client.build().unwrap().get(format!("http://{address}/"));
        let error = request.send().await.unwrap_err();

        assert!(error.is_timeout(), "{error:?}");
        let error = context.client_error(error);
        assert!(matches!(error, HubError::Unavailable { .. }), "{error:?}");
    }
}
