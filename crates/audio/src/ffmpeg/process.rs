//! Runs the process: writes its input, decodes its output, reads its log and stops it in time.

use std::io::{self, Read, Seek, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use symphonia::core::io::ReadOnlySource;

use super::{FfmpegJob, Source, cpu_time};
use crate::decode as native;
use crate::{AudioError, DecodedAudio, cpu_time_limit};

/// ffmpeg's warning if no format matches well. It then decodes noise from any input; recognised formats
/// never have this line.
const GUESS_WARNING: &[u8] = b"misdetection possible";

/// Number of log bytes searched: the warning precedes the first audio.
const MAX_LOG_BYTES: usize = 65_536;

/// How often the waiting thread checks whether the result is still wanted.
const WATCH_PERIOD: Duration = Duration::from_millis(50);

/// Messages of the threads while the process runs.
enum ProcessEvent {
    /// The output has ended or failed.
    Output(Result<DecodedAudio, AudioError>),
    /// The log states that the format is guessed.
    Guessed,
}

/// Runs `command`, which reads a file from its standard input and writes a WAV file to its output.
///
/// # Errors
/// As [`decode`](super::decode).
pub fn run(
    mut command: Command,
    source: Source,
    job: &FfmpegJob<'_>,
) -> Result<DecodedAudio, AudioError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => AudioError::NeedsFfmpeg {
                format_name: job.format_name.to_owned(),
            },
            _ => AudioError::Ffmpeg(error),
        })?;
    let result = communicate(&mut child, source, job);
    // Stopping again is harmless, and prevents a zombie if a thread failed to start.
    stop(&mut child);
    let no_audio = || AudioError::Undecodable {
        format_name: job.format_name.to_owned(),
        reason: "ffmpeg found no audio in it".to_owned(),
    };
    match result {
        Ok(decoded) if decoded.streams.iter().all(Vec::is_empty) => Err(no_audio()),
        Err(AudioError::Undecodable { .. } | AudioError::NoAudioTrack { .. }) => Err(no_audio()),
        result => result,
    }
}

/// Writes the input, decodes the output and reads the log in a thread each, so that no pipe blocks
/// another, while this thread checks the limits. The threads end with the process, which closes its
/// pipes, and are joined before this returns.
fn communicate(
    child: &mut Child,
    source: Source,
    job: &FfmpegJob<'_>,
) -> Result<DecodedAudio, AudioError> {
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(AudioError::Ffmpeg(io::ErrorKind::BrokenPipe.into()));
    };
    thread::scope(|scope| {
        // Two threads send one message each.
        let (tx, rx) = mpsc::sync_channel(2);
        let log_tx = tx.clone();
        let thread_builder = |name: &str| thread::Builder::new().name(name.to_owned());
        let threads = thread_builder("ffmpeg-out")
            .spawn_scoped(scope, move || {
                tx.send(ProcessEvent::Output(decode_output(stdout, job)))
            })
            .and_then(|_| {
                thread_builder("ffmpeg-log").spawn_scoped(scope, move || read_log(stderr, &log_tx))
            })
            .and_then(|log| {
                thread_builder("ffmpeg-in")
                    .spawn_scoped(scope, move || write_input(source, stdin))?;
                Ok(log)
            });
        let log = threads
            .inspect_err(|_| stop(child))
            .map_err(AudioError::Ffmpeg)?;
        let event = wait(&rx, child.id(), job);
        stop(child);
        let is_guessed = log.join().unwrap_or(true);
        match event? {
            ProcessEvent::Output(result) if !is_guessed => result,
            ProcessEvent::Output(_) | ProcessEvent::Guessed => Ok(DecodedAudio::default()),
        }
    })
}

/// Waits for the first event, until the timeout or until the result is not wanted.
fn wait(
    rx: &Receiver<ProcessEvent>,
    process: u32,
    job: &FfmpegJob<'_>,
) -> Result<ProcessEvent, AudioError> {
    let mut left = job.limits.ffmpeg_timeout;
    while !left.is_zero() && (job.context.is_wanted)() {
        check_cpu_time(process, job)?;
        let period = left.min(WATCH_PERIOD);
        match rx.recv_timeout(period) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) => left -= period,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(AudioError::Ffmpeg(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }
    if left.is_zero() {
        return Err(AudioError::FfmpegTimedOut {
            format_name: job.format_name.to_owned(),
            limit: job.limits.ffmpeg_timeout,
        });
    }
    Ok(ProcessEvent::Output(Ok(DecodedAudio::default())))
}

/// Checks the processor time of the process against its output so far.
fn check_cpu_time(process: u32, job: &FfmpegJob<'_>) -> Result<(), AudioError> {
    let file_bytes = Some(job.file_bytes).filter(|bytes| *bytes != u64::MAX);
    let limit = cpu_time_limit::max_cpu_time(file_bytes.unwrap_or(0), job.context.memory.bytes());
    match cpu_time::of(process) {
        Some(used) if used > limit => Err(cpu_time_limit::too_costly(job.format_name, limit)),
        _ => Ok(()),
    }
}

fn decode_output(stdout: ChildStdout, job: &FfmpegJob<'_>) -> Result<DecodedAudio, AudioError> {
    let bounds = native::DecodeBounds {
        file_bytes: u64::MAX,
        context: job.context,
    };
    let output = Box::new(ReadOnlySource::new(stdout));
    native::decode(output, bounds, job.limits, job.channels)
}

/// Reads the log to its end; returns whether the format is guessed.
fn read_log(mut stderr: ChildStderr, tx: &SyncSender<ProcessEvent>) -> bool {
    let mut log = Vec::new();
    let mut chunk = [0; 4_096];
    let mut is_guessed = false;
    while let Ok(length @ 1..) = stderr.read(&mut chunk) {
        let (read, _) = chunk.split_at(length);
        if is_guessed || log.len() >= MAX_LOG_BYTES {
            continue;
        }
        // The warning may be split between two reads.
        let search_start = log.len().saturating_sub(GUESS_WARNING.len());
        log.extend_from_slice(read);
        if log
            .split_at(search_start)
            .1
            .windows(GUESS_WARNING.len())
            .any(|at| at == GUESS_WARNING)
        {
            is_guessed = true;
            // The receiver is gone if the output has ended.
            let _ = tx.send(ProcessEvent::Guessed);
        }
    }
    is_guessed
}

/// Writes the upload to the process. Failures affect only the output: the process may close the pipe
/// early, and a failed read looks like the end of the file.
fn write_input(source: Source, mut stdin: ChildStdin) -> io::Result<()> {
    match source {
        Source::Memory(bytes) => stdin.write_all(&bytes),
        Source::File(mut file) => {
            file.rewind()?;
            io::copy(&mut file, &mut stdin).map(drop)
        }
    }
}

/// Kills the process, whose output is complete or abandoned, and reaps it. Its status is not needed. Both
/// calls fail only if it has already been reaped.
fn stop(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::{Channels, DecodeContext, DecodeLimits, FfmpegMode, PcmClaim, SAMPLE_RATE_HZ};

    fn job(limits: &DecodeLimits) -> FfmpegJob<'_> {
        FfmpegJob {
            format_name: "noise",
            limits,
            channels: Channels::Split,
            file_bytes: 1_000,
            context: DecodeContext {
                is_wanted: &|| true,
                memory: PcmClaim::unlimited(),
                cpu_clock: || Duration::ZERO,
            },
        }
    }

    /// Runs a shell in place of ffmpeg. Its input is a WAV file of three channels, larger than a pipe's
    /// buffer, with a header of 44 bytes without a length.
    fn run_script(script: &str, job: &FfmpegJob<'_>) -> Result<Vec<Vec<f32>>, AudioError> {
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
        run(shell, source, job).map(|decoded| decoded.streams)
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
    fn decodes_the_output_of_the_process() {
        let limits = limits(LONG, LONG);
        let streams = run_script("head -c 12044", &job(&limits)).unwrap();
        assert_eq!(
            streams,
            [0.5, -0.25, 0.125].map(|sample| vec![sample; 1_000])
        );
        // Truncated within a frame.
        let streams = run_script("head -c 12050", &job(&limits)).unwrap();
        assert_eq!(streams[0].len(), 1_000);
    }

    #[test]
    fn kills_a_process_that_hangs() {
        let limits = limits(LONG, SHORT);
        for script in ["exec sleep 600", "head -c 4444; exec sleep 600"] {
            let error = run_script(script, &job(&limits)).unwrap_err();
            assert!(
                matches!(error, AudioError::FfmpegTimedOut { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn kills_a_process_that_takes_too_much_processor_time() {
        let limits = limits(LONG, Duration::from_secs(600));
        let error = run_script("while :; do :; done", &job(&limits)).unwrap_err();
        assert!(matches!(error, AudioError::TooCostly { .. }), "{error}");
    }

    #[test]
    fn kills_a_process_whose_result_is_not_wanted() {
        let limits = limits(LONG, LONG);
        let job = FfmpegJob {
            context: DecodeContext {
                is_wanted: &|| false,
                memory: PcmClaim::unlimited(),
                cpu_clock: || Duration::ZERO,
            },
            ..job(&limits)
        };
        let error = run_script("exec sleep 600", &job).unwrap_err();
        assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
    }

    #[test]
    fn stops_a_process_that_never_ends_its_output() {
        let endless = "head -c 44; exec cat /dev/zero";
        let error = run_script(endless, &job(&limits(SHORT, LONG))).unwrap_err();
        assert!(matches!(error, AudioError::TooLong { .. }), "{error}");
    }

    #[test]
    fn refuses_a_guessed_format_despite_its_output() {
        let warning = "Format ac3 detected only with low score of 1, misdetection possible!";
        let limits = limits(LONG, LONG);
        for script in [
            format!("echo '{warning}' >&2; head -c 12044"),
            format!("head -c 12044; echo '{warning}' >&2"),
            format!("echo '{warning}' >&2; exec sleep 600"),
        ] {
            let error = run_script(&script, &job(&limits)).unwrap_err();
            assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
        }
    }

    #[test]
    fn reads_a_log_that_never_ends() {
        let script = "yes warning >&2 & head -c 12044; kill $!";
        let streams = run_script(script, &job(&limits(LONG, LONG))).unwrap();
        assert_eq!(streams[0].len(), 1_000);
    }

    #[test]
    fn empty_output_is_undecodable() {
        let limits = limits(LONG, LONG);
        for script in ["exit 1", "head -c 20", "head -c 44", "exec cat /dev/zero"] {
            let error = run_script(script, &job(&limits)).unwrap_err();
            assert!(
                matches!(&error, AudioError::Undecodable { format_name, .. } if format_name == "noise"),
                "{script}: {error}"
            );
        }
    }

    #[test]
    fn names_the_format_if_ffmpeg_is_missing() {
        let source = Source::Memory(Bytes::new());
        let missing = Command::new("/nonexistent/ffmpeg");
        let error = run(missing, source, &job(&limits(LONG, LONG))).unwrap_err();
        assert!(matches!(error, AudioError::NeedsFfmpeg { format_name } if format_name == "noise"));
    }
}
