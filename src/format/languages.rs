//! The languages of a text, as OpenAI lists them.

use serde::Serialize;
use utoipa::ToSchema;

use crate::tokens::Language;

/// A language that is spoken in the recording.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionLanguage)]
pub struct SpokenLanguage {
    /// Its code in ISO 639-1, such as `tr`, or in ISO 639-3 where that has none.
    code: &'static str,
}

impl SpokenLanguage {
    /// The language as a list of one, which is empty where there was no speech to tell it from.
    pub(super) fn list(language: Option<Language>) -> Vec<Self> {
        let code = |language: Language| Self {
            code: language.code(),
        };
        language.map(code).into_iter().collect()
    }
}
