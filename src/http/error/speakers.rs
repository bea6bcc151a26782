//! The caller's text of errors of speaker diarization.

use axum::http::StatusCode;

use super::description::{Description, internal_error, unavailable};
use super::transcription::describe_audio;
use crate::models::SpeakerModelError;
use crate::models::files::{SPEAKER_COMMAND, SPEAKER_MODEL};
use crate::transcribe::{ReferenceError, ReferenceProblem};
use halkspeech_audio::WeightsError;

/// Describes why the networks cannot be used.
pub(super) fn describe_model(error: &SpeakerModelError) -> Description {
    match error {
        SpeakerModelError::NotFound => absent(),
        SpeakerModelError::Load(error) => {
            let (WeightsError::Read { path, .. }
            | WeightsError::Malformed { path }
            | WeightsError::NoSuchTensor { path, .. }) = &**error;
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            unavailable(&format!(
                "The model '{SPEAKER_MODEL}' could not be loaded: its {file} cannot be used."
            ))
        }
        SpeakerModelError::Panicked => {
            internal_error(&format!("The model '{SPEAKER_MODEL}' could not be loaded."))
        }
    }
}

/// Describes why the reference of a known speaker cannot be used.
pub(super) fn describe_reference(error: &ReferenceError) -> Description {
    let number = error.number;
    let description = match &error.problem {
        ReferenceProblem::Audio(audio) => {
            let description = describe_audio(audio);
            if description.status != StatusCode::BAD_REQUEST {
                return description;
            }
            description.code("invalid_value")
        }
        problem @ (ReferenceProblem::TooShort(_)
        | ReferenceProblem::TooLong
        | ReferenceProblem::NoVoice) => {
            Description::new(StatusCode::BAD_REQUEST, &format!("{problem}.")).code("invalid_value")
        }
    };
    let message = format!(
        "Invalid item {number} of 'known_speaker_references': {}",
        description.message
    );
    Description {
        message,
        ..description.param("known_speaker_references")
    }
}

/// The networks are not on disk.
pub(super) fn absent() -> Description {
    Description::new(
        StatusCode::NOT_FOUND,
        &format!(
            "The model '{SPEAKER_MODEL}', which finds speakers, is not on this server. To install \
             it, run on the server: {SPEAKER_COMMAND}"
        ),
    )
    .code("model_not_found")
}
