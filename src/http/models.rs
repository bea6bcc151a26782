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
use super::model_object::{ModelObject, describe_models, find_model};
use super::openapi::{DeletionErrors, ListErrors, ModelErrors, ModelName};
use crate::models::{DeleteError, ModelId, SpeakerModelError};
use crate::transcribe::TranscribeError;

/// OpenAI's list object.
#[derive(Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    object: &'static str,
    /// The models.
    data: Vec<ModelObject>,
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
    Json(ModelList {
        object: "list",
        data: describe_models(&context),
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
    let model = find_model(&context, &id);
    model
        .map(Json)
        .ok_or_else(|| not_found(&context, &name, &id))
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
    let models = context.transcriber.models();
    let deleted = match models.catalog().find_speaker_model(&id) {
        Some(stored) => {
            let deleted = models.speakers().delete(stored).await;
            deleted.map_err(|source| DeleteError::Store {
                id: id.clone(),
                source,
            })
        }
        None => models.delete(&id).await,
    };
    match deleted {
        Ok(()) => Ok(Json(DeletedModel {
            id: id.to_string(),
            object: "model",
            deleted: true,
        })),
        Err(DeleteError::NotFound(_)) => Err(not_found(&context, &name, &id)),
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

/// Resolves the name of a model that transcribes.
///
/// # Errors
/// As [`resolve`], and [`ApiError::ParameterConflict`] when the model finds speakers.
pub fn resolve_transcription_model(context: &Context, name: &str) -> Result<ModelId, ApiError> {
    let id = resolve(context, name)?;
    let catalog = context.transcriber.models().catalog();
    if catalog.find_speaker_model(&id).is_none() {
        return Ok(id);
    }
    let message = format!("The model '{id}' finds speakers and cannot transcribe");
    Err(ApiError::ParameterConflict {
        param: "model",
        message,
    })
}

/// Refuses a request that finds speakers if their networks are not on disk.
///
/// # Errors
/// [`SpeakerModelError::NotFound`].
pub fn check_speaker_model(context: &Context) -> Result<(), ApiError> {
    match context.transcriber.models().catalog().speaker_model() {
        Some(_) => Ok(()),
        None => Err(TranscribeError::SpeakerModel(SpeakerModelError::NotFound).into()),
    }
}

/// The model name in a path; if that is not UTF-8, the raw path for the error message.
pub fn model_name_in_path(uri: &Uri, id: ModelPath) -> String {
    match id {
        Ok(Path(name)) => name,
        Err(_) => uri.path().to_owned(),
    }
}

/// The error for a model that is not on disk, with the names of those that are; `name` was resolved to
/// `id`.
pub fn not_found(context: &Context, name: &str, id: &ModelId) -> ApiError {
    let stored = context.transcriber.models().catalog().list();
    ApiError::ModelNotFound {
        name: name.to_owned(),
        stands_for: (id.as_str() != name).then(|| id.clone()),
        available: stored.iter().map(|model| model.id.to_string()).collect(),
    }
}
