//! The models in memory: shown, loaded, unloaded.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Serialize;

use super::error::ApiError;
use super::models::{PathId, not_found, path_name, resolve};
use super::{Context, door};
use crate::engine::EnginePlan;
use crate::models::{InMemory, ModelError, ModelId, UnloadError};
use crate::transcribe::TranscribeError;

/// The models in memory: their names, and what there is to say about each.
#[derive(Serialize)]
pub struct Loaded {
    models: Vec<String>,
    details: Vec<Details>,
}

/// A model in memory.
#[derive(Serialize)]
pub struct Details {
    id: String,
    engines: usize,
    memory_bytes: u64,
    plan: Vec<Engine>,
    in_use: bool,
    idle_s: Option<f64>,
    expires_in_s: Option<f64>,
}

/// How one engine of a model runs batches of 30 s; bytes are those of a card's memory.
#[derive(Serialize)]
pub struct Engine {
    device: String,
    windows: usize,
    encoder_windows: usize,
    planned_bytes: Option<u64>,
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
}

/// `GET /api/ps`: the models in memory.
pub async fn list_loaded(State(context): State<Arc<Context>>) -> Json<Loaded> {
    let details: Vec<_> = details(&context).collect();
    Json(Loaded {
        models: details.iter().map(|model| model.id.clone()).collect(),
        details,
    })
}

/// `POST /api/ps/{id}`: loads a model.
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

/// `DELETE /api/ps/{id}`: unloads a model; its memory is free when this is answered.
pub async fn unload_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: PathId,
) -> Result<StatusCode, ApiError> {
    let (_, id) = named(&context, &uri, id)?;
    context.transcriber.models().unload(&id).await?;
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
    let describe = |model: InMemory| Details {
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
