//! Wiring: builds every room from the settings, runs the server, drains it in order.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::audio::DecodeLimits;
use crate::batch::Limits;
use crate::config::{DeviceChoice, ModelTtl, Settings, Whisper};
use crate::engine::EngineFactory;
use crate::engine::ct2::{self, Placement};
use crate::http::{self, Context, Phase, Rules};
use crate::models::{Aliases, InvalidModelId, Load, LoadedModels, ModelError, ModelId, Store};
use crate::telemetry::Metrics;
use crate::transcribe::{FrontEnd, Transcriber};

const MIB: u64 = 1024 * 1024;
/// Time for the last answers once everything still running was told to end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How often a stream without news says that it is alive: well within the minute after which proxies
/// give up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Most engines on a processor; each holds its own copy of the weights.
const MAX_CPU_ENGINES: usize = 4;

/// Why the server did not start or did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A model name in the settings is none.
    #[error("{name:?} in the settings names no model")]
    ModelName {
        /// What stands there.
        name: String,
        /// What a name looks like.
        #[source]
        source: InvalidModelId,
    },
    /// CUDA was asked for, and there is none.
    #[error("WHISPER__INFERENCE_DEVICE=cuda, but {0}")]
    NoCuda(&'static str),
    /// A model that must be there at the start could not be loaded.
    #[error("model could not be loaded at the start")]
    Preload(#[source] ModelError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The listening socket broke.
    #[error("the server cannot go on")]
    Serve(#[source] std::io::Error),
}

/// A server that has its address and waits to be run.
pub struct App {
    listener: TcpListener,
    context: Context,
    models: Arc<LoadedModels>,
    preload: Vec<ModelId>,
    phase: watch::Sender<Phase>,
    patience: Duration,
}

impl App {
    /// Builds every room and listens; connections wait until [`App::run`].
    ///
    /// # Errors
    /// [`AppError`] when the settings cannot be carried out.
    pub async fn bind(settings: Settings) -> Result<Self, AppError> {
        let metrics = Metrics::new();
        let preload = preload(&settings)?;
        let aliases = aliases(&settings)?;
        let models = Arc::new(LoadedModels::new(load(&settings, &metrics)?));
        let (phase, watched) = watch::channel(Phase::Starting);
        let context = Context {
            transcriber: transcriber(&settings, &models, &metrics),
            aliases,
            door: Arc::new(Semaphore::new(
                settings.whisper.max_concurrent_requests.get(),
            )),
            max_concurrent_requests: settings.whisper.max_concurrent_requests.get(),
            phase: watched,
            metrics,
            rules: rules(&settings),
        };
        let (host, port) = (settings.server.host.as_str(), settings.server.port);
        let listen_error = |source| AppError::Listen {
            address: format!("{host} port {port}"),
            source,
        };
        let listener = TcpListener::bind((host, port))
            .await
            .map_err(listen_error)?;
        let patience = Duration::from_secs(settings.server.shutdown_timeout_s);
        Ok(Self {
            listener,
            context,
            models,
            preload,
            phase,
            patience,
        })
    }

    /// The address it listens on, with the port the system chose where the setting was 0.
    ///
    /// # Errors
    /// The operating system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, then drains.
    ///
    /// # Errors
    /// [`AppError`] when a model that is loaded at the start cannot be, or the server breaks.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let Self {
            listener,
            context,
            models,
            preload,
            phase,
            patience,
        } = self;
        let address = listener.local_addr().map_err(AppError::Serve)?;
        let server = http::serve(listener, context, draining(phase.subscribe()));
        tokio::pin!(server, stop);

        // The port answers while models load: `/health` is alive, `/ready` says what is missing.
        let loading = async {
            for id in &preload {
                let _lease = models.lease(id).await.map_err(AppError::Preload)?;
            }
            Ok(())
        };
        tokio::select! {
            loaded = loading => {
                loaded?;
                phase.send_replace(Phase::Ready);
                tracing::info!(%address, models.loaded = preload.len(), "ready");
                tokio::select! {
                    served = &mut server => return served.map_err(AppError::Serve),
                    () = models.unload_idle(&mut stop) => {}
                }
            }
            served = &mut server => return served.map_err(AppError::Serve),
            () = &mut stop => {}
        }
        tracing::info!("draining: no new requests, running ones end");
        phase.send_replace(Phase::Draining);
        if tokio::time::timeout(patience, &mut server).await.is_err() {
            let patience_s = patience.as_secs();
            tracing::warn!(patience_s, "time is up, the rest is answered with 503");
            phase.send_replace(Phase::CutOff);
            let _over = tokio::time::timeout(LAST_ANSWERS, &mut server).await;
        }
        models.unload_all().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Completes when the server is to stop accepting.
async fn draining(mut phase: watch::Receiver<Phase>) {
    let _closed = phase
        .wait_for(|phase| matches!(phase, Phase::Draining | Phase::CutOff))
        .await;
}

fn model_id(name: &str) -> Result<ModelId, AppError> {
    let error = |source| AppError::ModelName {
        name: name.to_owned(),
        source,
    };
    ModelId::parse(name).map_err(error)
}

/// The models that are loaded before the server is ready.
fn preload(settings: &Settings) -> Result<Vec<ModelId>, AppError> {
    let default = settings
        .whisper
        .preload_model
        .then_some(&settings.whisper.model);
    let mut ids = Vec::new();
    for name in default.into_iter().chain(&settings.models.preload) {
        let id = model_id(name)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn aliases(settings: &Settings) -> Result<Aliases, AppError> {
    let more = settings.models.aliases.iter();
    let more = more.map(|(alias, name)| Ok((alias.clone(), model_id(name)?)));
    Ok(Aliases::new(
        model_id(&settings.whisper.model)?,
        more.collect::<Result<Vec<_>, AppError>>()?,
    ))
}

fn load(settings: &Settings, metrics: &Metrics) -> Result<Load, AppError> {
    let whisper = &settings.whisper;
    let placements = placements(whisper)?;
    let compute_type = whisper.compute_type;
    Ok(Load {
        store: Store::new(
            settings.models.dir.clone(),
            settings.models.hub_cache.clone(),
        ),
        engines: Box::new(move |stored, vocabulary| {
            let engine = |placement: &Placement| -> EngineFactory {
                ct2::factory(
                    &stored.dir,
                    Arc::clone(vocabulary),
                    *placement,
                    compute_type,
                )
            };
            placements.iter().map(engine).collect()
        }),
        limits: limits(whisper),
        queue_capacity: whisper.max_queue_size.get(),
        idle_time: match whisper.model_ttl {
            ModelTtl::Never => None,
            ModelTtl::After(idle_time) => Some(idle_time),
        },
        metrics: metrics.clone(),
    })
}

/// Without batched mode every batch holds one window.
fn limits(whisper: &Whisper) -> Limits {
    let batch_size = if whisper.use_batched_mode {
        whisper.batch_size
    } else {
        NonZeroUsize::MIN
    };
    Limits {
        batch_size,
        window: Duration::from_millis(whisper.batch_window_ms),
    }
}

/// One placement an engine.
fn placements(whisper: &Whisper) -> Result<Vec<Placement>, AppError> {
    let cards = ct2::cuda_devices();
    let wants_cuda = match whisper.inference_device {
        DeviceChoice::Cpu => false,
        DeviceChoice::Auto => cards > 0,
        DeviceChoice::Cuda if !cfg!(feature = "cuda") => {
            return Err(AppError::NoCuda("this build has no CUDA in it"));
        }
        DeviceChoice::Cuda if cards == 0 => {
            return Err(AppError::NoCuda("no CUDA device or driver was found"));
        }
        DeviceChoice::Cuda => true,
    };
    if wants_cuda {
        return Ok(whisper
            .device_index
            .iter()
            .map(|&index| Placement::Cuda { index })
            .collect());
    }
    let cores = cores();
    let workers = match whisper.num_workers {
        0 => cores.min(MAX_CPU_ENGINES),
        workers => workers,
    };
    let threads = match whisper.cpu_threads {
        0 => (cores / workers).max(1),
        threads => threads,
    };
    Ok(vec![Placement::Cpu { threads }; workers])
}

fn transcriber(settings: &Settings, models: &Arc<LoadedModels>, metrics: &Metrics) -> Transcriber {
    let audio = &settings.audio;
    let workers = NonZeroUsize::new(audio.workers).or(NonZeroUsize::new(cores()));
    let limits = DecodeLimits {
        max_duration: Duration::from_secs(audio.max_duration_s),
        ffmpeg: audio.ffmpeg,
        ffmpeg_timeout: Duration::from_secs(audio.ffmpeg_timeout_s),
    };
    // Enough of one request's windows to fill a batch while the next is being prepared, and
    // never more than half of the queue.
    let half_queue = (settings.whisper.max_queue_size.get() / 2).max(1);
    let in_flight = (2 * settings.whisper.batch_size.get()).min(half_queue);
    let front_end = FrontEnd::new(workers.unwrap_or(NonZeroUsize::MIN));
    Transcriber::new(
        Arc::clone(models),
        front_end,
        limits,
        in_flight,
        metrics.clone(),
    )
}

fn rules(settings: &Settings) -> Rules {
    let server = &settings.server;
    Rules {
        api_key: server.api_key.clone(),
        allow_origins: server.allow_origins.clone(),
        enable_ui: server.enable_ui,
        max_upload_bytes: server.max_upload_mib * MIB,
        upload_memory_bytes: server.upload_memory_mib * MIB,
        request_timeout: Duration::from_secs(server.request_timeout_s),
        reject_unknown_fields: server.reject_unknown_fields,
        beam_size: settings.whisper.beam_size,
        vad_filter: settings.whisper.vad_filter,
        keep_alive: KEEP_ALIVE,
    }
}

/// Processors this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
