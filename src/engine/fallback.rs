//! Decides whether a generation is to be tried again at a higher temperature. Pure.
//!
//! The rules and the bounds are those of the reference (OpenAI's `decode_with_fallback`).

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// When a window is generated again, and at which temperatures.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// Temperatures tried one after the other once the first has failed.
    pub temperatures: Vec<f32>,
    /// A text that compresses better than this repeats itself; none: never tried again for that.
    pub compression_ratio_threshold: Option<f32>,
    /// Below this mean log probability of a token the text is a guess.
    pub logprob_threshold: Option<f32>,
    /// Above this probability of no speech a guess is silence, and nothing is written.
    pub no_speech_threshold: Option<f32>,
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            temperatures: vec![0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
        }
    }
}

/// What is known of a generation when it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Mean log probability of a token.
    pub avg_logprob: f32,
    /// Length of the text over its compressed length, in bytes.
    pub compression_ratio: f32,
    /// Probability that the window holds no speech.
    pub no_speech_prob: f32,
}

impl Fallback {
    /// Whether a generation of this quality is to be replaced.
    #[must_use]
    pub fn rejects(&self, quality: &Quality) -> bool {
        (self.is_repetitive(quality) || self.is_guess(quality)) && !self.is_silence(quality)
    }

    /// Whether the window holds no speech, so that its text is to be dropped: the model says so, and
    /// is not sure of the text either.
    #[must_use]
    pub fn drops(&self, quality: &Quality) -> bool {
        let silent = |bound| quality.no_speech_prob > bound;
        let sure = |bound| quality.avg_logprob > bound;
        self.no_speech_threshold.is_some_and(silent) && !self.logprob_threshold.is_some_and(sure)
    }

    /// Which of the tries to keep when all were rejected: the most probable one that does not repeat
    /// itself, or else the most probable one.
    #[must_use]
    pub fn best(&self, tries: &[Quality]) -> Option<usize> {
        let most_probable = |keep: &dyn Fn(&Quality) -> bool| {
            let kept = tries
                .iter()
                .enumerate()
                .filter(|(_, quality)| keep(quality));
            // The first of equals, as in the reference; `max_by` would take the last.
            kept.rev()
                .max_by(|(_, a), (_, b)| a.avg_logprob.total_cmp(&b.avg_logprob))
                .map(|(index, _)| index)
        };
        most_probable(&|quality| !self.is_repetitive(quality)).or_else(|| most_probable(&|_| true))
    }

    fn is_repetitive(&self, quality: &Quality) -> bool {
        self.compression_ratio_threshold
            .is_some_and(|bound| quality.compression_ratio > bound)
    }

    fn is_guess(&self, quality: &Quality) -> bool {
        self.logprob_threshold
            .is_some_and(|bound| quality.avg_logprob < bound)
    }

    fn is_silence(&self, quality: &Quality) -> bool {
        self.is_guess(quality)
            && self
                .no_speech_threshold
                .is_some_and(|bound| quality.no_speech_prob > bound)
    }
}

/// Length of the text over its length compressed by zlib, both in bytes; 0 for no text.
#[must_use]
pub fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish());
    match compressed {
        Ok(compressed) if !text.is_empty() => text.len() as f32 / compressed.len() as f32,
        // Memory does not fail to be written to.
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(avg_logprob: f32, compression_ratio: f32, no_speech_prob: f32) -> Quality {
        Quality {
            avg_logprob,
            compression_ratio,
            no_speech_prob,
        }
    }

    #[test]
    fn rejects_and_drops_as_the_reference_does() {
        let without = Fallback {
            compression_ratio_threshold: None,
            logprob_threshold: None,
            no_speech_threshold: None,
            ..Fallback::default()
        };
        let no_logprob = Fallback {
            logprob_threshold: None,
            ..Fallback::default()
        };
        let usual = Fallback::default();
        for (fallback, quality, rejected, dropped) in [
            (&usual, quality(-0.3, 1.5, 0.1), false, false),
            (&usual, quality(-0.3, 2.5, 0.1), true, false),
            (&usual, quality(-1.1, 1.5, 0.1), true, false),
            // Sure of its text, whatever the probability of silence says.
            (&usual, quality(-0.3, 1.5, 0.9), false, false),
            (&usual, quality(-0.3, 2.5, 0.9), true, false),
            (&usual, quality(-1.1, 1.5, 0.9), false, true),
            (&usual, quality(-1.0, 1.5, 0.9), false, true),
            (&without, quality(-9.0, 9.0, 0.9), false, false),
            (&no_logprob, quality(-0.1, 2.5, 0.9), true, true),
        ] {
            assert_eq!(fallback.rejects(&quality), rejected, "{quality:?}");
            assert_eq!(fallback.drops(&quality), dropped, "{quality:?}");
        }
    }

    #[test]
    fn keeps_the_most_probable_try_that_does_not_repeat_itself() {
        let usual = Fallback::default();
        let tries = [
            quality(-0.2, 5.0, 0.0),
            quality(-1.4, 1.2, 0.0),
            quality(-1.2, 1.2, 0.0),
            quality(-1.2, 1.1, 0.0),
        ];
        assert_eq!(usual.best(&tries), Some(2));
        assert_eq!(usual.best(&tries[..1]), Some(0));
        assert_eq!(usual.best(&[]), None);
    }

    #[test]
    fn repetition_compresses_well() {
        assert_eq!(compression_ratio(""), 0.0);
        // Python's zlib makes 79 bytes of these 106.
        let sentence = "And so my fellow Americans ask not what your country can do for you, ask what you can do for your country.";
        assert!(
            (compression_ratio(sentence) - 1.34).abs() < 0.04,
            "{}",
            compression_ratio(sentence)
        );
        assert!(compression_ratio(&"Thank you. ".repeat(20)) > 2.4);
    }
}
