//! The words that the upload route finds in a recording, with their times.

use halkspeech_whisper::Language;
use serde::Deserialize;

use crate::cli::bench::word_errors::normalized_words;

/// The upload route's transcript of a clip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// The text.
    pub text: String,
    /// The code of the language, if it is known.
    pub language: Option<String>,
    /// The words, normalized for comparison.
    pub words: Vec<ReferenceWord>,
}

/// A word of the reference; times are in seconds of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceWord {
    /// The word, normalized.
    pub word: String,
    /// Its begin.
    pub start_s: f64,
    /// Its end.
    pub end_s: f64,
}

/// The fields of `verbose_json` that are used.
#[derive(Deserialize)]
struct VerboseJson {
    text: String,
    language: Option<String>,
    words: Vec<VerboseWord>,
}

#[derive(Deserialize)]
struct VerboseWord {
    word: String,
    start: f64,
    end: f64,
}

impl Reference {
    /// Reads a response in the format `verbose_json` with the words' times. Words are normalized for `language`,
    /// or else for the one that the response names.
    ///
    /// # Errors
    /// The response is of another format.
    pub fn parse(body: &[u8], language: Option<&str>) -> Result<Self, serde_json::Error> {
        let json: VerboseJson = serde_json::from_slice(body)?;
        let named = json.language.as_deref().and_then(Language::parse);
        let language = match (language, named) {
            (Some(language), _) => Some(language.to_owned()),
            (None, named) => named.map(|language| language.code().to_owned()),
        };
        let words = json.words.iter().flat_map(|word| {
            let parts = normalized_words(&word.word, language.as_deref());
            parts.into_iter().map(|part| ReferenceWord {
                word: part,
                start_s: word.start,
                end_s: word.end,
            })
        });
        Ok(Self {
            words: words.collect(),
            text: json.text,
            language,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_normalized_for_the_language_of_the_response() {
        let body = br#"{"task": "transcribe", "language": "turkish", "duration": 3.0, "text": "I\u015f\u0131k, ak\u015fam-sabah.",
            "words": [{"word": "I\u015f\u0131k,", "start": 0.5, "end": 1.0}, {"word": "ak\u015fam-sabah.", "start": 1.0, "end": 2.0}]}"#;
        let reference = Reference::parse(body, None).unwrap();
        assert_eq!(reference.language.as_deref(), Some("tr"));
        let words = reference.words.iter();
        let words: Vec<_> = words
            .map(|word| (word.word.as_str(), word.start_s, word.end_s))
            .collect();
        let expected = [("ışık", 0.5, 1.0), ("akşam", 1.0, 2.0), ("sabah", 1.0, 2.0)];
        assert_eq!(words, expected);
        let reference = Reference::parse(body, Some("en")).unwrap();
        assert_eq!(reference.words[0].word, "işık");
    }

    #[test]
    fn refuses_a_response_without_words() {
        assert!(Reference::parse(br#"{"text": "a"}"#, None).is_err());
    }
}
