//! A server on a free port, and requests to it.

mod answer;
pub mod audio;
pub mod engine;
pub mod token_engine;
pub mod raw;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use halkspeech::batch::BatchLimits;
use halkspeech::caller::AudioQuota;
use halkspeech::config::Secret;
use halkspeech::http::{
    self, AdmissionControl, CallerLimits, Context, HttpSettings, LiveSessions, ParameterDefaults,
    Phase, RateLimit,
};
use halkspeech::models::{
    self, Aliases, Catalog, DefaultModel, Downloads, EngineFactoryBuilder, Hub, HubSettings,
    LoadedModels, ModelBudget, ModelId, ModelPlan, SlotMemory, Store,
};
use halkspeech::session::{EngineSessions, OpenSession};
use halkspeech::telemetry::{Metrics, RefusalLabels, RefusalReason, RequestLabels};
use halkspeech::transcribe::{FrontEnd, Transcriber};
use halkspeech_audio::{DecodeLimits, FfmpegMode, PcmBudget};
use halkspeech_whisper::engine::EngineFactory;
use halkspeech_whisper::engine::memory::Dimensions;
use halkspeech_whisper::features::WindowLengths;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use answer::{body_of, check_error, error, error_in, header, json_of, text};

pub const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

/// The English-only model, the target of the aliases.
pub const MODEL: &str = "tiny.en";
pub const MULTILINGUAL: &str = "base";

/// Memory that every model of the tests reports, in bytes.
pub const MODEL_BYTES: u64 = 100;

/// Timeout of every wait; long enough for slow machines.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of the server under test.
pub struct TestSetup {
    pub settings: HttpSettings,
    pub max_concurrent_requests: usize,
    pub rate_limit_per_minute: Option<NonZeroU32>,
    pub audio_limit_per_minute_s: Option<NonZeroU32>,
    pub concurrent_limit: Option<NonZeroUsize>,
    pub queue_capacity: usize,
    pub lengths: WindowLengths,
    pub limits: BatchLimits,
    pub engine: EngineFactory,
    pub max_duration: Duration,
    /// Memory limit of decoded audio, in bytes.
    pub decoded_bytes: u64,
    pub front_end_workers: usize,
    pub models_dir: PathBuf,
    pub hub_cache: PathBuf,
    pub preload: bool,
    /// URL of the hub; `None` for offline.
    pub hub: Option<String>,
    /// Read timeout of the hub's connections.
    pub hub_timeout: Duration,
    pub auto_download: bool,
    pub aliases: Vec<(String, ModelId)>,
    pub budget: ModelBudget,
    pub idle_time: Option<Duration>,
    /// The model that OpenAI's names refer to.
    pub default_model: DefaultModel,
    /// Opens live sessions; none: they run on the engine.
    pub sessions: Option<Arc<dyn OpenSession>>,
    pub max_sessions: usize,
    pub server_secret: Option<Secret>,
}

/// A running server, with the state that tests inspect.
pub struct TestApp {
    pub client: Client,
    pub metrics: Metrics,
    pub models: Arc<LoadedModels>,
    pub phase: watch::Sender<Phase>,
    pub address: String,
    /// For tests that do not use a connection.
    pub context: Arc<Context>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Default for TestSetup {
    fn default() -> Self {
        Self {
            settings: HttpSettings {
                api_keys: Vec::new(),
                max_connections: 1000,
                read_timeout: TEST_TIMEOUT,
                allow_origins: Vec::new(),
                allowed_hosts: Vec::new(),
                enable_ui: false,
                max_upload_bytes: 16 << 20,
                upload_memory_bytes: 4 << 20,
                request_timeout: TEST_TIMEOUT,
                reject_unknown_fields: false,
                require_model: false,
                defaults: ParameterDefaults {
                    beam_size: NonZeroUsize::new(2).unwrap(),
                    // Tones are not speech.
                    vad_filter: false,
                },
                model_defaults: BTreeMap::new(),
                keep_alive: Duration::from_millis(5),
            },
            max_concurrent_requests: 100,
            rate_limit_per_minute: None,
            audio_limit_per_minute_s: None,
            concurrent_limit: None,
            queue_capacity: 100,
            lengths: WindowLengths::FULL,
            limits: BatchLimits {
                batch_size: NonZeroUsize::new(64).unwrap(),
                window: Duration::from_millis(5),
            },
            engine: engine::band_engine(),
            max_duration: Duration::from_secs(100),
            decoded_bytes: u64::MAX,
            front_end_workers: 2,
            models_dir: models_dir(),
            hub_cache: PathBuf::from("/nonexistent"),
            preload: true,
            hub: None,
            hub_timeout: TEST_TIMEOUT,
            auto_download: false,
            aliases: Vec::new(),
            budget: ModelBudget::default(),
            idle_time: None,
            default_model: DefaultModel::Configured(ModelId::parse(MODEL).unwrap()),
            sessions: None,
            max_sessions: 10,
            server_secret: None,
        }
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(TestSetup::default()).await
    }

    pub async fn start_with(setup: TestSetup) -> Self {
        let metrics = Metrics::new();
        let models = Arc::new(models(&setup, &metrics));
        let default = ModelId::parse(MODEL).unwrap();
        if setup.preload {
            models.lease(&default).await.unwrap();
        }
        let limits = DecodeLimits {
            max_duration: setup.max_duration,
            ffmpeg: FfmpegMode::Off,
            ffmpeg_timeout: TEST_TIMEOUT,
        };
        let front_end = FrontEnd::new(NonZeroUsize::new(setup.front_end_workers).unwrap());
        let (phase, phase_receiver) = watch::channel(Phase::Ready);
        let transcriber = Arc::new(Transcriber::new(
            Arc::clone(&models),
            front_end,
            limits,
            Arc::new(PcmBudget::new(setup.decoded_bytes)),
            metrics.clone(),
        ));
        let sessions = setup.sessions.unwrap_or_else(|| {
            let transcriber = Arc::clone(&transcriber);
            Arc::new(EngineSessions::new(
                transcriber,
                TEST_TIMEOUT,
                metrics.clone(),
            ))
        });
        let context = Arc::new(Context {
            transcriber,
            aliases: Aliases::new(setup.default_model, setup.aliases),
            admission: Arc::new(AdmissionControl::new(
                setup.max_concurrent_requests,
                setup.concurrent_limit,
            )),
            caller_limits: CallerLimits {
                requests: setup.rate_limit_per_minute.map(RateLimit::new),
                audio: setup
                    .audio_limit_per_minute_s
                    .map(|limit| Arc::new(AudioQuota::new(limit))),
            },
            live: LiveSessions::new(
                sessions,
                NonZeroUsize::new(setup.max_sessions).unwrap(),
                setup.server_secret,
            ),
            phase: phase_receiver,
            metrics: metrics.clone(),
            settings: setup.settings,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(http::serve(listener, Arc::clone(&context), async {
            let _stop_or_end_of_test = stopped.await;
        }));
        Self {
            client: Client::new(),
            metrics,
            models,
            phase,
            address,
            context,
            stop,
            server,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// A request with a form of the file and these fields.
    pub fn form(&self, file: Vec<u8>, fields: &[(&'static str, &'static str)]) -> RequestBuilder {
        self.post(TRANSCRIPTIONS).multipart(form(file, fields))
    }

    /// A request with the file as its body and these parameters in the query.
    pub fn raw(&self, file: Vec<u8>, query: &[(&'static str, &'static str)]) -> RequestBuilder {
        self.post(TRANSCRIPTIONS)
            .query(query)
            .header("content-type", "audio/wav")
            .body(file)
    }

    /// Starts a transcription request for `file` in its own task.
    pub fn submit(&self, file: Vec<u8>) -> JoinHandle<Response> {
        let request = self.form(file, &[("model", MODEL)]);
        tokio::spawn(async move { request.send().await.unwrap() })
    }

    /// The text of a file in a request of its own.
    pub async fn text_of(&self, file: Vec<u8>) -> String {
        let answer = self.submit(file).await.unwrap();
        assert_eq!(answer.status(), 200);
        text(answer).await
    }

    /// Number of queued windows.
    pub async fn queue_depth(&self) -> usize {
        let id = ModelId::parse(MODEL).unwrap();
        self.models.lease(&id).await.unwrap().queue.depth()
    }

    pub async fn until_queued(&self, windows: usize) {
        let reached = async {
            while self.queue_depth().await != windows {
                tokio::task::yield_now().await;
            }
        };
        within_timeout(reached).await;
    }

    pub async fn until_decoded(&self, requests: usize) {
        let line = format!("halkspeech_decode_seconds_count {requests}\n");
        until(|| self.metrics.encode().contains(&line)).await;
    }

    /// Number of transcription responses of [`MODEL`] with this status.
    pub fn responses(&self, status: u16) -> u64 {
        self.responses_for_model(status, MODEL)
    }

    /// Number of transcription responses of a model with this status.
    pub fn responses_for_model(&self, status: u16, model: &str) -> u64 {
        let labels = RequestLabels {
            route: TRANSCRIPTIONS.to_owned(),
            status,
            model: model.to_owned(),
        };
        self.metrics.requests.get_or_create(&labels).get()
    }

    pub fn refusals(&self, reason: RefusalReason) -> u64 {
        self.metrics
            .refused
            .get_or_create(&RefusalLabels { reason })
            .get()
    }

    /// Stops the server, which ends once all running requests are answered.
    pub fn stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.server
    }
}

/// The models of the server under test.
fn models(setup: &TestSetup, metrics: &Metrics) -> LoadedModels {
    let store = Store::new(setup.models_dir.clone(), setup.hub_cache.clone());
    let catalog = Arc::new(Catalog::open(store));
    let hub = Hub::new(HubSettings {
        endpoint: setup.hub.clone().unwrap_or("http://127.0.0.1:9".to_owned()),
        token: None,
        cache: setup.hub_cache.clone(),
        offline: setup.hub.is_none(),
        timeout: setup.hub_timeout,
    });
    let downloads = Downloads::new(hub.unwrap(), Arc::clone(&catalog), metrics.clone());
    let (engine, limits) = (Arc::clone(&setup.engine), setup.limits);
    let lengths = setup.lengths;
    let (queue_capacity, idle_time) = (setup.queue_capacity, setup.idle_time);
    LoadedModels::new(models::LoadedModelsConfig {
        catalog,
        downloads: Arc::new(downloads),
        auto_download: setup.auto_download,
        plan: Box::new(move |_| {
            let engine = Arc::clone(&engine);
            let make: Box<EngineFactoryBuilder> = Box::new(move |_| engine);
            ModelPlan {
                engines: vec![make],
                limits,
                slots: SlotMemory {
                    dimensions: Dimensions::default(),
                    limit: u64::MAX,
                },
                queue_capacity,
                windows_in_flight: 4,
                lengths,
                idle_time,
                memory_bytes: MODEL_BYTES,
            }
        }),
        budget: setup.budget,
        metrics: metrics.clone(),
    })
}

/// Waits for a condition that other tasks bring about.
pub async fn until(condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    within_timeout(reached).await;
}

pub async fn within_timeout<T>(reached: impl Future<Output = T>) -> T {
    let reached = tokio::time::timeout(TEST_TIMEOUT, reached).await;
    reached.expect("the condition is reached in time")
}

pub fn form(file: Vec<u8>, fields: &[(&'static str, &'static str)]) -> Form {
    let form = Form::new().part("file", Part::bytes(file).file_name("speech.wav"));
    fields
        .iter()
        .fold(form, |form, (name, value)| form.text(*name, *value))
}

/// The folder that `make models` fills.
#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile passes the models' folder"
)]
pub fn models_dir() -> PathBuf {
    let dir = match std::env::var_os("MODELS_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir()
            .unwrap()
            .join(".cache/halkspeech/models"),
    };
    for model in [MODEL, MULTILINGUAL] {
        assert!(
            dir.join(model).exists(),
            "no {model} in {}: run `make models`",
            dir.display()
        );
    }
    dir
}
