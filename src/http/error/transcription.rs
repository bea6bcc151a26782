//! What the caller is told when the transcriber gave up.

use axum::http::StatusCode;

use super::description::{
    Description, away, failed, full, is_lack_of_resources, out_of_files, too_late,
};
use super::models;
use crate::audio::AudioError;
use crate::job::JobError;
use crate::models::ModelId;
use crate::tokens::Language;
use crate::transcribe::TranscribeError;

/// What may be uploaded, in the form of OpenAI's own message.
const FORMATS: &str = "Invalid file format. Supported formats: ['aac', 'aiff', 'caf', 'flac', \
    'm4a', 'mkv', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'opus', 'wav', 'webm']";

/// Every reason of the transcriber, with its status; without a catch-all, so that a new one is
/// decided on here.
pub(super) fn describe(error: &TranscribeError) -> Description {
    match error {
        TranscribeError::Model(error) => models::describe(error),
        TranscribeError::UnknownLanguage { language, model } => {
            unknown_language("language", *language, model)
        }
        TranscribeError::UnknownCandidate { language, model } => {
            unknown_language("languages", *language, model)
        }
        TranscribeError::QueueFull(full_queue) => full(&format!(
            "The queue is full: {} windows of audio are waiting.",
            full_queue.capacity
        )),
        TranscribeError::Audio(error) => describe_audio(error),
        TranscribeError::DeadlinePassed | TranscribeError::Job(JobError::Expired) => too_late(),
        TranscribeError::Job(
            JobError::Failed(_) | JobError::Panicked(_) | JobError::EngineGone,
        ) => failed("The model failed on this audio."),
        TranscribeError::QueueClosed(_) => away("The model was being unloaded."),
        TranscribeError::FrontEnd(_) => failed("The file could not be processed."),
    }
}

fn unknown_language(param: &str, language: Language, model: &ModelId) -> Description {
    let (name, code) = (language.name(), language.code());
    let message =
        format!("Invalid value for '{param}': the model '{model}' does not know {name} ({code}).");
    Description::new(StatusCode::BAD_REQUEST, &message)
        .code("invalid_value")
        .param(param)
}

fn describe_audio(error: &AudioError) -> Description {
    let bad_file = |message: &str| {
        Description::new(StatusCode::BAD_REQUEST, message)
            .code("invalid_value")
            .param("file")
    };
    match error {
        AudioError::Undecodable { .. }
        | AudioError::NoAudioTrack { .. }
        | AudioError::NeedsFfmpeg { .. } => bad_file(&format!("{FORMATS}. Here, {error}.")),
        AudioError::TooShort { .. } => {
            bad_file(&format!("Audio file is too short: {error}.")).code("audio_too_short")
        }
        AudioError::TooCostly { .. } => bad_file(&format!("Invalid audio file: {error}.")),
        AudioError::TooManyChannels { .. } => Description::new(
            StatusCode::BAD_REQUEST,
            &format!("Invalid value for 'channels': \"split\". Here, {error}."),
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
        AudioError::NoMemory { .. } => full(&format!("The server's memory is taken: {error}.")),
        AudioError::FfmpegTimedOut { .. } => too_late(),
        AudioError::Ffmpeg(error) | AudioError::Read(error) if is_lack_of_resources(error) => {
            out_of_files()
        }
        AudioError::Ffmpeg(_) | AudioError::Read(_) => failed("The file could not be processed."),
    }
}
