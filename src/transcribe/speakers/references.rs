//! Recordings of known speakers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::caller::Caller;
use crate::transcribe::{FrontEndPanicked, Stage, Transcriber};
use halkspeech_audio::{
    AudioError, Channels, DecodeLimits, DecodedAudio, SAMPLE_RATE_HZ, Source, SpeakerModel, Voice,
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
    Audio(#[from] AudioError),
    /// It is shorter than 2 s.
    #[error("the audio lasts {0:.1} s; 2 to 10 s are needed")]
    TooShort(f64),
    /// It is longer than 10 s.
    #[error("the audio is longer than 10 s; 2 to 10 s are needed")]
    TooLong,
    /// Nobody speaks alone in it for a quarter of a second.
    #[error("no voice was found in the audio")]
    NoVoice,
    /// Its decoding panicked.
    #[error(transparent)]
    FrontEnd(#[from] FrontEndPanicked),
}

impl Transcriber {
    /// The voice in a reference, given its number in the request.
    pub(super) async fn voice(
        &self,
        model: &Arc<SpeakerModel>,
        number: usize,
        reference: &Bytes,
        caller: Caller,
    ) -> Result<Voice, ReferenceError> {
        let problem = |problem| ReferenceError { number, problem };
        let voice = self.read_voice(model, reference, caller).await;
        voice.map_err(problem)
    }

    async fn read_voice(
        &self,
        model: &Arc<SpeakerModel>,
        reference: &Bytes,
        caller: Caller,
    ) -> Result<Voice, ReferenceProblem> {
        let limits = DecodeLimits {
            max_duration: Duration::from_secs_f64(LONGEST_S + PADDING_S),
            ..self.limits.clone()
        };
        let mono = |decoded: DecodedAudio, _memory: &_| {
            let pcm = decoded.streams.into_iter().next().unwrap_or_default();
            let duration_s = pcm.len() as f64 / f64::from(SAMPLE_RATE_HZ);
            if duration_s < SHORTEST_S {
                return Err(ReferenceProblem::TooShort(duration_s));
            }
            Ok(pcm)
        };
        let source = Source::Memory(reference.clone());
        let decoded = self.decode_then(source, limits, (Channels::Mix, caller), mono);
        let (pcm, _memory) = decoded.await.map_err(|error| match error {
            ReferenceProblem::Audio(AudioError::TooLong { .. }) => ReferenceProblem::TooLong,
            ReferenceProblem::Audio(AudioError::TooShort { duration }) => {
                ReferenceProblem::TooShort(duration.as_secs_f64())
            }
            other => other,
        })?;
        let model = Arc::clone(model);
        let find = move || model.reference_voice(&pcm);
        let voice = self.front_end.run(Stage::Voices, caller, find).await?;
        voice.ok_or(ReferenceProblem::NoVoice)
    }
}
