//! Recordings written down at the command line, by the same transcriber as the server's.

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
use super::outputs::{self, Existing, Work};
use super::{bar, inputs, printed};
use crate::app::services::Services;
use crate::app::{ENGINE_STOP_TIMEOUT, startup_warnings};
use crate::audio::{Source, VadOptions};
use crate::caller::Caller;
use crate::config::{LoadedSettings, Whisper};
use crate::format;
use crate::models::ModelId;
use crate::telemetry::{logging, traces::Tracing};
use crate::tokens::Task;
use crate::transcribe::{Progress, Request, Transcriber, Wishes};
use crate::transcript::Transcript;

/// Nobody waits for a recording at the command line but whoever can stop it.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is to be done with every recording.
struct Order {
    model: ModelId,
    task: Task,
    wishes: Wishes,
    formats: Vec<Format>,
    words: bool,
    prints: bool,
    existing: Existing,
}

/// Writes recordings down.
///
/// # Errors
///
/// A file to write is there already or would be written twice, the model cannot be loaded, or one or
/// more recordings were not written down.
pub fn run(flags: TranscribeFlags) -> anyhow::Result<()> {
    let loaded = flags.common.clone().load(flags.model.clone())?;
    logging::init(&loaded.settings.log, &Tracing::none())?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(transcribe(flags, &loaded));
    runtime.shutdown_background();
    result
}

async fn transcribe(flags: TranscribeFlags, loaded: &LoadedSettings) -> anyhow::Result<()> {
    // Before anything else, so that no transcript is made that could not be kept.
    let (recordings, missing) = inputs::collect(&flags.paths);
    let works = flags.plan(recordings)?;
    if works.is_empty() && missing.is_empty() {
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
    // Before the first recording is looked at, so that a model that does not load is one error.
    let lease = services.models.lease(&model).await?;
    let whisper = loaded.settings.whisper_for(model.as_str());
    let jobs = flags.jobs.unwrap_or(whisper.batch_size).get();
    let order = Order::new(flags, model, &whisper);

    let count = works.len();
    let bar = bar::of_recordings(count);
    bar.set_message(done(0, count));
    let (mut delivered, mut failed) = (0, missing.len());
    for error in missing {
        say(&bar, &format!("{error:#}"));
    }
    let all = works.len() + failed;
    let mut results = stream::iter(works)
        .map(|work| {
            let (transcriber, order, bar) = (&services.transcriber, &order, &bar);
            async move {
                let result = one(transcriber, order, &work.recording, bar).await;
                (result, work)
            }
        })
        // In order, so that what is printed comes in the order of the files.
        .buffered(jobs);
    while let Some((result, work)) = results.next().await {
        delivered += 1;
        bar.set_message(done(delivered, count));
        if let Err(error) = result.and_then(|transcript| order.deliver(&transcript, &work, &bar)) {
            failed += 1;
            say(
                &bar,
                &format!("{}: {error:#}", printed::path(&work.recording)),
            );
        }
    }
    drop(results);
    bar.finish_and_clear();
    drop(lease);
    services.models.unload_all(ENGINE_STOP_TIMEOUT).await;
    if failed > 0 {
        bail!("{failed} of {all} recordings were not written down");
    }
    Ok(())
}

impl Order {
    fn new(flags: TranscribeFlags, model: ModelId, whisper: &Whisper) -> Self {
        let (formats, existing) = (flags.formats(), flags.existing());
        let mut wishes = Wishes {
            language: flags.language,
            prompt: flags.prompt,
            vad: (whisper.vad_filter && !flags.no_vad).then(VadOptions::default),
            words: flags.words && formats.contains(&Format::Json),
            ..Wishes::default()
        };
        let beam_size = flags
            .beam_size
            .and_then(|beams| NonZeroUsize::new(beams.into()));
        wishes.options.beam_size = beam_size.unwrap_or(whisper.beam_size);
        // The words are a little better without time stamps, so only what shows them has them.
        wishes.options.timestamps = formats.iter().any(|format| *format != Format::Txt);
        Self {
            model,
            task: if flags.translate {
                Task::Translate
            } else {
                Task::Transcribe
            },
            wishes,
            formats,
            words: flags.words,
            prints: flags.stdout,
            existing,
        }
    }

    /// Writes a transcript into its files, or prints it in every format.
    fn deliver(
        &self,
        transcript: &Transcript,
        work: &Work<Format>,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let text = |format: &Format| format::render(transcript, &format.wish(self.words));
        if self.prints {
            for format in &self.formats {
                bar.suspend(|| io::stdout().write_all(text(format).as_bytes()))?;
            }
        }
        for (format, path) in &work.outputs {
            outputs::write_whole(path, &text(format), self.existing)
                .with_context(|| format!("cannot write {}", printed::path(path)))?;
            let path = printed::path_for_stdout(path);
            bar.suspend(|| writeln!(io::stdout(), "{path}"))?;
        }
        Ok(())
    }
}

/// Transcribes one recording, and moves the bar along.
async fn one(
    transcriber: &Transcriber,
    order: &Order,
    recording: &Path,
    bar: &ProgressBar,
) -> anyhow::Result<Transcript> {
    let path = recording.to_owned();
    // What comes through a pipe may take its time.
    let audio = tokio::task::spawn_blocking(move || inputs::open(&path)).await?;
    let audio = audio.context("cannot be opened")?;
    let request = Request {
        audio: Source::File(audio),
        model: order.model.clone(),
        task: order.task,
        wishes: order.wishes.clone(),
        caller: Caller::LOCAL,
        deadline: Instant::now() + NO_DEADLINE,
    };
    let mut shown = 0;
    let mut show = |steps: u64| {
        bar.inc(steps.saturating_sub(shown));
        shown = shown.max(steps);
    };
    let transcript = if bar.is_hidden() {
        transcriber.transcribe(request).await
    } else {
        // One message: whoever does not look at the bar does not hold up the work for long.
        let (sender, mut progress) = mpsc::channel(1);
        let work = transcriber.transcribe_in_parts(request, sender);
        tokio::pin!(work);
        let mut duration = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                Some(said) = progress.recv() => match said {
                    Progress::Decoded(all) => duration = all,
                    Progress::Part(part) => show(steps(part.end_s, duration)),
                },
                result = &mut work => break result,
            }
        }
    };
    show(bar::STEPS);
    Ok(transcript?)
}

/// How far the whole work is, for people.
fn done(delivered: usize, count: usize) -> String {
    format!("{delivered} done, {} left", count - delivered)
}

/// How much of a recording has been heard.
fn steps(heard_s: f64, duration: Duration) -> u64 {
    let share = heard_s / duration.as_secs_f64().max(f64::MIN_POSITIVE);
    (share.clamp(0.0, 1.0) * bar::STEPS as f64) as u64
}

fn say(bar: &ProgressBar, text: &str) {
    // Whoever closed standard error does not want to hear it.
    let _closed = bar.suspend(|| writeln!(io::stderr(), "halkspeech: {}", printed::lines(text)));
}
