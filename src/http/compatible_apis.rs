//! Transcription endpoints of other Whisper servers: whisper-asr-webservice, which Bazarr and Speakr
//! call, and whisper.cpp's server.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::Context;
use super::openapi::{
    AsrForm, AsrParameters, AsrResponses, AudioErrors, InferenceForm, InferenceParameters,
    InferenceResponses, LanguageParameters, LanguageResponses, Recording,
};
use super::parameters::Api;
use super::transcriptions::create;

/// Transcribes an upload as whisper-asr-webservice does.
///
/// It also takes the parameters of `createTranscription`, except those that choose the format of the
/// response.
#[utoipa::path(
    post,
    path = "/asr",
    operation_id = "recogniseSpeech",
    tag = "peers",
    params(AsrParameters),
    request_body(
        description = "A form, or the bare recording with any other content type.",
        content(
            (AsrForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(AsrResponses, AudioErrors),
)]
pub async fn recognise_speech(State(context): State<Arc<Context>>, request: Request) -> Response {
    create(context, Api::Asr, request).await
}

/// Detects the language of the first 30 seconds as whisper-asr-webservice does.
#[utoipa::path(
    post,
    path = "/detect-language",
    operation_id = "detectLanguage",
    tag = "peers",
    params(LanguageParameters),
    request_body(
        description = "A form, or the bare recording with any other content type.",
        content(
            (AsrForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(LanguageResponses, AudioErrors),
)]
pub async fn detect_language(State(context): State<Arc<Context>>, request: Request) -> Response {
    create(context, Api::Language, request).await
}

/// Transcribes an upload as whisper.cpp's server does.
///
/// It also takes the parameters of `createTranscription`.
#[utoipa::path(
    post,
    path = "/inference",
    operation_id = "infer",
    tag = "peers",
    params(InferenceParameters),
    request_body(
        description = "A form, or the bare recording with any other content type.",
        content(
            (InferenceForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(InferenceResponses, AudioErrors),
)]
pub async fn infer(State(context): State<Arc<Context>>, request: Request) -> Response {
    create(context, Api::Inference, request).await
}
