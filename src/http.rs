//! The HTTP surface: the only room that knows axum and status codes.
//!
//! `listen` accepts connections, `router` says which path leads where, once `paths` has put it right, and `middleware`
//! what every request goes through;
//! `transcriptions` is the road of an upload, past the `door`, through `encoding`, `upload` and
//! `parameters`, to the transcriber and back as an answer or an `error`; `peers` has the same for the APIs of other
//! servers. `models` tells of those
//! on disk, `downloads` fetches more, and `memory` loads and unloads them. `openapi`
//! documents all of it out of what the handlers state; `docs` shows that.

mod listen;
mod reserve;
mod router;
mod paths;
mod middleware;
mod cors;
mod linger;
mod auth;
mod cross_site;
mod door;
mod rate;
mod transcriptions;
mod peers;
mod stream;
mod parameters;
mod upload;
mod body;
mod encoding;
mod form;
mod boundary;
mod models;
mod downloads;
mod memory;
mod health;
mod openapi;
mod docs;
mod page;
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

pub use door::Door;
pub use rate::RateLimit;
pub use router::router;

/// What the handlers share.
pub struct Context {
    /// Turns audio into transcripts.
    pub transcriber: Transcriber,
    /// Which model a name means.
    pub aliases: Aliases,
    /// The door: one permit a transcription request.
    pub door: Arc<Door>,
    /// How many requests a caller may make in a minute; none: as many as get in.
    pub rate_limit: Option<RateLimit>,
    /// Where the server is in its life.
    pub phase: watch::Receiver<Phase>,
    /// The server's metrics.
    pub metrics: Metrics,
    /// Bounds and switches.
    pub settings: HttpSettings,
}

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Models are being loaded.
    Starting,
    /// Requests are served.
    Ready,
    /// Running requests end, new ones are refused.
    Draining,
    /// Time is up: what still runs is answered with an error.
    CutOff,
}

/// Bounds and switches of the HTTP surface.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Keys, of which callers must show one; none: the server is open.
    pub api_keys: Vec<Secret>,
    /// Connections at a time.
    pub max_connections: usize,
    /// The longest time for the head of a request, without a byte of its body, and without a byte of
    /// the answer taken.
    pub read_timeout: Duration,
    /// Origins that browsers may call from.
    pub allow_origins: Vec<String>,
    /// Names, beside those that no web site can have, by which a server without keys may be called.
    pub allowed_hosts: Vec<String>,
    /// Whether `/` shows a page to try the server, and `/docs` the `OpenAPI` document.
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
    /// What holds where a caller does not say it.
    pub defaults: ParameterDefaults,
    /// The same for models that have defaults of their own.
    pub model_defaults: BTreeMap<ModelId, ParameterDefaults>,
    /// A stream that has nothing to say says so this often.
    pub keep_alive: Duration,
}

/// What holds where a caller does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterDefaults {
    /// Beams of the search.
    pub beam_size: NonZeroUsize,
    /// Whether only speech is given to the model.
    pub vad_filter: bool,
}

impl HttpSettings {
    /// What holds for this model where a caller does not say it.
    #[must_use]
    pub fn defaults(&self, model: Option<&ModelId>) -> ParameterDefaults {
        let own = model.and_then(|id| self.model_defaults.get(id));
        *own.unwrap_or(&self.defaults)
    }
}

/// Serves on `listener` until `stop` completes and every request then running is answered.
///
/// # Errors
/// The operating system's, when the listener breaks.
pub async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let bounds = listen::Bounds {
        connections: context.settings.max_connections,
        patience: context.settings.read_timeout,
    };
    listen::serve(listener, router(context), bounds, stop).await
}
