//! The text fields of a request, and the transcription request that they form.
//!
//! `fields` is the table of all fields, `field` the type of its rows, `api` the additional fields of other
//! servers' APIs; `readers`, `vad` and `speakers` read values into the parameters, parsed by `value` and
//! `data_url`; `combinations` refuses fields that cannot be combined.

mod field;
mod api;
mod fields;
mod readers;
mod vad;
mod speakers;
mod data_url;
mod value;
mod combinations;
mod analysis;

use std::num::NonZeroUsize;

use axum::extract::Query;
use axum::http::Uri;

use super::error::ApiError;
use super::{HttpSettings, ParameterDefaults};
use crate::format::{Granularities, OutputOptions, ResponseFormat, SubtitleShape};
use crate::transcribe::TranscriptionOptions;
pub use analysis::DiarizationRequest;
use api::CompatibilityFields;
pub use api::{Api, ResponseKind};
pub use field::{Field, FieldDefault, FieldDescription, FieldShape, ValueKind};
use halkspeech_audio::Channels;
use halkspeech_whisper::Task;
use speakers::SpeakerFields;
use vad::VadFields;
pub use value::{Expected, parse_boolean, parse_integer};

/// Longest text field, in bytes; Whisper keeps about 1,000 of a prompt.
pub const MAX_FIELD_BYTES: usize = 64 * 1024;

/// The fields read so far; fields that were not sent have their defaults.
#[derive(Debug)]
pub struct Parameters {
    api: Api,
    task: Task,
    model: Option<String>,
    /// Options that are set directly.
    options: TranscriptionOptions,
    keywords: Vec<String>,
    /// The list of temperatures, if one was sent; it overrides that of `options`.
    temperatures: Vec<f32>,
    suppress_tokens: Option<Vec<i32>>,
    beam_size: Option<NonZeroUsize>,
    without_timestamps: bool,
    vad: VadFields,
    speakers: SpeakerFields,
    format: ResponseFormat,
    /// Both false: none was sent.
    granularities: Granularities,
    word_timestamps: bool,
    dropped: bool,
    subtitles: SubtitleShape,
    stream: bool,
    /// Fields that only other servers' APIs have.
    compatibility: CompatibilityFields,
}

/// A request, in the terms of the transcriber and of the output formats.
#[derive(Debug)]
pub struct TranscriptionRequest {
    /// The model or alias, as it was sent.
    pub model: Option<String>,
    /// How to transcribe the audio.
    pub options: TranscriptionOptions,
    /// How to render the transcript.
    pub output: OutputOptions,
    /// Whether to stream the text as server-sent events.
    pub stream: bool,
    /// Transcribe in the language spoken, or translate into English.
    pub task: Task,
    /// The kind of response.
    pub response: ResponseKind,
}

impl Parameters {
    /// Parameters with their defaults.
    pub fn new(api: Api) -> Self {
        Self {
            api,
            task: api.task(),
            model: None,
            options: TranscriptionOptions::default(),
            keywords: Vec::new(),
            temperatures: Vec::new(),
            suppress_tokens: None,
            beam_size: None,
            without_timestamps: false,
            vad: VadFields::default(),
            speakers: SpeakerFields::default(),
            format: ResponseFormat::default(),
            granularities: Granularities {
                segments: false,
                words: false,
            },
            word_timestamps: false,
            dropped: false,
            subtitles: SubtitleShape::default(),
            stream: false,
            compatibility: CompatibilityFields::default(),
        }
    }

    /// Reads the query string.
    ///
    /// # Errors
    /// As [`set`](Self::set), and when the query string is malformed.
    pub fn from_query(uri: &Uri, api: Api, settings: &HttpSettings) -> Result<Self, ApiError> {
        let Query(fields) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::MalformedQuery(error.body_text()))?;
        let mut parameters = Self::new(api);
        for (name, value) in fields {
            parameters.set(&name, value, settings)?;
        }
        Ok(parameters)
    }

    /// The row of a field that has a meaning; others need not be stored.
    pub fn field(&self, name: &str) -> Option<Field> {
        Field::find(self.api, name)
    }

    /// The API that the fields are read for.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Whether the audio is in a file format rather than raw samples.
    pub fn is_encoded(&self) -> bool {
        self.compatibility.is_encoded()
    }

    /// Sets a field. An empty value counts as not sent, because many clients send every field. Of several
    /// values the last counts, except for lists, which collect them.
    ///
    /// # Errors
    /// The value is not allowed, or the field is unknown and the rules reject unknown fields.
    pub fn set(
        &mut self,
        name: &str,
        value: String,
        settings: &HttpSettings,
    ) -> Result<(), ApiError> {
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
        if let (FieldShape::Object, Some(members)) = (field.shape, value::parse_members(&value)) {
            for (key, value) in members {
                self.set(&format!("{}[{key}]", field.name), value, settings)?;
            }
            return Ok(());
        }
        (field.read)(self, &value).map_err(|expected| ApiError::InvalidValue {
            param: field.name,
            value: match field.kind {
                // A voice is not sent back.
                ValueKind::DataUrl => data_url::head(&value).to_owned(),
                _ => value,
            },
            expected: expected.0,
        })
    }

    /// The model or alias, as it was sent.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The request that all fields form, with the model's defaults for fields that were not sent.
    ///
    /// # Errors
    /// Two fields cannot be combined; the error names one and mentions the other.
    pub fn finish(mut self, defaults: ParameterDefaults) -> Result<TranscriptionRequest, ApiError> {
        let response = api::apply(&mut self);
        self.options.search.beam_size = self.beam_size.unwrap_or(defaults.beam_size);
        combinations::check(&self)?;

        let finds_speakers = self.finds_speakers();
        let granularities = self.granularities();
        let timestamps = self.timestamps();
        let mut options = self.options;
        options.search.timestamps = timestamps;
        options.vad = self.vad.options(defaults.vad_filter);
        if let Some(tokens) = self.suppress_tokens {
            options.search.suppress_tokens = tokens.into();
        }
        let mut hints = self.keywords;
        hints.extend(options.hotwords.take());
        options.hotwords = (!hints.is_empty()).then(|| hints.join(", "));
        match self.temperatures.split_first() {
            Some((first, fallbacks)) => {
                options.search.temperature = *first;
                options.fallback.temperatures = fallbacks.to_vec();
            }
            // A temperature that was sent is used alone.
            None if options.search.temperature > 0.0 => options.fallback.temperatures.clear(),
            None => {}
        }

        options.speakers = finds_speakers.then(|| self.speakers.into_options());
        let output = OutputOptions {
            format: self.format,
            granularities,
            logprobs: options.logprobs,
            dropped: self.dropped,
            subtitles: self.subtitles,
        };
        options.words = output.needs_words()
            || options.speakers.is_some()
            || options.hallucination_silence_threshold_s.is_some();
        Ok(TranscriptionRequest {
            model: self.model,
            options,
            output,
            stream: self.stream,
            task: self.task,
            response,
        })
    }

    /// Whether speakers are told apart by their voices.
    fn finds_speakers(&self) -> bool {
        let is_split = self.options.channels == Channels::Split;
        let is_diarized = self.format == ResponseFormat::DiarizedJson && !is_split;
        is_diarized || self.speakers.diarize || self.speakers.labels
    }

    /// Segments if none was sent, as in OpenAI's API; `word` alone means no segments.
    fn granularities(&self) -> Granularities {
        let Granularities { segments, words } = self.granularities;
        Granularities {
            segments: segments || !words,
            words: words || self.word_timestamps,
        }
    }

    /// Whether the model generates time stamps: only if the output needs them, because the words are
    /// slightly more accurate without (measured: docs/accuracy.md).
    fn timestamps(&self) -> bool {
        let shows_times = !matches!(self.format, ResponseFormat::Json | ResponseFormat::Text);
        let orders_segments = self.options.channels == Channels::Split;
        let judges_segments = self.options.hallucination_silence_threshold_s.is_some();
        !self.without_timestamps && (shows_times || orders_segments || judges_segments)
    }
}

#[cfg(test)]
mod tests;
