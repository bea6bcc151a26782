//! Turns an upload into 16 kHz PCM, then into windows for the model; a stream into turns and pieces of them; finds who
//! speaks when.
//!
//! Pure computation on one job: no clock, no environment, no async runtime. The only process it
//! starts is `ffmpeg`, for files that the built-in decoders cannot read. A decoder that panics on
//! hostile input fails its own job only.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Cursor, Seek};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use symphonia::core::io::MediaSource;
use thiserror::Error;

mod pcm_budget;
mod cpu_time_limit;
mod signature;
mod format_names;
mod fallback;
mod demux;
mod decode;
mod channels;
mod resample;
mod samples;
mod ffmpeg;
mod activations;
mod vad;
mod window;
mod speakers;

pub use cpu_time_limit::CpuClock;
pub use decode::DecodedAudio;
pub use pcm_budget::{PcmBudget, PcmClaim};
pub use resample::Resampler;
pub use samples::{SampleEncoding, SampleStream};
pub use speakers::{
    Diarization, Diarizer, NAME_COSINE, SpeakerCount, SpeakerModel, SpeakerSpan, TimedWord, Voice,
    VoiceTracker, WeightsError, assign_names, word_speakers,
};
pub use vad::{
    FRAME_SAMPLES, Silero, StreamDetector, TurnEdge, TurnOptions, TurnTracker, VadOptions,
    cut_long_spans, spans,
};
pub use window::{
    Clip, NextWindow, PieceCutter, PieceEdge, PieceFrame, RecordingSpan, SpeechDetector, Window,
    WindowClock, WindowCutter,
};

/// The sample rate of all PCM in this server, which is the rate Whisper was trained on.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Minimum duration; shorter audio is refused, as in OpenAI's API (code `audio_too_short`).
pub const MIN_DURATION: Duration = Duration::from_millis(100);

/// Maximum number of channels that can be split: each is transcribed separately.
pub const MAX_SPLIT_CHANNELS: usize = 16;

/// Encoded audio as it was uploaded.
#[derive(Debug)]
pub enum Source {
    /// A small upload, kept in memory.
    Memory(Bytes),
    /// A large upload, spooled to disk. It is read from its beginning, regardless of its position.
    File(File),
}

/// How the channels of a recording are transcribed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// Averaged into one stream.
    #[default]
    Mix,
    /// As separate streams, such as the two sides of a call.
    Split,
}

/// Whether `ffmpeg` decodes files that the built-in decoders cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FfmpegMode {
    /// Use `ffmpeg` from the `PATH` if needed and installed.
    Auto,
    /// Never start a process; such files are rejected.
    Off,
}

/// Limits of one decode.
#[derive(Clone, Debug)]
pub struct DecodeLimits {
    /// Decoding fails with [`AudioError::TooLong`] once the output is longer than this, so that a
    /// small file cannot fill the memory: an hour of PCM takes 230 MB. Split channels share the limit.
    pub max_duration: Duration,
    /// Whether files that the built-in decoders cannot read are decoded by `ffmpeg`.
    pub ffmpeg: FfmpegMode,
    /// Maximum run time of an `ffmpeg` process before it is killed. It decodes at well over a hundred
    /// times real time, so `max_duration / 50` is generous.
    pub ffmpeg_timeout: Duration,
}

impl Channels {
    /// Every variant.
    pub const ALL: [Self; 2] = [Self::Mix, Self::Split];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Split => "split",
        }
    }

    /// Finds a variant by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|channels| channels.name() == name)
    }
}

impl DecodeLimits {
    /// `max_duration` in output samples.
    fn max_samples(&self) -> usize {
        samples_in(self.max_duration)
    }
}

/// Why an upload could not be decoded. All variants but [`Read`](Self::Read), [`Ffmpeg`](Self::Ffmpeg)
/// and [`FfmpegTimedOut`](Self::FfmpegTimedOut) are caused by the caller.
#[derive(Debug, Error)]
pub enum AudioError {
    /// The content has no known format or is damaged from the start.
    #[error("could not decode {format_name}: {reason}")]
    Undecodable {
        /// The recognised format or codec, or a description of the file.
        format_name: String,
        /// The decoder's error.
        reason: String,
    },
    /// The container has no audio track.
    #[error("the {format_name} file holds no audio track")]
    NoAudioTrack {
        /// The container format.
        format_name: String,
    },
    /// The decoded audio is shorter than [`MIN_DURATION`].
    #[error("the audio lasts {} ms; at least {} ms are needed", .duration.as_millis(), MIN_DURATION.as_millis())]
    TooShort {
        /// Duration of the decoded audio.
        duration: Duration,
    },
    /// The decoded audio is longer than [`DecodeLimits::max_duration`].
    #[error("the audio is longer than the limit of {} s", .limit.as_secs_f64())]
    TooLong {
        /// The exceeded limit, per channel if channels are split.
        limit: Duration,
    },
    /// The recording alone exceeds the memory limit for all recordings.
    #[error("the decoded audio takes more memory than the limit of {} MiB for all requests", .limit_bytes >> 20)]
    TooMuchMemory {
        /// Memory limit for the PCM of all recordings, in bytes.
        limit_bytes: u64,
    },
    /// The recordings of other requests leave too little memory.
    #[error("the decoded audio of all requests takes the {} MiB that it may", .limit_bytes >> 20)]
    NoMemory {
        /// Memory limit for the PCM of all recordings, in bytes.
        limit_bytes: u64,
    },
    /// Decoding takes far more processor time than is usual for the file: it is forged or damaged.
    #[error("{format_name} is too costly to decode: {reason}")]
    TooCostly {
        /// The recognised format or codec, or a description of the file.
        format_name: String,
        /// Which limit was exceeded.
        reason: String,
    },
    /// A recording whose channels are to be split has more than [`MAX_SPLIT_CHANNELS`].
    #[error("the audio has {channels} channels; at most {limit} are transcribed one by one")]
    TooManyChannels {
        /// Number of channels.
        channels: usize,
        /// Maximum number of channels.
        limit: usize,
    },
    /// The format needs `ffmpeg`, which is disabled or not installed.
    #[error("{format_name} is decoded by ffmpeg only, which is not available on this server")]
    NeedsFfmpeg {
        /// The format or codec.
        format_name: String,
    },
    /// `ffmpeg` was stopped after [`DecodeLimits::ffmpeg_timeout`].
    #[error("ffmpeg needed more than {} s to decode {format_name}", .limit.as_secs())]
    FfmpegTimedOut {
        /// The format or codec.
        format_name: String,
        /// The exceeded limit.
        limit: Duration,
    },
    /// `ffmpeg` is installed but could not be started.
    #[error("ffmpeg could not be started")]
    Ffmpeg(#[source] io::Error),
    /// The upload could not be read back from the disk.
    #[error("the upload could not be read")]
    Read(#[source] io::Error),
}

/// Decodes an upload to PCM at [`SAMPLE_RATE_HZ`], samples nominally within -1 to 1: one stream, or
/// one per channel, all of the same length.
///
/// The format is detected from the content alone, never from a file name. Video is skipped; of several
/// audio tracks, the default track is decoded. Late audio and gaps in the container's time stamps become
/// silence, as in a player. A truncated file yields the audio before the end; a corrupt packet becomes
/// silence and is listed in [`DecodedAudio::lost_ranges`], and too many of them are an error.
///
/// # Errors
/// See [`AudioError`].
pub fn decode(
    source: Source,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<DecodedAudio, AudioError> {
    let context = DecodeContext {
        is_wanted: &|| true,
        memory: &Arc::new(PcmBudget::unlimited()).claim(),
        cpu_clock: || Duration::ZERO,
    };
    decode_with_context(context, source, limits, channels)
}

/// Like [`decode`], on behalf of a request: returns early once the result is not wanted, counts the PCM
/// towards the memory budget and limits processor time.
///
/// # Errors
/// As [`decode`], and [`AudioError::TooMuchMemory`], [`AudioError::NoMemory`] and
/// [`AudioError::TooCostly`].
pub fn decode_with_context(
    context: DecodeContext<'_>,
    source: Source,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<DecodedAudio, AudioError> {
    fallback::decode(context, source, limits, channels)
}

/// The request's side of a decode: cancellation, memory and processor time.
#[derive(Clone, Copy)]
pub struct DecodeContext<'a> {
    /// Whether the result is still wanted; called before each packet.
    pub is_wanted: &'a (dyn Fn() -> bool + Sync),
    /// Memory claim of the PCM.
    pub memory: &'a PcmClaim,
    /// Processor time used by the calling thread.
    pub cpu_clock: CpuClock,
}

fn open(source: &Source) -> io::Result<Box<dyn MediaSource>> {
    let source: Box<dyn MediaSource> = match source {
        Source::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
        Source::File(file) => {
            // The clone shares its file position with the original.
            let mut file = file.try_clone()?;
            file.rewind()?;
            Box::new(file)
        }
    };
    demux::skip_leading_tags(source)
}

/// A duration in samples, rounded down and saturating.
fn samples_in(duration: Duration) -> usize {
    let samples = duration.as_nanos() * u128::from(SAMPLE_RATE_HZ) / 1_000_000_000;
    usize::try_from(samples).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "../../../tests/fixtures/fetched_files.rs"]
mod fetched_files;

#[cfg(test)]
mod synthetic_speech;

#[cfg(test)]
mod needs_recordings;

#[cfg(test)]
mod tests;
