//! Transcriptions and translations: from the upload to the response.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self as streams, Stream, StreamExt};
use tokio::time::Instant;
use tracing::Instrument;

use super::admission::AdmissionPermit;
use super::body::{self, BodyError};
use super::content_encoding::ContentEncoding;
use super::error::ApiError;
use super::form::{Form, FormPart};
use super::middleware::{
    BATCH_SIZE, INFERENCE_MS, LIMIT_REQUESTS, QUEUE_MS, REMAINING_REQUESTS, RequestModel,
};
use super::openapi::{
    AudioErrors, Recording, TranscriptionForm, TranscriptionParameters, TranscriptionResponses,
    TranslationForm, TranslationParameters, TranslationResponses,
};
use super::parameters::{Api, Parameters, ResponseKind, TranscriptionRequest};
use super::upload::Upload;
use super::{Context, HttpSettings, admission, boundary, compatible_apis, models, stream};
use crate::caller::Caller;
use crate::format::{self, OutputOptions};
use crate::models::ModelId;
use crate::telemetry::{RefusalReason, traces};
use crate::transcribe::{self, TranscribeError};
use crate::transcript::Transcript;
use halkspeech_audio::{AudioError, Source};

/// Longest text field, in bytes; Whisper keeps about 1,000 of a prompt.
const MAX_FIELD_BYTES: usize = 64 * 1024;

const JSON: &str = "application/json";

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
    // Without the permit of this request, which is free again unless the response is a stream.
    let free = context.admission.free_for(caller);
    let headers = [
        (LIMIT_REQUESTS, HeaderValue::from(context.admission.limit())),
        (REMAINING_REQUESTS, HeaderValue::from(free)),
    ];
    (headers, result).into_response()
}

async fn respond(context: &Arc<Context>, api: Api, request: Request) -> Result<Response, ApiError> {
    let arrival = Instant::now();
    let deadline = arrival + context.settings.request_timeout;
    let caller = Caller::of(request.extensions());
    let request_model = RequestModel::of(request.extensions());
    // Before the body is read, so that a refusal costs little.
    let permit = admission::admit(context, &request)?;
    // Nothing here is spawned: dropping this future when the client disconnects ends all of it.
    let receiving = receive(context, api, request).instrument(traces::stage("upload"));
    let received = tokio::select! {
        received = tokio::time::timeout_at(deadline, receiving) => received,
        () = admission::cut_off(context) => return Err(ApiError::CutOff),
    };
    let (parameters, audio) = received.unwrap_or(Err(ApiError::UploadTooSlow))?;
    let upload_seconds = &context.metrics.upload_seconds;
    upload_seconds.observe(arrival.elapsed().as_secs_f64());
    let model = model(context, parameters.model.as_deref())?;
    request_model.set(&model);
    let request = transcribe::Request {
        audio,
        model,
        task: parameters.task,
        options: parameters.options,
        caller,
        deadline: deadline.into_std(),
        when_full: permit.when_full(),
    };
    if parameters.stream {
        let context = Arc::clone(context);
        return stream::respond(context, permit, request, parameters.output).await;
    }
    tokio::select! {
        result = context.transcriber.transcribe(request) => match result {
            Ok(transcript) => {
                Ok(traces::stage("format").in_scope(|| {
                    render_response(&transcript, &parameters.output, parameters.response)
                }))
            },
            Err(error) => Err(transcription_error(context, permit, error)),
        },
        () = admission::cut_off(context) => Err(ApiError::CutOff),
    }
}

/// The API error for an error of the transcriber; counts refusals.
pub(super) fn transcription_error(
    context: &Context,
    permit: AdmissionPermit,
    error: TranscribeError,
) -> ApiError {
    let reason = match &error {
        TranscribeError::QueueFull(_) => Some(RefusalReason::Queue),
        TranscribeError::Audio(AudioError::NoMemory { .. }) => Some(RefusalReason::Memory),
        _ => None,
    };
    match reason {
        Some(reason) => {
            admission::count_refusal(&context.metrics, reason);
            ApiError::Overloaded {
                source: error,
                wait: permit.refuse(),
            }
        }
        None => ApiError::Transcribe(error),
    }
}

/// The model that a request names, or the default model, if it is available.
fn model(context: &Context, name: Option<&str>) -> Result<ModelId, ApiError> {
    let default = default_model(context);
    if name.is_none() && context.settings.require_model {
        return Err(ApiError::MissingModel { default });
    }
    let name = name.unwrap_or(&default);
    let id = models::resolve(context, name)?;
    if context.transcriber.models().is_known(&id) {
        Ok(id)
    } else {
        Err(models::not_found(context, name))
    }
}

fn default_model(context: &Context) -> String {
    let catalog = context.transcriber.models().catalog();
    context.aliases.default_model(&**catalog).to_string()
}

/// The request of the fields, with the model's defaults for those not sent.
fn finish(context: &Context, parameters: Parameters) -> Result<TranscriptionRequest, ApiError> {
    let default = default_model(context);
    let id = models::resolve(context, parameters.model().unwrap_or(&default)).ok();
    parameters.finish(context.settings.defaults(id.as_ref()))
}

async fn receive(
    context: &Context,
    api: Api,
    request: Request,
) -> Result<(TranscriptionRequest, Source), ApiError> {
    let settings = &context.settings;
    let parameters = Parameters::from_query(request.uri(), api, settings)?;
    let (mut head, body) = request.into_parts();
    if let Some(kind) = unsupported_kind(&head) {
        return Err(ApiError::NotAudio { kind });
    }
    let encoding = ContentEncoding::of(&head.headers)?;
    let stream = body::limited_chunks(
        body,
        &head.headers,
        settings.max_upload_bytes,
        settings.read_timeout,
    )?;
    let (stream, expected) = match encoding {
        Some(encoding) => (
            encoding.decode(stream, settings.max_upload_bytes).boxed(),
            None,
        ),
        None => (stream.boxed(), body::content_length(&head.headers)),
    };
    if is_multipart(&head.headers) {
        boundary::quote(&mut head.headers);
        let form = Form::new(head, stream).await?;
        let (parameters, audio) = receive_form(form, expected, parameters, settings).await?;
        Ok((finish(context, parameters)?, audio))
    } else {
        // All parameters precede the body, so a wrong model name is refused before the upload.
        let is_encoded = parameters.is_encoded();
        let request = finish(context, parameters)?;
        model(context, request.model.as_deref())?;
        let upload = Upload::new(settings.upload_memory_bytes, expected);
        let audio = receive_file(stream, upload, is_encoded).await?;
        Ok((request, audio))
    }
}

/// Whether the body is a form. Any other content type, or none, is treated as audio, whose format is
/// detected from its content.
fn is_multipart(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type
        .and_then(|value| value.get(..10))
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
}

/// The kind of the body if its content type is neither a form with files nor audio.
fn unsupported_kind(head: &Parts) -> Option<&'static str> {
    let content_type = head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Some("JSON");
    }
    // curl sends this type by default, so a body with this type is treated as a form only if there is
    // no query string.
    let is_form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    (is_form && head.uri.query().is_none()).then_some("a form without files")
}

/// The content of a short upload that is a line of text, which no recording is.
fn plain_text(source: &Source) -> Option<String> {
    let Source::Memory(bytes) = source else {
        return None;
    };
    let text = str::from_utf8(bytes).ok()?.trim();
    let is_line = bytes.len() <= MAX_FIELD_BYTES && !text.contains(char::is_control);
    is_line.then(|| text.to_owned())
}

async fn receive_form(
    mut form: Form<impl Stream<Item = Result<Bytes, BodyError>> + Unpin>,
    expected: Option<u64>,
    mut parameters: Parameters,
    settings: &HttpSettings,
) -> Result<(Parameters, Source), ApiError> {
    let file = parameters.api().file();
    let mut audio = None;
    while let Some(part) = form.next_part().await? {
        let name = part.name().to_owned();
        if name == file {
            if audio.is_some() {
                return Err(ApiError::MultipleFiles);
            }
            let is_text = part.is_text();
            let upload = Upload::new(settings.upload_memory_bytes, expected);
            let chunks = streams::try_unfold(part, |mut part| async move {
                Ok::<_, ApiError>(part.chunk().await?.map(|chunk| (chunk, part)))
            });
            let is_encoded = parameters.is_encoded();
            let source = receive_file(pin!(chunks), upload, is_encoded).await?;
            if let Some(text) = plain_text(&source).filter(|_| is_text) {
                return Err(ApiError::FileIsText { text });
            }
            audio = Some(source);
        } else if parameters.knows(&name) {
            let value = receive_text(&name, part).await?;
            parameters.set(&name, value, settings)?;
        } else {
            parameters.set(&name, String::new(), settings)?;
            part.skip().await?;
        }
    }
    Ok((
        parameters,
        audio.ok_or(ApiError::MissingFile { param: file })?,
    ))
}

async fn receive_file<E>(
    mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
    mut upload: Upload,
    is_encoded: bool,
) -> Result<Source, ApiError>
where
    ApiError: From<E>,
{
    let mut has_begun = is_encoded;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if !has_begun && !chunk.is_empty() {
            has_begun = true;
            if let Some(head) = compatible_apis::wav_header_for_samples(&chunk) {
                upload.push(&head).await.map_err(ApiError::Spool)?;
            }
        }
        upload.push(&chunk).await.map_err(ApiError::Spool)?;
    }
    upload
        .finish()
        .await
        .map_err(ApiError::Spool)?
        .ok_or(ApiError::EmptyFile)
}

async fn receive_text(
    name: &str,
    mut part: FormPart<'_, impl Stream<Item = Result<Bytes, BodyError>> + Unpin>,
) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = part.chunk().await? {
        if bytes.len() + chunk.len() > MAX_FIELD_BYTES {
            return Err(ApiError::FieldTooLong {
                name: name.to_owned(),
                limit: MAX_FIELD_BYTES,
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| ApiError::FieldNotText {
        name: name.to_owned(),
    })
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
