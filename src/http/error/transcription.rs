//! The caller's text of errors of the transcriber.

use axum::http::StatusCode;

use super::description::{
    Description, audio_limit_reached, internal_error, is_lack_of_resources, out_of_resources,
    rate_limited, timed_out, unavailable,
};
use super::{models, speakers};
use crate::job::JobError;
use crate::models::ModelId;
use crate::transcribe::TranscribeError;
use halkspeech_audio::AudioError;
use halkspeech_whisper::Language;

/// Supported file formats, worded as OpenAI's message.
const FORMATS: &str = "Invalid file format. Supported formats: ['aac', 'aiff', 'caf', 'flac', \
    'm4a', 'mkv', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'opus', 'wav', 'webm']";

/// Describes an error of the transcriber; without a catch-all, so that a new variant requires a decision
/// here.
pub(super) fn describe(error: &TranscribeError) -> Description {
    match error {
        TranscribeError::Model(error) => models::describe(error),
        TranscribeError::SpeakerModel(error) => speakers::describe_model(error),
        TranscribeError::Reference(error) => speakers::describe_reference(error),
        TranscribeError::UnknownLanguage { language, model } => {
            unknown_language("language", *language, model)
        }
        TranscribeError::UnknownCandidate { language, model } => {
            unknown_language("languages", *language, model)
        }
        TranscribeError::NoLiveEngine { model } => Description::new(
            StatusCode::NOT_IMPLEMENTED,
            &format!(
                "Live transcription with the model '{model}' is not supported: it runs on a GPU, \
                 where texts are written in batches. Use a model on a CPU."
            ),
        )
        .param("model"),
        TranscribeError::QueueFull(full_queue) => rate_limited(&format!(
            "The queue is full: {} windows of audio are waiting.",
            full_queue.capacity
        )),
        TranscribeError::TooLate(late) => rate_limited(&format!(
            "The server is busy: your request would be done in about {} seconds, after the request timeout.",
            late.estimate.as_secs()
        )),
        TranscribeError::AudioQuota(exceeded) => audio_limit_reached(exceeded),
        TranscribeError::Audio(error) => describe_audio(error),
        TranscribeError::DeadlinePassed | TranscribeError::Job(JobError::Expired) => timed_out(),
        TranscribeError::Job(
            JobError::Failed(_) | JobError::Panicked(_) | JobError::EngineGone,
        ) => internal_error("The model failed on this audio."),
        TranscribeError::QueueClosed(_) => unavailable("The model was being unloaded."),
        TranscribeError::FrontEnd(_) => internal_error("The file could not be processed."),
    }
}

fn unknown_language(param: &str, language: Language, model: &ModelId) -> Description {
    let (name, code) = (language.name(), language.code());
    let message = format!(
        "Invalid value for '{param}': the model '{model}' does not support {name} ({code})."
    );
    Description::new(StatusCode::BAD_REQUEST, &message)
        .code("invalid_value")
        .param(param)
}

pub(super) fn describe_audio(error: &AudioError) -> Description {
    let bad_file = |message: &str| {
        Description::new(StatusCode::BAD_REQUEST, message)
            .code("invalid_value")
            .param("file")
    };
    match error {
        AudioError::Undecodable { .. }
        | AudioError::NoAudioTrack { .. }
        | AudioError::NeedsFfmpeg { .. } => bad_file(&format!("{FORMATS}. Reason: {error}.")),
        AudioError::TooShort { .. } => {
            bad_file(&format!("Audio file is too short: {error}.")).code("audio_too_short")
        }
        AudioError::TooCostly { .. } => bad_file(&format!("Invalid audio file: {error}.")),
        AudioError::TooManyChannels { .. } => Description::new(
            StatusCode::BAD_REQUEST,
            &format!("'channels=split' is not supported for this file: {error}."),
        )
        .code("invalid_value")
        .param("channels"),
        AudioError::TooLong { .. } => bad_file(&format!("Audio file is too long: {error}.")),
        AudioError::TooMuchMemory { .. } => Description::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("Audio file is too long: {error} (AUDIO__MAX_DECODED_MIB)."),
        )
        .code("audio_too_long")
        .param("file"),
        AudioError::NoMemory { .. } => {
            rate_limited(&format!("The server's memory for audio is full: {error}."))
        }
        AudioError::FfmpegTimedOut { .. } => timed_out(),
        AudioError::Ffmpeg(error) | AudioError::Read(error) if is_lack_of_resources(error) => {
            out_of_resources()
        }
        AudioError::Ffmpeg(_) | AudioError::Read(_) => {
            internal_error("The file could not be processed.")
        }
    }
}
