//! A server on a free port, and what a test asks it.

pub mod audio;
pub mod engine;
pub mod raw;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use halkspeech::audio::{DecodeLimits, FfmpegMode, MemoryBudget};
use halkspeech::batch::Limits;
use halkspeech::engine::EngineFactory;
use halkspeech::features::Lengths;
use halkspeech::http::{self, Context, Defaults, Door, Phase, RateLimit, Rules};
use halkspeech::models::{
    self, Aliases, Catalog, DefaultModel, Downloads, EngineFactoryBuilder, Hub, HubSettings,
    LoadedModels, ModelBudget, ModelId, ModelPlan, Store,
};
use halkspeech::telemetry::{Metrics, Refusal, RefusalLabels, RequestLabels};
use halkspeech::transcribe::{FrontEnd, Transcriber};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

/// The English-only model, and the one that the aliases stand for.
pub const MODEL: &str = "tiny.en";
pub const MULTILINGUAL: &str = "base";

/// What every model of the tests is said to take.
pub const MODEL_BYTES: u64 = 100;

/// Nothing here may take longer than this, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the server under test is set up.
pub struct Setup {
    pub rules: Rules,
    pub max_concurrent_requests: usize,
    pub rate_limit_per_minute: Option<NonZeroU32>,
    pub queue_capacity: usize,
    pub lengths: Lengths,
    pub limits: Limits,
    pub engine: EngineFactory,
    pub max_duration: Duration,
    /// What decoded audio may take.
    pub decoded_bytes: u64,
    pub front_end_workers: usize,
    pub models_dir: PathBuf,
    pub hub_cache: PathBuf,
    pub preload: bool,
    /// Where a hub is; none: it is never asked.
    pub hub: Option<String>,
    /// The longest silence of the hub's connections.
    pub hub_timeout: Duration,
    pub auto_download: bool,
    pub aliases: Vec<(String, ModelId)>,
    pub budget: ModelBudget,
    pub idle_time: Option<Duration>,
    /// What OpenAI's names stand for.
    pub default_model: DefaultModel,
}

/// A running server with everything a test looks at.
pub struct TestApp {
    pub client: Client,
    pub metrics: Metrics,
    pub models: Arc<LoadedModels>,
    pub phase: watch::Sender<Phase>,
    pub address: String,
    /// For what no connection can show.
    pub context: Arc<Context>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            rules: Rules {
                api_keys: Vec::new(),
                max_connections: 1000,
                read_timeout: PATIENCE,
                allow_origins: Vec::new(),
                allowed_hosts: Vec::new(),
                enable_ui: false,
                max_upload_bytes: 16 << 20,
                upload_memory_bytes: 4 << 20,
                request_timeout: PATIENCE,
                reject_unknown_fields: false,
                require_model: false,
                defaults: Defaults {
                    beam_size: NonZeroUsize::new(2).unwrap(),
                    // Tones are no speech.
                    vad_filter: false,
                },
                defaults_of: BTreeMap::new(),
                keep_alive: Duration::from_millis(5),
            },
            max_concurrent_requests: 100,
            rate_limit_per_minute: None,
            queue_capacity: 100,
            lengths: Lengths::WHOLE,
            limits: Limits {
                batch_size: NonZeroUsize::new(64).unwrap(),
                window: Duration::from_millis(5),
            },
            engine: engine::listening(),
            max_duration: Duration::from_secs(100),
            decoded_bytes: u64::MAX,
            front_end_workers: 2,
            models_dir: models_dir(),
            hub_cache: PathBuf::from("/nonexistent"),
            preload: true,
            hub: None,
            hub_timeout: PATIENCE,
            auto_download: false,
            aliases: Vec::new(),
            budget: ModelBudget::default(),
            idle_time: None,
            default_model: DefaultModel::Configured(ModelId::parse(MODEL).unwrap()),
        }
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub async fn start_with(setup: Setup) -> Self {
        let metrics = Metrics::new();
        let models = Arc::new(models(&setup, &metrics));
        let default = ModelId::parse(MODEL).unwrap();
        if setup.preload {
            models.lease(&default).await.unwrap();
        }
        let limits = DecodeLimits {
            max_duration: setup.max_duration,
            ffmpeg: FfmpegMode::Off,
            ffmpeg_timeout: PATIENCE,
        };
        let front_end = FrontEnd::new(NonZeroUsize::new(setup.front_end_workers).unwrap());
        let (phase, phase_receiver) = watch::channel(Phase::Ready);
        let context = Arc::new(Context {
            transcriber: Transcriber::new(
                Arc::clone(&models),
                front_end,
                limits,
                Arc::new(MemoryBudget::new(setup.decoded_bytes)),
                metrics.clone(),
            ),
            aliases: Aliases::new(setup.default_model, setup.aliases),
            door: Arc::new(Door::new(setup.max_concurrent_requests)),
            rate_limit: setup.rate_limit_per_minute.map(RateLimit::new),
            phase: phase_receiver,
            metrics: metrics.clone(),
            rules: setup.rules,
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

    /// A form with these fields after the file.
    pub fn form(&self, file: Vec<u8>, fields: &[(&'static str, &'static str)]) -> RequestBuilder {
        self.post(TRANSCRIPTIONS).multipart(form(file, fields))
    }

    /// The bare body with these parameters in the query.
    pub fn raw(&self, file: Vec<u8>, query: &[(&'static str, &'static str)]) -> RequestBuilder {
        self.post(TRANSCRIPTIONS)
            .query(query)
            .header("content-type", "audio/wav")
            .body(file)
    }

    /// A request for a transcription of `file` that runs beside the test.
    pub fn submit(&self, file: Vec<u8>) -> JoinHandle<Response> {
        let request = self.form(file, &[("model", MODEL)]);
        tokio::spawn(async move { request.send().await.unwrap() })
    }

    /// The text of a tone, asked for alone.
    pub async fn text_of(&self, file: Vec<u8>) -> String {
        let answer = self.submit(file).await.unwrap();
        assert_eq!(answer.status(), 200);
        text(answer).await
    }

    /// Windows that have a place in the queue.
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
        within_patience(reached).await;
    }

    pub async fn until_decoded(&self, requests: usize) {
        let line = format!("halkspeech_decode_seconds_count {requests}\n");
        until(|| self.metrics.encode().contains(&line)).await;
    }

    /// Answers to transcription requests for the model, by status.
    pub fn answered(&self, status: u16) -> u64 {
        self.counted(status, MODEL)
    }

    /// Transcription requests by their status and the model that was run for them.
    pub fn counted(&self, status: u16, model: &str) -> u64 {
        let labels = RequestLabels {
            route: TRANSCRIPTIONS.to_owned(),
            status,
            model: model.to_owned(),
        };
        self.metrics.requests.get_or_create(&labels).get()
    }

    pub fn refused(&self, reason: Refusal) -> u64 {
        self.metrics
            .refused
            .get_or_create(&RefusalLabels { reason })
            .get()
    }

    /// Tells the server to stop, which it does once everything running is answered.
    pub fn stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.server
    }
}

/// The models of a server, run by its engine.
fn models(setup: &Setup, metrics: &Metrics) -> LoadedModels {
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
    within_patience(reached).await;
}

pub async fn within_patience(reached: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("the server never came to this");
}

pub fn form(file: Vec<u8>, fields: &[(&'static str, &'static str)]) -> Form {
    let form = Form::new().part("file", Part::bytes(file).file_name("speech.wav"));
    fields
        .iter()
        .fold(form, |form, (name, value)| form.text(*name, *value))
}

/// The text of a json answer.
pub async fn text(answer: Response) -> String {
    let body: Value = answer.json().await.unwrap();
    body["text"].as_str().unwrap().to_owned()
}

pub fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// What an error says; its shape is checked on the way.
pub async fn error(answer: Response) -> Value {
    assert_eq!(header(&answer, "content-type"), "application/json");
    error_in(&answer.json().await.unwrap())
}

/// The error of a body or of a stream's event; its shape is checked on the way.
#[track_caller]
pub fn error_in(body: &Value) -> Value {
    let error = body["error"].as_object().unwrap();
    let keys: Vec<_> = error.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["code", "message", "param", "type"],
        "the SDK reads all four"
    );
    assert_eq!(body.as_object().unwrap().len(), 1);
    body["error"].clone()
}

/// Checks an error by its status, type, param, code, and a piece of its message.
#[track_caller]
pub fn check_error(
    error: &Value,
    kind: &str,
    param: Option<&str>,
    code: Option<&str>,
    piece: &str,
) {
    assert_eq!(error["type"].as_str(), Some(kind), "{error}");
    assert_eq!(error["param"].as_str(), param, "{error}");
    assert_eq!(error["code"].as_str(), code, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains(piece),
        "no {piece:?} in {error}"
    );
}

/// Where `make models` puts the models.
#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile tells the tests where the models are"
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
