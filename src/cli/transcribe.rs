//! `halkspeech transcribe`: transcribes recordings with the server's transcriber.

mod flags;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use futures_util::stream;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use self::flags::Format;
pub use self::flags::TranscribeFlags;
use super::outputs::{self, ExistingFiles, RecordingOutputs};
use super::{escape, inputs, progress_bar};
use crate::app::services::Services;
use crate::app::{ENGINE_STOP_TIMEOUT, startup_warnings};
use crate::caller::Caller;
use crate::config::{LoadedSettings, Whisper};
use crate::format;
use crate::models::ModelId;
use crate::queue::{Arrival, WhenFull};
use crate::telemetry::{logging, traces::Tracing};
use crate::transcribe::{
    ReportUnit, Request, SpeakerOptions, Transcriber, TranscriptionOptions, TranscriptionProgress,
    Urgency,
};
use crate::transcript::Transcript;
use halkspeech_audio::{Source, VadOptions};
use halkspeech_whisper::Task;

/// The deadline of a recording, a year: the user can stop the command.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The options that apply to every recording.
struct RecordingOptions {
    model: ModelId,
    task: Task,
    options: TranscriptionOptions,
    formats: Vec<Format>,
    words: bool,
    to_stdout: bool,
    existing: ExistingFiles,
}

/// Transcribes recordings into files or to standard output.
///
/// # Errors
///
/// An output file already exists or would be written twice, the model cannot be loaded, or one or more
/// recordings were not transcribed.
pub fn run(flags: TranscribeFlags) -> anyhow::Result<()> {
    let loaded = flags.common.clone().load(flags.model.clone())?;
    logging::init(&loaded.settings.log, &Tracing::none())?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(transcribe(flags, &loaded));
    runtime.shutdown_background();
    result
}

async fn transcribe(flags: TranscribeFlags, loaded: &LoadedSettings) -> anyhow::Result<()> {
    // First, so that nothing is transcribed that cannot be written.
    let (recordings, missing) = inputs::collect(&flags.paths);
    let planned = flags.plan(recordings)?;
    if planned.is_empty() && missing.is_empty() {
        return Ok(());
    }
    let services = Services::build(loaded).await?;
    let model = services.aliases.default_model(&**services.models.catalog());
    if !services.models.is_known(&model) {
        bail!(
            "{}",
            startup_warnings::missing_model_message("model", loaded, services.models.catalog())
        );
    }
    // Before the first recording is opened, so that a model that does not load is one error.
    let lease = services.models.lease(&model).await?;
    if flags.speakers {
        services.models.speakers().get().await?;
    }
    let whisper = loaded.settings.whisper_for(model.as_str());
    let jobs = flags.jobs.unwrap_or(whisper.batch_size).get();
    let options = RecordingOptions::new(flags, model, &whisper);

    let count = planned.len();
    let bar = progress_bar::recordings(count);
    bar.set_message(progress_message(0, count));
    let (mut finished, mut failed) = (0, missing.len());
    for error in missing {
        print_error(&bar, &format!("{error:#}"));
    }
    let all = planned.len() + failed;
    let mut results = stream::iter(planned)
        .map(|outputs| {
            let (transcriber, options, bar) = (&services.transcriber, &options, &bar);
            async move {
                let recording = &outputs.recording;
                let result = transcribe_recording(transcriber, options, recording, bar).await;
                (result, outputs)
            }
        })
        // In order, so that texts are printed in the order of the files.
        .buffered(jobs);
    while let Some((result, outputs)) = results.next().await {
        finished += 1;
        bar.set_message(progress_message(finished, count));
        let written = result.and_then(|transcript| options.write(&transcript, &outputs, &bar));
        if let Err(error) = written {
            failed += 1;
            let recording = escape::path(&outputs.recording);
            print_error(&bar, &format!("{recording}: {error:#}"));
        }
    }
    drop(results);
    bar.finish_and_clear();
    drop(lease);
    services.models.unload_all(ENGINE_STOP_TIMEOUT).await;
    if failed > 0 {
        bail!("{failed} of {all} recordings were not transcribed");
    }
    Ok(())
}

impl RecordingOptions {
    fn new(flags: TranscribeFlags, model: ModelId, whisper: &Whisper) -> Self {
        let (formats, existing) = (flags.formats(), flags.existing());
        let mut options = TranscriptionOptions {
            language: flags.language,
            prompt: flags.prompt,
            seed: flags.seed,
            vad: (whisper.vad_filter && !flags.no_vad).then(VadOptions::default),
            words: flags.speakers || flags.words && formats.contains(&Format::Json),
            speakers: flags.speakers.then(SpeakerOptions::default),
            ..TranscriptionOptions::default()
        };
        let beam_size = flags
            .beam_size
            .and_then(|beams| NonZeroUsize::new(beams.into()));
        options.search.beam_size = beam_size.unwrap_or(whisper.beam_size);
        // The words are slightly better without time stamps, so only formats that show them use them.
        options.search.timestamps =
            flags.speakers || formats.iter().any(|format| *format != Format::Txt);
        Self {
            model,
            task: if flags.translate {
                Task::Translate
            } else {
                Task::Transcribe
            },
            options,
            formats,
            words: flags.words,
            to_stdout: flags.stdout,
            existing,
        }
    }

    /// Writes a transcript into its files, or prints it in every format.
    fn write(
        &self,
        transcript: &Transcript,
        recording: &RecordingOutputs<Format>,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let text = |format: &Format| format::render(transcript, &format.options(self.words));
        if self.to_stdout {
            for format in &self.formats {
                bar.suspend(|| io::stdout().write_all(text(format).as_bytes()))?;
            }
        }
        for (format, path) in &recording.outputs {
            outputs::write_atomically(path, &text(format), self.existing)
                .with_context(|| format!("cannot write {}", escape::path(path)))?;
            let path = escape::path_for_stdout(path);
            bar.suspend(|| writeln!(io::stdout(), "{path}"))?;
        }
        Ok(())
    }
}

/// Transcribes one recording and updates the bar.
async fn transcribe_recording(
    transcriber: &Transcriber,
    options: &RecordingOptions,
    recording: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<Transcript> {
    let path = recording.to_owned();
    // Reading a pipe may block for a long time.
    let audio = tokio::task::spawn_blocking(move || inputs::open(&path)).await?;
    let audio = audio.context("cannot be opened")?;
    let request = Request {
        audio: Source::File(audio),
        model: options.model.clone(),
        task: options.task,
        options: options.options.clone(),
        caller: Caller::LOCAL,
        deadline: Instant::now() + NO_DEADLINE,
        urgency: Urgency::Upload,
        quota: None,
        arrival: Arrival {
            when_full: WhenFull::Wait,
            ticket: None,
        },
    };
    let mut shown = 0;
    let mut show = |steps: u64| {
        bar.inc(steps.saturating_sub(shown));
        shown = shown.max(steps);
    };
    let transcript = if bar.is_hidden() {
        transcriber.transcribe(request).await
    } else {
        // One message is enough: the loop below receives each at once.
        let (sender, mut progress) = mpsc::channel(1);
        let transcription = transcriber.transcribe_in_parts(request, sender, ReportUnit::Windows);
        tokio::pin!(transcription);
        let mut duration = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                Some(event) = progress.recv() => match event {
                    TranscriptionProgress::Decoded(all) => duration = all,
                    TranscriptionProgress::Words(_) => {}
                    TranscriptionProgress::Part(part) => show(progress_steps(part.end_s, duration)),
                },
                result = &mut transcription => break result,
            }
        }
    };
    show(progress_bar::STEPS);
    Ok(transcript?)
}

/// The progress over all recordings, as text.
fn progress_message(finished: usize, count: usize) -> String {
    format!("{finished} done, {} left", count - finished)
}

/// The progress within a recording, in steps of the bar.
fn progress_steps(transcribed_s: f64, duration: Duration) -> u64 {
    let share = transcribed_s / duration.as_secs_f64().max(f64::MIN_POSITIVE);
    (share.clamp(0.0, 1.0) * progress_bar::STEPS as f64) as u64
}

fn print_error(bar: &ProgressBar, text: &str) {
    // Ignored if standard error is closed.
    let _closed = bar.suspend(|| writeln!(io::stderr(), "halkspeech: {}", escape::lines(text)));
}
