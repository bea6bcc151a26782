//! Live sessions: two sockets on one kind of session, and the client secrets that open them.
//!
//! `connect` upgrades a request, after `access` has checked its key or secret, and `places` that there is a free place.
//! `socket` runs the connection: a [`protocol`] reads its messages (`realtime`, `simple`), `input` passes them to
//! the session, of which this module knows only `crate::session`, and `outbox` holds what the client has not read.
//! `configuration` is what a client may set; `client_secret` signs and checks secrets, `secret_routes` issues them.

mod connect;
mod access;
mod places;
mod socket;
mod protocol;
mod realtime;
mod simple;
mod configuration;
mod turn_detection;
mod field_reader;
mod input;
mod input_clock;
mod audio_input;
mod audio;
mod outbox;
mod close;
mod secret_routes;
mod client_secret;

use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::extract::Request;

use super::Context;
use crate::caller::Caller;
use crate::config::Secret;
use crate::session::OpenSession;
pub use access::require_access;
use client_secret::ClientSecrets;
pub use connect::{
    __path_connect_realtime, __path_connect_stream, connect_realtime, connect_stream, refuse_webrtc,
};
use places::SessionPlaces;
pub use secret_routes::{
    __path_create_client_secret, __path_create_transcription_session, create_client_secret,
    create_transcription_session,
};

/// The paths of the sockets.
const SOCKET_PATHS: [&str; 2] = ["/v1/realtime", "/v1/audio/transcriptions/stream"];

/// The live sessions of a server.
pub struct LiveSessions {
    opener: Arc<dyn OpenSession>,
    places: Arc<SessionPlaces>,
    secrets: ClientSecrets,
}

impl LiveSessions {
    /// At most `max_sessions`, opened by `opener`; `server_secret` signs client secrets with the API keys.
    #[must_use]
    pub fn new(
        opener: Arc<dyn OpenSession>,
        max_sessions: NonZeroUsize,
        server_secret: Option<Secret>,
    ) -> Self {
        Self {
            opener,
            places: Arc::new(SessionPlaces::new(max_sessions)),
            secrets: ClientSecrets::new(server_secret),
        }
    }

    /// Takes places for connections of another protocol, which count as sessions; `None` if there is none.
    #[must_use]
    pub fn place_taker(&self) -> Box<dyn Fn(Caller) -> Option<Box<dyn Send>> + Send + Sync> {
        let places = Arc::clone(&self.places);
        Box::new(move |caller| {
            let place = places.take(caller).ok()?;
            Some(Box::new(place))
        })
    }

    /// Most sessions at a time.
    #[must_use]
    pub fn max_sessions(&self) -> usize {
        self.places.limit()
    }

    /// Completes when no session is open: connections that were upgraded are not waited for otherwise.
    pub async fn all_ended(&self) {
        self.places.all_free().await;
    }
}

/// Whether the request opens a socket with a valid client secret, whose page need not be of this server.
pub fn opens_with_secret(context: &Context, request: &Request) -> bool {
    SOCKET_PATHS.contains(&request.uri().path())
        && access::secret_of(context, request.headers()).is_some()
}
