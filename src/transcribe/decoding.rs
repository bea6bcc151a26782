//! The audio of a request, decoded on the front end.

use std::sync::Arc;

use super::pcm_memory::PcmMemory;
use super::recordings::Recordings;
use super::{
    FrontEndPanicked, Stage, TranscribeError, Transcriber, TranscriptionOptions, cpu_time,
};
use crate::caller::Caller;
use halkspeech_audio::{AudioError, Channels, DecodeContext, DecodeLimits, DecodedAudio, Source};

impl Transcriber {
    /// Decodes the audio and prepares its segmentation; returns the claim on the memory of the request, which
    /// `bytes` computes from the channels.
    pub(super) async fn decode(
        &self,
        audio: Source,
        options: &TranscriptionOptions,
        caller: Caller,
        bytes: impl FnOnce(&[Vec<f32>]) -> u64 + Send + 'static,
    ) -> Result<(Recordings, Arc<PcmMemory>), TranscribeError> {
        let (clip, vad) = (options.clip, options.vad);
        let use_decoded =
            move |decoded: DecodedAudio, memory: &PcmMemory| -> Result<_, TranscribeError> {
                // Claimed at once: a request that lacked memory later would wait while it holds some.
                memory.claim().resize(bytes(&decoded.streams))?;
                Ok(Recordings::new(decoded, clip, vad))
            };
        let limits = self.limits.clone();
        let decoding = self.decode_then(audio, limits, (options.channels, caller), use_decoded);
        let (recordings, memory) = decoding.await?;
        Ok((recordings, Arc::new(memory)))
    }

    /// Decodes audio on the front end and calls `use_decoded` there; returns its result with the claim on the
    /// memory of the PCM.
    pub(super) async fn decode_then<T: Send + 'static, E>(
        &self,
        audio: Source,
        limits: DecodeLimits,
        (channels, caller): (Channels, Caller),
        use_decoded: impl FnOnce(DecodedAudio, &PcmMemory) -> Result<T, E> + Send + 'static,
    ) -> Result<(T, PcmMemory), E>
    where
        E: From<AudioError> + From<FrontEndPanicked> + Send + 'static,
    {
        // Dropped with this future, which cancels the decoding.
        let alive = Arc::new(());
        let waiting = Arc::downgrade(&alive);
        let memory = PcmMemory::new(self.memory.claim());
        let decode = move || {
            let is_wanted = || waiting.strong_count() > 0;
            let context = DecodeContext {
                is_wanted: &is_wanted,
                memory: memory.claim(),
                cpu_clock: cpu_time::of_this_thread,
            };
            let decoded = halkspeech_audio::decode_with_context(context, audio, &limits, channels)?;
            Ok((use_decoded(decoded, &memory)?, memory))
        };
        self.front_end.run(Stage::Decode, caller, decode).await?
    }

    /// Counts and logs the parts that could not be decoded.
    pub(super) fn report_damage(&self, recordings: &Recordings) {
        let spans = &recordings.damaged;
        if spans.is_empty() {
            return;
        }
        let lost_s: f64 = spans.iter().map(|span| span.end_s - span.start_s).sum();
        self.metrics.damaged_seconds.inc_by(lost_s);
        tracing::warn!(
            audio.damaged_parts = spans.len(),
            audio.damaged_ms = (lost_s * 1000.0).round(),
            audio.duration_ms = recordings.duration.as_millis(),
            "parts of the audio could not be decoded"
        );
    }
}
