//! The requests that need no model that transcribes.

use std::time::Duration;

use super::{ApiError, Parameters};
use crate::transcribe::{SpeakerOptions, SpeechOptions};
use halkspeech_audio::VadOptions;

/// A request to find who speaks when.
#[derive(Debug)]
pub struct DiarizationRequest {
    /// The model, as it was sent.
    pub model: Option<String>,
    /// How to tell the speakers apart.
    pub options: SpeakerOptions,
    /// Whether the response is in the RTTM format.
    pub is_rttm: bool,
}

impl Parameters {
    /// The request of `/v1/audio/diarization`.
    ///
    /// # Errors
    /// Two fields cannot be combined; the error names one.
    pub fn finish_diarization(self) -> Result<DiarizationRequest, ApiError> {
        self.speakers.check()?;
        Ok(DiarizationRequest {
            model: self.model,
            options: self.speakers.into_options(),
            is_rttm: self.compatibility.is_rttm(),
        })
    }

    /// The options of `/v1/audio/speech/timestamps`, with the defaults of speaches.
    pub fn finish_speech(self) -> SpeechOptions {
        let fields = self.vad;
        let defaults = VadOptions {
            threshold: 0.75,
            min_silence: Duration::from_secs(1),
            speech_pad: Duration::ZERO,
            ..VadOptions::default()
        };
        SpeechOptions {
            vad: VadOptions {
                threshold: fields.threshold.unwrap_or(defaults.threshold),
                neg_threshold: fields.neg_threshold,
                min_speech: fields.min_speech.unwrap_or(defaults.min_speech),
                min_silence: fields.min_silence.unwrap_or(defaults.min_silence),
                max_speech: defaults.max_speech,
                speech_pad: fields.pad.unwrap_or(defaults.speech_pad),
            },
            longest: fields.max_speech,
        }
    }
}
