//! The models on disk, in OpenAI's shape.

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
use super::openapi::{ModelName, OfDeletion, OfListing, OfNaming};
use crate::models::{DeleteError, ModelId, StoredModel};

/// Owner of a model whose name tells none.
const NO_OWNER: &str = "halkspeech";

/// OpenAI's list object.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelList)]
pub struct List {
    /// `list`.
    object: &'static str,
    /// The models.
    data: Vec<Model>,
}

/// OpenAI's model object with fields of ours after its own.
#[derive(Serialize, ToSchema)]
pub struct Model {
    /// Its name, which may have a slash.
    id: String,
    /// `model`.
    object: &'static str,
    /// When it came here, in seconds since 1970.
    created: u64,
    /// The owner in its name.
    owned_by: String,
    /// Whether it is in memory.
    loaded: bool,
    /// The size of all its files.
    size_bytes: u64,
    /// The codes of the languages it knows.
    language: Vec<String>,
    /// `automatic-speech-recognition`.
    task: &'static str,
    /// The Whisper it is, such as `large-v3`.
    family: String,
    /// How many numbers it has learnt.
    parameters: u64,
    /// The number format of its file.
    compute_type: &'static str,
    /// Bands of its features.
    n_mels: usize,
    /// Other names for it.
    aliases: Vec<String>,
    /// Only where this entry is one of those names: the model that it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_of: Option<String>,
    /// One an engine, while the model is in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<EnginePlanResponse>>,
}

/// OpenAI's answer to a deletion.
#[derive(Serialize, ToSchema)]
#[schema(as = DeletedModel)]
pub struct Deleted {
    /// Its name.
    id: String,
    /// `model`.
    object: &'static str,
    /// `true`.
    deleted: bool,
}

/// The `{id}` of a path, which has slashes; `None` for one that is not UTF-8.
pub type ModelPath = Result<Path<String>, PathRejection>;

/// Lists the models on disk.
///
/// The aliases of models follow as entries of their own, so that a client which offers what is listed
/// offers them too.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "listModels",
    tag = "models",
    responses(
        (status = 200, description = "Every whole model, and every alias of one.", body = List),
        OfListing,
    ),
)]
pub async fn list_models(State(context): State<Arc<Context>>) -> Json<List> {
    let stored = context.transcriber.models().catalog().list();
    let names = aliases(&context);
    let mut data: Vec<Model> = stored
        .iter()
        .map(|model| entry(&context, model, &names))
        .collect();
    let of_names = names.iter().filter_map(|(name, id)| {
        let model = stored.iter().find(|model| model.id == *id)?;
        Some(Model {
            id: name.clone(),
            aliases: Vec::new(),
            alias_of: Some(id.to_string()),
            ..entry(&context, model, &[])
        })
    });
    data.extend(of_names);
    Json(List {
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
    responses((status = 200, description = "The model.", body = Model), OfNaming),
)]
pub async fn show_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: ModelPath,
) -> Result<Json<Model>, ApiError> {
    let name = model_name_in_path(&uri, id);
    let id = resolve(&context, &name)?;
    match context.transcriber.models().catalog().find(&id) {
        Some(model) => Ok(Json(describe(&context, &model))),
        None => Err(not_found(&context, &name)),
    }
}

/// Removes a model's files.
#[utoipa::path(
    delete,
    path = "/v1/models/{*id}",
    operation_id = "deleteModel",
    tag = "models",
    params(ModelName),
    responses((status = 200, description = "It is gone.", body = Deleted), OfDeletion),
)]
pub async fn delete_model(
    State(context): State<Arc<Context>>,
    uri: Uri,
    id: ModelPath,
) -> Result<Json<Deleted>, ApiError> {
    let name = model_name_in_path(&uri, id);
    let id = resolve(&context, &name)?;
    match context.transcriber.models().delete(&id).await {
        Ok(()) => Ok(Json(Deleted {
            id: id.to_string(),
            object: "model",
            deleted: true,
        })),
        Err(DeleteError::NotFound(_)) => Err(not_found(&context, &name)),
        Err(error) => Err(ApiError::Delete(error)),
    }
}

/// The model that a name or an alias means.
///
/// # Errors
/// [`ApiError::InvalidModelId`] when nothing can be called so.
pub fn resolve(context: &Context, name: &str) -> Result<ModelId, ApiError> {
    let catalog = context.transcriber.models().catalog();
    let id = context.aliases.resolve(name, &**catalog);
    id.map_err(|source| ApiError::InvalidModelId {
        name: name.to_owned(),
        source,
    })
}

/// The name in a path; one that is not UTF-8 is no model's, so it is shown as it was written.
pub fn model_name_in_path(uri: &Uri, id: ModelPath) -> String {
    match id {
        Ok(Path(name)) => name,
        Err(_) => uri.path().to_owned(),
    }
}

/// The error for a model that is not on disk, with the names of those that are.
pub fn not_found(context: &Context, name: &str) -> ApiError {
    let stored = context.transcriber.models().catalog().list();
    ApiError::ModelNotFound {
        name: name.to_owned(),
        present: stored.iter().map(|model| model.id.to_string()).collect(),
    }
}

/// A model on disk as an answer shows it.
pub fn describe(context: &Context, model: &StoredModel) -> Model {
    entry(context, model, &aliases(context))
}

/// The aliases of all models on disk, each with its model.
fn aliases(context: &Context) -> Vec<(String, ModelId)> {
    let catalog = context.transcriber.models().catalog();
    context.aliases.list(&**catalog)
}

fn entry(context: &Context, model: &StoredModel, names: &[(String, ModelId)]) -> Model {
    let models = context.transcriber.models();
    let names = names.iter().filter(|(_, id)| *id == model.id);
    let in_memory = models.list().into_iter();
    let in_memory = in_memory.filter(|other| other.stored.id == model.id);
    let plan = in_memory.map(|model| model.engine_plans.into_iter().map(EnginePlanResponse::from).collect());
    Model {
        id: model.id.to_string(),
        object: "model",
        created: model.created,
        owned_by: model.id.owner().unwrap_or(NO_OWNER).to_owned(),
        loaded: models.is_loaded(&model.id),
        size_bytes: model.size_bytes,
        language: model.languages.to_vec(),
        task: "automatic-speech-recognition",
        family: model.shape.family(),
        parameters: model.shape.parameters,
        compute_type: model.shape.stored_type.as_str(),
        n_mels: model.shape.n_mels,
        aliases: names.map(|(name, _)| name.clone()).collect(),
        alias_of: None,
        plan: plan.last(),
    }
}
