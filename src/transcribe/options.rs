//! The options of a transcription.

use super::SpeakerOptions;
use halkspeech_audio::{Channels, Clip, VadOptions};
use halkspeech_whisper::Language;
use halkspeech_whisper::engine::{Fallback, GenerateOptions};

/// The highest seed: clients hold whole numbers in 64 bits with a sign.
pub const MAX_SEED: u64 = i64::MAX as u64;

/// The options of a transcription; the defaults are those of the reference.
#[derive(Clone, Debug, Default)]
pub struct TranscriptionOptions {
    /// The language spoken; none: detect it in the first window.
    pub language: Option<Language>,
    /// Languages that detection may choose from; empty: all languages of the model.
    pub candidates: Vec<Language>,
    /// Text that the audio continues, or words to expect.
    pub prompt: Option<String>,
    /// Words to expect; they precede the prompt.
    pub hotwords: Option<String>,
    /// Search options of the decoder.
    pub search: GenerateOptions,
    /// When a window is generated again.
    pub fallback: Fallback,
    /// The seed of the random numbers; none: a hash of each window's audio. Engines that run whole batches
    /// ignore it.
    pub seed: Option<u64>,
    /// Options of voice activity detection; none: all audio is given to the model.
    pub vad: Option<VadOptions>,
    /// The part of the recording to transcribe.
    pub clip: Clip,
    /// Whether the channels are mixed or transcribed separately, each as a speaker.
    pub channels: Channels,
    /// How speakers are told apart by their voices, which needs the words' times; none: they are not.
    pub speakers: Option<SpeakerOptions>,
    /// Whether to compute the words' times.
    pub words: bool,
    /// Whether to return the tokens' log probabilities.
    pub logprobs: bool,
    /// Whether each window waits for the text of the previous one and continues it.
    pub condition_on_previous_text: bool,
    /// Improbable text between silences longer than this many seconds is dropped, which needs the
    /// words' times; none: it is kept.
    pub hallucination_silence_threshold_s: Option<f64>,
}
