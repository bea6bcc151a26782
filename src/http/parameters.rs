//! The text fields of a request: which there are, and what all of them together ask for.
//!
//! `fields` is the table of them, `field` what its rows say, `api` what other servers' APIs have besides;
//! `readers` and `speech` put what they hold where it belongs, read by `value`; `combinations` refuses
//! what does not go together.

mod field;
mod api;
mod fields;
mod readers;
mod speech;
mod value;
mod combinations;

use std::num::NonZeroUsize;

use axum::extract::Query;
use axum::http::Uri;

use super::error::ApiError;
use super::{HttpSettings, ParameterDefaults};
use crate::audio::Channels;
use crate::format::{Granularities, ResponseFormat, SubtitleShape, Wish};
use crate::tokens::Task;
use crate::transcribe::Wishes;
use api::OfOthers;
pub use api::{Answer, Api};
pub use field::{Does, Field, Shape, Takes, Unsent};
use speech::Speech;

/// What the fields have said so far; those not sent stand at their defaults.
#[derive(Debug)]
pub struct Parameters {
    api: Api,
    task: Task,
    model: Option<String>,
    /// Everything that goes into the wishes as it is.
    wishes: Wishes,
    keywords: Vec<String>,
    /// The temperatures, where a list of them was sent; it outdoes `wishes`.
    temperatures: Vec<f32>,
    suppress_tokens: Option<Vec<i32>>,
    beam_size: Option<NonZeroUsize>,
    without_timestamps: bool,
    speech: Speech,
    format: ResponseFormat,
    /// None of them: the caller named none.
    granularities: Granularities,
    word_timestamps: bool,
    dropped: bool,
    subtitles: SubtitleShape,
    stream: bool,
    /// What only fields of other servers' APIs say.
    of_others: OfOthers,
}

/// What a caller asks for, in the terms of those who do it.
#[derive(Debug)]
pub struct Asked {
    /// The model or alias, as it was written.
    pub model: Option<String>,
    /// How the audio is to be transcribed.
    pub wishes: Wishes,
    /// How the answer is to be written.
    pub wish: Wish,
    /// Whether the answer is to be sent piece by piece.
    pub stream: bool,
    /// Whether the text is to be in the language spoken or in English.
    pub task: Task,
    /// What the answer is to be written as.
    pub answer: Answer,
}

impl Parameters {
    /// No fields yet.
    pub fn new(api: Api) -> Self {
        Self {
            api,
            task: api.task(),
            model: None,
            wishes: Wishes::default(),
            keywords: Vec::new(),
            temperatures: Vec::new(),
            suppress_tokens: None,
            beam_size: None,
            without_timestamps: false,
            speech: Speech::default(),
            format: ResponseFormat::default(),
            granularities: Granularities {
                segments: false,
                words: false,
            },
            word_timestamps: false,
            dropped: false,
            subtitles: SubtitleShape::default(),
            stream: false,
            of_others: OfOthers::default(),
        }
    }

    /// Reads the query string.
    ///
    /// # Errors
    /// As [`set`](Self::set), and when it is no query string.
    pub fn from_query(uri: &Uri, api: Api, settings: &HttpSettings) -> Result<Self, ApiError> {
        let Query(fields) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::MalformedQuery(error.body_text()))?;
        let mut parameters = Self::new(api);
        for (name, value) in fields {
            parameters.set(&name, value, settings)?;
        }
        Ok(parameters)
    }

    /// Whether a field means anything; one that does not need not be kept.
    pub fn knows(&self, name: &str) -> bool {
        Field::find(self.api, name).is_some()
    }

    /// The API that the fields are read for.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Whether the audio is in a file format, and not bare samples.
    pub fn is_encoded(&self) -> bool {
        self.of_others.is_encoded()
    }

    /// Takes a field. An empty value is as good as none: many clients send every field. Of several
    /// with one name the last counts, unless the field is a list, which grows.
    ///
    /// # Errors
    /// The value is not allowed; or nobody knows the field, where the rules want it known.
    pub fn set(&mut self, name: &str, value: String, settings: &HttpSettings) -> Result<(), ApiError> {
        let Some(field) = Field::find(self.api, name) else {
            return if settings.reject_unknown_fields {
                let name = name.to_owned();
                Err(ApiError::UnknownField { name })
            } else {
                Ok(())
            };
        };
        if value.trim().is_empty() {
            return Ok(());
        }
        if let (Shape::Object, Some(members)) = (field.shape, value::members(&value)) {
            for (key, value) in members {
                self.set(&format!("{}[{key}]", field.name), value, settings)?;
            }
            return Ok(());
        }
        (field.read)(self, &value).map_err(|expected| ApiError::InvalidValue {
            param: field.name.strip_suffix("[]").unwrap_or(field.name),
            value,
            expected: expected.0,
        })
    }

    /// The model or alias that was named, as it was written.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// What all fields together ask for, with the model's defaults for what was not sent.
    ///
    /// # Errors
    /// Two fields do not go together; the error names one and tells of the other.
    pub fn finish(self, defaults: ParameterDefaults) -> Result<Asked, ApiError> {
        api::finish(self, defaults)
    }

    fn finish_fields(mut self, defaults: ParameterDefaults) -> Result<Asked, ApiError> {
        self.wishes.options.beam_size = self.beam_size.unwrap_or(defaults.beam_size);
        combinations::check(&self)?;

        let granularities = self.granularities();
        let timestamps = self.timestamps();
        let mut wishes = self.wishes;
        wishes.options.timestamps = timestamps;
        wishes.vad = self.speech.options(defaults.vad_filter);
        if let Some(tokens) = self.suppress_tokens {
            wishes.options.suppress_tokens = tokens.into();
        }
        let mut hints = self.keywords;
        hints.extend(wishes.hotwords.take());
        wishes.hotwords = (!hints.is_empty()).then(|| hints.join(", "));
        match self.temperatures.split_first() {
            Some((first, rest)) => {
                wishes.options.temperature = *first;
                wishes.fallback.temperatures = rest.to_vec();
            }
            // A caller who names a temperature wants that one.
            None if wishes.options.temperature > 0.0 => wishes.fallback.temperatures.clear(),
            None => {}
        }

        let wish = Wish {
            format: self.format,
            granularities,
            logprobs: wishes.logprobs,
            dropped: self.dropped,
            subtitles: self.subtitles,
        };
        wishes.words = wish.wants_words() || wishes.hallucination_silence_threshold_s.is_some();
        Ok(Asked {
            model: self.model,
            wishes,
            wish,
            stream: self.stream,
            task: self.task,
            answer: Answer::Format,
        })
    }

    /// Segments where nothing was named, as OpenAI has it; `word` alone means no segments.
    fn granularities(&self) -> Granularities {
        let Granularities { segments, words } = self.granularities;
        Granularities {
            segments: segments || !words,
            words: words || self.word_timestamps,
        }
    }

    /// Whether the model is to write time stamps: only where they show, for it writes the words a
    /// little better without (measured: docs/accuracy.md).
    fn timestamps(&self) -> bool {
        let shows_times = !matches!(self.format, ResponseFormat::Json | ResponseFormat::Text);
        let puts_in_order = self.wishes.channels == Channels::Split;
        let judges_segments = self.wishes.hallucination_silence_threshold_s.is_some();
        !self.without_timestamps && (shows_times || puts_in_order || judges_segments)
    }
}

#[cfg(test)]
mod tests;
