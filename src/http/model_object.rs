//! The response object of a model on disk.

use serde::Serialize;
use utoipa::ToSchema;

use super::Context;
use super::engine_plan::EnginePlanResponse;
use crate::models::{ModelId, StoredModel, StoredSpeakerModel};

/// Owner of a model whose name has none.
const DEFAULT_OWNER: &str = "halkspeech";

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
    /// `automatic-speech-recognition`, or `speaker-diarization`.
    task: &'static str,
    /// The Whisper model family, such as `large-v3`; only of models that transcribe.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    /// Number of parameters (weights); only of models that transcribe.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    /// Data type of the weights in its file.
    compute_type: &'static str,
    /// Number of mel bands; only of models that transcribe.
    #[serde(skip_serializing_if = "Option::is_none")]
    n_mels: Option<usize>,
    /// Other names for it.
    aliases: Vec<String>,
    /// The model that an alias refers to; present only in entries of aliases.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_of: Option<String>,
    /// One plan per engine, while the model is in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<EnginePlanResponse>>,
}

/// The response object of the model on disk with this name.
pub fn find_model(context: &Context, id: &ModelId) -> Option<ModelObject> {
    let catalog = context.transcriber.models().catalog();
    if let Some(model) = catalog.find_speaker_model(id) {
        return Some(speaker_model_object(context, &model));
    }
    let model = catalog.find(id)?;
    Some(model_object(context, &model, &aliases(context)))
}

/// The response objects of all models on disk, followed by one for each of their aliases.
pub fn describe_models(context: &Context) -> Vec<ModelObject> {
    let stored = context.transcriber.models().catalog().list();
    let aliases = aliases(context);
    let mut data: Vec<ModelObject> = stored
        .iter()
        .map(|model| model_object(context, model, &aliases))
        .collect();
    let alias_entries = aliases.iter().filter_map(|(name, id)| {
        let model = stored.iter().find(|model| model.id == *id)?;
        Some(ModelObject {
            id: name.clone(),
            aliases: Vec::new(),
            alias_of: Some(id.to_string()),
            ..model_object(context, model, &[])
        })
    });
    let speakers = context.transcriber.models().catalog().speaker_model();
    data.extend(speakers.map(|model| speaker_model_object(context, &model)));
    data.extend(alias_entries);
    data
}

fn speaker_model_object(context: &Context, model: &StoredSpeakerModel) -> ModelObject {
    ModelObject {
        id: model.id.to_string(),
        object: "model",
        created: model.created,
        owned_by: model.id.owner().unwrap_or(DEFAULT_OWNER).to_owned(),
        loaded: context.transcriber.models().speakers().is_loaded(),
        size_bytes: model.size_bytes,
        language: Vec::new(),
        task: "speaker-diarization",
        family: None,
        parameters: None,
        compute_type: "float32",
        n_mels: None,
        aliases: Vec::new(),
        alias_of: None,
        plan: None,
    }
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
        family: Some(model.shape.family()),
        parameters: Some(model.shape.parameters),
        compute_type: model.shape.stored_type.name(),
        n_mels: Some(model.shape.n_mels),
        aliases: aliases.map(|(name, _)| name.clone()).collect(),
        alias_of: None,
        plan: plan.last(),
    }
}
