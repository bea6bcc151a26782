//! Lists, shows and deletes the models on disk, in OpenAI's schema.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::Context;
use super::error::ApiError;
use super::loaded_models::EnginePlanResponse;
use super::openapi::{DeletionErrors, ListErrors, ModelErrors, ModelName};
use crate::models::{DeleteError, ModelId, StoredModel};

/// Owner of a model whose name has none.
const DEFAULT_OWNER: &str = "halkspeech";

/// OpenAI's list object.
#[derive(Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    object: &'static str,
    /// The models.
    data: Vec<ModelObject>,
}

/// OpenAI's model object, followed by fields of this server.
#[derive(Serialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelObject {
    /// Its name, which may contain a slash.
    id: String,
    /// `model`.
    object: &'static str,
    /// Time it was stored, in seconds since 1970.
    created: u64,
    /// The owner in its name.
    owned_by: String,
    /// Whether it is in memory.
    loaded: bool,
    /// Size of all its files, in bytes.
    size_bytes: u64,
    /// Codes of the languages it supports.
    language: Vec<String>,
    /// `automatic-speech-recognition`.
    task: &'static str,
    /// The Whisper model family, such as `large-v3`.
    family: String,
    /// Number of parameters (weights).
    parameters: u64,
    /// Data type of the weights in its file.
    compute_type: &'static str,
    /// Number of mel bands.
    n_mels: usize,
    /// Other names for it.
    aliases: Vec<String>,
    /// The model that an alias refers to; present only in entries of aliases.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_of: Option<String>,
    /// One plan per engine, while the model is in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<EnginePlanResponse>>,
}

/// OpenAI's answer to a deletion.
#[derive(Serialize, ToSchema)]
pub struct DeletedModel {
    /// Its name.
    id: String,
    /// `model`.
    object: &'static str,
    /// `true`.
    deleted: bool,
}

/// The `{id}` of a path, which may contain slashes; an error if it is not UTF-8.
pub type ModelPath = Result<Path<String>, PathRejection>;

/// Lists the models on disk.
///
/// Aliases follow as separate entries, so that a client which offers the listed models offers them too.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "listModels",
    tag = "models",
    responses(
        (status = 200, description = "Every complete model, and every alias of one.", body = ModelList),
        ListErrors,
    ),
)]
pub async fn list_models(State(context): State<Arc<Context>>) -> Json<ModelList> {
    let stored = context.transcriber.models().catalog().list();
    let aliases = aliases(&context);
    let mut data: Vec<ModelObject> = stored
        .iter()
        .map(|model| model_object(&context, model, &aliases))
        .collect();
    let alias_entries = aliases.iter().filter_map(|(name, id)| {
        let model = stored.iter().find(|model| model.id == *id)?;
        Some(ModelObject {
            id: name.clone(),
            aliases: Vec::new(),
            alias_of: Some(id.to_string()),
            ..model_object(&context, model, &[])
        })
    });
    data.extend(alias_entries);
    Json(ModelList {
        object: "list",
        data,
    })
}

/// Shows a model on disk.
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    operation_id = "showModel",
    tag = "models",
    params(ModelName),
    responses((status = 200, description = "The model.", body = ModelObject), ModelErrors),
)]
pub async fn show_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: ModelPath,
) -> Result<Json<ModelObject>, ApiError> {
    let name = model_name_in_path(&uri, id);
    let id = resolve(&context, &name)?;
    match context.transcriber.models().catalog().find(&id) {
        Some(model) => Ok(Json(describe_model(&context, &model))),
        None => Err(not_found(&context, &name)),
    }
}

/// Deletes a model's files.
#[utoipa::path(
    delete,
    path = "/v1/models/{*id}",
    operation_id = "deleteModel",
    tag = "models",
    params(ModelName),
    responses((status = 200, description = "The model is deleted.", body = DeletedModel), DeletionErrors),
)]
pub async fn delete_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: ModelPath,
) -> Result<Json<DeletedModel>, ApiError> {
    let name = model_name_in_path(&uri, id);
    let id = resolve(&context, &name)?;
    match context.transcriber.models().delete(&id).await {
        Ok(()) => Ok(Json(DeletedModel {
            id: id.to_string(),
            object: "model",
            deleted: true,
        })),
        Err(DeleteError::NotFound(_)) => Err(not_found(&context, &name)),
        Err(error) => Err(ApiError::Delete(error)),
    }
}

/// Resolves a name or an alias to a model.
///
/// # Errors
/// [`ApiError::InvalidModelId`] when it is not a valid model name.
pub fn resolve(context: &Context, name: &str) -> Result<ModelId, ApiError> {
    let catalog = context.transcriber.models().catalog();
    let id = context.aliases.resolve(name, &**catalog);
    id.map_err(|source| ApiError::InvalidModelId {
        name: name.to_owned(),
        source,
    })
}

/// The model name in a path; if that is not UTF-8, the raw path for the error message.
pub fn model_name_in_path(uri: &Uri, id: ModelPath) -> String {
    match id {
        Ok(Path(name)) => name,
        Err(_) => uri.path().to_owned(),
    }
}

/// The error for a model that is not on disk, with the names of those that are.
pub fn not_found(context: &Context, name: &str) -> ApiError {
    let stored = context.transcriber.models().catalog().list();
    let id = resolve(context, name).ok();
    ApiError::ModelNotFound {
        name: name.to_owned(),
        stands_for: id.filter(|id| id.as_str() != name),
        available: stored.iter().map(|model| model.id.to_string()).collect(),
    }
}

/// The response object of a model on disk.
pub fn describe_model(context: &Context, model: &StoredModel) -> ModelObject {
    model_object(context, model, &aliases(context))
}

/// The aliases of all models on disk, each with its model.
fn aliases(context: &Context) -> Vec<(String, ModelId)> {
    let catalog = context.transcriber.models().catalog();
    context.aliases.list(&**catalog)
}

fn model_object(
    context: &Context,
    model: &StoredModel,
    aliases: &[(String, ModelId)],
) -> ModelObject {
    let models = context.transcriber.models();
    let aliases = aliases.iter().filter(|(_, id)| *id == model.id);
    let in_memory = models.list().into_iter();
    let in_memory = in_memory.filter(|other| other.stored.id == model.id);
    let plan = in_memory.map(|model| {
        model
            .engine_plans
            .into_iter()
            .map(EnginePlanResponse::from)
            .collect()
    });
    ModelObject {
        id: model.id.to_string(),
        object: "model",
        created: model.created,
        owned_by: model.id.owner().unwrap_or(DEFAULT_OWNER).to_owned(),
        loaded: models.is_loaded(&model.id),
        size_bytes: model.size_bytes,
        language: model.languages.to_vec(),
        task: "automatic-speech-recognition",
        family: model.shape.family(),
        parameters: model.shape.parameters,
        compute_type: model.shape.stored_type.name(),
        n_mels: model.shape.n_mels,
        aliases: aliases.map(|(name, _)| name.clone()).collect(),
        alias_of: None,
        plan: plan.last(),
    }
}
