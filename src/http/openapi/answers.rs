//! The answers that have more than one form, to uploads and downloads.

use std::borrow::Cow;
use std::collections::BTreeMap;

use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::super::downloads::DownloadProgressEvent;
use super::super::error::ErrorResponse;
use super::super::middleware::{
    BATCH_SIZE, INFERENCE_MS, LIMIT_REQUESTS, QUEUE_MS, REMAINING_REQUESTS,
};
use super::super::models::ModelObject;
use super::number;
use crate::format::{
    AsrTranscript, BareText, DetectedLanguage, Transcription, TranscriptionDiarized,
    TranscriptionTextDelta, TranscriptionTextDone, TranscriptionTextSegment, TranscriptionVerbose,
};

/// A schema that is any of these, with its name. The one with the most fields goes first: clients
/// that try one after the other would take `Transcription` for all of them.
macro_rules! any_of {
    ($($(#[$doc:meta])* $name:ident: $description:literal, $($one:ident),+;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                AnyOfBuilder::new()
                    .description(Some($description))
                    $(.item(Ref::from_schema_name($one::name())))+
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                $(
                    schemas.push(($one::name().into_owned(), $one::schema()));
                    $one::schemas(schemas);
                )+
            }
        }
    )*};
}

any_of! {
    /// A transcription as JSON.
    TranscriptionAnswer: "`verbose_json`, `diarized_json`, or `json`.",
        TranscriptionVerbose, TranscriptionDiarized, Transcription;
    /// A translation as JSON.
    TranslationAnswer: "`verbose_json`, or `json`.", TranscriptionVerbose, Transcription;
    /// A transcription of `/inference` as JSON.
    InferenceAnswer: "`verbose_json`, `diarized_json`, or `json`, which has the text alone.",
        TranscriptionVerbose, TranscriptionDiarized, Transcription, BareText;
    /// What a stream sends.
    TranscriptionEvent: "The data of one event: more text, the whole text as the last event, or \
        what failed. In a stream of `verbose_json` a segment, and that format's answer as the last.",
        TranscriptionVerbose, TranscriptionTextDone, TranscriptionTextSegment,
        TranscriptionTextDelta, ErrorResponse;
    /// What the stream of a download sends.
    DownloadEvent: "The data of one event: how far it is, the model as the last event, or what \
        failed.", DownloadProgressEvent, ErrorResponse;
}

/// The answers of transcriptions that went well.
pub struct Transcribed;

/// The answers of translations that went well.
pub struct Translated;

impl IntoResponses for Transcribed {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        answers(&TranscriptionAnswer::name())
    }
}

impl IntoResponses for Translated {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        answers(&TranslationAnswer::name())
    }
}

/// The answers of `/asr` that went well.
pub struct Recognised;

/// The answers of `/detect-language` that went well.
pub struct Detected;

/// The answers of `/inference` that went well.
pub struct Inferred;

impl IntoResponses for Recognised {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("The text in the form that `output` names.")
            .content("application/json", one(&AsrTranscript::name()))
            .content(
                "text/plain",
                plain("The bare text, subtitles, or a table between tabs."),
            );
        ok(with_headers(response))
    }
}

impl IntoResponses for Detected {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("The language.")
            .content("application/json", one(&DetectedLanguage::name()));
        ok(with_headers(response))
    }
}

impl IntoResponses for Inferred {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        answers(&InferenceAnswer::name())
    }
}

/// The answer to a download of a model that was here, and the events of any other.
pub struct Downloaded;

impl IntoResponses for Downloaded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("It was here; or the events of its download.")
            .content("application/json", one(&ModelObject::name()))
            .content("text/event-stream", events(&DownloadEvent::name()));
        BTreeMap::from([("200".to_owned(), RefOr::T(response.build()))])
    }
}

fn answers(json: &str) -> BTreeMap<String, RefOr<Response>> {
    let response = ResponseBuilder::new()
        .description(
            "The text in the form that `response_format` names. `text` and `srt` are \
             `text/plain`, `vtt` is `text/vtt`; with `stream=true` the answer is events.",
        )
        .content("application/json", one(json))
        .content("text/plain", plain("The bare text, or SubRip subtitles."))
        .content("text/vtt", plain("WebVTT subtitles."))
        .content("text/event-stream", events(&TranscriptionEvent::name()));
    ok(with_headers(response))
}

fn ok(response: ResponseBuilder) -> BTreeMap<String, RefOr<Response>> {
    BTreeMap::from([("200".to_owned(), RefOr::T(response.build()))])
}

/// What every answer to an upload carries.
fn with_headers(mut response: ResponseBuilder) -> ResponseBuilder {
    for (name, description) in [
        (
            QUEUE_MS,
            "The longest wait of one of its windows for a batch; not on streams.",
        ),
        (
            INFERENCE_MS,
            "The longest batch that one of its windows was in; not on streams.",
        ),
        (
            BATCH_SIZE,
            "The most windows in such a batch; not on streams.",
        ),
        (LIMIT_REQUESTS, "Requests at one time."),
        (REMAINING_REQUESTS, "How many more would be let in now."),
    ] {
        response = response.header(name.as_str(), number(description));
    }
    response
}

fn one(schema: &str) -> Content {
    Content::new(Some(Ref::from_schema_name(schema)))
}

/// Server-sent events, each with an object as its data. The schema is that of one event, as `OpenAPI`
/// 3.2 has it and tools for 3.1 take it.
fn events(schema: &str) -> Content {
    let data = ObjectBuilder::new()
        .schema_type(Type::String)
        .content_media_type("application/json")
        .content_schema(Some(Ref::from_schema_name(schema)));
    let event = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("data", data)
        .required("data");
    Content::new(Some(event))
}

fn plain(description: &str) -> Content {
    let text = ObjectBuilder::new().schema_type(Type::String);
    Content::new(Some(text.description(Some(description))))
}
