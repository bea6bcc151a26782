//! The `OpenAPI` document: the handlers' annotations, and the parts that all routes share.
//!
//! The router is built from the same annotations (`router`), so the document matches the routes.
//! `form` derives the parameters of an upload from their table, `model` is the parameter of a path,
//! `responses` and `error_responses` describe the responses.

mod form;
mod model;
mod live;
mod responses;
mod error_responses;

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi, RefOr};

use super::error::ErrorResponse;
use super::headers::{PROCESSING_MS, REQUEST_ID};
use crate::format::{
    AsrTranscript, DetectedLanguage, Diarization, SpeechTimestamp, SpokenLanguages,
};
pub use error_responses::{
    AudioErrors, DeletionErrors, DownloadErrors, ListErrors, LiveErrors, LoadErrors, ModelErrors,
    ReadErrors, SecretErrors, UnloadErrors,
};
pub use form::{
    AsrForm, AsrParameters, DiarizationForm, DiarizationParameters, InferenceForm,
    InferenceParameters, LanguageParameters, Recording, SpeechForm, SpeechParameters,
    SpokenLanguageForm, SpokenLanguageParameters, TranscriptionForm, TranscriptionParameters,
    TranslationForm, TranslationParameters,
};
pub use live::SimpleStreamParameters;
pub use model::ModelName;
pub use responses::{
    AsrResponses, DiarizationResponses, DownloadResponses, InferenceResponses, LanguageResponses,
    SpeechResponses, SpokenLanguageResponses, TranscriptionResponses, TranslationResponses,
};
use responses::{
    DownloadEvent, InferenceAnswer, TranscriptionAnswer, TranscriptionEvent, TranslationAnswer,
};

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// The document without its routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "HalkSpeech",
        description = "Speech to text with OpenAI's API. Every error has the shape of \
            `ErrorResponse`, also the 404 of an unknown path and the 405 of a method that a path \
            does not support. Fields that are not listed here are ignored, unless the server is \
            configured to reject unknown fields.",
    ),
    tags(
        (name = "audio", description = "Transcription, translation and analysis of audio."),
        (name = "live", description = "Transcription while a person speaks, over WebSockets."),
        (name = "peers", description = "The same, with the APIs of other Whisper servers."),
        (name = "models", description = "The models on disk."),
        (name = "memory", description = "The models in memory."),
        (name = "operation", description = "For operators; no key is required."),
    ),
    components(schemas(
        ErrorResponse,
        TranscriptionAnswer,
        TranslationAnswer,
        InferenceAnswer,
        AsrTranscript<'static>,
        DetectedLanguage,
        SpokenLanguages,
        Diarization<'static>,
        SpeechTimestamp,
        TranscriptionEvent,
        DownloadEvent,
    )),
)]
struct BaseDocument;

/// Whether callers must send a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// A key is required.
    Required,
    /// A key may be sent and is ignored.
    Ignored,
}

/// The document of these routes.
pub fn document(routes: OpenApi, keys: KeyPolicy) -> OpenApi {
    let mut document = <BaseDocument as utoipa::OpenApi>::openapi().merge_from(routes);
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
        KeyPolicy::Required => vec![shown],
        KeyPolicy::Ignored => vec![SecurityRequirement::default(), shown],
    });
    document.info.contact = None;
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths
        .into_iter()
        .map(|(path, mut item)| {
            for operation in operations(&mut item) {
                add_headers(operation);
            }
            (openapi_path(&path), item)
        })
        .collect();
    document
}

/// A path without the router's star for parameters with slashes, which `OpenAPI` does not have.
fn openapi_path(path: &str) -> String {
    path.replace("{*", "{")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [&mut item.get, &mut item.post, &mut item.delete];
    methods.into_iter().filter_map(Option::as_mut)
}

/// Adds the headers of every response.
fn add_headers(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        let id = text("The caller's `x-request-id` if it is valid, or a new one.");
        let time = number("Milliseconds from the request's arrival to its response.");
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
