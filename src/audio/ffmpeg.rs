//! Decodes the formats the native decoders lack in an `ffmpeg` process.
//!
//! The process sees pipes only: no network, no file but an unlinked scratch copy of its own input
//! (its `cache` protocol, without which MP4 files that end with their index cannot be read from a
//! pipe). Its time, its output and the size of its single allocations are bounded.

use std::io::{self, Read, Seek, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use super::{AudioError, DecodeLimits, SAMPLE_RATE_HZ, Source};

/// Bound on each of ffmpeg's allocations; a 4K picture, which it does not decode, would fit.
const MAX_ALLOCATION_BYTES: &str = "67108864";

const SAMPLE_BYTES: usize = size_of::<f32>();

/// Decodes `source` to mono 16 kHz PCM. `found` names its format in errors.
///
/// # Errors
/// [`AudioError::NeedsFfmpeg`] where ffmpeg is not installed, otherwise see [`AudioError`].
pub fn decode(source: Source, found: &str, limits: &DecodeLimits) -> Result<Vec<f32>, AudioError> {
    run(command(limits), source, found, limits)
}

fn run(
    mut command: Command,
    source: Source,
    found: &str,
    limits: &DecodeLimits,
) -> Result<Vec<f32>, AudioError> {
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
    let pcm = converse(&mut child, source, found, limits);
    // Killing and waiting again is harmless, and leaves no zombie when a thread failed to start.
    stop(&mut child);
    let pcm = pcm?;
    if pcm.len() > limits.max_samples() {
        return Err(AudioError::TooLong {
            limit: limits.max_duration,
        });
    }
    if pcm.is_empty() {
        return Err(AudioError::Undecodable {
            found: found.to_owned(),
            reason: "ffmpeg found no audio in it".to_owned(),
        });
    }
    Ok(pcm)
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
        .args(["-ac", "1", "-ar", &SAMPLE_RATE_HZ.to_string()])
        // A second more than allowed, so that longer audio shows as such.
        .args([
            "-t",
            &format!("{:.3}", limits.max_duration.as_secs_f64() + 1.0),
        ])
        .args(["-f", "f32le", "pipe:1"]);
    command
}

/// Feeds the process from one thread and reads from another, so that neither pipe can block the
/// other, while this thread keeps the time. Both threads end when the process does, for its pipes
/// close then; they are joined before this returns.
fn converse(
    child: &mut Child,
    source: Source,
    found: &str,
    limits: &DecodeLimits,
) -> Result<Vec<f32>, AudioError> {
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(AudioError::Ffmpeg(io::ErrorKind::BrokenPipe.into()));
    };
    let max_bytes = limits
        .max_samples()
        .saturating_add(1)
        .saturating_mul(SAMPLE_BYTES) as u64;
    thread::scope(|scope| {
        // One message, sent when the output has ended.
        let (tx, rx) = mpsc::sync_channel(1);
        let threads = thread::Builder::new()
            .name("ffmpeg-out".to_owned())
            .spawn_scoped(scope, move || tx.send(read_pcm(stdout, max_bytes)))
            .and_then(|_| {
                thread::Builder::new()
                    .name("ffmpeg-in".to_owned())
                    .spawn_scoped(scope, move || feed(source, stdin))
            });
        let answer = match threads {
            Ok(_) => rx.recv_timeout(limits.ffmpeg_timeout),
            Err(error) => {
                stop(child);
                return Err(AudioError::Ffmpeg(error));
            }
        };
        stop(child);
        match answer {
            Ok(pcm) => pcm.map_err(AudioError::Ffmpeg),
            Err(RecvTimeoutError::Timeout) => Err(AudioError::FfmpegTimedOut {
                found: found.to_owned(),
                limit: limits.ffmpeg_timeout,
            }),
            Err(RecvTimeoutError::Disconnected) => {
                Err(AudioError::Ffmpeg(io::ErrorKind::BrokenPipe.into()))
            }
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

/// Reads at most `max_bytes` of samples, converting as they come.
fn read_pcm(stdout: ChildStdout, max_bytes: u64) -> io::Result<Vec<f32>> {
    let mut stdout = io::BufReader::new(stdout.take(max_bytes));
    let mut pcm = Vec::new();
    let mut sample = [0; SAMPLE_BYTES];
    loop {
        match stdout.read_exact(&mut sample) {
            Ok(()) => pcm.push(f32::from_le_bytes(sample)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(pcm),
            Err(error) => return Err(error),
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

    /// Runs a shell in ffmpeg's place, over more input than a pipe holds.
    fn run_script(script: &str, limits: &DecodeLimits) -> Result<Vec<f32>, AudioError> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        let source = Source::Memory(Bytes::from(vec![0; 1_000_000]));
        run(shell, source, "noise", limits)
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
        let pcm = run_script("head -c 400000 | tail -c 8001", &limits(LONG, LONG)).unwrap();
        assert_eq!(pcm, vec![0.0; 2_000]);
    }

    #[test]
    fn kills_a_process_that_hangs() {
        let error = run_script("exec sleep 600", &limits(LONG, SHORT)).unwrap_err();
        assert!(
            matches!(error, AudioError::FfmpegTimedOut { .. }),
            "{error}"
        );
    }

    #[test]
    fn stops_a_process_that_never_ends_its_output() {
        let error = run_script("exec cat /dev/zero", &limits(SHORT, LONG)).unwrap_err();
        assert!(matches!(error, AudioError::TooLong { .. }), "{error}");
    }

    #[test]
    fn calls_silence_undecodable() {
        let error = run_script("exit 1", &limits(LONG, LONG)).unwrap_err();
        assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
    }

    #[test]
    fn names_the_format_where_ffmpeg_is_missing() {
        let source = Source::Memory(Bytes::new());
        let missing = Command::new("/nonexistent/ffmpeg");
        let error = run(missing, source, "WMA", &limits(LONG, LONG)).unwrap_err();
        assert!(matches!(error, AudioError::NeedsFfmpeg { found } if found == "WMA"));
    }
}
