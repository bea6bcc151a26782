//! The languages of a text or a recording, as lists.

use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::numbers::{finite, seconds};
use crate::transcript::Transcript;
use halkspeech_whisper::Language;

/// A language that is spoken in the recording.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionLanguage)]
pub struct SpokenLanguage {
    /// Its ISO 639-1 code, such as `tr`, or its ISO 639-3 code if it has none.
    code: &'static str,
}

/// The response of `/v1/audio/language`.
#[derive(Serialize, ToSchema)]
pub struct SpokenLanguages {
    /// Seconds of the recording.
    duration: f64,
    /// The language spoken; empty if there was no speech.
    languages: Vec<ProbableLanguage>,
}

/// A language with its probability.
#[derive(Serialize, ToSchema)]
struct ProbableLanguage {
    /// Its ISO 639-1 code, such as `tr`, or its ISO 639-3 code if it has none.
    code: &'static str,
    /// From 0 to 1.
    probability: f32,
}

/// Renders the response of `/v1/audio/language`.
#[must_use]
pub fn spoken_languages(transcript: &Transcript) -> String {
    let language = |language: Language| ProbableLanguage {
        code: language.code(),
        // A monolingual model detects no language; its only one is certain.
        probability: finite(transcript.language_probability.unwrap_or(1.0)),
    };
    json::write(&SpokenLanguages {
        duration: seconds(transcript.duration.as_secs_f64()),
        languages: transcript.language.map(language).into_iter().collect(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::transcript;

    #[test]
    fn a_recording_without_speech_has_no_language() {
        let of = |language, language_probability| {
            spoken_languages(&Transcript {
                language,
                language_probability,
                ..transcript(vec![])
            })
        };
        assert_eq!(
            of(Language::parse("tr"), Some(0.5)),
            r#"{"duration":8.47,"languages":[{"code":"tr","probability":0.5}]}"#
        );
        assert_eq!(
            of(Some(Language::ENGLISH), None),
            r#"{"duration":8.47,"languages":[{"code":"en","probability":1.0}]}"#
        );
        assert_eq!(of(None, None), r#"{"duration":8.47,"languages":[]}"#);
    }
}
