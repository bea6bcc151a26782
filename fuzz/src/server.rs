//! The server without network connections and with a fake engine, on one thread.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use futures_util::{SinkExt, Stream, StreamExt};
use halkspeech_audio::{DecodeLimits, FfmpegMode, PcmBudget};
use halkspeech::batch::BatchLimits;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::memory::Dimensions;
use halkspeech_whisper::engine::{EngineFactory, EngineInput, Generation, LanguageDetection};
use halkspeech_whisper::features::WindowLengths;
use halkspeech::http::{
    AdmissionControl, CallerLimits, Context, HttpSettings, LiveSessions, ParameterDefaults, Phase,
    router,
};
use halkspeech::models::{
    Aliases, Catalog, DefaultModel, Downloads, EngineFactoryBuilder, Hub, HubSettings,
    LoadedModels, LoadedModelsConfig, ModelBudget, ModelId, ModelPlan, SlotMemory, Store,
};
use halkspeech::telemetry::Metrics;
use halkspeech_whisper::{Alignment, Language, Vocabulary};
use halkspeech::transcribe::{FrontEnd, Transcriber};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tower::ServiceExt;

use crate::live::InstantSessions;
use crate::model_files::{Fixture, lay_out};
use crate::vocabulary::tokenizer;

/// The server's only model, which OpenAI's names also refer to.
pub const MODEL: &str = "small-one";

/// A timeout that no request of a target reaches.
const TIMEOUT: Duration = Duration::from_secs(20);
/// One caller may have half of these.
const MAX_SESSIONS: NonZeroUsize = NonZeroUsize::new(8).unwrap();
/// Bytes between client and server of a socket.
const SOCKET_BYTES: usize = 64 * 1024;
/// Most tokens of a generation.
const MAX_TOKENS: usize = 40;

/// A server that is ready.
pub struct Server {
    runtime: Runtime,
    context: Arc<Context>,
    router: Router,
    /// Kept alive; the server would stop if it were dropped.
    _phase: watch::Sender<Phase>,
    _models_dir: TempDir,
}

/// The response of the server.
pub struct ServerResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// What a client of a socket has received.
#[derive(Default)]
pub struct SocketEnd {
    /// The text messages, in order.
    pub texts: Vec<String>,
    /// The code of the close frame.
    pub code: Option<u16>,
}

impl Server {
    /// Loads the model, whose engine derives tokens from the features.
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
        let (phase, phase_receiver) = watch::channel(Phase::Ready);
        let context = runtime.block_on(async {
            let context = Arc::new(context(&models_dir, phase_receiver));
            let models = context.transcriber.models();
            let default = context.aliases.default_model(&**models.catalog());
            let lease = models.lease(&default).await;
            drop(lease.expect("the model loads"));
            context
        });
        Self {
            runtime,
            router: router(Arc::clone(&context)),
            context,
            _phase: phase,
            _models_dir: models_dir,
        }
    }

    /// Opens a socket, sends the messages, and reads until the server closes; `None` if it does not open.
    pub fn converse(&self, path: &str, messages: Vec<Message>) -> Option<SocketEnd> {
        let request = format!("ws://127.0.0.1{path}").into_client_request().ok()?;
        self.runtime.block_on(async {
            let (client, server) = tokio::io::duplex(SOCKET_BYTES);
            let service = TowerToHyperService::new(self.router.clone());
            let serving = http1::Builder::new()
                .serve_connection(TokioIo::new(server), service)
                .with_upgrades();
            let serving = tokio::spawn(serving);
            let socket = tokio_tungstenite::client_async(request, client).await;
            let conversation = match socket {
                Ok((socket, _)) => {
                    let (mut sink, stream) = socket.split();
                    let sending = async {
                        for message in messages {
                            // The server may have closed.
                            let _closed = sink.send(message).await;
                        }
                        // Kept until the server has closed.
                        sink
                    };
                    let (_sink, end) = tokio::join!(sending, receive(stream));
                    Some(end)
                }
                Err(_) => None,
            };
            let _ended = serving.await;
            // The place of the session is free again.
            self.context.live.all_ended().await;
            conversation
        })
    }

    /// Sends a request and reads the complete response.
    pub fn send(&self, request: Request<Body>) -> ServerResponse {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await;
            let (head, body) = response.expect("a router does not fail").into_parts();
            let body = to_bytes(body, usize::MAX)
                .await
                .expect("the body is complete");
            ServerResponse {
                status: head.status,
                headers: head.headers,
                body: body.to_vec(),
            }
        })
    }
}

/// Reads until the connection ends.
async fn receive(
    mut stream: impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
) -> SocketEnd {
    let mut end = SocketEnd::default();
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Text(text) => end.texts.push(text.as_str().to_owned()),
            Message::Close(frame) => end.code = frame.map(|frame| frame.code.into()),
            _ => {}
        }
    }
    end
}

fn context(models_dir: &TempDir, phase: watch::Receiver<Phase>) -> Context {
    let metrics = Metrics::new();
    let limits = DecodeLimits {
        max_duration: Duration::from_secs(3),
        ffmpeg: FfmpegMode::Off,
        ffmpeg_timeout: TIMEOUT,
    };
    let models = Arc::new(models(models_dir, &metrics));
    Context {
        transcriber: Arc::new(Transcriber::new(
            models,
            FrontEnd::new(NonZeroUsize::MIN),
            limits,
            Arc::new(PcmBudget::unlimited()),
            metrics.clone(),
        )),
        live: LiveSessions::new(InstantSessions::shared(), MAX_SESSIONS, None),
        aliases: Aliases::new(
            DefaultModel::Configured(ModelId::parse(MODEL).expect("it is a name")),
            [],
        ),
        admission: Arc::new(AdmissionControl::new(2, None)),
        caller_limits: CallerLimits::default(),
        phase,
        metrics,
        settings: HttpSettings {
            api_keys: Vec::new(),
            max_connections: 1,
            read_timeout: TIMEOUT,
            allow_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            enable_ui: false,
            max_upload_bytes: 64 * 1024,
            upload_memory_bytes: 16 * 1024,
            request_timeout: TIMEOUT,
            reject_unknown_fields: false,
            require_model: false,
            defaults: ParameterDefaults {
                beam_size: NonZeroUsize::MIN,
                vad_filter: false,
            },
            model_defaults: BTreeMap::new(),
            keep_alive: TIMEOUT,
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
        timeout: TIMEOUT,
    });
    let hub = hub.expect("a client can be made");
    LoadedModels::new(LoadedModelsConfig {
        downloads: Arc::new(Downloads::new(hub, Arc::clone(&catalog), metrics.clone())),
        catalog,
        auto_download: false,
        plan: Box::new(|_| {
            let engine: Box<EngineFactoryBuilder> =
                Box::new(|vocabulary| engine(Arc::clone(vocabulary)));
            ModelPlan {
                engines: vec![engine],
                limits: BatchLimits {
                    batch_size: NonZeroUsize::MIN,
                    window: Duration::ZERO,
                },
                slots: SlotMemory {
                    dimensions: Dimensions::default(),
                    limit: u64::MAX,
                },
                queue_capacity: 100,
                windows_in_flight: 4,
                lengths: WindowLengths::new(1, 1),
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

/// Generates any tokens, including time stamps, from any audio.
fn generate(vocabulary: &Vocabulary, input: &EngineInput<'_>) -> Generation {
    let last = vocabulary.timestamp_begin() + 1500;
    let values = input.features.values.iter().step_by(7);
    let tokens: Vec<u32> = values
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
