//! The responses to uploads and downloads, which have several content types.

use std::borrow::Cow;
use std::collections::BTreeMap;

use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::super::download_event::DownloadProgressEvent;
use super::super::error::ErrorResponse;
use super::super::headers::{
    BATCH_SIZE, INFERENCE_MS, LIMIT_REQUESTS, QUEUE_MS, REMAINING_REQUESTS,
};
use super::super::model_object::ModelObject;
use super::number;
use crate::format::{
    AsrTranscript, BareText, DetectedLanguage, Diarization, SpeechTimestamp, SpokenLanguages,
    Transcription, TranscriptionDiarized, TranscriptionTextDelta, TranscriptionTextDone,
    TranscriptionTextSegment, TranscriptionVerbose,
};

/// A named schema that is any of these. The schema with the most fields is first: clients that try
/// them in order would parse every response as `Transcription`.
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
    /// An event of a stream.
    TranscriptionEvent: "The data of one event: more text, the whole text as the last event, or \
        an error. In a stream of `verbose_json`: a segment, and that format's response as the last. In a \
        stream of `diarized_json` the segments follow the text.",
        TranscriptionVerbose, TranscriptionTextDone, TranscriptionTextSegment,
        TranscriptionTextDelta, ErrorResponse;
    /// An event of the stream of a download.
    DownloadEvent: "The data of one event: the progress, the model as the last event, or an \
        error.", DownloadProgressEvent, ErrorResponse;
}

/// The responses of successful transcriptions.
pub struct TranscriptionResponses;

/// The responses of successful translations.
pub struct TranslationResponses;

impl IntoResponses for TranscriptionResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        text_responses(&TranscriptionAnswer::name())
    }
}

impl IntoResponses for TranslationResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        text_responses(&TranslationAnswer::name())
    }
}

/// The responses of successful requests to `/asr`.
pub struct AsrResponses;

/// The responses of successful requests to `/detect-language`.
pub struct LanguageResponses;

/// The responses of successful requests to `/inference`.
pub struct InferenceResponses;

impl IntoResponses for AsrResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("The text in the format that `output` names.")
            .content("application/json", reference(&AsrTranscript::name()))
            .content(
                "text/plain",
                plain("The bare text, subtitles, or a table between tabs."),
            );
        ok(with_headers(response))
    }
}

impl IntoResponses for LanguageResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("The language.")
            .content("application/json", reference(&DetectedLanguage::name()));
        ok(with_headers(response))
    }
}

impl IntoResponses for InferenceResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        text_responses(&InferenceAnswer::name())
    }
}

/// The responses of successful requests to `/v1/audio/language`.
pub struct SpokenLanguageResponses;

/// The responses of successful diarizations.
pub struct DiarizationResponses;

/// The responses of successful speech detections.
pub struct SpeechResponses;

impl IntoResponses for SpokenLanguageResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("The languages.")
            .content("application/json", reference(&SpokenLanguages::name()));
        ok(with_headers(response))
    }
}

impl IntoResponses for DiarizationResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("Who speaks when, in the format that `response_format` names.")
            .content("application/json", reference(&Diarization::name()))
            .content("text/plain", plain("Lines of RTTM."));
        ok(with_limits(response))
    }
}

impl IntoResponses for SpeechResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let timestamps = ArrayBuilder::new().items(Ref::from_schema_name(SpeechTimestamp::name()));
        let response = ResponseBuilder::new()
            .description("The spans of speech.")
            .content("application/json", Content::new(Some(timestamps)));
        ok(with_limits(response))
    }
}

/// The response to a download: the model if it was on disk, or the events of the download.
pub struct DownloadResponses;

impl IntoResponses for DownloadResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let response = ResponseBuilder::new()
            .description("The model if it was on disk, or the events of its download.")
            .content("application/json", reference(&ModelObject::name()))
            .content("text/event-stream", events(&DownloadEvent::name()));
        BTreeMap::from([("200".to_owned(), RefOr::T(response.build()))])
    }
}

fn text_responses(json: &str) -> BTreeMap<String, RefOr<Response>> {
    let response = ResponseBuilder::new()
        .description(
            "The text in the format that `response_format` names. `text` and `srt` are \
             `text/plain`, `vtt` is `text/vtt`; with `stream=true` the response is events.",
        )
        .content("application/json", reference(json))
        .content("text/plain", plain("The bare text, or SubRip subtitles."))
        .content("text/vtt", plain("WebVTT subtitles."))
        .content("text/event-stream", events(&TranscriptionEvent::name()));
    ok(with_headers(response))
}

fn ok(response: ResponseBuilder) -> BTreeMap<String, RefOr<Response>> {
    BTreeMap::from([("200".to_owned(), RefOr::T(response.build()))])
}

/// Adds the headers of every transcription.
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
            "The largest number of windows in such a batch; not on streams.",
        ),
    ] {
        response = response.header(name.as_str(), number(description));
    }
    with_limits(response)
}

/// Adds the headers of every response to an upload.
fn with_limits(mut response: ResponseBuilder) -> ResponseBuilder {
    for (name, description) in [
        (LIMIT_REQUESTS, "Maximum number of concurrent requests."),
        (
            REMAINING_REQUESTS,
            "Number of further requests that would be accepted now.",
        ),
    ] {
        response = response.header(name.as_str(), number(description));
    }
    response
}

fn reference(schema: &str) -> Content {
    Content::new(Some(Ref::from_schema_name(schema)))
}

/// Server-sent events, each with an object as its data. The schema is that of one event, as in
/// `OpenAPI` 3.2 and as tools for 3.1 accept it.
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
