//! Converts errors of loading a model.

use halkspeech_whisper::engine::EngineError;

/// An error of loading a model.
pub fn load_error(error: impl std::fmt::Display) -> EngineError {
    EngineError::Load(error.to_string())
}
