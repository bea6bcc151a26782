//! Turns the transcriber's lack of capacity into a refusal of the request.

use super::admission::{AdmissionPermit, count_refusal};
use super::error::ApiError;
use crate::telemetry::{Metrics, RefusalReason};
use crate::transcribe::TranscribeError;
use halkspeech_audio::AudioError;

/// The API error for an error of the transcriber; counts refusals.
pub fn transcription_error(
    metrics: &Metrics,
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
            count_refusal(metrics, reason);
            ApiError::Overloaded {
                source: error,
                wait: permit.refuse(),
            }
        }
        None => ApiError::Transcribe(error),
    }
}
