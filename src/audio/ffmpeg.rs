//! Decodes the formats the native decoders lack in an `ffmpeg` process.
//!
//! The process sees pipes only: no network, no file but an unlinked scratch copy of its own input
//! (its `cache` protocol, without which MP4 files that end with their index cannot be read from a
//! pipe). Its time, its output and the size of its single allocations are bounded. What it writes is
//! a WAV file, which says how many channels there are, and goes through the native decoder.

use std::io::{self, Seek, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use symphonia::core::io::ReadOnlySource;

use super::decode as native;
use super::{AudioError, Channels, DecodeLimits, Decoded, SAMPLE_RATE_HZ, Source};

/// Bound on each of ffmpeg's allocations; a 4K picture, which it does not decode, would fit.
const MAX_ALLOCATION_BYTES: &str = "67108864";

/// Decodes `source` to 16 kHz PCM, as the native decoder does. `found` names its format in errors.
///
/// # Errors
/// [`AudioError::NeedsFfmpeg`] where ffmpeg is not installed, otherwise see [`AudioError`].
pub fn decode(
    source: Source,
    found: &str,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Decoded, AudioError> {
    run(command(limits), source, found, limits, channels)
}

fn run(
    mut command: Command,
    source: Source,
    found: &str,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Decoded, AudioError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => AudioError::NeedsFfmpeg {
                found: found.to_owned(),
            },
            _ => AudioError::Ffmpeg(error),
        })?;
    let answer = converse(&mut child, source, limits, channels);
    // Killing and waiting again is harmless, and leaves no zombie when a thread failed to start.
    stop(&mut child);
    let nothing = || AudioError::Undecodable {
        found: found.to_owned(),
        reason: "ffmpeg found no audio in it".to_owned(),
    };
    match answer {
        Some(Ok(decoded)) if decoded.streams.iter().all(Vec::is_empty) => Err(nothing()),
        Some(Err(AudioError::Undecodable { .. } | AudioError::NoAudioTrack { .. })) => {
            Err(nothing())
        }
        Some(answer) => answer,
        None => Err(AudioError::FfmpegTimedOut {
            found: found.to_owned(),
            limit: limits.ffmpeg_timeout,
        }),
    }
}

fn command(limits: &DecodeLimits) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "quiet"])
        .args(["-max_alloc", MAX_ALLOCATION_BYTES, "-threads", "1"])
        .args([
            "-protocol_whitelist",
            "cache,pipe",
            "-read_ahead_limit",
            "-1",
        ])
        .args(["-i", "cache:pipe:0", "-vn", "-sn", "-dn", "-threads", "1"])
        .args(["-ar", &SAMPLE_RATE_HZ.to_string()])
        // A second more than allowed, so that longer audio shows as such.
        .args([
            "-t",
            &format!("{:.3}", limits.max_duration.as_secs_f64() + 1.0),
        ])
        .args(["-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]);
    command
}

/// Feeds the process from one thread and decodes what it writes in another, so that neither pipe can
/// block the other, while this thread keeps the time; `None` when it is over. Both threads end when
/// the process does, for its pipes close then; they are joined before this returns.
fn converse(
    child: &mut Child,
    source: Source,
    limits: &DecodeLimits,
    channels: Channels,
) -> Option<Result<Decoded, AudioError>> {
    let broken = || Some(Err(AudioError::Ffmpeg(io::ErrorKind::BrokenPipe.into())));
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return broken();
    };
    thread::scope(|scope| {
        // One message, sent when the output has ended or is too long.
        let (tx, rx) = mpsc::sync_channel(1);
        let listen = move || {
            let output = Box::new(ReadOnlySource::new(stdout));
            // Killing the process ends it.
            let allowance = native::Allowance {
                file_bytes: u64::MAX,
                is_wanted: &|| true,
            };
            tx.send(native::decode(output, allowance, limits, channels))
        };
        let threads = thread::Builder::new()
            .name("ffmpeg-out".to_owned())
            .spawn_scoped(scope, listen)
            .and_then(|_| {
                thread::Builder::new()
                    .name("ffmpeg-in".to_owned())
                    .spawn_scoped(scope, move || feed(source, stdin))
            });
        let answer = match threads {
            Ok(_) => rx.recv_timeout(limits.ffmpeg_timeout),
            Err(error) => {
                stop(child);
                return Some(Err(AudioError::Ffmpeg(error)));
            }
        };
        stop(child);
        match answer {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => broken(),
        }
    })
}

/// Writes the upload to the process. Its failures show in the output: a process that has enough
/// closes the pipe, and after a failed read it gets the end of the file.
fn feed(source: Source, mut stdin: ChildStdin) -> io::Result<()> {
    match source {
        Source::Memory(bytes) => stdin.write_all(&bytes),
        Source::File(mut file) => {
            file.rewind()?;
            io::copy(&mut file, &mut stdin).map(drop)
        }
    }
}

/// Ends the process, whose output is complete or given up, and collects its status, which says
/// nothing the output does not. Both fail only where it is gone already.
fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::audio::FfmpegMode;

    /// Runs a shell in ffmpeg's place. Its input is a WAV file of three channels, longer than a pipe
    /// holds, with a header of 44 bytes that leaves the length open.
    fn run_script(script: &str, limits: &DecodeLimits) -> Result<Vec<Vec<f32>>, AudioError> {
        let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x03\0\x03\0".to_vec();
        wav.extend(SAMPLE_RATE_HZ.to_le_bytes());
        wav.extend((SAMPLE_RATE_HZ * 12).to_le_bytes());
        wav.extend(b"\x0c\0\x20\0data\xff\xff\xff\xff");
        for sample in [0.5_f32, -0.25, 0.125].repeat(100_000) {
            wav.extend(sample.to_le_bytes());
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        let source = Source::Memory(Bytes::from(wav));
        run(shell, source, "noise", limits, Channels::Split).map(|decoded| decoded.streams)
    }

    fn limits(max_duration: Duration, ffmpeg_timeout: Duration) -> DecodeLimits {
        DecodeLimits {
            max_duration,
            ffmpeg: FfmpegMode::Auto,
            ffmpeg_timeout,
        }
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn gives_what_the_process_writes() {
        let streams = run_script("head -c 12044", &limits(LONG, LONG)).unwrap();
        assert_eq!(
            streams,
            [0.5, -0.25, 0.125].map(|sample| vec![sample; 1_000])
        );
        // It breaks off within a frame.
        let streams = run_script("head -c 12050", &limits(LONG, LONG)).unwrap();
        assert_eq!(streams[0].len(), 1_000);
    }

    #[test]
    fn kills_a_process_that_hangs() {
        for script in ["exec sleep 600", "head -c 4444; exec sleep 600"] {
            let error = run_script(script, &limits(LONG, SHORT)).unwrap_err();
            assert!(
                matches!(error, AudioError::FfmpegTimedOut { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn stops_a_process_that_never_ends_its_output() {
        let endless = "head -c 44; exec cat /dev/zero";
        let error = run_script(endless, &limits(SHORT, LONG)).unwrap_err();
        assert!(matches!(error, AudioError::TooLong { .. }), "{error}");
    }

    #[test]
    fn calls_silence_undecodable() {
        for script in ["exit 1", "head -c 20", "head -c 44", "exec cat /dev/zero"] {
            let error = run_script(script, &limits(LONG, LONG)).unwrap_err();
            assert!(
                matches!(&error, AudioError::Undecodable { found, .. } if found == "noise"),
                "{script}: {error}"
            );
        }
    }

    #[test]
    fn names_the_format_where_ffmpeg_is_missing() {
        let source = Source::Memory(Bytes::new());
        let missing = Command::new("/nonexistent/ffmpeg");
        let error = run(missing, source, "WMA", &limits(LONG, LONG), Channels::Mix).unwrap_err();
        assert!(matches!(error, AudioError::NeedsFfmpeg { found } if found == "WMA"));
    }
}
