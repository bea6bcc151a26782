//! The HTTP server: the only module that knows axum and status codes.
//!
//! `listen` accepts connections, `paths` normalizes the request path, `router` maps it to a handler, and
//! `middleware` runs around every request. A transcription passes `admission` and `receive`, which
//! reads its `parameters` and its `upload`, to the transcriber, and returns as a response, a `stream` or
//! an `error`; `compatible_apis` does the same for the APIs of other servers, `analysis` for requests that need no model that
//! transcribes, and `live` has the sockets
//! of live sessions. `models` lists those on
//! disk, `downloads` fetches more, and `loaded_models` loads and unloads them; `model_object`,
//! `engine_plan` and `download_event` are what their responses consist of. `openapi` builds the
//! document from the handlers' annotations; `docs` shows it. `page` is the page that people transcribe
//! with; `static_file` serves the files of both.

mod listen;
mod probe_connections;
mod router;
mod paths;
mod middleware;
mod headers;
mod request_id;
mod cors;
mod drain_body;
mod auth;
mod cross_site;
mod admission;
mod rate_limit;
mod caller_limits;
mod transcriptions;
mod compatible_apis;
mod analysis;
mod live;
mod stream;
mod overload;
mod receive;
mod raw_samples;
mod parameters;
mod upload;
mod body;
mod content_encoding;
mod form;
mod boundary;
mod models;
mod downloads;
mod loaded_models;
mod download_event;
mod model_object;
mod engine_plan;
mod health;
mod openapi;
mod docs;
mod page;
mod static_file;
mod error;
#[cfg(test)]
mod test_settings;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Secret;
use crate::models::{Aliases, ModelId};
use crate::telemetry::Metrics;
use crate::transcribe::Transcriber;

pub use admission::AdmissionControl;
pub use caller_limits::CallerLimits;
pub use live::LiveSessions;
pub use rate_limit::RateLimit;
pub use router::router;

/// State shared by all handlers.
pub struct Context {
    /// Turns audio into transcripts.
    pub transcriber: Arc<Transcriber>,
    /// Resolves names and aliases to models.
    pub aliases: Aliases,
    /// Admission control: one permit per transcription request.
    pub admission: Arc<AdmissionControl>,
    /// Limits of a caller per minute.
    pub caller_limits: CallerLimits,
    /// The live sessions.
    pub live: LiveSessions,
    /// The server's current phase.
    pub phase: watch::Receiver<Phase>,
    /// The server's metrics.
    pub metrics: Metrics,
    /// Limits and switches.
    pub settings: HttpSettings,
}

/// The phases of the server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Models are being loaded.
    Starting,
    /// Requests are served.
    Ready,
    /// Running requests are completed, new ones are refused.
    Draining,
    /// The time to drain is over: running requests are answered with an error.
    CutOff,
}

/// Limits and switches of the HTTP server.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// API keys, of which a caller must send one; empty for an open server.
    pub api_keys: Vec<Secret>,
    /// Connections at a time.
    pub max_connections: usize,
    /// Longest time for the head of a request, without a byte of its body, and without a byte of the
    /// answer read by the client.
    pub read_timeout: Duration,
    /// Origins that browsers may call from.
    pub allow_origins: Vec<String>,
    /// Host names by which a server without keys may be called, in addition to those that no web site
    /// can have.
    pub allowed_hosts: Vec<String>,
    /// Whether `/` shows the page for people, and `/docs` the `OpenAPI` document.
    pub enable_ui: bool,
    /// Largest upload, in bytes.
    pub max_upload_bytes: u64,
    /// Uploads above this many bytes go to a temporary file.
    pub upload_memory_bytes: u64,
    /// Time a request may take.
    pub request_timeout: Duration,
    /// Whether an unknown form field is an error.
    pub reject_unknown_fields: bool,
    /// Whether a request without `model` is an error, instead of one for the default model.
    pub require_model: bool,
    /// Values of parameters that a request leaves out.
    pub defaults: ParameterDefaults,
    /// The same for models that have their own defaults.
    pub model_defaults: BTreeMap<ModelId, ParameterDefaults>,
    /// Interval of keep-alive comments on a stream without events.
    pub keep_alive: Duration,
}

/// Values of parameters that a request leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterDefaults {
    /// Beams of the search.
    pub beam_size: NonZeroUsize,
    /// Whether only speech is given to the model.
    pub vad_filter: bool,
}

impl HttpSettings {
    /// The parameter defaults of this model.
    #[must_use]
    pub fn defaults(&self, model: Option<&ModelId>) -> ParameterDefaults {
        let own = model.and_then(|id| self.model_defaults.get(id));
        *own.unwrap_or(&self.defaults)
    }
}

/// Serves on `listener` until `stop` completes, every request then running is answered, and every live session
/// has ended.
///
/// # Errors
/// The operating system's, when the listener breaks.
pub async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let limits = listen::ConnectionLimits {
        max_connections: context.settings.max_connections,
        read_timeout: context.settings.read_timeout,
    };
    listen::serve(listener, router(Arc::clone(&context)), limits, stop).await?;
    context.live.all_ended().await;
    Ok(())
}
