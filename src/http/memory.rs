//! The models in memory: shown, loaded, unloaded.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::models::{PathId, not_found, path_name, resolve};
use super::openapi::{ModelName, OfListing, OfLoading, OfUnloading};
use super::{Context, door};
use crate::engine::EnginePlan;
use crate::models::{LoadedModelInfo, ModelError, ModelId, UnloadError};
use crate::transcribe::TranscribeError;

/// The models in memory: their names, and what there is to say about each.
#[derive(Serialize, ToSchema)]
#[schema(as = LoadedModels)]
pub struct Loaded {
    /// Their names.
    models: Vec<String>,
    /// More of each.
    details: Vec<Details>,
}

/// A model in memory.
#[derive(Serialize, ToSchema)]
#[schema(as = LoadedModel)]
pub struct Details {
    /// Its name.
    id: String,
    /// How many engines run it.
    engines: usize,
    /// What its weights take.
    memory_bytes: u64,
    /// One an engine.
    plan: Vec<Engine>,
    /// Whether a request uses it now.
    in_use: bool,
    /// For how long nobody has; null while in use.
    #[schema(required)]
    idle_s: Option<f64>,
    /// When it is unloaded unless it is used; null if never.
    #[schema(required)]
    expires_in_s: Option<f64>,
}

/// How one engine of a model runs batches of 30 s; bytes are those of a card's memory.
#[derive(Serialize, ToSchema)]
#[schema(as = EnginePlan)]
pub struct Engine {
    /// `cpu`, or a card such as `cuda:0`.
    device: String,
    /// Windows in a generation.
    windows: usize,
    /// Windows in a call of the encoder.
    encoder_windows: usize,
    /// What a batch is reckoned to take.
    #[schema(required)]
    planned_bytes: Option<u64>,
    /// What was free when it was planned.
    #[schema(required)]
    free_bytes: Option<u64>,
    /// What the card has.
    #[schema(required)]
    total_bytes: Option<u64>,
}

/// Lists the models in memory.
#[utoipa::path(
    get,
    path = "/api/ps",
    operation_id = "listLoadedModels",
    tag = "memory",
    responses((status = 200, description = "What is in memory.", body = Loaded), OfListing),
)]
pub async fn list_loaded(State(context): State<Arc<Context>>) -> Json<Loaded> {
    let details: Vec<_> = details(&context).collect();
    Json(Loaded {
        models: details.iter().map(|model| model.id.clone()).collect(),
        details,
    })
}

/// Loads a model.
#[utoipa::path(
    post,
    path = "/api/ps/{*id}",
    operation_id = "loadModel",
    tag = "memory",
    params(ModelName),
    responses((status = 201, description = "It is in memory.", body = Details), OfLoading),
)]
pub async fn load_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: PathId,
) -> Result<(StatusCode, Json<Details>), ApiError> {
    let (name, id) = named(&context, &uri, id)?;
    let loaded = tokio::select! {
        loaded = context.transcriber.models().load(&id) => loaded,
        () = door::draining(&context) => return Err(ApiError::Draining),
    };
    match loaded {
        Ok(true) => {}
        Ok(false) => return Err(ApiError::AlreadyLoaded(id)),
        Err(ModelError::NotFound(_)) => return Err(not_found(&context, &name)),
        Err(error) => return Err(TranscribeError::Model(error).into()),
    }
    // With no idle time at all it may be gone again by now.
    let model = details(&context).find(|model| model.id == id.as_str());
    let model = model.ok_or(UnloadError::NotLoaded(id))?;
    Ok((StatusCode::CREATED, Json(model)))
}

/// Unloads a model.
///
/// Its memory is free when this is answered.
#[utoipa::path(
    delete,
    path = "/api/ps/{*id}",
    operation_id = "unloadModel",
    tag = "memory",
    params(ModelName),
    responses((status = 204, description = "It is out of memory."), OfUnloading),
)]
pub async fn unload_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: PathId,
) -> Result<StatusCode, ApiError> {
    let (_, id) = named(&context, &uri, id)?;
    tokio::select! {
        unloaded = context.transcriber.models().unload(&id) => unloaded?,
        () = door::draining(&context) => return Err(ApiError::Draining),
    }
    Ok(StatusCode::NO_CONTENT)
}

fn named(context: &Context, uri: &Uri, id: PathId) -> Result<(String, ModelId), ApiError> {
    let name = path_name(uri, id);
    let id = resolve(context, &name)?;
    Ok((name, id))
}

impl From<EnginePlan> for Engine {
    fn from(plan: EnginePlan) -> Self {
        let memory = plan.memory;
        Self {
            device: plan.device,
            windows: plan.windows,
            encoder_windows: plan.encoder_windows,
            planned_bytes: memory.map(|memory| memory.planned),
            free_bytes: memory.map(|memory| memory.free),
            total_bytes: memory.map(|memory| memory.total),
        }
    }
}

fn details(context: &Context) -> impl Iterator<Item = Details> {
    let describe = |model: LoadedModelInfo| Details {
        id: model.stored.id.to_string(),
        engines: model.engine_plans.len(),
        memory_bytes: model.memory_bytes,
        plan: model.engine_plans.into_iter().map(Engine::from).collect(),
        in_use: model.idle.is_none(),
        idle_s: model.idle.map(|time| time.as_secs_f64()),
        expires_in_s: model.expires_in.map(|time| time.as_secs_f64()),
    };
    context
        .transcriber
        .models()
        .list()
        .into_iter()
        .map(describe)
}
