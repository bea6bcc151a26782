//! The Wyoming protocol, by which Home Assistant speaks to speech-to-text servers: JSON lines and samples over TCP.
//!
//! It has no authentication and no encryption, so it is off unless a port is configured. `wire` reads and writes
//! events, `event` knows those of clients, `info` describes the models, and `connection` runs the sessions: an
//! utterance is a live session of one turn, which ends when the client says so.
//!
//! Tried with the Python package `wyoming` 1.10.2, whose events these are.

mod wire;
mod event;
mod audio;
mod info;
mod utterance;
mod connection;
mod error;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::caller::Caller;
use crate::models::{Aliases, Catalog, ModelId};
use crate::session::OpenSession;
use crate::transcribe::TranscriptionOptions;

/// Connections at one time; a further one is closed at once.
const MAX_CONNECTIONS: usize = 256;
/// Delay after a connection could not be accepted, because there are too many open files, for example.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Takes a place of a live session for a caller; `None` if there is none. Dropping the place frees it.
pub type TakePlace = dyn Fn(Caller) -> Option<Box<dyn Send>> + Send + Sync;

/// Options of a transcription by a model, where a client names none.
pub type DefaultOptions = dyn Fn(&ModelId) -> TranscriptionOptions + Send + Sync;

/// What connections share.
pub struct WyomingServer {
    /// Opens sessions.
    pub sessions: Arc<dyn OpenSession>,
    /// Bounds them.
    pub take_place: Box<TakePlace>,
    /// The models on disk.
    pub catalog: Arc<Catalog>,
    /// Resolves the names of models.
    pub aliases: Aliases,
    /// Options that clients cannot name.
    pub default_options: Box<DefaultOptions>,
}

/// Serves on `listener` until `stop` completes and every utterance then running has its transcript.
pub async fn serve(
    listener: TcpListener,
    server: Arc<WyomingServer>,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < MAX_CONNECTIONS => {
                    let caller = Caller::of_address(peer.ip());
                    let server = Arc::clone(&server);
                    connections.spawn(connection::run(stream, caller, server, stopped.clone()));
                }
                Ok((_, peer)) => tracing::warn!(client.address = %peer.ip(), "too many Wyoming connections"),
                Err(error) => {
                    tracing::warn!(%error, "a Wyoming connection cannot be accepted");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut stop => break,
        }
    }
    drop(listener);
    stopping.send_replace(true);
    while connections.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
