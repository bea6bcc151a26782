//! Recordings of known speakers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::caller::Caller;
use crate::transcribe::recordings::seconds;
use crate::transcribe::{Stage, TranscribeError, Transcriber};
use halkspeech_audio::{
    AudioError, Channels, DecodeLimits, DecodedAudio, Source, SpeakerModel, Voice,
};

/// The length of a reference, in seconds.
const SHORTEST_S: f64 = 2.0;
const LONGEST_S: f64 = 10.0;

/// What encoders may add to a recording, in seconds.
const PADDING_S: f64 = 0.2;

/// Why the reference of a known speaker cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("reference {number}: {problem}")]
pub struct ReferenceError {
    /// Its number in the request, from 1.
    pub number: usize,
    /// Why.
    #[source]
    pub problem: ReferenceProblem,
}

/// What is wrong with a reference.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceProblem {
    /// It cannot be decoded.
    #[error(transparent)]
    Audio(AudioError),
    /// It is shorter than 2 s.
    #[error("the audio lasts {:.2} s; 2 to 10 s are needed", hundredths_down(*.0))]
    TooShort(f64),
    /// It is longer than 10 s.
    #[error("the audio is longer than 10 s; 2 to 10 s are needed")]
    TooLong,
    /// Nobody speaks alone in it for a quarter of a second.
    #[error("no voice was found in the audio")]
    NoVoice,
}

/// Rounded down to hundredths, so that what is too short does not look as long as is needed. The addend is more
/// than the error of a division, and less than a sample.
fn hundredths_down(duration_s: f64) -> f64 {
    (duration_s * 100.0 + 1e-6).floor() / 100.0
}

impl Transcriber {
    /// The voice in a reference, given its number in the request.
    pub(super) async fn voice(
        &self,
        model: &Arc<SpeakerModel>,
        number: usize,
        reference: Bytes,
        caller: Caller,
    ) -> Result<Voice, TranscribeError> {
        let limits = DecodeLimits {
            max_duration: Duration::from_secs_f64(LONGEST_S + PADDING_S),
            ..self.limits.clone()
        };
        let error = move |problem| TranscribeError::from(ReferenceError { number, problem });
        let mono = move |decoded: DecodedAudio, _memory: &_| {
            let pcm = decoded.streams.into_iter().next().unwrap_or_default();
            let duration_s = seconds(pcm.len());
            if duration_s < SHORTEST_S {
                return Err(error(ReferenceProblem::TooShort(duration_s)));
            }
            Ok(pcm)
        };
        let source = Source::Memory(reference);
        let decoded = self.decode_then(source, limits, (Channels::Mix, caller), mono);
        let (pcm, memory) = decoded.await.map_err(|failure| match failure {
            // The server's lack of memory, for which the reference is not to blame.
            TranscribeError::Audio(AudioError::NoMemory { .. }) => failure,
            TranscribeError::Audio(audio) => error(ReferenceProblem::of(audio)),
            other => other,
        })?;
        let model = Arc::clone(model);
        let find = move || {
            let voice = model.reference_voice(&pcm);
            // In this order, also if the caller has left.
            drop(pcm);
            drop(memory);
            voice
        };
        let voice = self.front_end.run(Stage::Voices, caller, find).await?;
        voice.ok_or_else(|| error(ReferenceProblem::NoVoice))
    }
}

impl ReferenceProblem {
    /// Why a reference cannot be decoded.
    fn of(error: AudioError) -> Self {
        match error {
            AudioError::TooLong { .. } => Self::TooLong,
            AudioError::TooShort { duration } => Self::TooShort(duration.as_secs_f64()),
            other => Self::Audio(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_reference_does_not_look_long_enough() {
        for (samples, expected) in [
            (31_999, "1.99"),
            (31_360, "1.96"),
            (18_400, "1.15"),
            (16_000, "1.00"),
        ] {
            let text = ReferenceProblem::TooShort(seconds(samples)).to_string();
            let start = format!("the audio lasts {expected} s;");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
