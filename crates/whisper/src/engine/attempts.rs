//! The attempts of a window: texts at rising temperatures, of which one is selected.

use super::{
    Attempt, DecodingOptions, Fallback, NEARLY_FULL_FRAMES, Quality, compression_ratio,
    needs_longer_encoding,
};
use crate::Vocabulary;

/// The text that was generated for one window at one temperature.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptedText {
    /// Its tokens, time stamps included.
    pub tokens: Vec<u32>,
    /// The decoded tokens.
    pub text: String,
    /// Its quality.
    pub quality: Quality,
    /// The temperature it was generated at.
    pub temperature: f32,
}

/// What the rules need to know of a window's audio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowLength {
    /// Its length in seconds.
    pub audio_s: f64,
    /// Its padded length in frames.
    pub padded_frames: usize,
}

impl AttemptedText {
    /// A text of these tokens.
    #[must_use]
    pub fn new(
        vocabulary: &Vocabulary,
        tokens: Vec<u32>,
        temperature: f32,
        (avg_logprob, no_speech_prob): (f32, f32),
    ) -> Self {
        let text = vocabulary.decode(&tokens);
        Self {
            quality: Quality {
                avg_logprob,
                compression_ratio: compression_ratio(text.trim()),
                no_speech_prob,
            },
            tokens,
            text,
            temperature,
        }
    }

    /// Whether it was cut off at the maximum length.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.attempt().is_cut
    }

    fn attempt(&self) -> Attempt {
        Attempt::new(self.quality, self.tokens.len())
    }

    /// Whether an encoding of 30 s probably gives a better text of this window.
    #[must_use]
    pub fn needs_longer_encoding(&self, fallback: &Fallback, window: WindowLength) -> bool {
        window.padded_frames < NEARLY_FULL_FRAMES
            && needs_longer_encoding(&self.text, &self.attempt(), fallback, window.audio_s)
    }
}

/// The temperature of the next attempt; none if the last text is good or needs a longer encoding, or no
/// temperature is left. `shorter` is the attempt with a shorter encoding, if there was one.
#[must_use]
pub fn next_temperature(
    texts: &[AttemptedText],
    decoding: &DecodingOptions,
    shorter: Option<&Attempt>,
    window: WindowLength,
) -> Option<f32> {
    let fallback = &decoding.fallback;
    if texts.last()?.needs_longer_encoding(fallback, window) {
        return None;
    }
    let attempts: Vec<Attempt> = texts.iter().map(AttemptedText::attempt).collect();
    fallback.next_temperature(shorter, &attempts)
}

/// The last text if it is good, else the best one; with the temperature of the last. None of no texts.
#[must_use]
pub fn select_attempt(fallback: &Fallback, mut texts: Vec<AttemptedText>) -> Option<AttemptedText> {
    let last = texts.last()?;
    let temperature = last.temperature;
    let index = if fallback.rejects(&last.quality) {
        let qualities: Vec<Quality> = texts.iter().map(|text| text.quality).collect();
        fallback.best(&qualities).unwrap_or(0)
    } else {
        texts.len() - 1
    };
    Some(AttemptedText {
        temperature,
        ..texts.swap_remove(index)
    })
}
