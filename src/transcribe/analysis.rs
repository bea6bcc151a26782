//! Requests that need no model that transcribes: who speaks when, and when anybody speaks.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pcm_memory::PcmMemory;
use super::{FoundSpeakers, SpeakerOptions, Stage, TranscribeError, Transcriber, speakers};
use crate::caller::{AudioQuota, Caller};
use crate::clock::now;
use halkspeech_audio::{
    Channels, DecodedAudio, FRAME_SAMPLES, SAMPLE_RATE_HZ, Silero, Source, VadOptions,
    cut_long_spans, detection_gain, spans,
};

/// Samples of a step of the speech detection, 10 minutes in whole frames. A step takes less than a second.
const STEP_SAMPLES: usize = 600 * SAMPLE_RATE_HZ as usize;
/// Samples that the network gets at a time, 1.5 s.
const BLOCK_SAMPLES: usize = 48 * FRAME_SAMPLES;

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
    _memory: PcmMemory,
}

impl Transcriber {
    /// Finds who speaks when. Returns the length of the recording, too.
    ///
    /// # Errors
    /// [`TranscribeError`]; past the deadline [`TranscribeError::DeadlinePassed`].
    pub async fn diarize(
        &self,
        request: AnalysisRequest,
        options: &SpeakerOptions,
    ) -> Result<(Duration, FoundSpeakers), TranscribeError> {
        let (caller, deadline) = (request.caller, request.deadline);
        let work = async {
            let search = self.speaker_search(options, caller).await?;
            let pcm = self.pcm(request, speakers::bytes_of).await?;
            let clip = (Arc::clone(&pcm.samples), 0);
            let found = self.find_speakers(search, clip, caller).await?;
            Ok((pcm.duration, found))
        };
        until(deadline, work).await
    }

    /// Finds when anybody speaks, in samples of the recording.
    ///
    /// # Errors
    /// As [`diarize`](Self::diarize).
    pub async fn speech_spans(
        &self,
        request: AnalysisRequest,
        options: &SpeechOptions,
    ) -> Result<Vec<Range<usize>>, TranscribeError> {
        let (caller, deadline) = (request.caller, request.deadline);
        let work = async {
            let pcm = self.pcm(request, |_| 0).await?;
            let probabilities = self.speech_probabilities(&pcm.samples, caller).await?;
            let found = spans(&probabilities, pcm.samples.len(), &options.vad);
            Ok(match options.longest {
                Some(longest) => cut_long_spans(found, &probabilities, &options.vad, longest),
                None => found,
            })
        };
        until(deadline, work).await
    }

    /// The speech probability of each frame.
    async fn speech_probabilities(
        &self,
        samples: &Arc<Vec<f32>>,
        caller: Caller,
    ) -> Result<Vec<f32>, TranscribeError> {
        let gain = detection_gain(samples);
        // On the heap, because it is large.
        let mut network = Box::new(Silero::new());
        let mut probabilities = Vec::with_capacity(samples.len().div_ceil(FRAME_SAMPLES));
        for start in (0..samples.len()).step_by(STEP_SAMPLES) {
            let samples = Arc::clone(samples);
            let detect = move || {
                let end = samples.len().min(start + STEP_SAMPLES);
                for block in samples[start..end].chunks(BLOCK_SAMPLES) {
                    let block: Vec<f32> = block.iter().map(|sample| sample * gain).collect();
                    probabilities.extend(network.probabilities(&block));
                }
                (network, probabilities)
            };
            let detected = self.front_end.run(Stage::Vad, caller, detect).await?;
            (network, probabilities) = detected;
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
        let duration = Duration::from_secs_f64(samples.len() as f64 / f64::from(SAMPLE_RATE_HZ));
        if let Some(quota) = quota {
            quota.count(caller, duration, now())?;
        }
        self.metrics
            .decode_seconds
            .observe(decode_time.as_secs_f64());
        Ok(Pcm {
            samples: Arc::new(samples),
            duration,
            _memory: memory,
        })
    }
}

async fn until<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, TranscribeError>>,
) -> Result<T, TranscribeError> {
    let ended = tokio::time::timeout_at(deadline.into(), work).await;
    ended.unwrap_or(Err(TranscribeError::DeadlinePassed))
}
