//! Issues client secrets.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::access::now_s;
use super::configuration::{Configuration, SessionForm};
use super::connect::new_session_id;
use super::field_reader::{Change, FieldReader, InvalidField, Object};
use super::realtime::session_object;
use crate::caller::Caller;
use crate::http::Context;
use crate::http::error::{ApiError, LiveError};
use crate::http::openapi::SecretErrors;

/// Longest body, in bytes; the session of a secret is far shorter.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Time in which a secret opens a socket if none is named, in seconds.
const DEFAULT_SECONDS: u64 = 600;

/// A request for a client secret; every field is optional.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body; its reader names invalid fields"
)]
pub struct ClientSecretRequest {
    /// When the secret expires.
    expires_after: Option<ExpiresAfter>,
    /// The session's configuration, which the client cannot change: as in `session.update`.
    #[schema(value_type = Option<Object>)]
    session: Option<Value>,
}

/// When a secret expires.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body")]
pub struct ExpiresAfter {
    /// `created_at`
    anchor: Option<String>,
    /// Seconds.
    #[schema(minimum = 10, maximum = 7200, default = 600)]
    seconds: Option<u64>,
}

/// A client secret, with the session that it opens.
#[derive(Serialize, ToSchema)]
pub struct ClientSecret {
    /// The secret; it takes the place of the key.
    value: String,
    /// When it expires, in seconds since 1970. A session that is open then goes on.
    expires_at: u64,
    /// The session.
    #[schema(value_type = Object)]
    session: Value,
}

/// Issues a client secret.
///
/// A browser or a device opens a live session with it, and nothing else. The session named here cannot be changed
/// by the client.
#[utoipa::path(
    post,
    path = "/v1/realtime/client_secrets",
    operation_id = "createClientSecret",
    tag = "live",
    request_body = Option<ClientSecretRequest>,
    responses((status = 200, description = "The secret.", body = ClientSecret), SecretErrors),
)]
pub async fn create_client_secret(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Json<ClientSecret>, ApiError> {
    let caller = Caller::of(request.extensions());
    let body = read_object(request.into_body()).await?;
    let seconds = seconds(&FieldReader::new(&body, "")).map_err(|invalid| {
        LiveError::invalid_value(invalid.path, &invalid.value, &invalid.expected)
    })?;
    let session = match body.get("session") {
        None | Some(Value::Null) => Object::new(),
        Some(Value::Object(session)) => session.clone(),
        Some(other) => {
            let value = other.to_string();
            return Err(LiveError::invalid_value("session".into(), &value, "an object").into());
        }
    };
    let mut configuration = Configuration::default();
    configuration.update(&session, SessionForm::Nested, &context.settings)?;
    let expires_at = now_s() + seconds;
    let value = sign(&context, caller, &session, expires_at)?;
    let id = new_session_id(expires_at);
    let session = session_object(&id, &configuration, SessionForm::Nested);
    Ok(Json(ClientSecret {
        value,
        expires_at,
        session: Value::Object(session),
    }))
}

/// Issues a client secret in the form of OpenAI's beta.
///
/// The body is the session, in the flat form.
#[utoipa::path(
    post,
    path = "/v1/realtime/transcription_sessions",
    operation_id = "createTranscriptionSession",
    tag = "live",
    request_body(content = Option<Object>, description = "The session, as in `transcription_session.update`."),
    responses(
        (status = 200, description = "The session with `client_secret`.", body = Value),
        SecretErrors,
    ),
)]
pub async fn create_transcription_session(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let caller = Caller::of(request.extensions());
    let session = read_object(request.into_body()).await?;
    let mut configuration = Configuration::default();
    configuration.update(&session, SessionForm::Flat, &context.settings)?;
    let expires_at = now_s() + DEFAULT_SECONDS;
    let nested = SessionForm::Flat.nested(&session);
    let value = sign(&context, caller, &nested, expires_at)?;
    let id = new_session_id(expires_at);
    let mut session = session_object(&id, &configuration, SessionForm::Flat);
    let secret = serde_json::json!({ "value": value, "expires_at": expires_at });
    session.insert("client_secret".to_owned(), secret);
    Ok(Json(Value::Object(session)))
}

fn sign(
    context: &Context,
    caller: Caller,
    session: &Object,
    expires_at: u64,
) -> Result<String, LiveError> {
    let key = match caller {
        Caller::Key(index) => context.settings.api_keys.get(index),
        Caller::Network(_) => None,
    };
    context.live.secrets.sign(key, session, expires_at)
}

/// The JSON object in a body; empty if the body is, or is null.
async fn read_object(body: Body) -> Result<Object, ApiError> {
    let bytes = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
        let limit = MAX_BODY_BYTES as u64;
        ApiError::UploadTooLarge { limit }
    })?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Object::new());
    }
    let object: Result<Option<Object>, _> = serde_json::from_slice(&bytes);
    object
        .map(Option::unwrap_or_default)
        .map_err(|error| LiveError::MalformedJson(error.to_string()).into())
}

fn seconds(body: &FieldReader<'_>) -> Result<u64, InvalidField> {
    let mut seconds = DEFAULT_SECONDS;
    if let Change::Set(fields) = body.object("expires_after")? {
        fields.word("anchor", &["created_at"])?;
        let change = fields.integer("seconds", 10..=7_200)?;
        change.apply_or(&mut seconds, DEFAULT_SECONDS);
    }
    Ok(seconds)
}
