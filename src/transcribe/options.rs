//! How a caller wants audio transcribed.

use crate::audio::{Channels, Clip, VadOptions};
use crate::batch::GenerateOptions;
use crate::engine::Fallback;
use crate::tokens::Language;

/// How a caller wants audio transcribed; the default is the reference's.
#[derive(Clone, Debug, Default)]
pub struct TranscriptionOptions {
    /// The language spoken; none: detect it in the first window.
    pub language: Option<Language>,
    /// Languages that detection may choose from; empty: all that the model knows.
    pub candidates: Vec<Language>,
    /// Text that the audio continues, or words to expect.
    pub prompt: Option<String>,
    /// Words to expect; they stand before the prompt.
    pub hotwords: Option<String>,
    /// How tokens are chosen.
    pub search: GenerateOptions,
    /// When a window is generated again.
    pub fallback: Fallback,
    /// How speech is told from silence; none: everything is given to the model.
    pub vad: Option<VadOptions>,
    /// The part of the recording that is wanted.
    pub clip: Clip,
    /// Whether the channels are mixed or kept apart as speakers.
    pub channels: Channels,
    /// Whether the words' times are wanted.
    pub words: bool,
    /// Whether the tokens' probabilities are wanted.
    pub logprobs: bool,
    /// Whether each window waits for the text of the one before and continues it.
    pub condition_on_previous_text: bool,
    /// Improbable texts between silences longer than this many seconds are dropped; it takes the
    /// words' times. None: they stay.
    pub hallucination_silence_threshold_s: Option<f64>,
}
