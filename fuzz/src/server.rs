//! The whole server but for its connections and its model, on one thread.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use halkspeech::audio::{DecodeLimits, FfmpegMode, MemoryBudget};
use halkspeech::batch::Limits;
use halkspeech::engine::fake::FakeEngine;
use halkspeech::engine::{EngineFactory, EngineInput, Generation, LanguageDetection};
use halkspeech::features::Lengths;
use halkspeech::http::{Context, Defaults, Door, Phase, Rules, router};
use halkspeech::models::{
    Aliases, Catalog, DefaultModel, Downloads, EngineFactoryBuilder, Hub, HubSettings,
    LoadedModels, LoadedModelsConfig, ModelBudget, ModelId, ModelPlan, Store,
};
use halkspeech::telemetry::Metrics;
use halkspeech::tokens::{Alignment, Language, Vocabulary};
use halkspeech::transcribe::{FrontEnd, Transcriber};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::model_files::{Fixture, lay_out};
use crate::vocabulary::tokenizer;

/// The model that requests may name; OpenAI's names stand for it.
pub const MODEL: &str = "small-one";

/// Nothing a target asks for takes this long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Tokens of a generation at most.
const MAX_TOKENS: usize = 40;

/// A server that is ready.
pub struct Server {
    runtime: Runtime,
    router: Router,
    /// Held open; the server would take its end for a stop.
    _phase: watch::Sender<Phase>,
    _models_dir: TempDir,
}

/// What a client sees.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Server {
    /// Loads the model, whose engine makes its tokens up from the features.
    pub fn start() -> Self {
        let models_dir = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = models_dir.path().join(MODEL);
        let fixture = Fixture {
            vocabulary_size: 51_865,
            ..Fixture::default()
        };
        lay_out(&folder, &fixture);
        fs::write(folder.join("tokenizer.json"), tokenizer()).expect("the folder can be written");

        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let (phase, watched) = watch::channel(Phase::Ready);
        let router = runtime.block_on(async {
            let context = context(&models_dir, watched);
            let models = context.transcriber.models();
            let default = context.aliases.default_model(&**models.catalog());
            let lease = models.lease(&default).await;
            drop(lease.expect("the model loads"));
            router(Arc::new(context))
        });
        Self {
            runtime,
            router,
            _phase: phase,
            _models_dir: models_dir,
        }
    }

    /// Sends a request and reads the answer to its end.
    pub fn ask(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await;
            let (head, body) = answer.expect("a router does not fail").into_parts();
            let body = to_bytes(body, usize::MAX)
                .await
                .expect("an answer is whole");
            Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_vec(),
            }
        })
    }
}

fn context(models_dir: &TempDir, phase: watch::Receiver<Phase>) -> Context {
    let metrics = Metrics::new();
    let limits = DecodeLimits {
        max_duration: Duration::from_secs(3),
        ffmpeg: FfmpegMode::Off,
        ffmpeg_timeout: PATIENCE,
    };
    let models = Arc::new(models(models_dir, &metrics));
    Context {
        transcriber: Transcriber::new(
            models,
            FrontEnd::new(NonZeroUsize::MIN),
            limits,
            Arc::new(MemoryBudget::unlimited()),
            metrics.clone(),
        ),
        aliases: Aliases::new(
            DefaultModel::Configured(ModelId::parse(MODEL).expect("it is a name")),
            [],
        ),
        door: Arc::new(Door::new(2)),
        rate_limit: None,
        phase,
        metrics,
        rules: Rules {
            api_keys: Vec::new(),
            max_connections: 1,
            read_timeout: PATIENCE,
            allow_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            enable_ui: false,
            max_upload_bytes: 64 * 1024,
            upload_memory_bytes: 16 * 1024,
            request_timeout: PATIENCE,
            reject_unknown_fields: false,
            require_model: false,
            defaults: Defaults {
                beam_size: NonZeroUsize::MIN,
                vad_filter: false,
            },
            defaults_of: BTreeMap::new(),
            keep_alive: PATIENCE,
        },
    }
}

fn models(models_dir: &TempDir, metrics: &Metrics) -> LoadedModels {
    let nowhere = models_dir.path().join("nowhere");
    let catalog = Arc::new(Catalog::open(Store::new(
        models_dir.path().to_owned(),
        nowhere.clone(),
    )));
    let hub = Hub::new(HubSettings {
        endpoint: "http://127.0.0.1:9".to_owned(),
        token: None,
        cache: nowhere,
        offline: true,
        timeout: PATIENCE,
    });
    let hub = hub.expect("a client can be made");
    LoadedModels::new(LoadedModelsConfig {
        downloads: Arc::new(Downloads::new(hub, Arc::clone(&catalog), metrics.clone())),
        catalog,
        auto_download: false,
        plan: Box::new(|_| {
            let engine: Box<EngineFactoryBuilder> = Box::new(|vocabulary| engine(Arc::clone(vocabulary)));
            ModelPlan {
                engines: vec![engine],
                limits: Limits {
                    batch_size: NonZeroUsize::MIN,
                    window: Duration::ZERO,
                },
                queue_capacity: 100,
                windows_in_flight: 4,
                lengths: Lengths::new(1, 1),
                idle_time: None,
                memory_bytes: 1,
            }
        }),
        budget: ModelBudget::default(),
        metrics: metrics.clone(),
    })
}

fn engine(vocabulary: Arc<Vocabulary>) -> EngineFactory {
    FakeEngine::factory(move |_, inputs| {
        Ok(inputs
            .iter()
            .map(|input| generate(&vocabulary, input))
            .collect())
    })
}

/// Any token may come of any audio, those of times among them.
fn generate(vocabulary: &Vocabulary, input: &EngineInput<'_>) -> Generation {
    let last = vocabulary.timestamp_begin() + 1500;
    let heard = input.features.values.iter().step_by(7);
    let tokens: Vec<u32> = heard
        .take(MAX_TOKENS)
        .map(|value| value.to_bits() % (last + 1))
        .collect();
    let text: Vec<u32> = tokens
        .iter()
        .copied()
        .filter(|&token| token < vocabulary.eot())
        .collect();
    let alignment = input.decoding.align.then(|| Alignment {
        starts_s: (0..=text.len()).map(|index| index as f32 * 0.1).collect(),
        probabilities: vec![0.5; text.len()],
        tokens: text,
    });
    let language = input.prompt.language.unwrap_or(Language::ENGLISH);
    Generation {
        language: Some(LanguageDetection {
            language,
            probability: 0.5,
        }),
        alignment,
        ..FakeEngine::generation(tokens)
    }
}
