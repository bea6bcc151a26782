//! Requests that need no model that transcribes: speaker diarization and speech detection.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pcm_memory::PcmMemory;
use super::recordings::{MAX_VAD_SAMPLES, seconds};
use super::{FoundSpeakers, SpeakerOptions, Stage, TranscribeError, Transcriber, speakers, until};
use crate::caller::{AudioQuota, Caller};
use crate::clock::now;
use halkspeech_audio::{
    Channels, Clip, DecodedAudio, FRAME_SAMPLES, Source, SpeechDetector, VadOptions,
    cut_long_spans, spans,
};

/// A recording that is analysed.
#[derive(Debug)]
pub struct AnalysisRequest {
    /// The audio as it was uploaded.
    pub audio: Source,
    /// The sender of the request.
    pub caller: Caller,
    /// Limits the audio of the caller.
    pub quota: Option<Arc<AudioQuota>>,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// How speech is detected.
#[derive(Clone, Copy, Debug)]
pub struct SpeechOptions {
    /// The options of the detection.
    pub vad: VadOptions,
    /// Longer speech is cut; none: it is not.
    pub longest: Option<Duration>,
}

/// A decoded recording.
struct Pcm {
    samples: Arc<Vec<f32>>,
    duration: Duration,
    memory: Arc<PcmMemory>,
}

impl Transcriber {
    /// Finds who speaks when. Returns the length of the recording, too.
    ///
    /// # Errors
    /// [`TranscribeError`]; past the deadline [`TranscribeError::DeadlinePassed`].
    pub async fn diarize(
        &self,
        request: AnalysisRequest,
        options: SpeakerOptions,
    ) -> Result<(Duration, FoundSpeakers), TranscribeError> {
        let (caller, deadline) = (request.caller, request.deadline);
        let whole = |channels: &[Vec<f32>]| speakers::bytes_of(channels, Clip::default());
        let work = async {
            let search = self.speaker_search(options, caller).await?;
            let pcm = self.pcm(request, whole).await?;
            let finding = self.find_speakers(search, (pcm.samples, 0), &pcm.memory, caller);
            Ok((pcm.duration, finding.await?))
        };
        until(deadline, work).await
    }

    /// Detects speech: its spans, in samples of the recording.
    ///
    /// # Errors
    /// As [`diarize`](Self::diarize).
    pub async fn speech_spans(
        &self,
        request: AnalysisRequest,
        options: &SpeechOptions,
    ) -> Result<Vec<Range<usize>>, TranscribeError> {
        let (caller, deadline) = (request.caller, request.deadline);
        let options = *options;
        let work = async {
            let pcm = self.pcm(request, |_| 0).await?;
            let samples = pcm.samples.len();
            let probabilities = self.speech_probabilities(&pcm, caller).await?;
            let find = move || {
                let found = spans(&probabilities, samples, &options.vad);
                match options.longest {
                    Some(longest) => cut_long_spans(found, &probabilities, &options.vad, longest),
                    None => found,
                }
            };
            Ok(self.front_end.run(Stage::Vad, caller, find).await?)
        };
        until(deadline, work).await
    }

    /// The speech probability of each frame.
    async fn speech_probabilities(
        &self,
        Pcm {
            samples, memory, ..
        }: &Pcm,
        caller: Caller,
    ) -> Result<Vec<f32>, TranscribeError> {
        let mut probabilities = Vec::with_capacity(samples.len().div_ceil(FRAME_SAMPLES));
        let mut detector = None;
        for start in (0..samples.len()).step_by(MAX_VAD_SAMPLES) {
            let (samples, memory) = (Arc::clone(samples), Arc::clone(memory));
            let detect = move || {
                let mut detector = detector.unwrap_or_else(|| SpeechDetector::new(&samples));
                let stop = samples.len().min(start + MAX_VAD_SAMPLES);
                while detector.processed() < stop {
                    probabilities.extend(detector.next_block(&samples));
                }
                drop(samples);
                drop(memory);
                (Some(detector), probabilities)
            };
            let detected = self.front_end.run(Stage::Vad, caller, detect).await?;
            (detector, probabilities) = detected;
        }
        Ok(probabilities)
    }

    /// Decodes the recording of a request; `further_bytes` is the memory that its analysis takes.
    async fn pcm(
        &self,
        request: AnalysisRequest,
        further_bytes: fn(&[Vec<f32>]) -> u64,
    ) -> Result<Pcm, TranscribeError> {
        let AnalysisRequest {
            audio,
            caller,
            quota,
            deadline: _,
        } = request;
        let use_decoded =
            move |decoded: DecodedAudio, memory: &PcmMemory| -> Result<_, TranscribeError> {
                let samples: usize = decoded.streams.iter().map(Vec::len).sum();
                let bytes = (samples * size_of::<f32>()) as u64;
                memory
                    .claim()
                    .resize(bytes + further_bytes(&decoded.streams))?;
                Ok(decoded.streams.into_iter().next().unwrap_or_default())
            };
        let started = Instant::now();
        let limits = self.limits.clone();
        let decoding = self.decode_then(audio, limits, (Channels::Mix, caller), use_decoded);
        let (samples, memory) = decoding.await?;
        let decode_time = started.elapsed();
        let duration = Duration::from_secs_f64(seconds(samples.len()));
        if let Some(quota) = quota {
            quota.count(caller, duration, now())?;
        }
        self.metrics
            .decode_seconds
            .observe(decode_time.as_secs_f64());
        Ok(Pcm {
            samples: Arc::new(samples),
            duration,
            memory: Arc::new(memory),
        })
    }
}
