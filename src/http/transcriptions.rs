//! Transcriptions, into the language spoken or into English: from the upload to the answer.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self as streams, Stream, StreamExt};
use tokio::time::Instant;
use tracing::Instrument;

use super::body::{self, BodyError};
use super::door::Admission;
use super::encoding::Encoding;
use super::error::ApiError;
use super::form::{Form, Part};
use super::middleware::{
    BATCH_SIZE, INFERENCE_MS, LIMIT_REQUESTS, QUEUE_MS, REMAINING_REQUESTS, RequestId, RunModel,
};
use super::openapi::{
    OfAudio, Recording, Transcribed, TranscriptionForm, TranscriptionParameters, Translated,
    TranslationForm, TranslationParameters,
};
use super::parameters::{Answer, Api, Asked, Parameters};
use super::upload::Upload;
use super::{Context, Rules, boundary, door, models, peers, stream};
use crate::audio::{AudioError, Source};
use crate::caller::Caller;
use crate::format::{self, Wish};
use crate::models::ModelId;
use crate::telemetry::{RefusalReason, traces};
use crate::transcribe::{self, TranscribeError};
use crate::transcript::Transcript;

/// Longest text field, in bytes; Whisper keeps about 1,000 of a prompt.
const MAX_FIELD_BYTES: usize = 64 * 1024;

const JSON: &str = "application/json";

/// Writes an upload down.
///
/// It is sent as a form, or as the bare body with its parameters in the query string. Of a parameter
/// that is in both, the form's counts; lists are put together.
#[utoipa::path(
    post,
    path = "/v1/audio/transcriptions",
    operation_id = "createTranscription",
    tag = "audio",
    params(TranscriptionParameters),
    request_body(
        description = "A form; or the bare recording under any other content type, with its \
            parameters in the query string.",
        content(
            (TranscriptionForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(Transcribed, OfAudio),
)]
pub async fn create_transcription(
    State(context): State<Arc<Context>>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Response {
    create(context, request_id, Api::Transcription, request).await
}

/// Writes an upload down in English.
///
/// As `createTranscription`.
#[utoipa::path(
    post,
    path = "/v1/audio/translations",
    operation_id = "createTranslation",
    tag = "audio",
    params(TranslationParameters),
    request_body(
        description = "A form; or the bare recording under any other content type, with its \
            parameters in the query string.",
        content(
            (TranslationForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(Translated, OfAudio),
)]
pub async fn create_translation(
    State(context): State<Arc<Context>>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Response {
    create(context, request_id, Api::Translation, request).await
}

/// Receives an upload, transcribes it, and answers, in the terms of the API that it was sent by.
pub(super) async fn create(
    context: Arc<Context>,
    request_id: RequestId,
    api: Api,
    request: Request,
) -> Response {
    let mut model = None;
    let caller = Caller::of(request.extensions());
    let answer = admit(&context, request_id, api, request, &mut model).await;
    let mut response = answer.into_response();
    if let Some(id) = model {
        let stored = context.transcriber.models().catalog().find(&id);
        let named = stored.map(|stored| stored.id.clone());
        response.extensions_mut().insert(RunModel(named));
    }
    let headers = response.headers_mut();
    headers.insert(LIMIT_REQUESTS, HeaderValue::from(context.door.limit()));
    headers.insert(
        REMAINING_REQUESTS,
        HeaderValue::from(context.door.free_for(caller)),
    );
    response
}

async fn admit(
    context: &Arc<Context>,
    request_id: RequestId,
    api: Api,
    request: Request,
    run: &mut Option<ModelId>,
) -> Result<Response, ApiError> {
    let arrival = Instant::now();
    let deadline = arrival + context.rules.request_timeout;
    // Before the body is looked at: a refusal must cost next to nothing.
    let caller = Caller::of(request.extensions());
    let admission = door::enter(context, &request)?;
    // Nothing here is spawned: when the client leaves, dropping this future ends all of it.
    let receiving = receive(context, api, request).instrument(traces::stage("upload"));
    let received = tokio::select! {
        received = tokio::time::timeout_at(deadline, receiving) => received,
        () = door::cut_off(context) => return Err(ApiError::CutOff),
    };
    let (asked, audio) = received.unwrap_or(Err(ApiError::UploadTooSlow))?;
    let upload_seconds = &context.metrics.upload_seconds;
    upload_seconds.observe(arrival.elapsed().as_secs_f64());
    let model = model(context, asked.model.as_deref())?;
    *run = Some(model.clone());
    let request = transcribe::Request {
        audio,
        model,
        task: asked.task,
        wishes: asked.wishes,
        caller,
        deadline: deadline.into_std(),
    };
    if asked.stream {
        let context = Arc::clone(context);
        return stream::respond(context, admission, request, asked.wish, request_id).await;
    }
    tokio::select! {
        result = context.transcriber.transcribe(request) => match result {
            Ok(transcript) => {
                Ok(traces::stage("format").in_scope(|| write(&transcript, &asked.wish, asked.answer)))
            },
            Err(error) => Err(refused(context, admission, error)),
        },
        () = door::cut_off(context) => Err(ApiError::CutOff),
    }
}

/// Counts a request that the transcriber turned away.
pub(super) fn refused(context: &Context, admission: Admission, error: TranscribeError) -> ApiError {
    let reason = match &error {
        TranscribeError::QueueFull(_) => Some(RefusalReason::Queue),
        TranscribeError::Audio(AudioError::NoMemory { .. }) => Some(RefusalReason::Memory),
        _ => None,
    };
    match reason {
        Some(reason) => {
            door::count_refusal(&context.metrics, reason);
            ApiError::Busy {
                source: error,
                wait: admission.refuse(),
            }
        }
        None => ApiError::Transcribe(error),
    }
}

/// The model that a request names, or the default one, if there is any chance to run it.
fn model(context: &Context, name: Option<&str>) -> Result<ModelId, ApiError> {
    let default = default_model(context);
    if name.is_none() && context.rules.require_model {
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

/// What the fields ask for; what they leave open is the model's to say.
fn finish(context: &Context, parameters: Parameters) -> Result<Asked, ApiError> {
    let default = default_model(context);
    let id = models::resolve(context, parameters.model().unwrap_or(&default)).ok();
    parameters.finish(context.rules.defaults(id.as_ref()))
}

async fn receive(
    context: &Context,
    api: Api,
    request: Request,
) -> Result<(Asked, Source), ApiError> {
    let rules = &context.rules;
    let parameters = Parameters::from_query(request.uri(), api, rules)?;
    let (mut head, body) = request.into_parts();
    if let Some(kind) = other_kind(&head) {
        return Err(ApiError::NotAudio { kind });
    }
    let encoding = Encoding::of(&head.headers)?;
    let stream = body::limited(
        body,
        &head.headers,
        rules.max_upload_bytes,
        rules.read_timeout,
    )?;
    let (stream, expected) = match encoding {
        Some(encoding) => (
            encoding.decode(stream, rules.max_upload_bytes).boxed(),
            None,
        ),
        None => (stream.boxed(), body::content_length(&head.headers)),
    };
    if is_multipart(&head.headers) {
        boundary::quote(&mut head.headers);
        let form = Form::new(head, stream).await?;
        let (parameters, audio) = receive_form(form, expected, parameters, rules).await?;
        Ok((finish(context, parameters)?, audio))
    } else {
        // All is said before the body begins, so a wrong name need not cost an upload.
        let is_encoded = parameters.is_encoded();
        let asked = finish(context, parameters)?;
        model(context, asked.model.as_deref())?;
        let upload = Upload::new(rules.upload_memory_bytes, expected);
        let audio = receive_file(stream, upload, is_encoded).await?;
        Ok((asked, audio))
    }
}

/// Any other content type, or none, is taken for audio: the content tells what it is.
fn is_multipart(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type
        .and_then(|value| value.get(..10))
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
}

/// What the body is, where its content type says that it is neither a form with files nor audio.
fn other_kind(head: &Parts) -> Option<&'static str> {
    let content_type = head.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Some("JSON");
    }
    // curl sends this type with every body where none is given, so only one without a query string
    // is taken for a form.
    let is_form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    (is_form && head.uri.query().is_none()).then_some("a form without files")
}

/// What a short upload holds, where that is a line of text; no recording is.
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
    rules: &Rules,
) -> Result<(Parameters, Source), ApiError> {
    let file = parameters.api().file();
    let mut audio = None;
    while let Some(part) = form.next_part().await? {
        let name = part.name().to_owned();
        if name == file {
            if audio.is_some() {
                return Err(ApiError::SecondFile);
            }
            let is_text = part.is_text();
            let upload = Upload::new(rules.upload_memory_bytes, expected);
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
            parameters.set(&name, value, rules)?;
        } else {
            parameters.set(&name, String::new(), rules)?;
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
    let mut is_begun = is_encoded;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if !is_begun && !chunk.is_empty() {
            is_begun = true;
            if let Some(head) = peers::head_of_samples(&chunk) {
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
    mut part: Part<'_, impl Stream<Item = Result<Bytes, BodyError>> + Unpin>,
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

fn write(transcript: &Transcript, wish: &Wish, answer: Answer) -> Response {
    let (content_type, body) = match answer {
        Answer::Format => (wish.format.content_type(), format::render(transcript, wish)),
        Answer::Asr(output) => {
            let body = format::asr(transcript, output, wish);
            (output.content_type(), body)
        }
        Answer::Language => (JSON, format::language(transcript)),
        Answer::BareText => (JSON, format::bare_text(transcript)),
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
