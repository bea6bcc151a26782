//! Turns an upload into 16 kHz PCM, then into the windows the model is fed.
//!
//! Everything here is pure computation on one job: no clock, no environment, no async runtime.
//! The one thing it starts is the `ffmpeg` process, for what the built-in decoders cannot read.
//! A decoder that panics on hostile input ends its own job and nothing else.

use std::fs::File;
use std::io::{self, Cursor, Seek};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use symphonia::core::io::MediaSource;
use thiserror::Error;

mod memory;
mod effort;
mod signature;
mod names;
mod fallback;
mod demux;
mod decode;
mod channels;
mod resample;
mod ffmpeg;
mod vad;
mod window;

pub use decode::Decoded;
pub use effort::CpuClock;
pub use memory::{MemoryBudget, MemoryClaim};
pub use resample::Resampler;
pub use vad::{FRAME_SAMPLES, Silero, VadOptions, spans};
pub use window::{Clip, WindowClock, WindowCutter, RecordingSpan, NextWindow, Window};

/// The sample rate of all PCM in this server, which is the rate Whisper was trained on.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Shorter audio is refused, as OpenAI's API does with its code `audio_too_short`.
pub const MIN_DURATION: Duration = Duration::from_millis(100);

/// A recording with more channels than this is not split: each is a transcription of its own.
pub const MAX_SPLIT_CHANNELS: usize = 16;

/// Encoded audio as it was uploaded.
#[derive(Debug)]
pub enum Source {
    /// A small upload, held in memory.
    Memory(Bytes),
    /// A large upload, spooled to disk; it is read from its beginning whatever its position.
    File(File),
}

/// What becomes of the channels of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// Their average is one stream.
    #[default]
    Mix,
    /// Each is a stream of its own, as the sides of a call are.
    Split,
}

/// Whether files that the built-in decoders cannot read are handed to an `ffmpeg` process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FfmpegMode {
    /// Use `ffmpeg` from the `PATH` where it is needed and present.
    Auto,
    /// Never start a process; such files are refused.
    Off,
}

/// What one decode may cost.
#[derive(Clone, Debug)]
pub struct DecodeLimits {
    /// Decoding stops with [`AudioError::TooLong`] as soon as this much audio has come out, so that
    /// a small file cannot fill the memory: an hour of PCM takes 230 MB. Split channels have to
    /// share it.
    pub max_duration: Duration,
    /// What to do with files that the built-in decoders cannot read.
    pub ffmpeg: FfmpegMode,
    /// An `ffmpeg` process that runs longer than this is killed. It decodes at well over a hundred
    /// times real time, so `max_duration / 50` is generous.
    pub ffmpeg_timeout: Duration,
}

impl DecodeLimits {
    /// `max_duration` in samples of the result.
    fn max_samples(&self) -> usize {
        samples_in(self.max_duration)
    }
}

/// Why an upload gave no PCM. All but [`Read`](Self::Read), [`Ffmpeg`](Self::Ffmpeg) and
/// [`FfmpegTimedOut`](Self::FfmpegTimedOut) are the caller's doing.
#[derive(Debug, Error)]
pub enum AudioError {
    /// The content is of no known format, or broken from its beginning.
    #[error("could not decode {found}: {reason}")]
    Undecodable {
        /// The format, as far as it was recognised.
        found: String,
        /// What the decoder complained about.
        reason: String,
    },
    /// A readable container holds video or subtitles, but no audio.
    #[error("the {found} file holds no audio track")]
    NoAudioTrack {
        /// The container format.
        found: String,
    },
    /// Less than [`MIN_DURATION`] of audio came out.
    #[error("the audio lasts {} ms; at least {} ms are needed", .duration.as_millis(), MIN_DURATION.as_millis())]
    TooShort {
        /// How much came out.
        duration: Duration,
    },
    /// More than [`DecodeLimits::max_duration`] of audio came out.
    #[error("the audio is longer than the limit of {} s", .limit.as_secs_f64())]
    TooLong {
        /// The limit that was exceeded: its share of it where channels are split.
        limit: Duration,
    },
    /// The recording alone takes more memory than all may take together.
    #[error("the decoded audio takes more memory than the limit of {} MiB for all requests", .limit_bytes >> 20)]
    TooMuchMemory {
        /// What all recordings may take together, in bytes.
        limit_bytes: u64,
    },
    /// The recordings of other requests have taken too much of the memory.
    #[error("the decoded audio of all requests takes the {} MiB that it may", .limit_bytes >> 20)]
    NoMemory {
        /// What all recordings may take together, in bytes.
        limit_bytes: u64,
    },
    /// The file is forged, or damaged so that decoding it takes far more time than its audio is worth.
    #[error("{found} is too costly to decode: {reason}")]
    TooCostly {
        /// The format, as far as it was recognised.
        found: String,
        /// What shows it.
        reason: String,
    },
    /// The channels of a recording with more than [`MAX_SPLIT_CHANNELS`] were to be split.
    #[error("the audio has {found} channels; at most {limit} are transcribed one by one")]
    TooManyChannels {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The format is known, but needs `ffmpeg`, which is switched off or not installed.
    #[error("{found} is decoded by ffmpeg only, which is not available on this server")]
    NeedsFfmpeg {
        /// The format or codec.
        found: String,
    },
    /// `ffmpeg` was stopped after [`DecodeLimits::ffmpeg_timeout`].
    #[error("ffmpeg needed more than {} s to decode {found}", .limit.as_secs())]
    FfmpegTimedOut {
        /// The format or codec.
        found: String,
        /// The limit that was exceeded.
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
/// The format is told by the content alone, never by a name. Video is skipped, and of several audio
/// tracks the default one is taken. Where a player would be silent (audio that begins late, a hole in
/// the container's clock) there is silence. A file that breaks off gives what was decoded until then;
/// a corrupt packet becomes silence and is listed, and too many of them are an error.
///
/// # Errors
/// See [`AudioError`].
pub fn decode(
    source: Source,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Decoded, AudioError> {
    let requester = Requester {
        is_wanted: &|| true,
        memory: &Arc::new(MemoryBudget::unlimited()).claim(),
        cpu_clock: || Duration::ZERO,
    };
    decode_for(requester, source, limits, channels)
}

/// As [`decode`], within what a request may take: it gives what it has once the result is not wanted, the
/// PCM counts into the request's memory, and a file that takes far more processor time than recordings of
/// its length is an error. Nothing else can stop a thread.
///
/// # Errors
/// As [`decode`], and [`AudioError::TooMuchMemory`], [`AudioError::NoMemory`] and
/// [`AudioError::TooCostly`].
pub fn decode_for(
    requester: Requester<'_>,
    source: Source,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Decoded, AudioError> {
    fallback::decode(requester, source, limits, channels)
}

/// The request that a decode belongs to.
#[derive(Clone, Copy)]
pub struct Requester<'a> {
    /// Whether the result is still waited for; asked before each packet.
    pub is_wanted: &'a (dyn Fn() -> bool + Sync),
    /// What the PCM counts into.
    pub memory: &'a MemoryClaim,
    /// The processor time of the calling thread.
    pub cpu_clock: CpuClock,
}

fn open(source: &Source) -> io::Result<Box<dyn MediaSource>> {
    let source: Box<dyn MediaSource> = match source {
        Source::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
        Source::File(file) => {
            // The clone shares its position with the original.
            let mut file = file.try_clone()?;
            file.rewind()?;
            Box::new(file)
        }
    };
    demux::behind_tags(source)
}

/// A duration in samples, rounded down. An absurdly long one is as long as can be.
fn samples_in(duration: Duration) -> usize {
    let samples = duration.as_nanos() * u128::from(SAMPLE_RATE_HZ) / 1_000_000_000;
    usize::try_from(samples).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod recordings;

#[cfg(test)]
mod tests;
