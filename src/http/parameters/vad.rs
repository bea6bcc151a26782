//! The fields of voice activity detection.

use std::time::Duration;

use super::Parameters;
use super::value::{
    Expected, LONGEST_S, is_none, parse_boolean, parse_milliseconds, parse_number, parse_seconds,
    put,
};
use halkspeech_audio::VadOptions;

/// The fields of voice activity detection read so far.
#[derive(Debug, Default)]
pub struct VadFields {
    /// Whether speech is detected if no strategy was sent.
    pub filter: Option<bool>,
    /// OpenAI's `chunking_strategy`, which enables the detection.
    pub strategy: Option<ChunkingStrategy>,
    /// Probability, 0 to 1, above which a sound is speech.
    pub threshold: Option<f32>,
    /// Probability below which speech ends.
    pub neg_threshold: Option<f32>,
    /// Shorter speech is ignored.
    pub min_speech: Option<Duration>,
    /// Shorter silence does not end speech.
    pub min_silence: Option<Duration>,
    /// Longer speech is cut.
    pub max_speech: Option<Duration>,
    /// Audio that is kept before and after speech.
    pub pad: Option<Duration>,
}

/// OpenAI's `chunking_strategy`, which determines the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkingStrategy {
    /// The server's own defaults.
    Auto,
    /// The defaults that OpenAI documents.
    ServerVad,
}

impl VadFields {
    /// The options of voice activity detection; none if it is disabled.
    pub fn options(&self, filter_by_default: bool) -> Option<VadOptions> {
        let defaults = match self.strategy {
            Some(ChunkingStrategy::ServerVad) => server_vad(),
            Some(ChunkingStrategy::Auto) => VadOptions::default(),
            None if self.filter.unwrap_or(filter_by_default) => VadOptions::default(),
            None => return None,
        };
        Some(VadOptions {
            threshold: self.threshold.unwrap_or(defaults.threshold),
            neg_threshold: self.neg_threshold,
            min_speech: self.min_speech.unwrap_or(defaults.min_speech),
            min_silence: self.min_silence.unwrap_or(defaults.min_silence),
            max_speech: self.max_speech.unwrap_or(defaults.max_speech),
            speech_pad: self.pad.unwrap_or(defaults.speech_pad),
        })
    }
}

/// The values that OpenAI documents for `server_vad`.
fn server_vad() -> VadOptions {
    VadOptions {
        threshold: 0.5,
        min_silence: Duration::from_millis(200),
        speech_pad: Duration::from_millis(300),
        ..VadOptions::default()
    }
}

/// Reads a `chunking_strategy` that is a word, or the `type` of one that is an object.
pub fn strategy(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    match text.trim().trim_matches('"') {
        "auto" => put(
            &mut parameters.vad.strategy,
            Ok(Some(ChunkingStrategy::Auto)),
        ),
        "server_vad" => put(
            &mut parameters.vad.strategy,
            Ok(Some(ChunkingStrategy::ServerVad)),
        ),
        text if is_none(text) => put(&mut parameters.vad.strategy, Ok(None)),
        _ => Err(Expected::new("auto or server_vad")),
    }
}

/// Reads whether the detection is enabled.
pub fn filter(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut parameters.vad.filter, parse_boolean(text).map(Some))
}

/// Reads the probability threshold.
pub fn threshold(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.vad.threshold,
        parse_number(text, 0.0..=1.0).map(Some),
    )
}

/// Reads the probability below which speech ends.
pub fn neg_threshold(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.vad.neg_threshold,
        parse_number(text, 0.0..=1.0).map(Some),
    )
}

/// Reads the minimum length of speech.
pub fn min_speech(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.vad.min_speech,
        parse_milliseconds(text, 60_000).map(Some),
    )
}

/// Reads the minimum length of silence.
pub fn min_silence(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.vad.min_silence,
        parse_milliseconds(text, 60_000).map(Some),
    )
}

/// Reads the maximum length of speech.
pub fn max_speech(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.vad.max_speech,
        parse_seconds(text, 1.0..=LONGEST_S).map(Some),
    )
}

/// Reads the padding of speech.
pub fn pad(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut parameters.vad.pad,
        parse_milliseconds(text, 10_000).map(Some),
    )
}

/// Reads the probability threshold of a `chunking_strategy`, which is `server_vad` by default.
pub fn server_threshold(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    parameters
        .vad
        .strategy
        .get_or_insert(ChunkingStrategy::ServerVad);
    threshold(parameters, text)
}

/// Reads the minimum length of silence of a `chunking_strategy`.
pub fn server_min_silence(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    parameters
        .vad
        .strategy
        .get_or_insert(ChunkingStrategy::ServerVad);
    min_silence(parameters, text)
}

/// Reads the padding of speech of a `chunking_strategy`.
pub fn server_pad(parameters: &mut Parameters, text: &str) -> Result<(), Expected> {
    parameters
        .vad
        .strategy
        .get_or_insert(ChunkingStrategy::ServerVad);
    pad(parameters, text)
}

/// Accepts only `none` or `null` in place of the object `vad_parameters`.
pub fn no_object(_: &mut Parameters, text: &str) -> Result<(), Expected> {
    if is_none(text) {
        return Ok(());
    }
    Err(Expected::new("a JSON object such as {\"threshold\": 0.5}"))
}
