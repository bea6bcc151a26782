//! The status, the text and the headers of an error response.

use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use rustix::io::Errno;

use crate::caller::AudioQuotaExceeded;

/// Default `Retry-After` of a full server: most requests are short.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);
/// Default `Retry-After` of a starting, stopping or restarting server.
const RETRY_WHEN_UNAVAILABLE: Duration = Duration::from_secs(5);

/// `Retry-After` when the disk is full: an operator has to free space.
pub(super) const RETRY_WHEN_NO_SPACE: Duration = Duration::from_secs(60);

/// The response to an error.
pub(super) struct Description {
    pub(super) status: StatusCode,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<String>,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Description {
    pub(super) fn new(status: StatusCode, message: &str) -> Self {
        Self {
            status,
            code: None,
            param: None,
            message: message.to_owned(),
            retry_after: None,
        }
    }

    pub(super) fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    pub(super) fn param(self, param: &str) -> Self {
        Self {
            param: Some(param.to_owned()),
            ..self
        }
    }

    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }
}

/// Whether the disk or the user's quota is full.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Whether the process or the system lacks file descriptors or memory for another file or connection.
pub fn is_lack_of_resources(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

pub(super) fn out_of_resources() -> Description {
    unavailable("The server has run out of file descriptors or memory.")
}

pub(super) fn rate_limited(message: &str) -> Description {
    let message = format!("{message} Try again in a moment.");
    Description::new(StatusCode::TOO_MANY_REQUESTS, &message)
        .code("rate_limit_exceeded")
        .retry_after(RETRY_WHEN_FULL)
}

pub(super) fn audio_limit_reached(exceeded: &AudioQuotaExceeded) -> Description {
    rate_limited(&format!(
        "Your limit of {} seconds of audio per minute is reached.",
        exceeded.seconds_per_minute
    ))
    .retry_after(exceeded.wait)
}

pub(super) fn unavailable(message: &str) -> Description {
    Description::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(RETRY_WHEN_UNAVAILABLE)
}

pub(super) fn internal_error(message: &str) -> Description {
    Description::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

pub(super) fn timed_out() -> Description {
    Description::new(
        StatusCode::GATEWAY_TIMEOUT,
        "The transcription was not finished within the request timeout.",
    )
    .code("timeout")
}

/// Text from a caller, truncated for a message.
pub(super) fn truncated(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A size in MiB if it is a whole number of them, otherwise in bytes.
pub(super) fn format_bytes(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}
