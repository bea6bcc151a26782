//! The status and the caller's text of each error; those of models, of the transcriber and of pages of
//! other sites have files of their own.

use axum::http::StatusCode;

use super::description::{
    Description, RETRY_WHEN_NO_SPACE, audio_limit_reached, format_bytes, internal_error,
    is_disk_full, is_lack_of_resources, out_of_resources, rate_limited, truncated, unavailable,
};
use super::{ApiError, CLIENT_CLOSED_REQUEST, cross_site, live, models, transcription};

impl ApiError {
    pub(super) fn describe(&self) -> Description {
        let bad_request = |message: &str| Description::new(StatusCode::BAD_REQUEST, message);
        match self {
            Self::MissingModel { default } => bad_request(&format!(
                "Missing required parameter: 'model'. 'whisper-1' is an alias of this server's \
                 default model, {default}."
            ))
            .code("missing_required_parameter")
            .param("model"),
            Self::MissingFile { param } => {
                bad_request(&format!("Missing required parameter: '{param}'."))
                    .code("missing_required_parameter")
                    .param(param)
            }
            Self::EmptyFile => bad_request("The file is empty.")
                .code("invalid_value")
                .param("file"),
            Self::FileIsText { text } => bad_request(&format!(
                "The field 'file' contains the text {:?} instead of a recording. Upload the file \
                 itself (curl: -F file=@talk.mp3, with the @); URLs are not fetched.",
                truncated(text)
            ))
            .code("invalid_value")
            .param("file"),
            Self::NotAudio { kind } => bad_request(&format!(
                "The body is {kind}. Send a multipart form with the fields 'file' and 'model' (curl: \
                 -F file=@talk.mp3 -F model=whisper-1), or the recording as the body and the \
                 parameters in the query string."
            ))
            .code("invalid_value")
            .param("file"),
            Self::MultipleFiles => {
                bad_request("The form has more than one field 'file'; send one per request.")
                    .code("invalid_value")
                    .param("file")
            }
            Self::InvalidValue {
                param,
                value,
                expected,
            } => bad_request(&format!(
                "Invalid value for '{param}': {:?}. Expected {expected}.",
                truncated(value)
            ))
            .code("invalid_value")
            .param(param),
            Self::ParameterConflict { param, message } => bad_request(&format!("{message}."))
                .code("invalid_value")
                .param(param),
            Self::FieldTooLong { name, limit } => bad_request(&format!(
                "The field '{name}' is longer than the limit of {limit} bytes."
            ))
            .code("invalid_value")
            .param(name),
            Self::FieldNotText { name } => bad_request(&format!("The field '{name}' is not UTF-8 text."))
                .code("invalid_value")
                .param(name),
            Self::UnknownField { name } => bad_request(&format!(
                "Unknown parameter: '{}'. This server rejects unknown parameters.",
                truncated(name)
            ))
            .code("unknown_parameter")
            .param(&truncated(name)),
            Self::MalformedForm(reason) => bad_request(&format!(
                "The body is not a valid multipart form: {reason}."
            )),
            Self::MalformedQuery(reason) => {
                bad_request(&format!("The query string cannot be read: {reason}."))
            }
            Self::MalformedBody(_) => bad_request("The body violates the HTTP protocol."),
            Self::UnknownEncoding { encoding } => bad_request(&format!(
                "Invalid value for the header 'Content-Encoding': {:?}. Expected gzip, deflate or \
                 identity.",
                truncated(encoding)
            ))
            .code("invalid_value"),
            Self::MalformedEncoding(_) => {
                bad_request("The body does not match its 'Content-Encoding' header.")
            }
            Self::ClientDisconnected(_) => Description::new(
                StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST),
                "The connection closed before the end of the body.",
            ),
            Self::InvalidApiKey => Description::new(
                StatusCode::UNAUTHORIZED,
                "Incorrect or missing API key. Send it as 'Authorization: Bearer <key>'.",
            )
            .code("invalid_api_key"),
            Self::CrossSite(reason) => cross_site::describe(reason),
            Self::Live(error) => live::describe(error),
            Self::ModelNotFound {
                name,
                stands_for,
                available,
            } => models::not_found(name, stands_for.as_ref(), available),
            Self::InvalidModelId { name, source } => bad_request(&format!(
                "Invalid value for 'model': {:?}. Expected a model name: {source}.",
                truncated(name)
            ))
            .code("invalid_value")
            .param("model"),
            Self::Download { id, source } => models::describe_download(id, source),
            Self::AlreadyLoaded(id) => {
                models::conflict(&format!("The model '{id}' is already loaded."))
            }
            Self::Unload(error) => models::describe_unload(error),
            Self::Delete(error) => models::describe_delete(error),
            Self::UnknownRoute {
                method,
                path,
                nearest,
            } => {
                let unknown = format!("Unknown request URL: {method} {}.", truncated(path));
                let nearest = nearest.as_ref().map_or_else(String::new, |nearest| {
                    format!(" The most similar route is {nearest}; /openapi.json lists all routes.")
                });
                Description::new(StatusCode::NOT_FOUND, &format!("{unknown}{nearest}"))
                    .code("unknown_url")
            }
            Self::WrongMethod { method, path } => Description::new(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!(
                    "{} does not support {method}; the Allow header lists the supported methods.",
                    truncated(path)
                ),
            )
            .code("method_not_allowed"),
            Self::UploadTooSlow => Description::new(
                StatusCode::REQUEST_TIMEOUT,
                "The upload exceeded the request timeout, stalled, or was too slow.",
            )
            .code("timeout"),
            Self::UploadTooLarge { limit } => Description::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!(
                    "The request body is larger than the limit of {}.",
                    format_bytes(*limit)
                ),
            )
            .param("file"),
            Self::TooManyRequests { limit, wait } => rate_limited(&format!(
                "The server's limit on concurrent requests ({limit}) is reached."
            ))
            .retry_after(*wait),
            Self::CallerShareExceeded { share, wait } => rate_limited(&format!(
                "Your share of the server's concurrent requests ({share} while other callers send \
                 requests) is reached."
            ))
            .retry_after(*wait),
            Self::CallerLimitReached { limit, wait } => rate_limited(&format!(
                "Your limit of {limit} requests at one time is reached."
            ))
            .retry_after(*wait),
            Self::TooManyConnections => unavailable("The server has no free connection."),
            Self::RateLimitReached(exceeded) => rate_limited(&format!(
                "Your limit of {} requests per minute is reached.",
                exceeded.per_minute
            ))
            .retry_after(exceeded.wait),
            Self::AudioLimitReached(exceeded) => audio_limit_reached(exceeded),
            Self::Draining => unavailable("The server is shutting down."),
            Self::CutOff => unavailable("The server shut down before the transcription was done."),
            Self::Spool(error) if is_disk_full(error) => Description::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "There is not enough disk space for the upload.",
            )
            .code("insufficient_storage")
            .retry_after(RETRY_WHEN_NO_SPACE),
            Self::Spool(error) if is_lack_of_resources(error) => out_of_resources(),
            Self::Spool(_) => internal_error("The upload could not be stored."),
            Self::Panicked(_) | Self::Docs(_) => internal_error("The server failed on this request."),
            Self::Transcribe(error) => transcription::describe(error),
            Self::Overloaded { source, wait } => transcription::describe(source).retry_after(*wait),
        }
    }
}
