//! The parameters of an upload, as a form and in the query string, derived from their table.

use std::borrow::Cow;

use serde_json::{Value, json};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Required};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::parameters::{Api, Field, FieldDefault, FieldDescription, FieldShape, ValueKind};
use crate::format::ResponseFormat;
use halkspeech_whisper::Task;

/// A model name that works on every server with a model.
const ANY_MODEL: &str = "whisper-1";

/// The begin of a URL that contains the data itself.
const DATA_URL: &str = "^data:[^,]*;base64,";

/// A named schema built by a function.
macro_rules! schemas {
    ($($(#[$doc:meta])* $kind:ident, $name:literal: $schema:expr;)*) => {$(
        $(#[$doc])*
        pub struct $kind;

        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $kind {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*};
}

schemas! {
    /// The form of a transcription.
    TranscriptionForm, "CreateTranscriptionRequest": form(Api::Transcription);
    /// The form of a translation.
    TranslationForm, "CreateTranslationRequest": form(Api::Translation);
    /// The form of whisper-asr-webservice, whose parameters are in the query string.
    AsrForm, "AsrRequest": file(Api::Asr);
    /// The form of whisper.cpp's server.
    InferenceForm, "InferenceRequest": form(Api::Inference);
    /// The form of a diarization.
    DiarizationForm, "CreateDiarizationRequest": form(Api::Diarization);
    /// The form of speech detection.
    SpeechForm, "DetectSpeechRequest": form(Api::SpeechTimestamps);
    /// The form of language detection.
    SpokenLanguageForm, "DetectLanguagesRequest": form(Api::SpokenLanguage);
    /// Audio or video as it is.
    Recording, "Recording": binary();
}

/// The parameters of an API in the query string.
macro_rules! parameters {
    ($($(#[$doc:meta])* $kind:ident: $api:expr;)*) => {$(
        $(#[$doc])*
        pub struct $kind;

        impl IntoParams for $kind {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                query($api)
            }
        }
    )*};
}

parameters! {
    /// The parameters of a transcription in the query string.
    TranscriptionParameters: Api::Transcription;
    /// The parameters of a translation in the query string.
    TranslationParameters: Api::Translation;
    /// The parameters of `/asr`.
    AsrParameters: Api::Asr;
    /// The parameters of `/detect-language`.
    LanguageParameters: Api::Language;
    /// The parameters of `/inference` in the query string.
    InferenceParameters: Api::Inference;
    /// The parameters of a diarization in the query string.
    DiarizationParameters: Api::Diarization;
    /// The parameters of speech detection in the query string.
    SpeechParameters: Api::SpeechTimestamps;
    /// The parameters of language detection in the query string.
    SpokenLanguageParameters: Api::SpokenLanguage;
}

fn form(api: Api) -> ObjectBuilder {
    let form = file(api).description(Some("An empty field counts as not sent."));
    let fields = offered(api).filter(|field| field.member().is_none());
    fields.fold(form, |form, field| {
        form.property(field.sent_name(), in_form(field, api.task()))
    })
}

/// A form with the recording alone.
fn file(api: Api) -> ObjectBuilder {
    ObjectBuilder::new()
        .property(api.file(), binary())
        .required(api.file())
}

/// The fields in the document: no list if there is a single value of
/// the same name, because most languages would use the same identifier for both.
fn offered(api: Api) -> impl Iterator<Item = &'static Field> {
    let is_offered = |field: &&'static Field| {
        let is_single =
            |other: &Field| other.name == field.name && other.shape == FieldShape::Single;
        let has_single_value = field.shape == FieldShape::List && Field::ALL.iter().any(is_single);
        !has_single_value
    };
    api.fields().filter(is_offered)
}

fn binary() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
        .description(Some(
            "The audio or video. The format is detected from its content; its name is ignored.",
        ))
}

/// A field of the form.
///
/// Swagger UI fills in every field before it sends a request: with its example or its default, or else
/// with a value of its type, which may change the request. So each field has a default without effect,
/// which is an empty text if there is no other.
fn in_form(field: &'static Field, task: Task) -> Schema {
    let default = Some(field).filter(|field| !has_alias(field));
    let default = default.and_then(default_value);
    let description = description(field, default.as_ref());
    match (field.shape, field.kind) {
        (FieldShape::Object, kind) => object(field, kind, task, &description),
        (FieldShape::List, kind) => ArrayBuilder::new()
            .items(RefOr::T(item(kind, task)))
            .description(Some(description))
            .default(Some(default.unwrap_or_else(|| json!([]))))
            .into(),
        (FieldShape::Single, kind @ ValueKind::OptionalNumber(..)) => {
            let words: &[&str] = if default.is_some() {
                &["none"]
            } else {
                &["none", ""]
            };
            bound(kind, words)
                .description(Some(description))
                .default(default.or(Some(json!(""))))
                .into()
        }
        (FieldShape::Single, kind) => {
            let value = match default {
                Some(default) => scalar(kind, task).default(Some(default)),
                None if is_model(field) => scalar(kind, task).examples([json!(ANY_MODEL)]),
                None => scalar_or_empty(kind, task).default(Some(json!(""))),
            };
            value.description(Some(description)).into()
        }
    }
}

/// An object of the members that have rows of their own, or one of the words that may replace it.
fn object(field: &Field, kind: ValueKind, task: Task, description: &str) -> Schema {
    let members = offered(Api::Transcription).filter_map(|member| Some((member.member()?, member)));
    let members = members.filter(|((object, _), _)| *object == field.name);
    let object = members.fold(
        ObjectBuilder::new().schema_type(Type::Object),
        |object, ((_, key), member)| object.property(key, in_form(member, task)),
    );
    let ValueKind::OneOf(words @ [_, ..]) = kind else {
        let object = object.description(Some(description));
        return object.default(Some(json!({}))).into();
    };
    AnyOfBuilder::new()
        .item(scalar_or_empty(ValueKind::OneOf(words), task))
        .item(object)
        .description(Some(description))
        .default(Some(json!("")))
        .into()
}

/// A value, or an empty text, which counts as none.
fn scalar_or_empty(kind: ValueKind, task: Task) -> ObjectBuilder {
    let or_text = |holds: Type| {
        let types = SchemaType::from_iter([holds, Type::String]);
        scalar(kind, task).schema_type(types).max_length(Some(0))
    };
    match kind {
        ValueKind::Text | ValueKind::DataUrl => scalar(kind, task),
        ValueKind::Boolean => or_text(Type::Boolean),
        ValueKind::Number(..) | ValueKind::OptionalNumber(..) => or_text(Type::Number),
        ValueKind::Integer(..) => or_text(Type::Integer),
        ValueKind::OneOf(words) => {
            let words = words.iter().filter(|word| is_offered(word, task));
            let words = words.copied().chain([""]);
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(words))
        }
    }
}

/// The fields in the query string, where a member of an object has its name in brackets and no field has
/// a default: a client that sends defaults would add them to the fields of its form.
fn query(api: Api) -> Vec<Parameter> {
    let task = api.task();
    let fields = offered(api).filter(|field| field.kind != ValueKind::OneOf(&[]));
    let parameter = |field: &'static Field| {
        let schema: Schema = match (field.shape, field.kind) {
            (FieldShape::List, kind) => {
                ArrayBuilder::new().items(RefOr::T(item(kind, task))).into()
            }
            (_, kind @ ValueKind::OptionalNumber(..)) => bound(kind, &["none"]).into(),
            (_, kind) => scalar(kind, task).into(),
        };
        ParameterBuilder::new()
            .name(field.sent_name())
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(description(field, None)))
            .schema(Some(schema))
            .example(is_model(field).then(|| json!(ANY_MODEL)))
            .build()
    };
    fields.map(parameter).collect()
}

fn item(kind: ValueKind, task: Task) -> Schema {
    match kind {
        ValueKind::OptionalNumber(..) => bound(kind, &["none"]).into(),
        kind => scalar(kind, task).into(),
    }
}

/// A number, or one of the words.
fn bound(kind: ValueKind, words: &[&str]) -> AnyOfBuilder {
    let number = match kind {
        ValueKind::OptionalNumber(min, max) => ValueKind::Number(min, max),
        other => other,
    };
    let word = ObjectBuilder::new().schema_type(Type::String);
    AnyOfBuilder::new()
        .item(scalar(number, Task::Transcribe))
        .item(word.enum_values(Some(words.iter().copied())))
}

fn scalar(kind: ValueKind, task: Task) -> ObjectBuilder {
    let of = |holds: Type| ObjectBuilder::new().schema_type(holds);
    match kind {
        ValueKind::Text => of(Type::String),
        ValueKind::DataUrl => of(Type::String).pattern(Some(DATA_URL)),
        ValueKind::Boolean => of(Type::Boolean),
        ValueKind::Number(min, max) | ValueKind::OptionalNumber(min, max) => {
            of(Type::Number).minimum(Some(min)).maximum(Some(max))
        }
        ValueKind::Integer(min, max) => of(Type::Integer).minimum(Some(min)).maximum(Some(max)),
        ValueKind::OneOf(words) => {
            let words = words.iter().filter(|word| is_offered(word, task));
            of(Type::String).enum_values(Some(words.copied()))
        }
    }
}

/// Whether an endpoint supports this word; only one format is not available for both tasks.
fn is_offered(word: &str, task: Task) -> bool {
    let diarized = ResponseFormat::parse(word) == Some(ResponseFormat::DiarizedJson);
    task == Task::Transcribe || !diarized
}

/// Whether it names the model, which a setting can make mandatory (`SERVER__REQUIRE_MODEL`).
fn is_model(field: &Field) -> bool {
    field.name == "model"
}

/// Whether there is another name for it: a client that sends defaults would override the value that
/// its user sent under the other name.
fn has_alias(field: &Field) -> bool {
    let mut others = Field::ALL.iter();
    others.any(|other| other.description == FieldDescription::AliasOf(field.name))
}

/// The default as JSON, if it can be sent.
fn default_value(field: &Field) -> Option<Value> {
    let FieldDefault::Value(text) = field.default else {
        return None;
    };
    let value = match field.kind {
        ValueKind::Text | ValueKind::OneOf(_) | ValueKind::DataUrl => json!(text),
        ValueKind::Boolean
        | ValueKind::Number(..)
        | ValueKind::OptionalNumber(..)
        | ValueKind::Integer(..) => serde_json::from_str(text).unwrap_or(json!(text)),
    };
    Some(match field.shape {
        FieldShape::List => json!([value]),
        FieldShape::Single | FieldShape::Object => value,
    })
}

/// The field's effect, and its default if the schema does not contain it.
fn description(field: &Field, default: Option<&Value>) -> String {
    let effect = match field.description {
        FieldDescription::Text(effect) => effect.to_owned(),
        FieldDescription::AliasOf(other) => return format!("Another name of `{other}`."),
    };
    match field.default {
        _ if default.is_some() => effect,
        FieldDefault::Described("none") => effect,
        FieldDefault::Value(words) | FieldDefault::Described(words) => {
            format!("{effect} Default: {words}.")
        }
    }
}
