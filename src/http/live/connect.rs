//! Upgrades requests to sockets.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri};
use axum::response::Response;
use serde::Deserialize;
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::access::{self, SecretSession, now_s};
use super::configuration::{Configuration, SessionForm};
use super::places::SessionPlace;
use super::protocol::Protocol;
use super::realtime::{MAX_DURATION, Realtime, SessionId};
use super::simple::{Simple, SimpleParameters};
use super::socket::{self, MAX_MESSAGE_BYTES};
use crate::caller::Caller;
use crate::http::admission::count_refusal;
use crate::http::error::{ApiError, LiveError};
use crate::http::listen::ConnectionPlace;
use crate::http::openapi::{LiveErrors, SimpleStreamParameters};
use crate::http::request_id::RequestId;
use crate::http::{Context, Phase};
use crate::telemetry::{CloseLabels, LiveLabels, RefusalReason};

/// The subprotocol that is answered; others, such as keys, are not.
const PROTOCOL: &str = "realtime";
/// The subprotocol of a beta client.
const BETA_PROTOCOL: &str = "openai-beta.realtime-v1";
/// The header of a beta client, and its value.
const BETA_HEADER: (HeaderName, &str) = (HeaderName::from_static("openai-beta"), "realtime=v1");
/// A message a little over the limit is read to its end, so that the client gets the close frame.
const MAX_READ_BYTES: usize = MAX_MESSAGE_BYTES + (1 << 20);

#[derive(Deserialize)]
struct RealtimeQuery {
    model: Option<String>,
}

/// A request that may be upgraded.
struct Admitted {
    upgrade: WebSocketUpgrade,
    caller: Caller,
    session: SecretSession,
    place: SessionPlace,
    /// Keeps the connection counted; none in tests without a listener.
    connection: Option<ConnectionPlace>,
    request_id: RequestId,
    headers: HeaderMap,
    uri: Uri,
}

/// Counts an open session; dropping it counts its end.
struct OpenSessionGauge {
    context: Arc<Context>,
    protocol: &'static str,
}

/// Opens a realtime session.
///
/// A WebSocket with OpenAI's realtime events for transcription; `docs/asyncapi.yaml` describes them. The key is
/// sent as `Authorization: Bearer`, or as the subprotocol `openai-insecure-api-key.<key>` after `realtime`; a
/// client secret takes the place of the key.
#[utoipa::path(
    get,
    path = "/v1/realtime",
    operation_id = "connectRealtime",
    tag = "live",
    params(
        ("model" = Option<String>, Query,
            description = "The model, unless `session.update` names one. An unknown model is an error only when \
                audio arrives."),
        ("intent" = Option<String>, Query, description = "Ignored: the session always transcribes."),
    ),
    responses((status = 101, description = "The socket is open."), LiveErrors),
)]
pub async fn connect_realtime(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, ApiError> {
    let admitted = admit(&context, request).await?;
    let Query(query) = Query::<RealtimeQuery>::try_from_uri(&admitted.uri)
        .map_err(|error| ApiError::MalformedQuery(error.body_text()))?;
    let mut configuration = Configuration::default();
    let fixed = admitted.session.0.clone();
    configuration.fix(fixed, &context.settings)?;
    if let Some(model) = query.model {
        configuration.set_default_model(&model);
    }
    let form = if is_beta(&admitted.headers) {
        SessionForm::Flat
    } else {
        SessionForm::Nested
    };
    let protocol = Realtime::new(
        new_session_id(now_s() + MAX_DURATION.as_secs()),
        form,
        configuration,
        context.settings.clone(),
        admitted.request_id.clone(),
    );
    Ok(upgrade(context, admitted, protocol))
}

/// Opens a simple stream.
///
/// A WebSocket: binary messages of 16-bit samples, little endian, then `{"type":"audio.done"}` or an empty binary
/// message; JSON messages `ready`, `transcript.partial`, `transcript.final` and `error` come back.
#[utoipa::path(
    get,
    path = "/v1/audio/transcriptions/stream",
    operation_id = "connectStream",
    tag = "live",
    params(SimpleStreamParameters),
    responses((status = 101, description = "The socket is open."), LiveErrors),
)]
pub async fn connect_stream(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, ApiError> {
    let admitted = admit(&context, request).await?;
    let fixed = admitted.session.0.clone();
    let parameters = SimpleParameters::read(&admitted.uri, fixed, &context.settings)?;
    // There is no way to name another model later.
    parameters.configuration.session_config(&context)?;
    let protocol = Simple::new(parameters, admitted.request_id.clone());
    Ok(upgrade(context, admitted, protocol))
}

/// Refuses WebRTC and SIP with the name of the socket.
pub async fn refuse_webrtc(uri: Uri) -> ApiError {
    let path = uri.path().to_owned();
    LiveError::NotOffered { path }.into()
}

/// Checks everything that is answered without an upgrade.
async fn admit(context: &Arc<Context>, request: Request) -> Result<Admitted, ApiError> {
    let (mut head, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &()).await;
    let upgrade = upgrade.map_err(|_| LiveError::UpgradeRequired)?;
    match *context.phase.borrow() {
        Phase::Starting | Phase::Ready => {}
        Phase::Draining | Phase::CutOff => return Err(ApiError::Draining),
    }
    let Parts {
        extensions,
        headers,
        uri,
        ..
    } = head;
    let caller = Caller::of(&extensions);
    let place = context.live.places.take(caller).map_err(|error| {
        let reason = match error {
            LiveError::SessionShareExceeded { .. } => RefusalReason::LiveShare,
            _ => RefusalReason::LiveSessions,
        };
        count_refusal(&context.metrics, reason);
        error
    })?;
    if let Some(limit) = &context.caller_limits.requests
        && let Err(exceeded) = limit.count(caller)
    {
        count_refusal(&context.metrics, RefusalReason::RateLimit);
        return Err(ApiError::RateLimitReached(exceeded));
    }
    Ok(Admitted {
        upgrade,
        caller,
        session: extensions.get().cloned().unwrap_or_default(),
        place,
        connection: extensions.get().cloned(),
        request_id: RequestId::current(),
        headers,
        uri,
    })
}

fn upgrade<P: Protocol + 'static>(
    context: Arc<Context>,
    admitted: Admitted,
    protocol: P,
) -> Response {
    let Admitted {
        upgrade,
        caller,
        place,
        connection,
        request_id,
        ..
    } = admitted;
    // A span of its own: the request's ends with the upgrade.
    let span = tracing::info_span!(
        parent: None,
        "live_session",
        live.protocol = protocol.name(),
        request.id = request_id.0,
        live.close = field::Empty,
    );
    let connection = connection.and_then(|connection| connection.hold());
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(MAX_READ_BYTES)
        .max_frame_size(MAX_READ_BYTES)
        .on_failed_upgrade(|error| tracing::debug!(%error, "upgrade failed"))
        .on_upgrade(move |socket| {
            let serving = async move {
                let name = protocol.name();
                let gauge = OpenSessionGauge::new(Arc::clone(&context), name);
                tracing::debug!("live session opened");
                let reason = socket::serve(socket, protocol, context, caller).await;
                gauge.close(reason.label());
                Span::current().record("live.close", reason.label());
                tracing::debug!(live.close = reason.label(), "live session closed");
                drop((place, connection));
            };
            serving.instrument(span)
        })
}

/// A new identification.
pub fn new_session_id(expires_at: u64) -> SessionId {
    SessionId {
        id: format!("sess_{}", Uuid::new_v4().simple()),
        expires_at,
    }
}

fn is_beta(headers: &HeaderMap) -> bool {
    let (name, value) = BETA_HEADER;
    let mut values = headers.get_all(name).iter();
    values.any(|header| header.to_str().is_ok_and(|text| text.contains(value)))
        || access::subprotocols(headers).any(|name| name == BETA_PROTOCOL)
}

impl OpenSessionGauge {
    fn new(context: Arc<Context>, protocol: &'static str) -> Self {
        let gauge = Self { context, protocol };
        gauge.add(1);
        gauge
    }

    fn close(self, code: &'static str) {
        let labels = CloseLabels { code };
        let closed = &self.context.metrics.live_closed;
        closed.get_or_create(&labels).inc();
    }

    fn add(&self, sessions: i64) {
        let protocol = self.protocol;
        let gauge = &self.context.metrics.live_sessions;
        gauge
            .get_or_create(&LiveLabels { protocol })
            .inc_by(sessions);
    }
}

impl Drop for OpenSessionGauge {
    fn drop(&mut self) {
        self.add(-1);
    }
}
