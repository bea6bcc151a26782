//! `halkspeech bench --live`: plays recordings into live sessions, as people would speak them.

mod flags;
mod protocol;
mod record;
mod play;
mod reference;
mod turns;
mod alignment;
mod measures;
mod uploads;
mod report;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use halkspeech_audio::{Channels, DecodeLimits, FfmpegMode, Source};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use self::measures::SessionMeasures;
use self::play::{Player, Track};
use self::protocol::TurnDetectionFlag;
use self::record::{LiveEvent, SessionRecord};
use self::reference::Reference;
use self::report::{LiveReport, LiveRunReport, RunCollector};
use self::turns::TurnReading;
use self::uploads::Uploads;
use super::client::{BenchClient, RequestTemplate};
use super::clips::Clip;
use super::flags::BenchFlags;
use super::load::RunLength;
use super::response::DEFAULT_RETRY_DELAY;
use super::{create, request_template};
use crate::cli::web_socket::Route;
use crate::cli::{escape, progress_bar};
pub use flags::LiveFlags;

/// Capacity of the channel of uncounted sessions; when it is full, sessions wait before they are followed by
/// others.
const RESULTS_CAPACITY: usize = 64;
/// Silence before a clip in the first pass, and how much longer it is in each further one: no multiple of a frame
/// of the detector or of a step between partial texts.
const LEAD: Duration = Duration::from_millis(130);
const LEAD_STEP: Duration = Duration::from_millis(470);
/// Different silences before a clip.
const LEADS: u64 = 7;
/// The longest recording that is played, a day.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

/// A clip with what its sessions are measured by.
struct LiveClip {
    clip: Clip,
    pcm: Vec<i16>,
    reference: Reference,
}

/// What all sessions of a run share.
struct LiveRun {
    player: Player,
    clips: Arc<Vec<LiveClip>>,
    sends_language: bool,
    length: RunLength,
    start: Instant,
    started: AtomicU64,
    results: mpsc::Sender<SessionRecord>,
}

/// Plays `clips`, and reports.
pub async fn bench(flags: &BenchFlags, clips: Vec<Clip>) -> anyhow::Result<Option<String>> {
    let template = request_template(flags)?;
    super::check_reachable(&template.url).await?;
    let setup = flags.live.setup(&flags.model);
    let mut out = io::stdout();
    let prints_table = flags.json.as_deref() != Some(Path::new("-"));
    let file = flags.json.as_deref().filter(|_| prints_table).map(create);
    let file = file.transpose()?;
    let player = Player {
        transcriptions: template.url.clone(),
        key: template.key.clone(),
        frame: flags.live.frame(),
        timeout: flags.timeout_s,
        setup,
    };
    let mut report = report_head(&player, clips.len());
    let prepared = Arc::new(prepare(template.clone(), clips.clone()).await?);
    let uploads = match flags.live.uploads() {
        Some(callers) => Some(Uploads::measure_alone(template, clips, callers).await?),
        None => None,
    };
    let clips = prepared;
    for sessions in flags.sessions() {
        if prints_table && report.runs.is_empty() {
            writeln!(out, "{}", escape::lines(&report.head()))?;
        }
        let measuring = measure(&player, &clips, flags, sessions);
        let run = match &uploads {
            None => measuring.await,
            Some(uploads) => {
                let (run, uploads) = uploads.measure_during(measuring).await;
                LiveRunReport {
                    uploads: Some(uploads),
                    ..run
                }
            }
        };
        if prints_table {
            writeln!(out, "{}", escape::lines(&run.row()))?;
        }
        report.runs.push(run);
    }
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(mut file) = file {
        writeln!(file, "{json}")?;
    } else if !prints_table {
        writeln!(out, "{json}")?;
    }
    Ok(report.failures())
}

fn report_head(player: &Player, clips: usize) -> LiveReport {
    let setup = &player.setup;
    let turn_detection = match setup.turn_detection {
        TurnDetectionFlag::Silence => "silence",
        TurnDetectionFlag::Semantic => "semantic",
        TurnDetectionFlag::Off => "off",
    };
    LiveReport {
        url: setup.route.url(&player.transcriptions, &[]).to_string(),
        model: setup.model.clone(),
        delay: setup.delay.map(protocol::DelayFlag::name),
        turn_detection,
        frame_ms: player.frame.as_millis() as u64,
        clips,
        runs: Vec::new(),
    }
}

/// Decodes each clip, and uploads it for its words.
async fn prepare(template: RequestTemplate, clips: Vec<Clip>) -> anyhow::Result<Vec<LiveClip>> {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut template = template;
    template.fields.extend([
        field("response_format", "verbose_json"),
        field("timestamp_granularities[]", "word"),
    ]);
    let client = BenchClient::new(template, clips)?;
    let bar = progress_bar::recordings(client.clips().len());
    bar.set_message("uploads for the words");
    let mut prepared = Vec::new();
    for (index, clip) in client.clips().iter().enumerate() {
        let shown = escape::Escaped(&clip.name).to_string();
        let body = client.send_for_body(index).await;
        let body = body.map_err(|failure| anyhow::anyhow!("{}: {}", failure.kind, failure.message));
        let body = body.with_context(|| format!("{shown} cannot be transcribed by upload"))?;
        let reference = Reference::parse(&body, clip.language.as_deref());
        let reference = reference.with_context(|| format!("the words of {shown} are missing"))?;
        let audio = clip.audio.clone();
        let decoding = tokio::task::spawn_blocking(move || decode(audio));
        let pcm = decoding
            .await?
            .with_context(|| format!("{shown} cannot be decoded"))?;
        prepared.push(LiveClip {
            clip: clip.clone(),
            pcm,
            reference,
        });
        bar.inc(progress_bar::STEPS);
    }
    bar.finish_and_clear();
    Ok(prepared)
}

/// The samples of a recording at 16 kHz.
fn decode(audio: bytes::Bytes) -> anyhow::Result<Vec<i16>> {
    let limits = DecodeLimits {
        max_duration: MAX_DURATION,
        ffmpeg: FfmpegMode::Auto,
        ffmpeg_timeout: Duration::from_secs(600),
    };
    let decoded = halkspeech_audio::decode(Source::Memory(audio), &limits, Channels::Mix)?;
    let Some(pcm) = decoded.streams.into_iter().next() else {
        bail!("it contains no audio");
    };
    // As `halkspeech_audio` reads them.
    let sample = |value: f32| (value * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    Ok(pcm.into_iter().map(sample).collect())
}

/// Measures one run.
async fn measure(
    player: &Player,
    clips: &Arc<Vec<LiveClip>>,
    flags: &BenchFlags,
    sessions: usize,
) -> LiveRunReport {
    let length = flags.live_length(clips.len(), sessions);
    let (results, mut received) = mpsc::channel(RESULTS_CAPACITY);
    let start = Instant::now();
    let run = Arc::new(LiveRun {
        player: player.clone(),
        clips: Arc::clone(clips),
        sends_language: flags.send_language,
        length,
        start,
        started: AtomicU64::new(0),
        results,
    });
    let mut tasks = JoinSet::new();
    for session in 0..sessions {
        let starts = start + flags.live.start_of(session, sessions);
        tasks.spawn(Arc::clone(&run).play_one_after_the_other(starts));
    }
    drop(run);

    let mut collector = RunCollector::default();
    let bar = progress_bar::bench_run();
    // Ends when the last task has dropped its sender.
    while let Some(record) = received.recv().await {
        let clip = &clips[record.clip];
        let reading = TurnReading {
            route: player.setup.route,
            silence_s: constant_silence(player),
            language: clip.reference.language.as_deref(),
        };
        let measures = if record.failure.is_some() {
            SessionMeasures::default()
        } else {
            SessionMeasures::of(&record, &clip.clip, &clip.reference, reading)
        };
        let errors = errors(&record);
        collector.add(record, measures, errors);
        let played = collector.played();
        let share = match length {
            RunLength::Requests(all) => played as f64 / all as f64,
            RunLength::Elapsed(all) => start.elapsed().as_secs_f64() / all.as_secs_f64(),
        };
        bar.set_position((share.min(1.0) * progress_bar::STEPS as f64) as u64);
        bar.set_message(format!("{sessions} sessions, {played} played"));
    }
    bar.finish_and_clear();
    while let Some(joined) = tasks.join_next().await {
        super::load::resume_panic(joined);
    }
    collector.finish(sessions, start.elapsed().as_secs_f64())
}

/// The silence that ends every turn, if it is known: the events of the realtime socket then say when speech ends.
fn constant_silence(player: &Player) -> Option<f64> {
    let setup = &player.setup;
    let is_constant = setup.turn_detection == TurnDetectionFlag::Silence;
    (is_constant && setup.route == Route::Realtime).then_some(setup.silence_ms as f64 / 1e3)
}

/// The codes and messages of a session's error events and failed turns.
fn errors(record: &SessionRecord) -> Vec<(String, String)> {
    let events = record.events.iter();
    let errors = events.filter_map(|(_, event)| match event {
        LiveEvent::Error { code, message } | LiveEvent::Failed { code, message, .. } => {
            Some((code.clone(), message.clone()))
        }
        _ => None,
    });
    errors.collect()
}

impl LiveRun {
    /// Plays sessions from `starts` on until the run is over.
    async fn play_one_after_the_other(self: Arc<Self>, starts: Instant) {
        sleep_until(starts).await;
        while let Some(number) = self.next() {
            let clips = self.clips.len() as u64;
            let index = (number % clips) as usize;
            let clip = &self.clips[index];
            let language = clip.clip.language.as_deref();
            let track = Track {
                clip: index,
                language: language.filter(|_| self.sends_language),
                lead: LEAD + LEAD_STEP * (number / clips % LEADS) as u32,
                pcm: &clip.pcm,
                tail: play::tail(&self.player.setup),
            };
            let record = self.player.play(&track).await;
            let is_failed = record.failure.is_some();
            // The receiver is dropped only together with the whole run.
            let _dropped = self.results.send(record).await;
            if is_failed {
                // Without a delay a run with a duration would mostly measure refusals.
                sleep(DEFAULT_RETRY_DELAY).await;
            }
        }
    }

    /// The number of the next session; `None` when the run is over.
    fn next(&self) -> Option<u64> {
        let is_over = match self.length {
            RunLength::Requests(_) => false,
            RunLength::Elapsed(length) => self.start.elapsed() >= length,
        };
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let is_last = matches!(self.length, RunLength::Requests(all) if number >= all);
        (!is_over && !is_last).then_some(number)
    }
}
