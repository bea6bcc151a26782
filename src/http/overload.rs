//! Turns the transcriber's lack of capacity into a refusal of the request.

use super::admission::{AdmissionPermit, count_refusal};
use super::error::ApiError;
use crate::queue::{QueueFull, TooLate};
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
        TranscribeError::TooLate(_) => Some(RefusalReason::Deadline),
        TranscribeError::AudioQuota(_) => Some(RefusalReason::AudioLimit),
        TranscribeError::Audio(AudioError::NoMemory { .. }) => Some(RefusalReason::Memory),
        _ => None,
    };
    match reason {
        Some(reason) => {
            count_refusal(metrics, reason);
            let wait = match &error {
                // The caller is not expected before its own time.
                TranscribeError::AudioQuota(exceeded) => {
                    permit.refuse_for_limit();
                    exceeded.wait
                }
                TranscribeError::TooLate(TooLate { retry, .. })
                | TranscribeError::QueueFull(QueueFull {
                    retry: Some(retry), ..
                }) => permit.refuse_until(*retry),
                _ => permit.refuse(),
            };
            ApiError::Overloaded {
                source: error,
                wait,
            }
        }
        None => ApiError::Transcribe(error),
    }
}
