//! Transcriptions and translations: from the upload to the response.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::headers::{BATCH_SIZE, INFERENCE_MS, LIMIT_REQUESTS, QUEUE_MS, REMAINING_REQUESTS};
use super::middleware::RequestModel;
use super::openapi::{
    AudioErrors, Recording, TranscriptionForm, TranscriptionParameters, TranscriptionResponses,
    TranslationForm, TranslationParameters, TranslationResponses,
};
use super::overload::transcription_error;
use super::parameters::{Api, ResponseKind};
use super::receive::{self, ReceivedRequest, receive};
use super::{Context, admission, stream};
use crate::caller::Caller;
use crate::format::{self, OutputOptions};
use crate::telemetry::traces;
use crate::transcribe::{self, Urgency};
use crate::transcript::Transcript;

pub(super) const JSON: &str = "application/json";

/// Transcribes a recording.
///
/// The recording is sent in a form, or as the raw body with its parameters in the query string. If both
/// have a parameter, the one in the form counts; lists are concatenated.
#[utoipa::path(
    post,
    path = "/v1/audio/transcriptions",
    operation_id = "createTranscription",
    tag = "audio",
    params(TranscriptionParameters),
    request_body(
        description = "A form, or the bare recording with any other content type and its \
            parameters in the query string.",
        content(
            (TranscriptionForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(TranscriptionResponses, AudioErrors),
)]
pub async fn create_transcription(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Response {
    create(context, Api::Transcription, request).await
}

/// Translates a recording into English.
///
/// Used like `createTranscription`.
#[utoipa::path(
    post,
    path = "/v1/audio/translations",
    operation_id = "createTranslation",
    tag = "audio",
    params(TranslationParameters),
    request_body(
        description = "A form, or the bare recording with any other content type and its \
            parameters in the query string.",
        content(
            (TranslationForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(TranslationResponses, AudioErrors),
)]
pub async fn create_translation(State(context): State<Arc<Context>>, request: Request) -> Response {
    create(context, Api::Translation, request).await
}

/// Receives an upload, transcribes it, and responds as the API `api` specifies.
pub(super) async fn create(context: Arc<Context>, api: Api, request: Request) -> Response {
    let caller = Caller::of(request.extensions());
    let result = respond(&context, api, request).await;
    with_limits(&context, caller, result)
}

/// Adds the headers of a request that was admitted: without its permit, which is free again unless the response is a
/// stream.
pub(super) fn with_limits(
    context: &Context,
    caller: Caller,
    result: Result<Response, ApiError>,
) -> Response {
    let free = context.admission.free_for(caller);
    let headers = [
        (LIMIT_REQUESTS, HeaderValue::from(context.admission.limit())),
        (REMAINING_REQUESTS, HeaderValue::from(free)),
    ];
    (headers, result).into_response()
}

async fn respond(context: &Arc<Context>, api: Api, request: Request) -> Result<Response, ApiError> {
    let request_model = RequestModel::of(request.extensions());
    let ReceivedRequest {
        permit,
        arrival,
        deadline,
        caller,
        parameters: (model, parameters),
        audio,
    } = receive(context, api, request, receive::transcription).await?;
    request_model.set(&model);

    let request = transcribe::Request {
        audio,
        model,
        task: parameters.task,
        options: parameters.options,
        caller,
        deadline: deadline.into_std(),
        urgency: Urgency::Upload,
        quota: context.caller_limits.audio.clone(),
        arrival: permit.arrival(),
    };
    if parameters.stream {
        let context = Arc::clone(context);
        return stream::respond(context, permit, request, parameters.output, arrival).await;
    }
    let transcribing = context.transcriber.transcribe(request);
    match admission::unless_cut_off(context, transcribing).await? {
        Ok(transcript) => Ok(traces::stage("format")
            .in_scope(|| render_response(&transcript, &parameters.output, parameters.response))),
        Err(error) => Err(transcription_error(&context.metrics, permit, error)),
    }
}

fn render_response(
    transcript: &Transcript,
    options: &OutputOptions,
    kind: ResponseKind,
) -> Response {
    let (content_type, body) = match kind {
        ResponseKind::Format => (
            options.format.content_type(),
            format::render(transcript, options),
        ),
        ResponseKind::Asr(output) => {
            let body = format::asr(transcript, output, options);
            (output.content_type(), body)
        }
        ResponseKind::Language => (JSON, format::language(transcript)),
        ResponseKind::BareText => (JSON, format::bare_text(transcript)),
        ResponseKind::SpokenLanguages => (JSON, format::spoken_languages(transcript)),
    };
    let content_type = HeaderValue::from_static(content_type);
    let timings = transcript.timings;
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (
            QUEUE_MS,
            HeaderValue::from(timings.queue.as_millis() as u64),
        ),
        (
            INFERENCE_MS,
            HeaderValue::from(timings.inference.as_millis() as u64),
        ),
        (BATCH_SIZE, HeaderValue::from(timings.batch_size)),
    ];
    (headers, body).into_response()
}
