//! Every metric, declared once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{
    BuildLabels, DeviceLabels, DropLabels, FrameLabels, RefusalLabels, RefusalReason,
    RequestLabels, RouteLabels,
};
use super::process::ProcessCollector;

/// The server's metrics; clones share the same values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// HTTP requests, each counted once.
    pub requests: Family<RequestLabels, Counter>,
    /// Seconds from a request's arrival to its response headers, or until its client disconnects.
    pub request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Requests refused before their audio was decoded.
    pub refused: Family<RefusalLabels, Counter>,
    /// Transcription requests in progress.
    pub requests_in_flight: Gauge,
    /// Seconds of audio transcribed.
    pub audio_seconds: Counter<f64, AtomicU64>,
    /// Seconds to receive an upload.
    pub upload_seconds: Histogram,
    /// Seconds to decode and resample the audio of a request.
    pub decode_seconds: Histogram,
    /// Seconds to detect the speech of a window and cut it.
    pub vad_seconds: Histogram,
    /// Seconds to compute a window's features.
    pub features_seconds: Histogram,
    /// Seconds a window spent in the queue.
    pub queue_seconds: Histogram,
    /// Windows in the queue.
    pub queued_windows: Gauge,
    /// Frames of 10 ms in the queue; counted in frames because sums of seconds are inexact.
    queued_frames: Arc<AtomicI64>,
    queued_audio_seconds: Gauge<f64, AtomicU64>,
    decoded_bytes: Gauge,
    decoded_limit_bytes: Gauge,
    /// Processing time of a transcription divided by its audio's duration.
    pub real_time_factor: Histogram,
    /// Seconds a batch spent in the engine.
    pub inference_seconds: Histogram,
    /// Windows in a batch.
    pub batch_windows: Histogram,
    /// Windows in a batch divided by `BATCH_SIZE`.
    pub batch_fill: Histogram,
    /// Frames of 10 ms given to encoders.
    pub encoder_frames: Family<FrameLabels, Counter>,
    /// Windows generated a second time, encoded with the full 30 s.
    pub windows_repeated: Counter,
    /// Windows dropped because their caller disconnected.
    pub jobs_cancelled: Counter,
    /// Windows dropped because their deadline passed.
    pub jobs_expired: Counter,
    /// Windows that the engine failed to transcribe.
    pub jobs_failed: Counter,
    /// Engines replaced after a panic, or because all their windows failed.
    pub engines_restarted: Counter,
    /// GPU memory in bytes.
    pub device_memory: Family<DeviceLabels, Gauge>,
    /// Loaded models.
    pub models_loaded: Gauge,
    /// Seconds to load a model.
    pub model_load_seconds: Histogram,
    /// Models that failed to load.
    pub model_load_failures: Counter,
    /// Bytes of model files downloaded from the hub.
    pub downloaded_bytes: Counter,
    /// Stretches of audio without text in the transcript.
    pub dropped_pieces: Family<DropLabels, Counter>,
    /// Seconds of audio that could not be decoded and were replaced by silence.
    pub damaged_seconds: Counter<f64, AtomicU64>,
    registry: Arc<Registry>,
    /// The metrics whose names have no prefix.
    process: Arc<Registry>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Declares and registers all metrics.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("halkspeech");
        let mut metrics = Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            refused: Family::default(),
            requests_in_flight: Gauge::default(),
            audio_seconds: Counter::default(),
            upload_seconds: seconds(),
            decode_seconds: seconds(),
            vad_seconds: seconds(),
            features_seconds: seconds(),
            queue_seconds: seconds(),
            queued_windows: Gauge::default(),
            queued_frames: Arc::default(),
            queued_audio_seconds: Gauge::default(),
            decoded_bytes: Gauge::default(),
            decoded_limit_bytes: Gauge::default(),
            real_time_factor: Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ]),
            inference_seconds: seconds(),
            batch_windows: Histogram::new([1., 2., 4., 8., 16., 32., 64., 128., 256., 512., 1024.]),
            batch_fill: Histogram::new([0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]),
            encoder_frames: Family::default(),
            windows_repeated: Counter::default(),
            jobs_cancelled: Counter::default(),
            jobs_expired: Counter::default(),
            jobs_failed: Counter::default(),
            engines_restarted: Counter::default(),
            device_memory: Family::default(),
            models_loaded: Gauge::default(),
            model_load_seconds: seconds(),
            model_load_failures: Counter::default(),
            downloaded_bytes: Counter::default(),
            dropped_pieces: Family::default(),
            damaged_seconds: Counter::default(),
            registry: Arc::default(),
            process: Arc::default(),
        };
        // Exported as zero before the first refusal, so that its rate can be computed.
        for reason in RefusalReason::ALL {
            let _zero = metrics.refused.get_or_create(&RefusalLabels { reason });
        }
        let r = &mut registry;
        let build = Family::<BuildLabels, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version }).set(1);
        r.register("build_info", "Version of the server", build);
        r.register(
            "requests",
            "HTTP requests by response status, 499 if the client disconnected before the response",
            metrics.requests.clone(),
        );
        r.register(
            "refused",
            "Requests refused before their audio was decoded",
            metrics.refused.clone(),
        );
        let in_flight = metrics.requests_in_flight.clone();
        r.register(
            "requests_in_flight",
            "Transcription requests in progress",
            in_flight,
        );
        let seconds = Unit::Seconds;
        let request = metrics.request_seconds.clone();
        r.register_with_unit(
            "request",
            "Time from a request's arrival to its response headers, or until its client disconnects",
            seconds.clone(),
            request,
        );
        let times = [
            (
                "upload",
                "Time to receive an upload",
                &metrics.upload_seconds,
            ),
            (
                "decode",
                "Time to decode and resample the audio of a request",
                &metrics.decode_seconds,
            ),
            (
                "vad",
                "Time to detect the speech of a window and cut it",
                &metrics.vad_seconds,
            ),
            (
                "features",
                "Time to compute a window's features",
                &metrics.features_seconds,
            ),
            (
                "queue",
                "Time a window spent in the queue",
                &metrics.queue_seconds,
            ),
            (
                "inference",
                "Time a batch spent in the engine",
                &metrics.inference_seconds,
            ),
            (
                "model_load",
                "Time to load a model",
                &metrics.model_load_seconds,
            ),
        ];
        for (name, help, seconds) in times {
            r.register_with_unit(name, help, Unit::Seconds, seconds.clone());
        }
        let audio = metrics.audio_seconds.clone();
        r.register_with_unit("audio", "Audio transcribed", seconds.clone(), audio);
        let queued = metrics.queued_audio_seconds.clone();
        r.register_with_unit(
            "queued_audio",
            "Audio in the queue",
            seconds.clone(),
            queued,
        );
        r.register(
            "queued_windows",
            "Windows in the queue",
            metrics.queued_windows.clone(),
        );
        r.register_with_unit(
            "decoded_audio",
            "Memory that decoded audio uses",
            Unit::Bytes,
            metrics.decoded_bytes.clone(),
        );
        r.register_with_unit(
            "decoded_audio_limit",
            "Memory limit for decoded audio",
            Unit::Bytes,
            metrics.decoded_limit_bytes.clone(),
        );
        r.register(
            "real_time_factor",
            "Processing time of a transcription divided by its audio's duration",
            metrics.real_time_factor.clone(),
        );
        r.register_with_unit(
            "device_memory",
            "GPU memory in bytes, by kind",
            Unit::Bytes,
            metrics.device_memory.clone(),
        );
        r.register(
            "models_loaded",
            "Loaded models",
            metrics.models_loaded.clone(),
        );
        r.register(
            "model_load_failures",
            "Models that failed to load",
            metrics.model_load_failures.clone(),
        );
        r.register_with_unit(
            "downloaded",
            "Model files downloaded from the hub",
            Unit::Bytes,
            metrics.downloaded_bytes.clone(),
        );
        r.register(
            "batch_windows",
            "Windows in a batch",
            metrics.batch_windows.clone(),
        );
        r.register_with_unit(
            "batch_fill",
            "Windows in a batch divided by BATCH_SIZE",
            Unit::Ratios,
            metrics.batch_fill.clone(),
        );
        r.register(
            "encoder_frames",
            "Frames of 10 ms given to encoders",
            metrics.encoder_frames.clone(),
        );
        r.register(
            "windows_repeated",
            "Short windows generated a second time, encoded with the full 30 s",
            metrics.windows_repeated.clone(),
        );
        let cancelled = metrics.jobs_cancelled.clone();
        r.register(
            "jobs_cancelled",
            "Windows dropped because their caller disconnected",
            cancelled,
        );
        let expired = metrics.jobs_expired.clone();
        r.register(
            "jobs_expired",
            "Windows dropped because their deadline passed",
            expired,
        );
        r.register(
            "jobs_failed",
            "Windows that the engine failed to transcribe",
            metrics.jobs_failed.clone(),
        );
        r.register(
            "engines_restarted",
            "Engines replaced after a panic, or because all their windows failed",
            metrics.engines_restarted.clone(),
        );
        r.register(
            "dropped_pieces",
            "Stretches of audio without text in the transcript",
            metrics.dropped_pieces.clone(),
        );
        r.register(
            "damaged_audio_seconds",
            "Seconds of audio that could not be decoded and were replaced by silence",
            metrics.damaged_seconds.clone(),
        );
        metrics.registry = Arc::new(registry);
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessCollector::new()));
        metrics.process = Arc::new(process);
        metrics
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
        self.queued_frames.fetch_add(frames, Ordering::Relaxed);
    }

    /// Counts a window of `frames` frames that leaves the queue.
    pub fn leave_queue(&self, frames: usize) {
        self.queued_windows.dec();
        let frames = i64::try_from(frames).unwrap_or(0);
        self.queued_frames.fetch_sub(frames, Ordering::Relaxed);
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
        let queued = self.queued_frames.load(Ordering::Relaxed);
        self.queued_audio_seconds.set(queued as f64 / 100.0);
        let mut buffer = String::new();
        // Writing to a String cannot fail, and a metric that fails to encode must not hide the others.
        let _always_ok = text::encode_registry(&mut buffer, &self.registry);
        let _always_ok = text::encode(&mut buffer, &self.process);
        buffer
    }
}

/// Buckets from a millisecond to five minutes.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        300.0,
    ])
}
