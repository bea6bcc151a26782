//! The caller's text of errors of loading, downloading, unloading and deleting models.

use axum::http::StatusCode;

use super::description::{
    Description, RETRY_WHEN_NO_SPACE, format_bytes, internal_error, is_disk_full, rate_limited,
    truncated, unavailable,
};
use super::speakers;
use crate::models::files::SPEAKER_MODEL;
use crate::models::{
    DeleteError, HubError, LoadError, ModelError, ModelId, StoreError, UnloadError,
};
use halkspeech_whisper::engine::EngineError;
use halkspeech_whisper::{TOKENIZER_FILE, VocabularyError};

/// Describes why a model cannot be used.
pub(super) fn describe(error: &ModelError) -> Description {
    match error {
        ModelError::NotFound(id) => not_found(id.as_str(), None, &[]),
        ModelError::Download { id, source } => describe_download(id, source),
        ModelError::TooLarge { id, needed, limit } => unavailable(&format!(
            "The model '{id}' needs about {}, but this server's limit for models is {}.",
            format_bytes(*needed),
            format_bytes(*limit)
        )),
        ModelError::Load {
            id,
            retry_in,
            source,
        } => unavailable(&format!(
            "The model '{id}' could not be loaded: {}.",
            reason(source)
        ))
        .retry_after(*retry_in),
    }
}

/// Describes why a model could not be downloaded.
pub(super) fn describe_download(id: &ModelId, error: &HubError) -> Description {
    let repository = id.repository();
    match error {
        HubError::NotFound { .. } => absent(&format!(
            "The hub has no model '{repository}', or it is private: set HF_TOKEN to a token with \
             access."
        )),
        HubError::RevisionNotFound { .. } => absent(&format!(
            "The hub's model '{repository}' has no revision '{}'.",
            id.revision().unwrap_or("main")
        )),
        HubError::Offline { .. } => absent(&format!(
            "The model '{id}' is not on this server, and downloads are disabled (HF_HUB_OFFLINE)."
        )),
        HubError::Denied { .. } => Description::new(
            StatusCode::UNAUTHORIZED,
            &format!(
                "The hub denies access to '{repository}'. Accept the model's terms on the hub, and \
                 set HF_TOKEN to a token of an account with access."
            ),
        )
        .code("model_access_denied")
        .param("model"),
        HubError::RateLimited { retry_after } => {
            let description = rate_limited("The hub's rate limit for this server is reached.");
            match retry_after {
                Some(wait) => description.retry_after(*wait),
                None => description,
            }
        }
        HubError::NotWhisper {
            missing,
            is_transformers,
            ..
        } => not_whisper(repository, missing, *is_transformers),
        HubError::NoSpace { needed, free } => Description::new(
            StatusCode::INSUFFICIENT_STORAGE,
            &format!(
                "There is not enough disk space for '{id}': {} are needed and {} are free.",
                format_bytes(*needed),
                format_bytes(*free)
            ),
        )
        .code("insufficient_storage")
        .retry_after(RETRY_WHEN_NO_SPACE),
        HubError::Corrupt { file, .. } => unreachable_hub(&format!(
            "The file {file} of '{id}' does not match the hub's listing and was deleted."
        )),
        HubError::ListingTooLong { limit, .. } => unreachable_hub(&format!(
            "The hub's file list of '{id}' is longer than the limit of {}.",
            format_bytes(*limit as u64)
        )),
        HubError::Unavailable { .. } => {
            unreachable_hub("The hub cannot be reached or returned an error.")
        }
        HubError::Stalled { .. } => Description::new(
            StatusCode::GATEWAY_TIMEOUT,
            &format!(
                "The hub stopped sending '{id}'. The received part is kept; send the request again \
                 to resume."
            ),
        )
        .code("timeout"),
        HubError::Stopped => {
            unavailable("The server is shutting down; send the request again to resume.")
        }
        HubError::Io { source, .. } if is_disk_full(source) => Description::new(
            StatusCode::INSUFFICIENT_STORAGE,
            &format!(
                "There is not enough disk space for '{id}'. The received part is kept; send the \
                 request again to resume."
            ),
        )
        .code("insufficient_storage")
        .retry_after(RETRY_WHEN_NO_SPACE),
        HubError::Io { .. } | HubError::Panicked | HubError::Client { .. } => {
            internal_error(&format!("The model '{id}' could not be stored."))
        }
    }
}

/// Describes why a model is not unloaded.
pub(super) fn describe_unload(error: &UnloadError) -> Description {
    match error {
        UnloadError::NotLoaded(id) => absent(&format!("The model '{id}' is not loaded.")),
        UnloadError::InUse(id) => in_use(id),
    }
}

/// Describes why a model is not deleted.
pub(super) fn describe_delete(error: &DeleteError) -> Description {
    match error {
        DeleteError::NotFound(id) => not_found(id.as_str(), None, &[]),
        DeleteError::InUse(id) => in_use(id),
        DeleteError::Downloading(id) => conflict(&format!("The model '{id}' is being downloaded.")),
        DeleteError::Store {
            id,
            source: StoreError::BehindLink { .. },
        } => conflict(&format!(
            "The files of the model '{id}' are behind a link that also leads to other files, and \
             were not deleted. Remove the link on the server."
        )),
        DeleteError::Store { id, .. } => internal_error(&format!(
            "The files of the model '{id}' could not be deleted."
        )),
    }
}

/// A model that is not on disk, under the name that was sent.
pub(super) fn not_found(
    name: &str,
    stands_for: Option<&ModelId>,
    available: &[String],
) -> Description {
    if name.eq_ignore_ascii_case(SPEAKER_MODEL) {
        return speakers::absent().param("model");
    }
    let name = truncated(name);
    let (model, name) = match stands_for {
        Some(id) => (
            format!("'{name}' stands for the model '{id}', which"),
            id.to_string(),
        ),
        None => (format!("The model '{name}'"), name),
    };
    let available = match available {
        [] => String::new(),
        names => format!(" Available models: {}.", names.join(", ")),
    };
    Description::new(
        StatusCode::NOT_FOUND,
        &format!(
            "{model} is not on this server. To download it from the Hugging Face hub, \
             send POST /v1/models/{name}; put your own CTranslate2 model into a folder of that name \
             in MODELS_DIR.{available}"
        ),
    )
    .code("model_not_found")
    .param("model")
}

/// A conflict with the current state of the model.
pub(super) fn conflict(message: &str) -> Description {
    Description::new(StatusCode::CONFLICT, message)
        .code("conflict")
        .param("model")
}

fn in_use(id: &ModelId) -> Description {
    conflict(&format!(
        "The model '{id}' is in use. Try again when its requests are finished."
    ))
}

fn absent(message: &str) -> Description {
    Description::new(StatusCode::NOT_FOUND, message)
        .code("model_not_found")
        .param("model")
}

fn unreachable_hub(message: &str) -> Description {
    Description::new(StatusCode::BAD_GATEWAY, message).code("hub_unavailable")
}

fn not_whisper(repository: &str, missing: &[String], is_transformers: bool) -> Description {
    let missing = missing.join(", ");
    let mut message =
        format!("'{repository}' is not a CTranslate2 Whisper model: it has no {missing}.");
    if is_transformers {
        let folder = repository.rsplit('/').next().unwrap_or(repository);
        message.push_str(&format!(
            " It can be converted: ct2-transformers-converter --model {repository} --output_dir \
             {folder} --copy_files tokenizer.json preprocessor_config.json --quantization \
             float16; put the folder into MODELS_DIR."
        ));
    }
    Description::new(StatusCode::BAD_REQUEST, &message)
        .code("invalid_value")
        .param("model")
}

/// The reason why a model does not load, without paths of the server.
fn reason(error: &LoadError) -> String {
    match error {
        LoadError::Vocabulary(VocabularyError::Read { .. }) => {
            format!("its {TOKENIZER_FILE} cannot be read")
        }
        LoadError::Vocabulary(VocabularyError::Parse { .. }) => {
            format!("its {TOKENIZER_FILE} is not valid")
        }
        LoadError::Vocabulary(VocabularyError::MissingToken { token, .. }) => {
            format!("its {TOKENIZER_FILE} lacks Whisper's token {token}")
        }
        LoadError::Vocabulary(VocabularyError::IdTooHigh { id, .. }) => {
            format!("its {TOKENIZER_FILE} has a token id that is too high ({id})")
        }
        LoadError::Engine(
            EngineError::Load(text) | EngineError::Batch(text) | EngineError::OutOfMemory(text),
        ) => text.clone(),
        LoadError::Panicked => "the server failed while loading it".to_owned(),
    }
}
