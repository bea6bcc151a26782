//! Detects the language of windows whose request set none.

use ct2rs::sys::{DetectionResult, StorageView};
use halkspeech_whisper::Language;
use halkspeech_whisper::engine::{EngineError, EngineInput, LanguageDetection};

use super::{Ct2Engine, batch_error, encodings};

impl Ct2Engine {
    /// The language of every window: the requested one, or the most probable of its candidates.
    pub(super) fn languages(
        &self,
        encodings: &StorageView<'static>,
        inputs: &[EngineInput<'_>],
    ) -> Result<Vec<Option<LanguageDetection>>, EngineError> {
        let requested = |input: &EngineInput<'_>| {
            input.prompt.language.map(|language| LanguageDetection {
                language,
                probability: 1.0,
            })
        };
        let mut languages: Vec<_> = inputs.iter().map(requested).collect();
        let unknown: Vec<usize> = (0..inputs.len())
            .filter(|&row| languages[row].is_none())
            .collect();
        if !self.vocabulary.is_multilingual() || unknown.is_empty() {
            return Ok(languages);
        }
        let selected = encodings::select(encodings, &unknown, None)?;
        let detections = self
            .whisper
            .detect_language(&selected)
            .map_err(batch_error)?;
        for (&row, detected) in unknown.iter().zip(&detections) {
            languages[row] = self.most_probable(detected, &inputs[row].decoding.candidates);
        }
        Ok(languages)
    }

    fn most_probable(
        &self,
        detected: &[DetectionResult],
        candidates: &[Language],
    ) -> Option<LanguageDetection> {
        // CTranslate2 sorts by descending probability.
        detected.iter().find_map(|result| {
            let language = self.vocabulary.language_of_token(&result.language)?;
            let allowed = candidates.is_empty() || candidates.contains(&language);
            allowed.then_some(LanguageDetection {
                language,
                probability: result.probability,
            })
        })
    }
}
