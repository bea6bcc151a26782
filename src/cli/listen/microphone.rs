//! Samples from standard input, or from a program that records.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use clap::ValueEnum;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Sample rate that programs record with.
const RECORDED_RATE_HZ: u32 = 16_000;
/// Most bytes that are read at once: 0.1 s at that rate.
const CHUNK_BYTES: usize = 3_200;

/// What records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecorderFlag {
    /// Samples on standard input
    Stdin,
    /// `PipeWire`
    PwRecord,
    /// ALSA
    Arecord,
    /// ffmpeg, from ALSA
    Ffmpeg,
}

/// A running recording.
pub struct Microphone {
    input: Box<dyn AsyncRead + Send + Unpin>,
    /// Stops when it is dropped.
    program: Option<(Child, &'static str)>,
    interrupts: Signal,
    rate_hz: u32,
    has_audio: bool,
}

impl Microphone {
    /// Starts to record: with `recorder`, or with what is there. `rate_hz` is that of standard input.
    pub fn open(
        recorder: Option<RecorderFlag>,
        device: Option<&str>,
        rate_hz: u32,
    ) -> anyhow::Result<Self> {
        let recorder = match recorder {
            Some(recorder) => recorder,
            None if !io::stdin().is_terminal() => RecorderFlag::Stdin,
            None => installed()?,
        };
        let interrupts = signal(SignalKind::interrupt()).context("cannot receive signals")?;
        let Some((name, arguments)) = recorder.command(device) else {
            let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            return Ok(Self {
                input: Box::new(tokio::fs::File::from_std(input)),
                program: None,
                interrupts,
                rate_hz,
                has_audio: false,
            });
        };
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let output = child.stdout.take().context("the program has no output")?;
        Ok(Self {
            input: Box::new(output),
            program: Some((child, name)),
            interrupts,
            rate_hz: RECORDED_RATE_HZ,
            has_audio: false,
        })
    }

    /// Samples per second.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// What is recorded, for the user.
    pub fn description(&self) -> String {
        match &self.program {
            Some((_, name)) => format!("recording with {name}"),
            None => format!("reading samples of 16 bits at {} Hz", self.rate_hz),
        }
    }

    /// The next bytes; `None` at the end, or after Ctrl-C.
    ///
    /// # Errors
    /// The audio cannot be read, or the program recorded nothing.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; CHUNK_BYTES];
        let length = tokio::select! {
            read = self.input.read(&mut bytes) => read.context("the audio cannot be read")?,
            _ = self.interrupts.recv() => return Ok(None),
        };
        bytes.truncate(length);
        self.has_audio |= length > 0;
        if length > 0 {
            return Ok(Some(bytes));
        }
        if let Some((child, name)) = &mut self.program
            && !self.has_audio
        {
            let status = child.wait().await?;
            bail!("{name} recorded nothing ({status}): name another program with --recorder");
        }
        Ok(None)
    }
}

impl RecorderFlag {
    /// The program and its arguments; `None` for standard input.
    fn command(self, device: Option<&str>) -> Option<(&'static str, Vec<String>)> {
        let rate = RECORDED_RATE_HZ.to_string();
        let device = device.unwrap_or("default");
        let (name, arguments) = match self {
            Self::Stdin => return None,
            Self::PwRecord => {
                let mut arguments = vec![
                    "--raw",
                    "--format",
                    "s16",
                    "--channels",
                    "1",
                    "--rate",
                    &rate,
                ];
                if device != "default" {
                    arguments.extend(["--target", device]);
                }
                arguments.push("-");
                ("pw-record", arguments)
            }
            Self::Arecord => (
                "arecord",
                vec![
                    "-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", &rate, "-D", device,
                ],
            ),
            Self::Ffmpeg => (
                "ffmpeg",
                vec![
                    "-nostdin",
                    "-loglevel",
                    "error",
                    "-f",
                    "alsa",
                    "-i",
                    device,
                    "-ac",
                    "1",
                    "-ar",
                    &rate,
                    "-f",
                    "s16le",
                    "-",
                ],
            ),
        };
        Some((name, arguments.into_iter().map(str::to_owned).collect()))
    }
}

/// The first program that is installed.
fn installed() -> anyhow::Result<RecorderFlag> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the search path of programs is no setting of this one"
    )]
    let path = env::var_os("PATH").unwrap_or_default();
    let is_installed = |recorder: &RecorderFlag| {
        let command = recorder.command(None);
        command.is_some_and(|(name, _)| {
            env::split_paths(&path).any(|folder| is_file(&folder.join(name)))
        })
    };
    let all = [
        RecorderFlag::PwRecord,
        RecorderFlag::Arecord,
        RecorderFlag::Ffmpeg,
    ];
    all.into_iter().find(is_installed).context(
        "nothing records here: install pw-record (PipeWire), arecord (alsa-utils) or ffmpeg, or write samples of \
         16 bits to standard input",
    )
}

fn is_file(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_write_the_samples_that_a_session_takes() {
        for (recorder, name) in [
            (RecorderFlag::PwRecord, "pw-record"),
            (RecorderFlag::Arecord, "arecord"),
            (RecorderFlag::Ffmpeg, "ffmpeg"),
        ] {
            let (program, arguments) = recorder.command(Some("mic")).unwrap();
            assert_eq!(program, name);
            for expected in ["16000", "1", "mic"] {
                assert!(
                    arguments.iter().any(|argument| argument == expected),
                    "{name} lacks {expected}"
                );
            }
        }
        assert!(RecorderFlag::Stdin.command(None).is_none());
        let (_, arguments) = RecorderFlag::PwRecord.command(None).unwrap();
        assert!(!arguments.iter().any(|argument| argument == "--target"));
    }

    #[tokio::test]
    async fn a_program_that_records_nothing_is_an_error() {
        let program = "true";
        let mut child = Command::new(program)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let mut microphone = Microphone {
            input: Box::new(output),
            program: Some((child, program)),
            interrupts: signal(SignalKind::interrupt()).unwrap(),
            rate_hz: RECORDED_RATE_HZ,
            has_audio: false,
        };
        let error = microphone.next().await.unwrap_err().to_string();
        assert!(error.contains("true recorded nothing"), "{error}");
    }

    #[tokio::test]
    async fn audio_ends_with_its_input() {
        let mut microphone = Microphone {
            input: Box::new(&b"abcd"[..]),
            program: None,
            interrupts: signal(SignalKind::interrupt()).unwrap(),
            rate_hz: 8_000,
            has_audio: false,
        };
        assert_eq!(
            microphone.next().await.unwrap().as_deref(),
            Some(&b"abcd"[..])
        );
        assert_eq!(microphone.next().await.unwrap(), None);
        assert_eq!(
            microphone.description(),
            "reading samples of 16 bits at 8000 Hz"
        );
    }
}
