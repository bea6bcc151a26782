//! Wiring: builds every room from the settings, runs the server, drains it in order.

pub mod advice;
pub mod memory;
pub mod open_files;
pub mod placed;
pub mod rooms;
pub mod signals;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{ComputeType, KeysError, Loaded, Server, Settings, Whisper};
use crate::engine::ct2::GemmFailed;
use crate::http::{self, Context, Defaults, Door, Phase, RateLimit, Rules};
use crate::models::{Aliases, HubError, InvalidModelId, LoadedModels, ModelError, ModelId};
use rooms::{Rooms, model_id};

const MIB: u64 = 1024 * 1024;
/// Time for the last answers once everything still running was told to end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// Time for engines to end after that: one that is inside a batch ends with the process.
pub const ENGINES_END: Duration = Duration::from_secs(1);
/// How often a stream without news says that it is alive: well within the minute after which proxies
/// give up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

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
    #[error("{name} is cuda, but {reason}: {remedy}, or write auto or cpu")]
    NoCuda {
        /// The setting, as its user wrote it.
        name: String,
        /// Why there is none.
        reason: &'static str,
        /// What would give one.
        remedy: &'static str,
    },
    /// A number format was asked for that the processor does not have.
    #[error(
        "{name} is {compute_type}, which does not run on a processor, and {reason}: leave it out, or \
         write int8 or float32"
    )]
    ComputeType {
        /// The setting, as its user wrote it.
        name: String,
        /// The number format.
        compute_type: ComputeType,
        /// Why models run on the processor.
        reason: &'static str,
    },
    /// There is no memory for what every model on a processor needs.
    #[error("kernels of the processor cannot be made")]
    Kernels(#[source] GemmFailed),
    /// The models on disk cannot be read.
    #[error("models on disk cannot be read")]
    Catalog(#[source] tokio::task::JoinError),
    /// The hub cannot be talked to with these settings.
    #[error("no client for the hub can be made")]
    Hub(#[source] HubError),
    /// A model that must be there at the start could not be loaded.
    #[error("model could not be loaded at the start")]
    Preload(#[source] ModelError),
    /// The file of keys cannot be used.
    #[error("keys of callers cannot be read")]
    Keys(#[source] KeysError),
    /// Uploads that are not kept in memory have no place.
    #[error("no temporary file can be made in {} (TMPDIR)", folder.display())]
    TemporaryFile {
        /// Where `TMPDIR` points, else the system's folder.
        folder: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
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
    preload: Vec<Preload>,
    phase: watch::Sender<Phase>,
    patience: Duration,
}

/// A model that is loaded before the server is ready.
struct Preload {
    id: ModelId,
    /// Whether the server does not start without it.
    is_required: bool,
}

impl App {
    /// Builds every room and listens; connections wait until [`App::run`].
    ///
    /// # Errors
    /// [`AppError`] when the settings cannot be carried out.
    pub async fn bind(loaded: &Loaded) -> Result<Self, AppError> {
        let settings = &loaded.settings;
        let connections = open_files::raise_limit(settings.server.max_connections);
        find_room_for_uploads(&settings.server)?;
        let Rooms {
            transcriber,
            models,
            aliases,
            metrics,
        } = Rooms::build(loaded).await?;
        advice::log(loaded, &aliases, models.catalog());
        let preload = preload(settings, &aliases, &models)?;
        let (phase, watched) = watch::channel(Phase::Starting);
        let context = Context {
            transcriber,
            aliases,
            door: Arc::new(Door::new(settings.whisper.max_concurrent_requests.get())),
            rate_limit: NonZeroU32::new(settings.server.rate_limit_per_minute).map(RateLimit::new),
            phase: watched,
            metrics,
            rules: rules(settings, connections)?,
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
        let decoded_bytes = context.transcriber.memory().limit_bytes();
        let server = http::serve(listener, Arc::new(context), draining(phase.subscribe()));
        tokio::pin!(server, stop);

        // The port answers while models load: `/health` is alive, `/ready` says what is missing.
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
        tracing::info!("draining: no new requests, running ones end");
        phase.send_replace(Phase::Draining);
        if tokio::time::timeout(patience, &mut server).await.is_err() {
            let patience_s = patience.as_secs();
            tracing::warn!(patience_s, "time is up, the rest is answered with 503");
            phase.send_replace(Phase::CutOff);
            let _over = tokio::time::timeout(LAST_ANSWERS, &mut server).await;
        }
        models.downloads().stop().await;
        models.unload_all(ENGINES_END).await;
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

impl Preload {
    async fn load(&self, models: &LoadedModels) -> Result<(), AppError> {
        match models.lease(&self.id).await {
            Ok(_lease) => Ok(()),
            Err(ModelError::NotFound(id)) if !self.is_required => {
                tracing::debug!(model.id = %id, "the default model is not loaded: it is not on disk");
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

/// Finds out at the start, not with the first large upload, that there is no place for it.
fn find_room_for_uploads(server: &Server) -> Result<(), AppError> {
    if server.max_upload_mib > server.upload_memory_mib {
        tempfile::tempfile().map_err(|source| AppError::TemporaryFile {
            folder: std::env::temp_dir(),
            source,
        })?;
    }
    Ok(())
}

fn rules(settings: &Settings, max_connections: usize) -> Result<Rules, AppError> {
    let server = &settings.server;
    let defaults = |whisper: &Whisper| Defaults {
        beam_size: whisper.beam_size,
        vad_filter: whisper.vad_filter,
    };
    let of_one = settings.per_model.keys();
    let of_one = of_one.map(|name| Ok((model_id(name)?, defaults(&settings.whisper_of(name)))));
    Ok(Rules {
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
        defaults_of: of_one.collect::<Result<_, AppError>>()?,
        keep_alive: KEEP_ALIVE,
    })
}
