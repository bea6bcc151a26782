//! What the caller is told about models that cannot be loaded, fetched or removed.

use axum::http::StatusCode;

use super::description::{
    Description, RETRY_WHEN_NO_SPACE, away, bytes, failed, full, is_full, not_found,
};
use crate::engine::EngineError;
use crate::models::{
    DeleteError, HubError, LoadError, ModelError, ModelId, StoreError, UnloadError,
};
use crate::tokens::VocabularyError;

/// Every reason why a model cannot be used.
pub(super) fn describe(error: &ModelError) -> Description {
    match error {
        ModelError::NotFound(id) => not_found(id.as_str(), None, &[]),
        ModelError::Download { id, source } => describe_download(id, source),
        ModelError::TooLarge { id, needed, limit } => away(&format!(
            "The model '{id}' needs about {}, and models may have {} on this server.",
            bytes(*needed),
            bytes(*limit)
        )),
        ModelError::Load {
            id,
            retry_in,
            source,
        } => away(&format!(
            "The model '{id}' could not be loaded: {}.",
            reason(source)
        ))
        .retry_after(*retry_in),
    }
}

/// Every reason why a model could not be fetched.
pub(super) fn describe_download(id: &ModelId, error: &HubError) -> Description {
    let repository = id.repository();
    match error {
        HubError::NotFound { .. } => absent(&format!(
            "The hub has no model '{repository}', or shows it only to those with access: set \
             HF_TOKEN if it is private."
        )),
        HubError::RevisionNotFound { .. } => absent(&format!(
            "The hub's model '{repository}' has no revision '{}'.",
            id.revision().unwrap_or("main")
        )),
        HubError::Offline { .. } => absent(&format!(
            "The model '{id}' is not on this server, which is set never to ask the hub \
             (HF_HUB_OFFLINE)."
        )),
        HubError::Denied { .. } => Description::new(
            StatusCode::UNAUTHORIZED,
            &format!(
                "The hub does not let this server have '{repository}'. Accept the model's terms \
                 on the hub, and set HF_TOKEN to a token of an account that has access."
            ),
        )
        .code("model_access_denied")
        .param("model"),
        HubError::RateLimited { retry_after } => {
            let told = full("The hub takes no more requests from this server for now.");
            match retry_after {
                Some(wait) => told.retry_after(*wait),
                None => told,
            }
        }
        HubError::NotWhisper {
            missing,
            is_transformers,
            ..
        } => no_whisper(repository, missing, *is_transformers),
        HubError::NoSpace { needed, free } => Description::new(
            StatusCode::INSUFFICIENT_STORAGE,
            &format!(
                "The disk has no room for '{id}': {} are needed and {} are free.",
                bytes(*needed),
                bytes(*free)
            ),
        )
        .code("insufficient_storage")
        .retry_after(RETRY_WHEN_NO_SPACE),
        HubError::Corrupt { file, .. } => unreachable_hub(&format!(
            "The file {file} of '{id}' is not what the hub says it is; it was thrown away."
        )),
        HubError::ListingTooLong { limit, .. } => unreachable_hub(&format!(
            "The hub's list of the files of '{id}' is longer than the limit of {}.",
            bytes(*limit as u64)
        )),
        HubError::Unavailable { .. } => unreachable_hub("The hub cannot be reached, or fails."),
        HubError::Stalled { .. } => Description::new(
            StatusCode::GATEWAY_TIMEOUT,
            &format!("The hub stopped sending '{id}'. What has come is kept: ask again to go on."),
        )
        .code("timeout"),
        HubError::Stopped => away("The server is shutting down; ask again to go on."),
        HubError::Io { source, .. } if is_full(source) => Description::new(
            StatusCode::INSUFFICIENT_STORAGE,
            &format!(
                "The disk has no more room for '{id}'. What has come is kept: ask again to go on."
            ),
        )
        .code("insufficient_storage")
        .retry_after(RETRY_WHEN_NO_SPACE),
        HubError::Io { .. } | HubError::Panicked | HubError::Client { .. } => {
            failed(&format!("The model '{id}' could not be stored."))
        }
    }
}

/// Every reason why a model is not unloaded.
pub(super) fn describe_unload(error: &UnloadError) -> Description {
    match error {
        UnloadError::NotLoaded(id) => absent(&format!("The model '{id}' is not loaded.")),
        UnloadError::InUse(id) => in_use(id),
    }
}

/// Every reason why a model is not deleted.
pub(super) fn describe_delete(error: &DeleteError) -> Description {
    match error {
        DeleteError::NotFound(id) => not_found(id.as_str(), None, &[]),
        DeleteError::InUse(id) => in_use(id),
        DeleteError::Downloading(id) => conflict(&format!("The model '{id}' is being downloaded.")),
        DeleteError::Store {
            id,
            source: StoreError::BehindLink { .. },
        } => conflict(&format!(
            "The files of the model '{id}' lie behind a link to other files too, and are not removed: \
             remove the link on the server."
        )),
        DeleteError::Store { id, .. } => failed(&format!(
            "The files of the model '{id}' could not be removed."
        )),
    }
}

/// Something stands in the way that may go away.
pub(super) fn conflict(message: &str) -> Description {
    Description::new(StatusCode::CONFLICT, message)
        .code("conflict")
        .param("model")
}

fn in_use(id: &ModelId) -> Description {
    conflict(&format!(
        "The model '{id}' is in use. Try again when its requests are answered."
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

fn no_whisper(repository: &str, missing: &[String], is_transformers: bool) -> Description {
    let missing = missing.join(", ");
    let mut message =
        format!("'{repository}' is no CTranslate2 Whisper model: it has no {missing}.");
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

/// Why a model does not load, without the server's paths.
fn reason(error: &LoadError) -> String {
    match error {
        LoadError::Vocabulary(VocabularyError::Read { .. }) => {
            "its tokenizer.json cannot be read".to_owned()
        }
        LoadError::Vocabulary(VocabularyError::Parse { .. }) => {
            "its tokenizer.json is not valid".to_owned()
        }
        LoadError::Vocabulary(VocabularyError::MissingToken { token, .. }) => {
            format!("its tokenizer.json lacks Whisper's token {token}")
        }
        LoadError::Vocabulary(VocabularyError::IdTooHigh { id, .. }) => {
            format!("its tokenizer.json numbers a token {id}")
        }
        LoadError::Engine(
            EngineError::Load(text) | EngineError::Batch(text) | EngineError::OutOfMemory(text),
        ) => text.clone(),
        LoadError::Panicked => "the server failed on it".to_owned(),
    }
}
