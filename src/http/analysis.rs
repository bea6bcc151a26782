//! Requests that need no text: speaker diarization, speech detection and language detection.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::admission::{self, AdmissionPermit};
use super::error::ApiError;
use super::middleware::RequestModel;
use super::openapi::{
    AudioErrors, DiarizationForm, DiarizationParameters, DiarizationResponses, Recording,
    SpeechForm, SpeechParameters, SpeechResponses, SpokenLanguageForm, SpokenLanguageParameters,
    SpokenLanguageResponses,
};
use super::overload::transcription_error;
use super::parameters::{Api, DiarizationRequest, Parameters};
use super::receive::{ReceivedRequest, receive};
use super::transcriptions::{JSON, create, with_limits};
use super::{Context, models};
use crate::caller::Caller;
use crate::format;
use crate::models::ModelId;
use crate::transcribe::{AnalysisRequest, TranscribeError};

const TEXT: &str = "text/plain; charset=utf-8";

/// Names of models of other servers that find speakers contain this.
const DIARIZATION: &str = "diariz";

/// Finds who speaks when, as speaches does.
#[utoipa::path(
    post,
    path = "/v1/audio/diarization",
    operation_id = "createDiarization",
    tag = "audio",
    params(DiarizationParameters),
    request_body(
        description = "A form, or the bare recording with any other content type.",
        content(
            (DiarizationForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(DiarizationResponses, AudioErrors),
)]
pub async fn create_diarization(State(context): State<Arc<Context>>, request: Request) -> Response {
    let caller = Caller::of(request.extensions());
    let result = diarize(&context, request).await;
    with_limits(&context, caller, result)
}

/// Detects speech, as speaches does.
#[utoipa::path(
    post,
    path = "/v1/audio/speech/timestamps",
    operation_id = "detectSpeech",
    tag = "audio",
    params(SpeechParameters),
    request_body(
        description = "A form, or the bare recording with any other content type.",
        content(
            (SpeechForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(SpeechResponses, AudioErrors),
)]
pub async fn detect_speech(State(context): State<Arc<Context>>, request: Request) -> Response {
    let caller = Caller::of(request.extensions());
    let result = find_speech(&context, request).await;
    with_limits(&context, caller, result)
}

/// Detects the language of the first 30 seconds.
#[utoipa::path(
    post,
    path = "/v1/audio/language",
    operation_id = "detectLanguages",
    tag = "audio",
    params(SpokenLanguageParameters),
    request_body(
        description = "A form, or the bare recording with any other content type.",
        content(
            (SpokenLanguageForm = "multipart/form-data"),
            (Recording = "application/octet-stream"),
        ),
    ),
    responses(SpokenLanguageResponses, AudioErrors),
)]
pub async fn detect_languages(State(context): State<Arc<Context>>, request: Request) -> Response {
    create(context, Api::SpokenLanguage, request).await
}

async fn diarize(context: &Arc<Context>, request: Request) -> Result<Response, ApiError> {
    let request_model = RequestModel::of(request.extensions());
    let received = receive(context, Api::Diarization, request, diarization).await?;
    if let Some(stored) = context.transcriber.models().catalog().speaker_model() {
        request_model.set(&stored.id);
    }
    let (permit, request, parameters) = analysis(context, received);
    let work = async {
        let diarizing = context.transcriber.diarize(request, parameters.options);
        let (duration, found) = diarizing.await?;
        let timeline = found.timeline(duration);
        Ok(if parameters.is_rttm {
            (TEXT, format::rttm(&timeline))
        } else {
            (JSON, format::speaker_timeline(&timeline))
        })
    };
    respond(context, permit, work).await
}

async fn find_speech(context: &Arc<Context>, request: Request) -> Result<Response, ApiError> {
    let complete = |_: &Context, parameters: Parameters| Ok(parameters.finish_speech());
    let received = receive(context, Api::SpeechTimestamps, request, complete).await?;
    let (permit, request, options) = analysis(context, received);
    let work = async {
        let spans = context.transcriber.speech_spans(request, &options).await?;
        Ok((JSON, format::speech_timestamps(&spans)))
    };
    respond(context, permit, work).await
}

/// The request of a diarization, whose model is installed.
fn diarization(context: &Context, parameters: Parameters) -> Result<DiarizationRequest, ApiError> {
    let request = parameters.finish_diarization()?;
    if let Some(name) = &request.model {
        check_model(context, name)?;
    }
    models::check_speaker_model(context)?;
    Ok(request)
}

/// Refuses names of models that do not find speakers.
fn check_model(context: &Context, name: &str) -> Result<(), ApiError> {
    if name.to_ascii_lowercase().contains(DIARIZATION) {
        return Ok(());
    }
    let id: ModelId = models::resolve(context, name)?;
    let catalog = context.transcriber.models().catalog();
    if catalog.find_speaker_model(&id).is_some() {
        return Ok(());
    }
    if catalog.find(&id).is_none() {
        return Err(models::not_found(context, name, &id));
    }
    let message = format!("The model '{id}' transcribes and cannot find speakers");
    Err(ApiError::ParameterConflict {
        param: "model",
        message,
    })
}

/// The permit, the recording and the parameters of a request.
fn analysis<T>(
    context: &Context,
    received: ReceivedRequest<T>,
) -> (AdmissionPermit, AnalysisRequest, T) {
    let request = AnalysisRequest {
        audio: received.audio,
        caller: received.caller,
        quota: context.caller_limits.audio.clone(),
        deadline: received.deadline.into_std(),
    };
    (received.permit, request, received.parameters)
}

/// Responds with the content type and the body that `work` returns.
async fn respond(
    context: &Context,
    permit: AdmissionPermit,
    work: impl Future<Output = Result<(&'static str, String), TranscribeError>>,
) -> Result<Response, ApiError> {
    match admission::unless_cut_off(context, work).await? {
        Ok((content_type, body)) => {
            Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
        }
        Err(error) => Err(transcription_error(&context.metrics, permit, error)),
    }
}
