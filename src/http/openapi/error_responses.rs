//! The error statuses of each kind of route, and their meanings.

use std::collections::BTreeMap;

use axum::http::header;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use super::super::error::ErrorResponse;
use super::super::headers::RETRY_AFTER_MS;
use super::{number, text};

/// The error responses of a kind of route, as a type for the handlers' annotations.
macro_rules! error_responses {
    ($($(#[$doc:meta])* $kind:ident: $statuses:expr;)*) => {$(
        $(#[$doc])*
        pub struct $kind;

        impl IntoResponses for $kind {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let statuses: &[u16] = &$statuses;
                let described = |status: &u16| (status.to_string(), RefOr::T(error_response(*status)));
                statuses.iter().map(described).collect()
            }
        }
    )*};
}

error_responses! {
    /// An upload; its model may have to be downloaded first.
    AudioErrors: [400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 507];
    /// A route that needs no key but refuses pages of other sites.
    ReadErrors: [403];
    /// A list, without parameters.
    ListErrors: [401, 403, 500, 503];
    /// One model by its name.
    ModelErrors: [400, 401, 403, 404, 500, 503];
    /// A download.
    DownloadErrors: [400, 401, 403, 404, 429, 500, 502, 503, 504, 507];
    /// A deletion.
    DeletionErrors: [400, 401, 403, 404, 409, 500, 503];
    /// A model's loading; it may have to be downloaded first.
    LoadErrors: [400, 401, 403, 404, 409, 429, 500, 502, 503, 504, 507];
    /// A model's unloading.
    UnloadErrors: [400, 401, 403, 404, 409, 500, 503];
    /// A socket, before it is open.
    LiveErrors: [400, 401, 403, 404, 426, 429, 500, 503];
    /// A client secret.
    SecretErrors: [400, 401, 403, 413, 500, 503];
}

fn error_response(status: u16) -> Response {
    let shape = Ref::from_schema_name(ErrorResponse::name());
    let response = ResponseBuilder::new()
        .description(meaning(status))
        .content("application/json", Content::new(Some(shape)));
    let response = match status {
        401 => response.header(
            header::WWW_AUTHENTICATE.as_str(),
            text("`Bearer`, if this server requires a key."),
        ),
        429 | 503 => response
            .header(
                header::RETRY_AFTER.as_str(),
                number("Seconds to wait before a retry, at least 1."),
            )
            .header(
                RETRY_AFTER_MS.as_str(),
                number("The same in milliseconds, which OpenAI's SDK prefers."),
            ),
        _ => response,
    };
    response.build()
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "A field, the name or the body is invalid; `param` names the field.",
        401 => "The key is missing or wrong; or the hub denies this server access to the model.",
        403 => {
            "The server has no keys, and the request is from a page of another site or names another \
                host; the message names the setting."
        }
        404 => "No such model.",
        408 => "The upload was not complete in time, or was too slow.",
        409 => "The model is in use, loaded already, or being downloaded.",
        413 => "The body exceeds the limit, which the message names.",
        426 => "The request does not ask for a WebSocket.",
        429 => {
            "Too many requests: concurrent, per minute, in the queue, at the hub, or too many live sessions."
        }
        500 => "The server failed on this request; the message has the request id for its log.",
        502 => "The hub cannot be reached, or fails.",
        503 => "The server is stopping or has no free connection, or the model cannot be loaded.",
        504 => "The request was not completed in time.",
        507 => "The disk has no space for the model, or for the upload.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_meaning() {
        for responses in [
            AudioErrors::responses(),
            ReadErrors::responses(),
            DownloadErrors::responses(),
            LoadErrors::responses(),
            DeletionErrors::responses(),
        ] {
            for (status, response) in responses {
                let RefOr::T(response) = response else {
                    panic!("{status} is a reference");
                };
                assert!(!response.description.is_empty(), "{status}");
            }
        }
    }
}
