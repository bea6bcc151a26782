//! The `[audio]` settings: decoding of uploads.

use serde::{Deserialize, Serialize};

use halkspeech_audio::FfmpegMode;

/// Decoding, resampling and features. Environment: `AUDIO__…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Whether an installed `ffmpeg` program decodes formats that the built-in
    /// decoders do not support.
    ///
    /// Default `auto`; environment `AUDIO__FFMPEG`. `off` never starts
    /// another program.
    pub ffmpeg: FfmpegMode,

    /// The timeout of `ffmpeg` for one upload, in seconds.
    ///
    /// Default 60, 1 to 3,600; environment `AUDIO__FFMPEG_TIMEOUT_S`.
    pub ffmpeg_timeout_s: u64,

    /// The longest accepted audio, in seconds; longer audio is refused.
    ///
    /// Default 14,400 (4 hours), 1 to 604,800; environment
    /// `AUDIO__MAX_DURATION_S`. Decoded audio needs 64 kB of memory per
    /// second, whatever the size of the upload.
    pub max_duration_s: u64,

    /// The memory limit for the decoded audio of all requests together, in
    /// MiB; more is refused.
    ///
    /// Default 0 (a quarter of the memory of the machine or the container,
    /// and at least one recording of the longest duration), at most
    /// 16,777,216; environment `AUDIO__MAX_DECODED_MIB`. A recording above
    /// the limit by itself gets 413, one above the limit together with the
    /// others 429.
    pub max_decoded_mib: u64,

    /// Threads for decoding, resampling and features.
    ///
    /// Default 0 (one per core), at most 1,024; environment `AUDIO__WORKERS`.
    /// On a CPU they compete with the engines; fewer favour long queues of
    /// short audio.
    pub workers: usize,
}

impl Default for Audio {
    fn default() -> Self {
        Self {
            ffmpeg: FfmpegMode::Auto,
            ffmpeg_timeout_s: 60,
            max_duration_s: 14_400,
            max_decoded_mib: 0,
            workers: 0,
        }
    }
}
