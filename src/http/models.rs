//! The models on disk, in OpenAI's shape.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Serialize;

use super::Context;
use super::error::ApiError;
use crate::models::{ModelId, StoredModel};

/// Owner of a model whose name tells none.
const NO_OWNER: &str = "halkspeech";

/// OpenAI's list object.
#[derive(Serialize)]
pub struct List {
    object: &'static str,
    data: Vec<Model>,
}

/// OpenAI's model object with fields of ours after its own.
#[derive(Serialize)]
pub struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
    loaded: bool,
    size_bytes: u64,
    task: &'static str,
}

/// `GET /v1/models`: every whole model on disk.
pub async fn list_models(State(context): State<Arc<Context>>) -> Result<Json<List>, ApiError> {
    let loaded: HashSet<ModelId> = context.transcriber.models().names().into_iter().collect();
    let stored = stored_models(&context).await?;
    let data = stored
        .into_iter()
        .map(|model| describe(&model, loaded.contains(&model.id)));
    Ok(Json(List {
        object: "list",
        data: data.collect(),
    }))
}

/// `GET /v1/models/{id}`: one model, by its name or an alias.
pub async fn show_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, ApiError> {
    // A name that is not UTF-8 is no model's, so the caller may see it as it was written.
    let name = match name {
        Ok(Path(name)) => name,
        Err(_) => uri.path().trim_start_matches("/v1/models/").to_owned(),
    };
    let stored = stored_models(&context).await?;
    let id = context.aliases.resolve(&name).ok();
    match stored.iter().find(|model| Some(&model.id) == id.as_ref()) {
        Some(model) => {
            let loaded = context.transcriber.models().names().contains(&model.id);
            Ok(Json(describe(model, loaded)))
        }
        None => Err(ApiError::ModelNotFound {
            name,
            present: names(&stored),
        }),
    }
}

/// The error for a model that is not on disk, with the names of those that are.
pub async fn not_found(context: &Context, name: String) -> ApiError {
    match stored_models(context).await {
        Ok(stored) => ApiError::ModelNotFound {
            name,
            present: names(&stored),
        },
        Err(error) => error,
    }
}

fn names(stored: &[StoredModel]) -> Vec<String> {
    stored.iter().map(|model| model.id.to_string()).collect()
}

async fn stored_models(context: &Context) -> Result<Vec<StoredModel>, ApiError> {
    let store = context.transcriber.models().store().clone();
    let reading = tokio::task::spawn_blocking(move || store.list());
    reading
        .await
        .map_err(|panic| ApiError::Panicked(panic.to_string()))
}

fn describe(model: &StoredModel, loaded: bool) -> Model {
    Model {
        id: model.id.to_string(),
        object: "model",
        created: model.created,
        owned_by: model.id.owner().unwrap_or(NO_OWNER).to_owned(),
        loaded,
        size_bytes: model.size_bytes,
        task: "automatic-speech-recognition",
    }
}
