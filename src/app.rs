//! Builds the server from its settings, runs it, and shuts it down in order.

pub mod services;
pub mod engine_layout;
pub mod startup_warnings;
pub mod memory;
pub mod open_files;
pub mod live_limit;
pub mod signals;
mod wyoming;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::caller::AudioQuota;
use crate::config::{KeysError, LoadedSettings, Server, Settings, Whisper};
use crate::http::{
    self, AdmissionControl, CallerLimits, Context, HttpSettings, LiveSessions, ParameterDefaults,
    Phase, RateLimit,
};
use crate::live::CommitRule;
use crate::models::{Aliases, HubError, InvalidModelId, LoadedModels, ModelError, ModelId};
use crate::session::{EngineSessions, OpenSession};
use crate::wyoming::WyomingServer;
use halkspeech_whisper::engine::ComputeType;
#[cfg(feature = "generate")]
use halkspeech_whisper_ct2::GemmFailed;
use services::{Services, model_id};

const MIB: u64 = 1024 * 1024;
/// Longest wait for the last responses after running requests were cancelled.
const LAST_RESPONSES_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for engines to stop after that; one that still runs a batch ends with the process.
pub const ENGINE_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval of keep-alive comments in a stream without events: well below the minute after which proxies
/// close an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Why the server did not start or stopped running.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The settings contain an invalid model name.
    #[error("{name:?} in the settings names no model")]
    ModelName {
        /// The invalid name.
        name: String,
        /// The rule that it breaks.
        #[source]
        source: InvalidModelId,
    },
    /// The settings require CUDA, which is not available.
    #[error("{name} is cuda, but {reason}: {remedy}, or write auto or cpu")]
    NoCuda {
        /// The setting, as its user wrote it.
        name: String,
        /// Why CUDA is not available.
        reason: &'static str,
        /// How to make it available.
        remedy: &'static str,
    },
    /// The settings require a number format that a CPU does not support.
    #[error(
        "{name} is {compute_type}, which is not supported on a CPU, and {reason}: leave it out, or write \
         int8 or float32"
    )]
    ComputeType {
        /// The setting, as its user wrote it.
        name: String,
        /// The number format.
        compute_type: ComputeType,
        /// Why models run on the CPU.
        reason: &'static str,
    },
    /// The settings require a number format that this build does not support on a GPU.
    #[error(
        "{name} is {compute_type}, which this build does not support on a GPU: leave it out, or write float16"
    )]
    GpuComputeType {
        /// The setting, as its user wrote it.
        name: String,
        /// The number format.
        compute_type: ComputeType,
    },
    /// There is no memory for the kernels that every model on a CPU shares.
    #[cfg(feature = "generate")]
    #[error("CPU kernels cannot be created")]
    Kernels(#[source] GemmFailed),
    /// The models on disk cannot be read.
    #[error("models on disk cannot be read")]
    Catalog(#[source] tokio::task::JoinError),
    /// No HTTP client for the hub can be created from these settings.
    #[error("no client for the hub can be created")]
    Hub(#[source] HubError),
    /// A model that is required at the start could not be loaded.
    #[error("model could not be loaded at the start")]
    Preload(#[source] ModelError),
    /// The API key file cannot be used.
    #[error("API keys cannot be read")]
    Keys(#[source] KeysError),
    /// There is no folder for uploads that are not kept in memory.
    #[error("no temporary file can be created in {} (TMPDIR)", folder.display())]
    TemporaryFile {
        /// The folder of `TMPDIR`, else the system's.
        folder: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Host and port.
        address: String,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The Wyoming protocol would let other machines in without a key.
    #[error(
        "{host_name} is {host}, where other machines use the server without a key, but it has keys: listen on \
         127.0.0.1, or set WYOMING__ALLOW_UNAUTHENTICATED=true if only trusted machines reach the port"
    )]
    WyomingBypassesKeys {
        /// The setting, as its user wrote it.
        host_name: String,
        /// Its value.
        host: String,
    },
    /// The listening socket failed.
    #[error("the server cannot continue")]
    Serve(#[source] std::io::Error),
}

/// A server that is bound to its address but does not serve yet.
pub struct App {
    listener: TcpListener,
    wyoming: Option<(TcpListener, Arc<WyomingServer>)>,
    context: Context,
    models: Arc<LoadedModels>,
    preload: Vec<Preload>,
    phase: watch::Sender<Phase>,
    shutdown_timeout: Duration,
}

/// A model that is loaded before the server is ready.
struct Preload {
    id: ModelId,
    /// Whether the start fails without it.
    is_required: bool,
}

impl App {
    /// Builds the server and listens; connections wait until [`App::run`]. Live sessions commit words by `commit_rule`.
    ///
    /// # Errors
    /// [`AppError`] if the settings cannot be applied.
    pub async fn bind(loaded: &LoadedSettings, commit_rule: CommitRule) -> Result<Self, AppError> {
        let settings = &loaded.settings;
        let connections = open_files::raise_limit(settings.server.max_connections);
        check_temporary_folder(&settings.server)?;
        let Services {
            transcriber,
            models,
            aliases,
            metrics,
        } = Services::build(loaded).await?;
        startup_warnings::log(loaded, &aliases, models.catalog());
        let preload = preload(settings, &aliases, &models)?;
        let transcriber = Arc::new(transcriber);
        let piece_timeout = Duration::from_secs(settings.server.request_timeout_s);
        let sessions =
            EngineSessions::new(Arc::clone(&transcriber), piece_timeout, metrics.clone())
                .with_commit_rule(commit_rule);
        let sessions: Arc<dyn OpenSession> = Arc::new(sessions);
        let default_model = models
            .catalog()
            .find(&aliases.default_model(&**models.catalog()));
        let live = LiveSessions::new(
            Arc::clone(&sessions),
            live_limit::max_sessions(settings, default_model.as_deref()),
            settings.server.secret.clone(),
        );
        let take_place = live.place_taker();
        let wyoming = wyoming::bind(loaded, (sessions, take_place), &aliases, &models).await?;
        let (phase, phase_receiver) = watch::channel(Phase::Starting);
        metrics.live_sessions_limit.set(live.max_sessions() as i64);
        let context = Context {
            transcriber,
            live,
            aliases,
            admission: Arc::new(AdmissionControl::new(
                settings.whisper.max_concurrent_requests.get(),
                NonZeroUsize::new(settings.server.concurrent_limit),
            )),
            caller_limits: caller_limits(&settings.server),
            phase: phase_receiver,
            metrics,
            settings: http_settings(settings, connections)?,
        };
        let listener = listen(&settings.server.host, settings.server.port).await?;
        let shutdown_timeout = Duration::from_secs(settings.server.shutdown_timeout_s);
        Ok(Self {
            listener,
            wyoming,
            context,
            models,
            preload,
            phase,
            shutdown_timeout,
        })
    }

    /// The listening address, with the port that the system chose if the setting is 0.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, then drains.
    ///
    /// # Errors
    /// [`AppError`] if a required model cannot be loaded or the listening socket fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let Self {
            listener,
            wyoming,
            context,
            models,
            preload,
            phase,
            shutdown_timeout,
        } = self;
        let address = listener.local_addr().map_err(AppError::Serve)?;
        let decoded_bytes = context.transcriber.memory().limit_bytes();
        let http = http::serve(listener, Arc::new(context), draining(phase.subscribe()));
        let wyoming = wyoming::serve(wyoming, draining(phase.subscribe()));
        let server = async { tokio::try_join!(http, wyoming).map(|((), ())| ()) };
        tokio::pin!(server, stop);

        // Served while models load: `/health` returns 200, `/ready` 503 with the reason.
        let loading = async {
            for model in &preload {
                model.load(&models).await?;
            }
            Ok(())
        };
        tokio::select! {
            loaded = loading => {
                loaded?;
                memory::warn_if_scarce(decoded_bytes);
                phase.send_replace(Phase::Ready);
                tracing::info!(%address, models.loaded = models.list().len(), "ready");
                tokio::select! {
                    served = &mut server => return served.map_err(AppError::Serve),
                    () = models.catalog().keep_fresh() => {}
                    () = models.unload_idle() => {}
                    () = &mut stop => {}
                }
            }
            served = &mut server => return served.map_err(AppError::Serve),
            () = &mut stop => {}
        }
        tracing::info!("draining: no new requests are accepted, running ones finish");
        phase.send_replace(Phase::Draining);
        if tokio::time::timeout(shutdown_timeout, &mut server)
            .await
            .is_err()
        {
            let shutdown_timeout_s = shutdown_timeout.as_secs();
            tracing::warn!(
                shutdown_timeout_s,
                "shutdown timeout passed, requests that still run get 503"
            );
            phase.send_replace(Phase::CutOff);
            let _elapsed = tokio::time::timeout(LAST_RESPONSES_TIMEOUT, &mut server).await;
        }
        models.downloads().stop().await;
        models.unload_all(ENGINE_STOP_TIMEOUT).await;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn listen(host: &str, port: u16) -> Result<TcpListener, AppError> {
    let listening = TcpListener::bind((host, port)).await;
    listening.map_err(|source| AppError::Listen {
        address: format!("{host} port {port}"),
        source,
    })
}

/// Completes when the server must stop accepting requests.
async fn draining(mut phase: watch::Receiver<Phase>) {
    let _closed = phase
        .wait_for(|phase| matches!(phase, Phase::Draining | Phase::CutOff))
        .await;
}

impl Preload {
    async fn load(&self, models: &LoadedModels) -> Result<(), AppError> {
        match models.lease(&self.id).await {
            Ok(_lease) => Ok(()),
            Err(ModelError::NotFound(id)) if !self.is_required => {
                tracing::debug!(model.id = %id, "default model is not loaded: it is not on disk");
                Ok(())
            }
            Err(error) => Err(AppError::Preload(error)),
        }
    }
}

/// The models that are loaded before the server is ready.
fn preload(
    settings: &Settings,
    aliases: &Aliases,
    models: &LoadedModels,
) -> Result<Vec<Preload>, AppError> {
    let catalog = &**models.catalog();
    let named = |name: &String| {
        let id = aliases.resolve(name, catalog);
        let id = id.map_err(|source| AppError::ModelName {
            name: name.clone(),
            source,
        })?;
        Ok((id, true))
    };
    let default = settings.whisper.preload_model;
    let default = default.then(|| Ok((aliases.default_model(catalog), false)));
    let mut all: Vec<Preload> = Vec::new();
    for model in settings.models.preload.iter().map(named).chain(default) {
        let (id, is_required) = model?;
        if all.iter().all(|other| other.id != id) {
            all.push(Preload { id, is_required });
        }
    }
    Ok(all)
}

fn caller_limits(server: &Server) -> CallerLimits {
    let audio = NonZeroU32::new(server.audio_limit_per_minute_s).map(AudioQuota::new);
    CallerLimits {
        requests: NonZeroU32::new(server.rate_limit_per_minute).map(RateLimit::new),
        audio: audio.map(Arc::new),
    }
}

/// Checks at the start, not at the first large upload, that temporary files can be created.
fn check_temporary_folder(server: &Server) -> Result<(), AppError> {
    if server.max_upload_mib > server.upload_memory_mib {
        tempfile::tempfile().map_err(|source| AppError::TemporaryFile {
            folder: std::env::temp_dir(),
            source,
        })?;
    }
    Ok(())
}

fn http_settings(settings: &Settings, max_connections: usize) -> Result<HttpSettings, AppError> {
    let server = &settings.server;
    let defaults = |whisper: &Whisper| ParameterDefaults {
        beam_size: whisper.beam_size,
        vad_filter: whisper.vad_filter,
    };
    let model_defaults = (settings.per_model.keys())
        .map(|name| Ok((model_id(name)?, defaults(&settings.whisper_for(name)))));
    Ok(HttpSettings {
        api_keys: server.api_keys().map_err(AppError::Keys)?,
        max_connections,
        read_timeout: Duration::from_secs(server.read_timeout_s),
        allow_origins: server.allow_origins.clone(),
        allowed_hosts: server.allowed_hosts.clone(),
        enable_ui: server.enable_ui,
        max_upload_bytes: server.max_upload_mib * MIB,
        upload_memory_bytes: server.upload_memory_mib * MIB,
        request_timeout: Duration::from_secs(server.request_timeout_s),
        reject_unknown_fields: server.reject_unknown_fields,
        require_model: server.require_model,
        defaults: defaults(&settings.whisper),
        model_defaults: model_defaults.collect::<Result<_, AppError>>()?,
        keep_alive: KEEP_ALIVE,
    })
}
