//! Lists, loads and unloads models in memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::engine_plan::EnginePlanResponse;
use super::error::ApiError;
use super::models::{ModelPath, model_name_in_path, not_found, resolve_transcription_model};
use super::openapi::{ListErrors, LoadErrors, ModelName, UnloadErrors};
use super::{Context, admission};
use crate::models::{LoadedModelInfo, ModelError, ModelId, UnloadError};
use crate::transcribe::TranscribeError;

/// The models in memory.
#[derive(Serialize, ToSchema)]
#[schema(as = LoadedModels)]
pub struct LoadedModelList {
    /// Their names.
    models: Vec<String>,
    /// Details of each.
    details: Vec<LoadedModelDetails>,
}

/// A model in memory.
#[derive(Serialize, ToSchema)]
#[schema(as = LoadedModel)]
pub struct LoadedModelDetails {
    /// Its name.
    id: String,
    /// Number of engines that run it.
    engines: usize,
    /// Size of its weights, in bytes.
    memory_bytes: u64,
    /// One plan per engine.
    plan: Vec<EnginePlanResponse>,
    /// Whether a request is using it.
    in_use: bool,
    /// Time since its last use, in seconds; null while in use.
    #[schema(required)]
    idle_s: Option<f64>,
    /// Time until it is unloaded unless it is used, in seconds; null if never.
    #[schema(required)]
    expires_in_s: Option<f64>,
}

/// Lists the models in memory.
#[utoipa::path(
    get,
    path = "/api/ps",
    operation_id = "listLoadedModels",
    tag = "memory",
    responses((status = 200, description = "The models in memory.", body = LoadedModelList), ListErrors),
)]
pub async fn list_loaded_models(State(context): State<Arc<Context>>) -> Json<LoadedModelList> {
    let details: Vec<_> = details(&context).collect();
    Json(LoadedModelList {
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
    responses((status = 201, description = "The model is loaded.", body = LoadedModelDetails), LoadErrors),
)]
pub async fn load_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: ModelPath,
) -> Result<(StatusCode, Json<LoadedModelDetails>), ApiError> {
    let (name, id) = model_in_path(&context, &uri, id)?;
    let loaded = tokio::select! {
        loaded = context.transcriber.models().load(&id) => loaded,
        () = admission::draining(&context) => return Err(ApiError::Draining),
    };
    match loaded {
        Ok(true) => {}
        Ok(false) => return Err(ApiError::AlreadyLoaded(id)),
        Err(ModelError::NotFound(_)) => return Err(not_found(&context, &name, &id)),
        Err(error) => return Err(TranscribeError::Model(error).into()),
    }
    // With an idle time of 0 it may already be unloaded again.
    let model = details(&context).find(|model| model.id == id.as_str());
    let model = model.ok_or(UnloadError::NotLoaded(id))?;
    Ok((StatusCode::CREATED, Json(model)))
}

/// Unloads a model.
///
/// Its memory is free when the response is sent.
#[utoipa::path(
    delete,
    path = "/api/ps/{*id}",
    operation_id = "unloadModel",
    tag = "memory",
    params(ModelName),
    responses((status = 204, description = "The model is unloaded."), UnloadErrors),
)]
pub async fn unload_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: ModelPath,
) -> Result<StatusCode, ApiError> {
    let (_, id) = model_in_path(&context, &uri, id)?;
    tokio::select! {
        unloaded = context.transcriber.models().unload(&id) => unloaded?,
        () = admission::draining(&context) => return Err(ApiError::Draining),
    }
    Ok(StatusCode::NO_CONTENT)
}

fn model_in_path(
    context: &Context,
    uri: &Uri,
    id: ModelPath,
) -> Result<(String, ModelId), ApiError> {
    let name = model_name_in_path(uri, id);
    let id = resolve_transcription_model(context, &name)?;
    Ok((name, id))
}

fn details(context: &Context) -> impl Iterator<Item = LoadedModelDetails> {
    let describe = |model: LoadedModelInfo| LoadedModelDetails {
        id: model.stored.id.to_string(),
        engines: model.engine_plans.len(),
        memory_bytes: model.memory_bytes,
        plan: model
            .engine_plans
            .into_iter()
            .map(EnginePlanResponse::from)
            .collect(),
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
