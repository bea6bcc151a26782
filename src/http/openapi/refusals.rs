//! With which statuses a route may refuse, and what each of them means.

use std::collections::BTreeMap;

use axum::http::header;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use super::super::error::ErrorResponse;
use super::super::middleware::RETRY_AFTER_MS;
use super::{number, text};

/// The refusals of routes of one kind, as a type that a handler's statement names.
macro_rules! refusals {
    ($($(#[$doc:meta])* $kind:ident: $statuses:expr;)*) => {$(
        $(#[$doc])*
        pub struct $kind;

        impl IntoResponses for $kind {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let statuses: &[u16] = &$statuses;
                let described = |status: &u16| (status.to_string(), RefOr::T(refusal(*status)));
                statuses.iter().map(described).collect()
            }
        }
    )*};
}

refusals! {
    /// An upload; its model may have to be downloaded first.
    OfAudio: [400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 507];
    /// What is open to everyone but pages of other sites.
    OfReading: [403];
    /// A list, which asks for nothing but the key.
    OfListing: [401, 403, 500, 503];
    /// One model by its name.
    OfNaming: [400, 401, 403, 404, 500, 503];
    /// A download.
    OfDownload: [400, 401, 403, 404, 429, 500, 502, 503, 504, 507];
    /// A deletion.
    OfDeletion: [400, 401, 403, 404, 409, 500, 503];
    /// A model's loading; it may have to be downloaded first.
    OfLoading: [400, 401, 403, 404, 409, 429, 500, 502, 503, 504, 507];
    /// A model's unloading.
    OfUnloading: [400, 401, 403, 404, 409, 500, 503];
}

fn refusal(status: u16) -> Response {
    let shape = Ref::from_schema_name(ErrorResponse::name());
    let response = ResponseBuilder::new()
        .description(meaning(status))
        .content("application/json", Content::new(Some(shape)));
    let response = match status {
        401 => response.header(
            header::WWW_AUTHENTICATE.as_str(),
            text("`Bearer`, where it is this server that wants a key."),
        ),
        429 | 503 => response
            .header(
                header::RETRY_AFTER.as_str(),
                number("Seconds until it is best tried again, at least 1."),
            )
            .header(
                RETRY_AFTER_MS.as_str(),
                number("The same in milliseconds; OpenAI's SDK prefers it."),
            ),
        _ => response,
    };
    response.build()
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "A field, the name or the body is not what it may be; `param` names the field.",
        401 => "The key is missing or wrong; or the hub does not let this server have the model.",
        403 => {
            "The server has no keys, and a page of another site sent it, or it is called by a name \
                that is not its own; the message names the setting."
        }
        404 => "No such model.",
        408 => "The upload was not complete in time, or came too slowly.",
        409 => "The model is in use, loaded already, or being downloaded.",
        413 => "The body is over the limit, which the message names.",
        429 => "Too many requests: at one time, within a minute, in the queue, or at the hub.",
        500 => "The server failed on this request; the message has the id that its log knows.",
        502 => "The hub cannot be reached, or fails.",
        503 => "The server is stopping or has no connection free, or the model cannot be loaded.",
        504 => "It was not done in time.",
        507 => "The disk has no room for the model, or for the upload.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_meaning() {
        for responses in [
            OfAudio::responses(),
            OfReading::responses(),
            OfDownload::responses(),
            OfLoading::responses(),
            OfDeletion::responses(),
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
