//! Recordings written down at the command line, by the same transcriber as the server's.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use futures_util::stream;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::inputs::{self, Input};
use super::{CommonFlags, bar};
use crate::app::ENGINES_END;
use crate::app::rooms::Rooms;
use crate::audio::{Source, VadOptions};
use crate::config::{Settings, Whisper};
use crate::format::{self, Granularities, ResponseFormat, SubtitleShape, Wish};
use crate::models::ModelId;
use crate::telemetry::{logging, traces::Tracing};
use crate::tokens::{Language, Task};
use crate::transcribe::{Progress, Request, Transcriber, Wishes};
use crate::transcript::Transcript;

/// Nobody waits for a recording at the command line but whoever can stop it.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What `transcribe` takes.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every recording was written down, 1 one or more were not (each is \
                  named on standard error, the others are done), 2 the command is not understood.\n\
                  The path of each file written is printed on standard output."
)]
pub struct TranscribeFlags {
    /// Recordings, and folders whose recordings are meant
    #[arg(required = true, value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// Write these formats, one file each
    #[arg(
        short,
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "txt",
        value_name = "FORMATS"
    )]
    format: Vec<Format>,
    /// Write into this folder instead of beside each recording
    #[arg(short, long, value_name = "FOLDER", conflicts_with = "stdout")]
    output_dir: Option<PathBuf>,
    /// Print what was said instead of writing files
    #[arg(long)]
    stdout: bool,
    /// Run this model [default: base]
    #[arg(short, long)]
    model: Option<String>,
    /// The language spoken, as a code or a name [default: detected]
    #[arg(short, long, value_parser = language)]
    language: Option<Language>,
    /// Write English, whatever is spoken
    #[arg(long)]
    translate: bool,
    /// Text that comes before, or words to expect
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Beams of the search; 1 is fastest [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    beam_size: Option<u8>,
    /// Give silence, noise and music to the model, too
    #[arg(long)]
    no_vad: bool,
    /// Put the time of every word into the JSON
    #[arg(long)]
    words: bool,
    /// Recordings worked on at one time [default: a batch]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    common: CommonFlags,
}

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text
    Txt,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// Everything, as OpenAI's `verbose_json`
    Json,
}

/// What is to be done with every recording.
struct Order {
    model: ModelId,
    task: Task,
    wishes: Wishes,
    formats: Vec<Format>,
    words: bool,
    prints: bool,
}

/// Writes recordings down.
///
/// # Errors
///
/// The model cannot be loaded, or one or more recordings were not written down.
pub fn run(flags: TranscribeFlags) -> anyhow::Result<()> {
    let settings = flags.common.clone().load(flags.model.clone())?;
    logging::init(&settings.log, &Tracing::none())?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    let result = runtime.block_on(transcribe(flags, &settings));
    runtime.shutdown_background();
    result
}

async fn transcribe(flags: TranscribeFlags, settings: &Settings) -> anyhow::Result<()> {
    let rooms = Rooms::build(settings).await?;
    let catalog = rooms.models.catalog();
    let wanted = &settings.whisper.model;
    let model = rooms
        .aliases
        .resolve(wanted, |id| catalog.find(id).is_some());
    let model = model.with_context(|| format!("{wanted:?} cannot name a model"))?;
    if !rooms.models.is_known(&model) {
        bail!("{model} is not on this machine; `halkspeech models pull {wanted}` downloads it");
    }
    // Before the first recording is looked at, so that a model that does not load is one error.
    let lease = rooms.models.lease(&model).await?;
    let whisper = settings.whisper_of(model.as_str());
    let jobs = flags.jobs.unwrap_or(whisper.batch_size).get();
    let (inputs, missing) = inputs::collect(&flags.paths, flags.output_dir.as_deref());
    let order = Order::new(flags, model, &whisper);

    let bar = bar::of_recordings(inputs.len());
    let mut failed = missing.len();
    for error in missing {
        say(&bar, &format!("{error:#}"));
    }
    let all = inputs.len() + failed;
    let mut results = stream::iter(inputs)
        .map(|input| {
            let (transcriber, order, bar) = (&rooms.transcriber, &order, &bar);
            async move {
                let result = one(transcriber, order, &input, bar).await;
                (result, input)
            }
        })
        // In order, so that what is printed comes in the order of the files.
        .buffered(jobs);
    while let Some((result, input)) = results.next().await {
        if let Err(error) = result.and_then(|transcript| order.deliver(&transcript, &input, &bar)) {
            failed += 1;
            say(&bar, &format!("{}: {error:#}", input.path.display()));
        }
    }
    drop(results);
    bar.finish_and_clear();
    drop(lease);
    rooms.models.unload_all(ENGINES_END).await;
    if failed > 0 {
        bail!("{failed} of {all} recordings were not written down");
    }
    Ok(())
}

impl Order {
    fn new(flags: TranscribeFlags, model: ModelId, whisper: &Whisper) -> Self {
        let mut wishes = Wishes {
            language: flags.language,
            prompt: flags.prompt,
            vad: (whisper.vad_filter && !flags.no_vad).then(VadOptions::default),
            words: flags.words && flags.format.contains(&Format::Json),
            ..Wishes::default()
        };
        let beam_size = flags
            .beam_size
            .and_then(|beams| NonZeroUsize::new(beams.into()));
        wishes.options.beam_size = beam_size.unwrap_or(whisper.beam_size);
        // The words are a little better without time stamps, so only what shows them has them.
        wishes.options.timestamps = flags.format.iter().any(|format| *format != Format::Txt);
        Self {
            model,
            task: if flags.translate {
                Task::Translate
            } else {
                Task::Transcribe
            },
            wishes,
            formats: flags.format,
            words: flags.words,
            prints: flags.stdout,
        }
    }

    /// Writes or prints a transcript in every format.
    fn deliver(
        &self,
        transcript: &Transcript,
        input: &Input,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        for format in &self.formats {
            let text = format::render(transcript, &format.wish(self.words));
            if self.prints {
                bar.suspend(|| io::stdout().write_all(text.as_bytes()))?;
                continue;
            }
            let path = input.output(format.extension());
            write_whole(&path, &text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            bar.suspend(|| writeln!(io::stdout(), "{}", path.display()))?;
        }
        Ok(())
    }
}

/// Transcribes one recording, and moves the bar along.
async fn one(
    transcriber: &Transcriber,
    order: &Order,
    input: &Input,
    bar: &ProgressBar,
) -> anyhow::Result<Transcript> {
    let audio = File::open(&input.path).context("cannot be opened")?;
    let request = Request {
        audio: Source::File(audio),
        model: order.model.clone(),
        task: order.task,
        wishes: order.wishes.clone(),
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

/// How much of a recording has been heard.
fn steps(heard_s: f64, duration: Duration) -> u64 {
    let share = heard_s / duration.as_secs_f64().max(f64::MIN_POSITIVE);
    (share.clamp(0.0, 1.0) * bar::STEPS as f64) as u64
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }

    fn wish(self, words: bool) -> Wish {
        Wish {
            format: match self {
                Self::Txt => ResponseFormat::Text,
                Self::Srt => ResponseFormat::Srt,
                Self::Vtt => ResponseFormat::Vtt,
                Self::Json => ResponseFormat::VerboseJson,
            },
            granularities: Granularities {
                segments: true,
                words,
            },
            logprobs: false,
            dropped: false,
            subtitles: SubtitleShape::default(),
        }
    }
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new()
        .permissions(PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn say(bar: &ProgressBar, text: &str) {
    // Whoever closed standard error does not want to hear it.
    let _closed = bar.suspend(|| writeln!(io::stderr(), "halkspeech: {text}"));
}

fn language(text: &str) -> Result<Language, String> {
    let expected = || format!("{text:?} is no language Whisper knows; write tr or turkish");
    Language::parse(text).ok_or_else(expected)
}
