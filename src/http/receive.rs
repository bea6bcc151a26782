//! Receives a transcription request: its parameters, and the recording in its body.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::stream::StreamExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::admission::{self, AdmissionPermit};
use super::body::{self, BodyChunks};
use super::content_encoding::ContentEncoding;
use super::error::ApiError;
use super::form::{Form, FormPart};
use super::parameters::{Api, Field, MAX_FIELD_BYTES, Parameters, TranscriptionRequest};
use super::upload::Upload;
use super::{Context, HttpSettings, boundary, models, raw_samples};
use crate::caller::Caller;
use crate::models::ModelId;
use crate::telemetry::traces;
use halkspeech_audio::Source;

/// A request that was admitted and has been received.
pub struct ReceivedRequest<T> {
    /// Held until it is answered.
    pub permit: AdmissionPermit,
    /// When it arrived.
    pub arrival: Instant,
    /// When its caller stops waiting.
    pub deadline: Instant,
    /// Its caller.
    pub caller: Caller,
    /// Its parameters.
    pub parameters: T,
    /// Its recording.
    pub audio: Source,
}

/// The body of a request.
struct UploadBody {
    /// Its content, within the limits.
    chunks: BodyChunks,
    /// The length of its content in bytes, if it is known.
    length: Option<u64>,
}

/// A recording that is being received.
struct IncomingRecording {
    upload: Upload,
    /// Whether it is raw samples, of which none has been received.
    awaits_samples: bool,
}

/// Admits and receives a request; `complete` turns its fields into its parameters.
///
/// # Errors
/// [`ApiError`] when the request is refused or invalid: before its body is read if its head shows that.
pub async fn receive<T>(
    context: &Arc<Context>,
    api: Api,
    request: Request,
    complete: impl Fn(&Context, Parameters) -> Result<T, ApiError>,
) -> Result<ReceivedRequest<T>, ApiError> {
    let arrival = Instant::now();
    let deadline = arrival + context.settings.request_timeout;
    let caller = Caller::of(request.extensions());
    // Before the body is read, so that a refusal costs little.
    let permit = admission::admit(context, &request)?;

    // Nothing here is spawned: dropping this future when the client disconnects ends all of it.
    let reading = read(context, api, request, complete).instrument(traces::stage("upload"));
    let reading = tokio::time::timeout_at(deadline, reading);
    let read = admission::unless_cut_off(context, reading).await?;
    let (parameters, audio) = read.unwrap_or(Err(ApiError::UploadTooSlow))?;
    Ok(ReceivedRequest {
        permit,
        arrival,
        deadline,
        caller,
        parameters,
        audio,
    })
}

async fn read<T>(
    context: &Context,
    api: Api,
    request: Request,
    complete: impl Fn(&Context, Parameters) -> Result<T, ApiError>,
) -> Result<(T, Source), ApiError> {
    let arrival = Instant::now();
    let settings = &context.settings;
    let parameters = Parameters::from_query(request.uri(), api, settings)?;
    let (mut head, body) = request.into_parts();
    if let Some(kind) = unsupported_kind(&head) {
        return Err(ApiError::NotAudio { kind });
    }
    let mut body = UploadBody::new(body, &head.headers, settings)?;
    if is_multipart(&head.headers) {
        boundary::quote(&mut head.headers);
        let form = Form::new(head, body.chunks).await?;
        let (parameters, audio) = receive_form(form, body.length, parameters, settings).await?;
        count_upload(context, arrival);
        return Ok((complete(context, parameters)?, audio));
    }
    let is_encoded = parameters.is_encoded();
    // All parameters precede the body, so a wrong model name is refused before the upload.
    let parameters = complete(context, parameters)?;
    let mut recording = IncomingRecording::new(settings, body.length, is_encoded);
    while let Some(chunk) = body.chunks.next().await {
        recording.push(&chunk?).await?;
    }
    let audio = recording.finish().await?;
    count_upload(context, arrival);
    Ok((parameters, audio))
}

/// Counts an upload that was received to its end, whether or not its parameters are valid.
fn count_upload(context: &Context, arrival: Instant) {
    let upload_seconds = &context.metrics.upload_seconds;
    upload_seconds.observe(arrival.elapsed().as_secs_f64());
}

/// The model of a transcription, which its fields name or which is the default model, and its parameters with the
/// model's defaults.
///
/// # Errors
/// [`ApiError`] when the model is not known, or fields cannot be combined.
pub fn transcription(
    context: &Context,
    parameters: Parameters,
) -> Result<(ModelId, TranscriptionRequest), ApiError> {
    let loaded_models = context.transcriber.models();
    let default = context.aliases.default_model(&**loaded_models.catalog());
    let name = parameters.model().unwrap_or(default.as_str());
    let model = models::resolve_transcription_model(context, name);
    let parameters = parameters.finish(context.settings.defaults(model.as_ref().ok()))?;
    if parameters.model.is_none() && context.settings.require_model {
        let default = default.to_string();
        return Err(ApiError::MissingModel { default });
    }
    let model = model?;
    if !loaded_models.is_known(&model) {
        let name = parameters.model.as_deref().unwrap_or(default.as_str());
        return Err(models::not_found(context, name, &model));
    }
    if parameters.options.speakers.is_some() {
        models::check_speaker_model(context)?;
    }
    Ok((model, parameters))
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
    mut form: Form,
    length: Option<u64>,
    mut parameters: Parameters,
    settings: &HttpSettings,
) -> Result<(Parameters, Source), ApiError> {
    let file = parameters.api().file();
    let mut audio = None;
    while let Some(mut part) = form.next_part().await? {
        let name = part.name().to_owned();
        if name == file {
            if audio.is_some() {
                return Err(ApiError::MultipleFiles);
            }
            let is_text = part.is_text();
            let mut recording = IncomingRecording::new(settings, length, parameters.is_encoded());
            while let Some(chunk) = part.chunk().await? {
                recording.push(&chunk).await?;
            }
            let source = recording.finish().await?;
            if let Some(text) = plain_text(&source).filter(|_| is_text) {
                return Err(ApiError::FileIsText { text });
            }
            audio = Some(source);
        } else if let Some(field) = parameters.field(&name) {
            let value = receive_text(field, part).await?;
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

async fn receive_text(field: Field, mut part: FormPart<'_>) -> Result<String, ApiError> {
    let (name, limit) = (field.name, field.kind.max_bytes());
    let mut bytes = Vec::new();
    while let Some(chunk) = part.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(ApiError::FieldTooLong { name, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| ApiError::FieldNotText { name })
}

impl UploadBody {
    fn new(body: Body, headers: &HeaderMap, settings: &HttpSettings) -> Result<Self, ApiError> {
        let limit = settings.max_upload_bytes;
        let encoding = ContentEncoding::of(headers)?;
        let chunks = body::limited_chunks(body, headers, limit, settings.read_timeout)?;
        Ok(match encoding {
            Some(encoding) => Self {
                chunks: encoding.decode(chunks, limit),
                length: None,
            },
            None => Self {
                chunks,
                length: body::content_length(headers),
            },
        })
    }
}

impl IncomingRecording {
    fn new(settings: &HttpSettings, length: Option<u64>, is_encoded: bool) -> Self {
        Self {
            upload: Upload::new(settings.upload_memory_bytes, length),
            awaits_samples: !is_encoded,
        }
    }

    async fn push(&mut self, chunk: &Bytes) -> Result<(), ApiError> {
        if self.awaits_samples && !chunk.is_empty() {
            self.awaits_samples = false;
            if let Some(head) = raw_samples::wav_header(chunk) {
                self.upload.push(&head).await.map_err(ApiError::Spool)?;
            }
        }
        self.upload.push(chunk).await.map_err(ApiError::Spool)
    }

    async fn finish(self) -> Result<Source, ApiError> {
        let source = self.upload.finish().await.map_err(ApiError::Spool)?;
        source.ok_or(ApiError::EmptyFile)
    }
}
