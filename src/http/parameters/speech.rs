//! What the fields say about telling speech from silence.

use std::time::Duration;

use super::Parameters;
use super::fields::{LONGEST_S, put};
use super::value::{Expected, is_none, milliseconds, real, seconds, switch};
use crate::audio::VadOptions;

/// What the fields have said so far about telling speech from silence.
#[derive(Debug, Default)]
pub struct Speech {
    /// Whether it is told apart where no strategy was sent.
    pub filter: Option<bool>,
    /// OpenAI's `chunking_strategy`, which switches it on.
    pub strategy: Option<Strategy>,
    /// Above this probability, 0 to 1, a sound is speech.
    pub threshold: Option<f32>,
    /// Shorter speech is not taken for speech.
    pub min_speech: Option<Duration>,
    /// Shorter silence does not end speech.
    pub min_silence: Option<Duration>,
    /// Longer speech is cut.
    pub max_speech: Option<Duration>,
    /// What is kept around speech.
    pub pad: Option<Duration>,
}

/// OpenAI's `chunking_strategy`: whose defaults hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The server's own.
    Auto,
    /// Those that OpenAI documents.
    ServerVad,
}

impl Speech {
    /// How speech is to be told from silence; none where it is not.
    pub fn options(&self, filter_by_default: bool) -> Option<VadOptions> {
        let defaults = match self.strategy {
            Some(Strategy::ServerVad) => server_vad(),
            Some(Strategy::Auto) => VadOptions::default(),
            None if self.filter.unwrap_or(filter_by_default) => VadOptions::default(),
            None => return None,
        };
        Some(VadOptions {
            threshold: self.threshold.unwrap_or(defaults.threshold),
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

/// Reads `chunking_strategy` that is no object, or the `type` of one that is.
pub fn strategy(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    match text.trim().trim_matches('"') {
        "auto" => put(&mut all.speech.strategy, Ok(Some(Strategy::Auto))),
        "server_vad" => put(&mut all.speech.strategy, Ok(Some(Strategy::ServerVad))),
        text if is_none(text) => put(&mut all.speech.strategy, Ok(None)),
        _ => Err(Expected::new("auto or server_vad")),
    }
}

/// Reads the switch.
pub fn filter(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.speech.filter, switch(text).map(Some))
}

/// Reads the probability.
pub fn threshold(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.speech.threshold, real(text, 0.0..=1.0).map(Some))
}

/// Reads the shortest speech.
pub fn min_speech(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut all.speech.min_speech,
        milliseconds(text, 60_000).map(Some),
    )
}

/// Reads the shortest silence.
pub fn min_silence(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut all.speech.min_silence,
        milliseconds(text, 60_000).map(Some),
    )
}

/// Reads the longest speech.
pub fn max_speech(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(
        &mut all.speech.max_speech,
        seconds(text, 1.0..=LONGEST_S).map(Some),
    )
}

/// Reads what is kept around speech.
pub fn pad(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    put(&mut all.speech.pad, milliseconds(text, 10_000).map(Some))
}

/// Reads the probability from a `chunking_strategy`, which is `server_vad` where nothing else is said.
pub fn server_threshold(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    all.speech.strategy.get_or_insert(Strategy::ServerVad);
    threshold(all, text)
}

/// Reads the shortest silence from a `chunking_strategy`.
pub fn server_min_silence(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    all.speech.strategy.get_or_insert(Strategy::ServerVad);
    min_silence(all, text)
}

/// Reads what is kept around speech from a `chunking_strategy`.
pub fn server_pad(all: &mut Parameters, text: &str) -> Result<(), Expected> {
    all.speech.strategy.get_or_insert(Strategy::ServerVad);
    pad(all, text)
}

/// Reads what is sent in place of an object of these.
pub fn no_object(_: &mut Parameters, text: &str) -> Result<(), Expected> {
    if is_none(text) {
        return Ok(());
    }
    Err(Expected::new("a JSON object such as {\"threshold\": 0.5}"))
}
