//! Chooses between the built-in decoders and ffmpeg.
//!
//! Formats that only ffmpeg knows go to it at once. All others are tried here first; what the
//! built-in decoders refuse as malformed, unsupported or without audio goes to ffmpeg, too, unless
//! it is plainly no audio. Where neither succeeds, the answer says what the file seems to be.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use symphonia::core::io::ReadOnlySource;

use super::decode::{self, Allowance};
use super::{
    AudioError, Channels, DecodeLimits, Decoded, FfmpegMode, MIN_DURATION, SAMPLE_RATE_HZ, Source,
    ffmpeg, open, signature,
};

/// Audio of less than [`MIN_DURATION`] is in doubt where its file is longer than this: 0.1 s at
/// 320 kbit/s takes 4 kB.
const SHORT_FILE_BYTES: u64 = 4_096;

/// What readers call a file of which they know nothing.
const UNKNOWN: &str = "the file";

/// Decodes an upload, however it can be decoded. `is_wanted` is called before each packet; once it
/// says no, the result is what was decoded until then.
///
/// # Errors
/// See [`AudioError`].
pub fn decode(
    is_wanted: &(dyn Fn() -> bool + Sync),
    source: Source,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Decoded, AudioError> {
    let mut media = open(&source).map_err(AudioError::Read)?;
    let allowance = Allowance {
        file_bytes: media.byte_len().unwrap_or(u64::MAX),
        is_wanted,
    };
    let mut head = Vec::with_capacity(signature::HEAD_BYTES);
    media
        .by_ref()
        .take(signature::HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(AudioError::Read)?;
    let error = match signature::ffmpeg_only(&head) {
        Some(found) => AudioError::NeedsFfmpeg {
            found: found.to_owned(),
        },
        None => match checked(|| decode_natively(&source, allowance, limits, channels)) {
            Ok(decoded) => return Ok(decoded),
            Err(error) => named(error, &head),
        },
    };
    let is_asked = limits.ffmpeg == FfmpegMode::Auto
        && is_for_ffmpeg(&error, &head, allowance.file_bytes)
        && is_wanted();
    if !is_asked {
        return Err(error);
    }
    let job = ffmpeg::Job {
        found: match &error {
            AudioError::NeedsFfmpeg { found } | AudioError::Undecodable { found, .. } => found,
            _ => signature::built_in(&head).unwrap_or(UNKNOWN),
        },
        limits,
        channels,
        is_wanted,
    };
    match checked(|| ffmpeg::decode(source, &job)) {
        // Where neither can, the built-in decoder's error says more.
        Err(
            AudioError::Undecodable { .. }
            | AudioError::NeedsFfmpeg { .. }
            | AudioError::TooShort { .. },
        ) if !matches!(error, AudioError::NeedsFfmpeg { .. }) => Err(error),
        result => result,
    }
}

/// Whether it is worth the time of a process.
fn is_for_ffmpeg(error: &AudioError, head: &[u8], file_bytes: u64) -> bool {
    let is_plausible = match error {
        AudioError::NeedsFfmpeg { .. } => return true,
        AudioError::Undecodable { .. } | AudioError::NoAudioTrack { .. } => true,
        AudioError::TooShort { .. } => file_bytes > SHORT_FILE_BYTES,
        _ => false,
    };
    is_plausible && signature::not_decoded(head).is_none()
}

/// Runs a decoder. One that panics on hostile input ends its own job and nothing else, and audio of
/// less than [`MIN_DURATION`] is an error.
fn checked(decode: impl FnOnce() -> Result<Decoded, AudioError>) -> Result<Decoded, AudioError> {
    let decoded = catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_panic| {
        Err(AudioError::Undecodable {
            found: UNKNOWN.to_owned(),
            reason: "its content broke the decoder".to_owned(),
        })
    })?;
    let samples = decoded.streams.first().map_or(0, Vec::len);
    let duration = Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE_HZ));
    if duration < MIN_DURATION {
        return Err(AudioError::TooShort { duration });
    }
    Ok(decoded)
}

/// Says what a file seems to be where its reader did not know.
fn named(error: AudioError, head: &[u8]) -> AudioError {
    let AudioError::Undecodable { found, reason } = error else {
        return error;
    };
    if found != UNKNOWN {
        return AudioError::Undecodable { found, reason };
    }
    match (signature::not_decoded(head), signature::built_in(head)) {
        (Some(kind), _) => AudioError::Undecodable {
            found: kind.to_owned(),
            reason: "no decoder reads it".to_owned(),
        },
        (None, Some(format)) => AudioError::Undecodable {
            found: format.to_owned(),
            reason,
        },
        (None, None) => AudioError::Undecodable { found, reason },
    }
}

fn decode_natively(
    source: &Source,
    allowance: Allowance<'_>,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Decoded, AudioError> {
    let media = open(source).map_err(AudioError::Read)?;
    match decode::decode(media, allowance, limits, channels) {
        // Some readers refuse a file that is shorter than its header says, unless they cannot know:
        // as a stream, a recording that was cut off gives what it has.
        Err(error @ AudioError::Undecodable { .. }) => {
            let media = open(source).map_err(AudioError::Read)?;
            let media = Box::new(ReadOnlySource::new(media));
            decode::decode(media, allowance, limits, channels).map_err(|_| error)
        }
        result => result,
    }
}
