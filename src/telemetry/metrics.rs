//! Every metric, declared once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use super::declare::declare_metrics;
use super::labels::{
    BuildLabels, CloseLabels, DeviceLabels, DropLabels, FrameLabels, LiveLabels, PartialLabels,
    RefusalLabels, RefusalReason, RequestLabels, RouteLabels,
};
use super::process::ProcessCollector;

/// Precedes the names of all metrics but those of the process.
const PREFIX: &str = "halkspeech";
/// Buckets of times, in seconds: a millisecond to five minutes.
const SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Buckets of times divided by durations of audio.
const FACTORS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const BATCH_SIZES: [f64; 11] = [1., 2., 4., 8., 16., 32., 64., 128., 256., 512., 1024.];
const EIGHTHS: [f64; 8] = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0];

declare_metrics! {
    /// The server's metrics; clones share the same values.
    #[derive(Clone, Debug)]
    #[expect(clippy::doc_markdown, reason = "help texts are plain text")]
    pub struct Metrics {
        pub build_info: Family<BuildLabels, Gauge> = build_info(),
            "build_info" {version}, "Version of the server";
        pub requests: Family<RequestLabels, Counter> = Family::default(),
            "requests" {route, status, model},
            "HTTP requests by response status, 499 if the client disconnected before the response";
        pub refused: Family<RefusalLabels, Counter> = no_refusals(),
            "refused" {reason}, "Requests refused before their audio was decoded";
        pub requests_in_flight: Gauge = Gauge::default(),
            "requests_in_flight", "Transcription requests in progress";
        pub request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(seconds as fn() -> Histogram),
            "request" in Seconds {route},
            "Time from a request's arrival to its response headers, or until its client disconnects";
        pub first_text_seconds: Histogram = seconds(),
            "first_text" in Seconds,
            "Time from the arrival of a request with stream=true to its first words";
        pub upload_seconds: Histogram = seconds(),
            "upload" in Seconds, "Time to receive an upload";
        pub decode_seconds: Histogram = seconds(),
            "decode" in Seconds, "Time to decode and resample the audio of a request";
        pub vad_seconds: Histogram = seconds(),
            "vad" in Seconds, "Time to detect the speech of a window and cut it";
        pub speakers_seconds: Histogram = seconds(),
            "speakers" in Seconds,
            "Processor time of finding the speakers of a recording";
        pub features_seconds: Histogram = seconds(),
            "features" in Seconds, "Time to compute a window's features";
        pub queue_seconds: Histogram = seconds(),
            "queue" in Seconds, "Time a window spent in the queue";
        pub inference_seconds: Histogram = seconds(),
            "inference" in Seconds, "Time a batch spent in the engine";
        pub model_load_seconds: Histogram = seconds(),
            "model_load" in Seconds, "Time to load a model";
        pub audio_seconds: Counter<f64, AtomicU64> = Counter::default(),
            "audio" in Seconds, "Audio transcribed";
        queued_audio: QueuedAudio = QueuedAudio::default(),
            "queued_audio" in Seconds, "Audio in the queue";
        pub queued_windows: Gauge = Gauge::default(),
            "queued_windows", "Windows in the queue";
        decoded_bytes: Gauge = Gauge::default(),
            "decoded_audio" in Bytes, "Memory that decoded audio uses";
        decoded_limit_bytes: Gauge = Gauge::default(),
            "decoded_audio_limit" in Bytes, "Memory limit for decoded audio";
        pub real_time_factor: Histogram = Histogram::new(FACTORS),
            "real_time_factor", "Processing time of a transcription divided by its audio's duration";
        pub device_memory: Family<DeviceLabels, Gauge> = Family::default(),
            "device_memory" in Bytes {device, kind}, "GPU memory in bytes, by kind";
        pub models_loaded: Gauge = Gauge::default(),
            "models_loaded", "Loaded models";
        pub model_load_failures: Counter = Counter::default(),
            "model_load_failures", "Models that failed to load";
        pub downloaded_bytes: Counter = Counter::default(),
            "downloaded" in Bytes, "Model files downloaded from the hub";
        pub batch_windows: Histogram = Histogram::new(BATCH_SIZES),
            "batch_windows", "Windows in a batch; on a CPU the most that were written together with a window";
        pub batch_fill: Histogram = Histogram::new(EIGHTHS),
            "batch_fill" in Ratios, "Windows in a batch divided by BATCH_SIZE";
        pub open_windows: Gauge = Gauge::default(),
            "open_windows", "Windows whose text is being written";
        pub encoder_calls: Counter = Counter::default(),
            "encoder_calls", "Calls of encoders";
        pub decoder_steps: Counter = Counter::default(),
            "decoder_steps", "Steps of decoders, each for all windows whose text is being written";
        pub decoder_rows: Counter = Counter::default(),
            "decoder_rows", "Hypotheses in the steps of decoders";
        pub generated_tokens: Counter = Counter::default(),
            "generated_tokens", "Tokens of final texts of windows";
        pub encoder_frames: Family<FrameLabels, Counter> = Family::default(),
            "encoder_frames" {kind}, "Frames of 10 ms given to encoders";
        pub windows_repeated: Counter = Counter::default(),
            "windows_repeated", "Short windows generated a second time, encoded with the full 30 s";
        pub jobs_cancelled: Counter = Counter::default(),
            "jobs_cancelled", "Windows dropped because their caller disconnected";
        pub jobs_expired: Counter = Counter::default(),
            "jobs_expired", "Windows dropped because their deadline passed";
        pub jobs_failed: Counter = Counter::default(),
            "jobs_failed", "Windows that the engine failed to transcribe";
        pub engines_restarted: Counter = Counter::default(),
            "engines_restarted", "Engines replaced after a panic, or because all their windows failed";
        pub dropped_pieces: Family<DropLabels, Counter> = Family::default(),
            "dropped_pieces" {reason}, "Stretches of audio without text in the transcript";
        pub damaged_seconds: Counter<f64, AtomicU64> = Counter::default(),
            "damaged_audio_seconds",
            "Seconds of audio that could not be decoded and were replaced by silence";
        pub live_sessions: Family<LiveLabels, Gauge> = Family::default(),
            "live_sessions" {protocol}, "Open live sessions";
        pub live_sessions_limit: Gauge = Gauge::default(),
            "live_sessions_limit", "Most live sessions at a time";
        pub live_closed: Family<CloseLabels, Counter> = Family::default(),
            "live_closed" {code},
            "Live sessions that ended, by the code of the close frame, client if the client ended it";
        pub live_audio_seconds: Counter<f64, AtomicU64> = Counter::default(),
            "live_audio" in Seconds, "Audio given to live sessions";
        pub live_partials: Family<PartialLabels, Counter> = Family::default(),
            "live_partials" {outcome}, "Partial texts of live sessions";
        pub live_partial_seconds: Histogram = seconds(),
            "live_partial" in Seconds, "Time from the arrival of the newest audio in a partial text to its result";
        pub live_final_seconds: Histogram = seconds(),
            "live_final" in Seconds, "Time from the arrival of the end of a turn to its text";
        pub live_word_seconds: Histogram = seconds(),
            "live_word" in Seconds,
            "Time from the arrival of the end of a word to its commit before the turn ends; the end is estimated \
            where the audio of the partial text is at most 12 s";
        pub live_withdrawn_words: Counter = Counter::default(),
            "live_withdrawn_words", "Words that one partial text of a live session showed and the next of the same turn did not";
        pub live_lag_seconds: Histogram = seconds(),
            "live_lag" in Seconds, "Age of the oldest speech that no finished text contains, at each text";
    }
}

/// The audio in the queue in seconds; counted in frames of 10 ms, because sums of seconds are inexact.
#[derive(Clone, Debug, Default)]
struct QueuedAudio(Arc<AtomicI64>);

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Declares and registers all metrics.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let metrics = Self::register(&mut registry);
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessCollector::new()));
        Self {
            registries: Arc::new([registry, process]),
            ..metrics
        }
    }

    /// Counts a request.
    pub fn observe_request(&self, labels: &RequestLabels, time: Duration) {
        let route = labels.route.clone();
        let seconds = self.request_seconds.get_or_create(&RouteLabels { route });
        seconds.observe(time.as_secs_f64());
        self.requests.get_or_create(labels).inc();
    }

    /// Counts a window of `frames` frames that enters the queue.
    pub fn enter_queue(&self, frames: usize) {
        self.queued_windows.inc();
        let frames = i64::try_from(frames).unwrap_or(0);
        self.queued_audio.0.fetch_add(frames, Ordering::Relaxed);
    }

    /// Counts a window of `frames` frames that leaves the queue.
    pub fn leave_queue(&self, frames: usize) {
        self.queued_windows.dec();
        let frames = i64::try_from(frames).unwrap_or(0);
        self.queued_audio.0.fetch_sub(frames, Ordering::Relaxed);
    }

    /// Counts the time that a window spent in the queue.
    pub fn observe_queue_time(&self, time: Duration) {
        self.queue_seconds.observe(time.as_secs_f64());
    }

    /// Counts a batch of `windows` windows; `batch_size` is the most that fit into it.
    pub fn observe_batch(&self, windows: usize, batch_size: usize) {
        self.batch_windows.observe(windows as f64);
        let fill = windows as f64 / batch_size.max(1) as f64;
        self.batch_fill.observe(fill);
    }

    /// Counts the frames of an encoder's input window: its audio, the silence after it, and its padding.
    pub fn observe_window(&self, audio: usize, margin: usize, padding: usize) {
        let count = |kind, frames: usize| {
            let counter = self.encoder_frames.get_or_create(&FrameLabels { kind });
            counter.inc_by(frames as u64);
        };
        count("audio", audio);
        count("margin", margin);
        count("padding", padding);
    }

    /// Sets the memory that decoded audio uses and its limit, in bytes.
    pub fn observe_decoded(&self, used: u64, limit: u64) {
        let set = |gauge: &Gauge, bytes| {
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        };
        set(&self.decoded_bytes, used);
        set(&self.decoded_limit_bytes, limit);
    }

    /// Sets a GPU's used memory from its free and total bytes.
    pub fn observe_device_memory(&self, device: &str, free: u64, total: u64) {
        let set = |kind, bytes: u64| {
            let device = device.to_owned();
            let gauge = self
                .device_memory
                .get_or_create(&DeviceLabels { device, kind });
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        };
        set("used", total.saturating_sub(free));
        set("total", total);
    }

    /// Counts a model that was loaded or failed to load.
    pub fn observe_load(&self, loaded: bool, time: Duration) {
        if loaded {
            self.models_loaded.inc();
            self.model_load_seconds.observe(time.as_secs_f64());
        } else {
            self.model_load_failures.inc();
        }
    }

    /// Counts a stretch of audio without text in the transcript.
    pub fn count_dropped(&self, reason: &'static str) {
        self.dropped_pieces
            .get_or_create(&DropLabels { reason })
            .inc();
    }

    /// All metrics in the `OpenMetrics` text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut buffer = String::new();
        // Writing to a String cannot fail, and a metric that fails to encode must not hide the others.
        for registry in self.registries.iter() {
            let _always_ok = text::encode_registry(&mut buffer, registry);
        }
        let _always_ok = text::encode_eof(&mut buffer);
        buffer
    }
}

impl TypedMetric for QueuedAudio {
    const TYPE: MetricType = MetricType::Gauge;
}

impl EncodeMetric for QueuedAudio {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let frames = self.0.load(Ordering::Relaxed);
        ConstGauge::new(frames as f64 / 100.0).encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The constant 1 with the version.
fn build_info() -> Family<BuildLabels, Gauge> {
    let family = Family::<BuildLabels, Gauge>::default();
    let version = env!("CARGO_PKG_VERSION");
    family.get_or_create(&BuildLabels { version }).set(1);
    family
}

/// A zero for each reason, exported before the first refusal so that its rate can be computed.
fn no_refusals() -> Family<RefusalLabels, Counter> {
    let family = Family::<RefusalLabels, Counter>::default();
    for reason in RefusalReason::ALL {
        let _zero = family.get_or_create(&RefusalLabels { reason });
    }
    family
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

#[cfg(test)]
mod tests;
