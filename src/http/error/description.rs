//! What the caller is told about each error, and with which status.

use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use rustix::io::Errno;

use super::super::cross_site::CrossSite;
use super::super::middleware::CLIENT_CLOSED_REQUEST;
use super::{ApiError, models, transcription};

/// When a full server is best asked again: most requests are short.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);
/// When a starting, stopping or restarting server is best asked again.
const RETRY_WHEN_AWAY: Duration = Duration::from_secs(5);

/// When a full disk is best asked again: somebody has to make room.
pub(super) const RETRY_WHEN_NO_SPACE: Duration = Duration::from_secs(60);

/// What the caller is told.
pub(super) struct Description {
    pub(super) status: StatusCode,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<String>,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl ApiError {
    pub(super) fn describe(&self) -> Description {
        let bad = |message: &str| Description::new(StatusCode::BAD_REQUEST, message);
        match self {
            Self::MissingModel { default } => bad(&format!(
                "Missing required parameter: 'model'. 'whisper-1' stands for this server's \
                 default, {default}."
            ))
            .code("missing_required_parameter")
            .param("model"),
            Self::MissingFile { param } => {
                bad(&format!("Missing required parameter: '{param}'."))
                    .code("missing_required_parameter")
                    .param(param)
            }
            Self::EmptyFile => bad("The file is empty.")
                .code("invalid_value")
                .param("file"),
            Self::FileIsText { text } => bad(&format!(
                "The field 'file' holds the text {:?} instead of a recording. Upload the file itself \
                 (curl: -F file=@talk.mp3, with the @); addresses are not fetched.",
                short(text)
            ))
            .code("invalid_value")
            .param("file"),
            Self::NotAudio { kind } => bad(&format!(
                "The body is {kind}. Send a multipart form with the fields 'file' and 'model' (curl: \
                 -F file=@talk.mp3 -F model=whisper-1), or the recording as the body and the \
                 parameters in the query string."
            ))
            .code("invalid_value")
            .param("file"),
            Self::MultipleFiles => bad("The form has more than one field 'file'; send one a request.")
                .code("invalid_value")
                .param("file"),
            Self::InvalidValue {
                param,
                value,
                expected,
            } => bad(&format!(
                "Invalid value for '{param}': {:?}. Expected {expected}.",
                short(value)
            ))
            .code("invalid_value")
            .param(param),
            Self::FieldTooLong { name, limit } => bad(&format!(
                "The field '{name}' is longer than the limit of {limit} bytes."
            ))
            .code("invalid_value")
            .param(name),
            Self::FieldNotText { name } => bad(&format!("The field '{name}' is not UTF-8 text."))
                .code("invalid_value")
                .param(name),
            Self::UnknownField { name } => bad(&format!(
                "Unknown parameter: '{}'. This server is set to refuse what it does not know.",
                short(name)
            ))
            .code("unknown_parameter")
            .param(&short(name)),
            Self::MalformedForm(reason) => bad(&format!(
                "The body is not a valid multipart form: {reason}."
            )),
            Self::MalformedQuery(reason) => {
                bad(&format!("The query string cannot be read: {reason}."))
            }
            Self::MalformedBody(_) => bad("The body breaks the rules of HTTP."),
            Self::UnknownEncoding { encoding } => bad(&format!(
                "Invalid value for the header 'Content-Encoding': {:?}. Expected gzip, deflate or \
                 identity.",
                short(encoding)
            ))
            .code("invalid_value"),
            Self::MalformedEncoding(_) => {
                bad("The body is not compressed as its header 'Content-Encoding' says.")
            }
            Self::ClientDisconnected(_) => Description::new(
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST),
                "The body broke off before its end.",
            ),
            Self::InvalidApiKey => Description::new(
                StatusCode::UNAUTHORIZED,
                "Incorrect or missing API key. Send it as 'Authorization: Bearer <key>'.",
            )
            .code("invalid_api_key"),
            Self::CrossSite(reason) => cross_site(reason),
            Self::ModelNotFound { name, present } => not_found(name, present),
            Self::InvalidModelId { name, source } => bad(&format!(
                "Invalid value for 'model': {:?}. Expected a model's name: {source}.",
                short(name)
            ))
            .code("invalid_value")
            .param("model"),
            Self::Download { id, source } => models::describe_download(id, source),
            Self::AlreadyLoaded(id) => {
                models::conflict(&format!("The model '{id}' is loaded already."))
            }
            Self::Unload(error) => models::describe_unload(error),
            Self::Delete(error) => models::describe_delete(error),
            Self::UnknownRoute {
                method,
                path,
                nearest,
            } => {
                let unknown = format!("Unknown request URL: {method} {}.", short(path));
                let nearest = nearest.as_ref().map_or_else(String::new, |nearest| {
                    format!(" The nearest route is {nearest}; /openapi.json lists all.")
                });
                Description::new(StatusCode::NOT_FOUND, &format!("{unknown}{nearest}"))
                    .code("unknown_url")
            }
            Self::WrongMethod { method, path } => Description::new(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!(
                    "{} does not take {method}; the Allow header says what it takes.",
                    short(path)
                ),
            )
            .code("method_not_allowed"),
            Self::UploadTooSlow => Description::new(
                StatusCode::REQUEST_TIMEOUT,
                "The upload was not complete within the time a request may take, stood still for too \
                 long or came too slowly.",
            )
            .code("timeout"),
            Self::UploadTooLarge { limit } => Description::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!(
                    "The request body is larger than the limit of {}.",
                    bytes(*limit)
                ),
            )
            .param("file"),
            Self::TooManyRequests { limit, wait } => full(&format!(
                "The server's limit on concurrent requests ({limit}) is reached."
            ))
            .retry_after(*wait),
            Self::CallerShareExceeded { share, wait } => full(&format!(
                "Your share of the server's concurrent requests ({share} while others ask) is \
                 reached."
            ))
            .retry_after(*wait),
            Self::TooManyConnections => away("The server has no connection free."),
            Self::RateLimitReached(exceeded) => full(&format!(
                "Your limit of {} requests a minute is reached.",
                exceeded.per_minute
            ))
            .retry_after(exceeded.wait),
            Self::Draining => away("The server is shutting down."),
            Self::CutOff => away("The server shut down before the transcription was done."),
            Self::Spool(error) if is_full(error) => Description::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "The disk has no room for the upload.",
            )
            .code("insufficient_storage")
            .retry_after(RETRY_WHEN_NO_SPACE),
            Self::Spool(error) if is_lack_of_resources(error) => out_of_files(),
            Self::Spool(_) => failed("The upload could not be stored."),
            Self::Panicked(_) | Self::Docs(_) => failed("The server failed on this request."),
            Self::Transcribe(error) => transcription::describe(error),
            Self::Overloaded { source, wait } => transcription::describe(source).retry_after(*wait),
        }
    }
}

/// Whether the disk had no room, or the user no more of it.
pub(super) fn is_full(error: &io::Error) -> bool {
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

pub(super) fn out_of_files() -> Description {
    away("The server lacks file descriptors or memory for another file.")
}

/// Names the setting that lets the page in.
fn cross_site(reason: &CrossSite) -> Description {
    let (message, code) = match reason {
        CrossSite::Host(host) => (
            format!(
                "This server is not known by the host name {:?}. If it is the server's, add it to \
                 ALLOWED_HOSTS; or set API_KEY.",
                short(host)
            ),
            "host_not_allowed",
        ),
        CrossSite::Origin(origin) => (
            format!(
                "Pages of the origin {:?} may not call this server. To let them, add it to \
                 ALLOW_ORIGINS; or set API_KEY.",
                short(origin)
            ),
            "origin_not_allowed",
        ),
        CrossSite::Site => (
            "Pages of other sites may not call this server. To let one, add its origin to \
             ALLOW_ORIGINS; or set API_KEY."
                .to_owned(),
            "origin_not_allowed",
        ),
    };
    Description::new(StatusCode::FORBIDDEN, &message).code(code)
}

pub(super) fn not_found(name: &str, present: &[String]) -> Description {
    let name = short(name);
    let present = match present {
        [] => String::new(),
        names => format!(" Models here: {}.", names.join(", ")),
    };
    Description::new(
        StatusCode::NOT_FOUND,
        &format!(
            "The model '{name}' is not on this server. To download it from the Hugging Face hub, \
             send POST /v1/models/{name}; a CTranslate2 model of your own goes into a folder of \
             that name in MODELS_DIR.{present}"
        ),
    )
    .code("model_not_found")
    .param("model")
}

pub(super) fn full(message: &str) -> Description {
    let message = format!("{message} Try again in a moment.");
    Description::new(StatusCode::TOO_MANY_REQUESTS, &message)
        .code("rate_limit_exceeded")
        .retry_after(RETRY_WHEN_FULL)
}

pub(super) fn away(message: &str) -> Description {
    Description::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(RETRY_WHEN_AWAY)
}

pub(super) fn failed(message: &str) -> Description {
    Description::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

pub(super) fn too_late() -> Description {
    Description::new(
        StatusCode::GATEWAY_TIMEOUT,
        "The transcription was not done within the time a request may take.",
    )
    .code("timeout")
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

/// What a caller sent, cut to a length that is fit for a message.
fn short(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A size as people write it.
pub(super) fn bytes(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}
