//! The languages of a text, in OpenAI's format.

use serde::Serialize;
use utoipa::ToSchema;

use halkspeech_whisper::Language;

/// A language that is spoken in the recording.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionLanguage)]
pub struct SpokenLanguage {
    /// Its ISO 639-1 code, such as `tr`, or its ISO 639-3 code if it has none.
    code: &'static str,
}

impl SpokenLanguage {
    /// The language as a list of one, which is empty if there was no speech.
    pub(super) fn list(language: Option<Language>) -> Vec<Self> {
        let code = |language: Language| Self {
            code: language.code(),
        };
        language.map(code).into_iter().collect()
    }
}
