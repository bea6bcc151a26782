//! The text fields of a transcription request: what they may hold, and what they mean.

use axum::extract::Query;
use axum::http::Uri;

use super::Rules;
use super::error::ApiError;
use crate::batch::GenerateOptions;
use crate::format::ResponseFormat;
use crate::tokens::Language;

/// Temperatures a caller may ask for.
const TEMPERATURES: std::ops::RangeInclusive<f32> = 0.0..=1.0;

/// The fields that mean something to this version.
const KNOWN: [&str; 6] = [
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "stream",
];

/// What the fields said. An empty value is as good as none: many clients send every field.
#[derive(Debug, Default)]
pub struct Parameters {
    /// The model or alias, as it was written.
    pub model: Option<String>,
    /// The language spoken.
    pub language: Option<Language>,
    /// Text that the audio continues.
    pub prompt: Option<String>,
    /// How the answer is written.
    pub response_format: ResponseFormat,
    /// 0 takes the most likely word.
    pub temperature: f32,
}

impl Parameters {
    /// Reads the query string.
    ///
    /// # Errors
    /// As [`set`](Self::set), and when it is no query string.
    pub fn from_query(uri: &Uri, rules: &Rules) -> Result<Self, ApiError> {
        let Query(fields) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::MalformedQuery(error.body_text()))?;
        let mut parameters = Self::default();
        for (name, value) in fields {
            parameters.set(&name, value, rules)?;
        }
        Ok(parameters)
    }

    /// Whether a field means anything; one that does not need not be kept.
    pub fn knows(name: &str) -> bool {
        KNOWN.contains(&name)
    }

    /// Takes a field; of several with one name the last that says something counts.
    ///
    /// # Errors
    /// The value is not allowed; or nobody knows the field, where the rules want it known.
    pub fn set(&mut self, name: &str, value: String, rules: &Rules) -> Result<(), ApiError> {
        if value.is_empty() && Self::knows(name) {
            return Ok(());
        }
        match name {
            "model" => self.model = Some(value.trim().to_owned()),
            "prompt" => self.prompt = Some(value),
            // What other servers call detection.
            "language" if value.trim() == "auto" => self.language = None,
            "language" => {
                let expected = "an ISO 639 code such as en, or a language's English name";
                let language = read("language", &value, expected, Language::parse)?;
                self.language = Some(language);
            }
            "response_format" => {
                let expected = ResponseFormat::NAMES.join(" or ");
                self.response_format =
                    read("response_format", &value, &expected, ResponseFormat::parse)?;
            }
            "temperature" => {
                self.temperature =
                    read("temperature", &value, "a number from 0 to 1", temperature)?;
            }
            "stream" => {
                let expected = "false: streaming is not supported by this version";
                // Python's `str(False)` begins with a capital.
                let is_off = |value: &str| value == "0" || value.eq_ignore_ascii_case("false");
                read("stream", &value, expected, |value| {
                    is_off(value).then_some(())
                })?;
            }
            _ if rules.reject_unknown_fields => {
                let name = name.to_owned();
                return Err(ApiError::UnknownField { name });
            }
            _ => {}
        }
        Ok(())
    }

    /// How tokens are to be chosen.
    pub fn options(&self, rules: &Rules) -> GenerateOptions {
        GenerateOptions {
            beam_size: rules.beam_size,
            temperature: self.temperature,
            // Neither format shows when something was said.
            timestamps: false,
        }
    }
}

/// Reads a value.
fn read<T>(
    param: &'static str,
    value: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ApiError> {
    parse(value).ok_or_else(|| ApiError::InvalidValue {
        param,
        value: value.to_owned(),
        expected: expected.to_owned(),
    })
}

fn temperature(text: &str) -> Option<f32> {
    let temperature = text.trim().parse().ok()?;
    // Adding 0 turns -0 into 0; the two would not share a batch.
    TEMPERATURES
        .contains(&temperature)
        .then_some(temperature + 0.0)
}
