//! The `OpenAPI` document: what the handlers say of themselves, and what holds for all of them.
//!
//! The router is built of the same statements (`router`), so what is documented is what is served.
//! `form` makes the parameters of an upload out of their table, `model` is the one of a path,
//! `answers` and `refusals` say what comes back.

mod form;
mod model;
mod answers;
mod refusals;

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi, RefOr};

use super::error::ErrorResponse;
use super::middleware::{PROCESSING_MS, REQUEST_ID};
use crate::format::{AsrTranscript, DetectedLanguage};
pub use answers::{Detected, Downloaded, Inferred, Recognised, Transcribed, Translated};
use answers::{
    DownloadEvent, InferenceAnswer, TranscriptionAnswer, TranscriptionEvent, TranslationAnswer,
};
pub use form::{
    AsrForm, AsrParameters, InferenceForm, InferenceParameters, LanguageParameters, Recording,
    TranscriptionForm, TranscriptionParameters, TranslationForm, TranslationParameters,
};
pub use model::ModelName;
pub use refusals::{
    OfAudio, OfDeletion, OfDownload, OfListing, OfLoading, OfNaming, OfReading, OfUnloading,
};

/// Name of the way to show a key.
const BEARER: &str = "bearer";

/// What the document says before its routes, and the shape of an error.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "HalkSpeech",
        description = "Speech to text with OpenAI's API. Every error has the shape of \
            `ErrorResponse`, also the 404 of an unknown path and the 405 of a method that a path \
            does not take. A server that is set to reject unknown fields refuses those that are \
            not listed here; otherwise they are ignored.",
    ),
    tags(
        (name = "audio", description = "Audio in, its words out."),
        (name = "peers", description = "The same, by the APIs of other servers of Whisper."),
        (name = "models", description = "The models on disk."),
        (name = "memory", description = "The models in memory."),
        (name = "operation", description = "For those who run the server; no key is wanted."),
    ),
    components(schemas(
        ErrorResponse,
        TranscriptionAnswer,
        TranslationAnswer,
        InferenceAnswer,
        AsrTranscript<'static>,
        DetectedLanguage,
        TranscriptionEvent,
        DownloadEvent,
    )),
)]
struct Beginning;

/// Whether callers must show a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They must.
    Wanted,
    /// They may; it is not looked at.
    Ignored,
}

/// The document of these routes.
pub fn document(routes: OpenApi, keys: Keys) -> OpenApi {
    let mut document = <Beginning as utoipa::OpenApi>::openapi().merge_from(routes);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer = bearer.description(Some(
        "One of the server's keys (`API_KEY`, `API_KEYS_FILE`).",
    ));
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    let shown = SecurityRequirement::new(BEARER, Vec::<String>::new());
    document.security = Some(match keys {
        Keys::Wanted => vec![shown],
        Keys::Ignored => vec![SecurityRequirement::default(), shown],
    });
    document.info.contact = None;
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths
        .into_iter()
        .map(|(path, mut item)| {
            for operation in operations(&mut item) {
                name_headers(operation);
            }
            (plain(&path), item)
        })
        .collect();
    document
}

/// A path without the star by which the router knows that a parameter may have slashes; `OpenAPI` has
/// no word for it.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [&mut item.get, &mut item.post, &mut item.delete];
    methods.into_iter().filter_map(Option::as_mut)
}

/// What every answer carries.
fn name_headers(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        let id = text("The caller's own `x-request-id`, where it is fit for a log, or a new one.");
        let time = number("Milliseconds from the request's arrival to its answer.");
        for (name, header) in [(REQUEST_ID, id), (PROCESSING_MS, time)] {
            response.headers.insert(name.to_string(), RefOr::T(header));
        }
    }
}

/// A header that holds text.
fn text(description: &str) -> Header {
    header(Type::String, description)
}

/// A header that holds a whole number from 0.
fn number(description: &str) -> Header {
    header(Type::Integer, description)
}

fn header(holds: Type, description: &str) -> Header {
    let least = (holds == Type::Integer).then_some(0_u64);
    let schema = ObjectBuilder::new().schema_type(holds).minimum(least);
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(description))
        .build()
}

#[cfg(test)]
mod tests;
