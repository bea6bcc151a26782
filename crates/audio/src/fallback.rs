//! Decodes with the built-in decoders or ffmpeg.
//!
//! Formats that only ffmpeg supports are decoded by it directly. For all others, the built-in decoders
//! are tried first; if they report a malformed or unsupported file or no audio, ffmpeg is tried, unless
//! the file is clearly not audio. If both fail, the error names the detected kind of file.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::decode::{self, DecodeBounds};
use super::{
    AudioError, Channels, DecodeContext, DecodeLimits, DecodedAudio, FfmpegMode, MIN_DURATION,
    SAMPLE_RATE_HZ, Source, ffmpeg, open, signature,
};

/// From larger files, audio shorter than [`MIN_DURATION`] is implausible: 0.1 s at 320 kbit/s takes 4 kB.
const SHORT_FILE_BYTES: u64 = 4_096;

/// Format name of a file that no reader recognised.
const UNKNOWN: &str = "the file";

/// The error of symphonia's probe for such a file.
const NO_READER: &str = "no suitable format reader found";

/// Decodes an upload with the suitable decoder. `context.is_wanted` is called before each packet; once it
/// returns false, the audio decoded so far is returned.
///
/// # Errors
/// See [`AudioError`].
pub fn decode(
    context: DecodeContext<'_>,
    source: Source,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<DecodedAudio, AudioError> {
    let mut media = open(&source).map_err(AudioError::Read)?;
    let bounds = DecodeBounds {
        file_bytes: media.byte_len().unwrap_or(u64::MAX),
        context,
    };
    let mut head = Vec::with_capacity(signature::HEAD_BYTES);
    media
        .by_ref()
        .take(signature::HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(AudioError::Read)?;
    let error = match signature::ffmpeg_only(&head) {
        Some(format_name) => AudioError::NeedsFfmpeg {
            format_name: format_name.to_owned(),
        },
        None => match run_decoder(|| decode_natively(&source, bounds, limits, channels)) {
            Ok(decoded) => return Ok(decoded),
            Err(error) => with_format_name(error, &head),
        },
    };
    let uses_ffmpeg = limits.ffmpeg == FfmpegMode::Auto
        && is_for_ffmpeg(&error, &head, bounds.file_bytes)
        && (context.is_wanted)();
    if !uses_ffmpeg {
        return Err(error);
    }
    let job = ffmpeg::FfmpegJob {
        format_name: match &error {
            AudioError::NeedsFfmpeg { format_name }
            | AudioError::Undecodable { format_name, .. } => format_name,
            _ => signature::built_in(&head).unwrap_or(UNKNOWN),
        },
        limits,
        channels,
        context,
        file_bytes: bounds.file_bytes,
    };
    // The output of the built-in decoders was dropped.
    context.memory.resize(0)?;
    match run_decoder(|| ffmpeg::decode(source, &job)) {
        // If both fail, the built-in decoder's error is more specific.
        Err(
            AudioError::Undecodable { .. }
            | AudioError::NeedsFfmpeg { .. }
            | AudioError::TooShort { .. },
        ) if !matches!(error, AudioError::NeedsFfmpeg { .. }) => Err(error),
        result => result,
    }
}

/// Whether ffmpeg may be able to decode the file.
fn is_for_ffmpeg(error: &AudioError, head: &[u8], file_bytes: u64) -> bool {
    let is_plausible = match error {
        AudioError::NeedsFfmpeg { .. } => return true,
        AudioError::Undecodable { .. } | AudioError::NoAudioTrack { .. } => true,
        AudioError::TooShort { .. } => file_bytes > SHORT_FILE_BYTES,
        _ => false,
    };
    is_plausible && signature::not_decoded(head).is_none()
}

/// Runs a decoder. Converts panics to errors and rejects audio shorter than [`MIN_DURATION`].
fn run_decoder(
    decode: impl FnOnce() -> Result<DecodedAudio, AudioError>,
) -> Result<DecodedAudio, AudioError> {
    let decoded = catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_panic| {
        Err(AudioError::Undecodable {
            format_name: UNKNOWN.to_owned(),
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

/// Adds the detected kind of file to an error without a format name.
fn with_format_name(error: AudioError, head: &[u8]) -> AudioError {
    let (format_name, reason) = match error {
        AudioError::Undecodable {
            format_name,
            reason,
        } if format_name == UNKNOWN => (format_name, reason),
        error => return error,
    };
    if let Some(kind) = signature::not_decoded(head) {
        return AudioError::Undecodable {
            format_name: kind.to_owned(),
            reason: "no decoder reads it".to_owned(),
        };
    }
    AudioError::Undecodable {
        format_name: signature::built_in(head).map_or(format_name, str::to_owned),
        reason: match reason.contains(NO_READER) {
            true => "no reader knows its format".to_owned(),
            false => reason,
        },
    }
}

fn decode_natively(
    source: &Source,
    bounds: DecodeBounds<'_>,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<DecodedAudio, AudioError> {
    let media = open(source).map_err(AudioError::Read)?;
    decode::decode(media, bounds, limits, channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PcmClaim;

    const LIMITS: DecodeLimits = DecodeLimits {
        max_duration: Duration::from_secs(10),
        ffmpeg: FfmpegMode::Off,
        ffmpeg_timeout: Duration::from_secs(10),
    };

    #[track_caller]
    fn check(ffmpeg: FfmpegMode, file: &[u8], expected: &str) {
        let source = Source::Memory(file.to_vec().into());
        let limits = DecodeLimits { ffmpeg, ..LIMITS };
        let context = DecodeContext {
            is_wanted: &|| true,
            memory: PcmClaim::unlimited(),
            cpu_clock: || Duration::ZERO,
        };
        let error = decode(context, source, &limits, Channels::Mix).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn names_the_kind_of_unsupported_files() {
        for ffmpeg in [FfmpegMode::Off, FfmpegMode::Auto] {
            for (file, expected) in [
                (&b"\xff\xd8\xff\xe0\0\x10JFIF"[..], "a JPEG image"),
                (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
                (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
                (b"{\"error\": \"not found\"}", "a text file"),
                (b"\x02#!SILK_V3\x16\x00", "SILK"),
                (b"", "an empty file"),
            ] {
                let expected = format!("could not decode {expected}: no decoder reads it");
                check(ffmpeg, file, &expected);
            }
            let unknown = b"\x01\x02\x03\xfe".repeat(999);
            let expected = "could not decode the file: no reader knows its format";
            check(ffmpeg, &unknown, expected);
            let cut = b"\0\0\0\x14ftypM4A \0\0\0\0M4A \0\0\x10\0mdat\xff\xfe";
            check(
                ffmpeg,
                cut,
                "could not decode MP4: malformed stream: it has no movie header (moov)",
            );
        }
    }

    #[test]
    fn mentions_ffmpeg_only_if_it_would_help() {
        let missing = "is decoded by ffmpeg only, which is not available on this server";
        check(
            FfmpegMode::Off,
            b"#!AMR\n\x3c\x91",
            &format!("AMR {missing}"),
        );
        let gsm = b"RIFF\0\0\0\0WAVEfmt \x14\0\0\0\x31\0\x01\0\x40\x1f\0\0\x59\x06\0\0\x41\0\0\0\x02\0\x40\x01data\0\0\0\0";
        check(
            FfmpegMode::Off,
            gsm,
            &format!("WAV with GSM 6.10 {missing}"),
        );
    }

    #[test]
    fn tries_ffmpeg_for_a_long_file_with_short_audio() {
        let short = AudioError::TooShort {
            duration: Duration::ZERO,
        };
        let head = b"\x1a\x45\xdf\xa3";
        assert!(is_for_ffmpeg(&short, head, 100_000));
        assert!(!is_for_ffmpeg(&short, head, 3_000));
        let costly = AudioError::TooCostly {
            format_name: String::new(),
            reason: String::new(),
        };
        assert!(!is_for_ffmpeg(&costly, head, 100_000));
        // ffmpeg would find it too long, too.
        let long = AudioError::TooLong {
            limit: Duration::ZERO,
        };
        assert!(!is_for_ffmpeg(&long, head, 100_000));
    }
}
