//! Decides whether a window is generated again at a higher temperature. Pure.
//!
//! The thresholds and temperatures are the reference's (OpenAI's `decode_with_fallback`). The reference
//! tries all temperatures; here the attempts of a window are bounded in tokens, and end when they get
//! worse. Both rules use only the window itself and no clock, so a text does not depend on load.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Maximum length of a text: half of Whisper's text context (CTranslate2 and the reference).
pub const MAX_TEXT_TOKENS: usize = 224;

/// Maximum number of tokens of all attempts of a window together.
const MAX_ATTEMPTED_TOKENS: usize = 4 * MAX_TEXT_TOKENS;

/// When a window is generated again, and at which temperatures.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// Temperatures tried in this order after the first attempt was rejected.
    pub temperatures: Vec<f32>,
    /// A text with a higher compression ratio is repetitive; none: no such check.
    pub compression_ratio_threshold: Option<f32>,
    /// A text with a lower mean log probability per token is improbable; none: no such check.
    pub logprob_threshold: Option<f32>,
    /// An improbable text with a higher probability of no speech is dropped as silence.
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

/// The quality of a generated text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Mean log probability of a token.
    pub avg_logprob: f32,
    /// Length of the text over its compressed length, in bytes.
    pub compression_ratio: f32,
    /// Probability that the window contains no speech.
    pub no_speech_prob: f32,
}

/// A generated text of a window, as the rules evaluate it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// Its quality.
    pub quality: Quality,
    /// Number of tokens.
    pub tokens: usize,
    /// Whether it was cut off at the maximum length.
    pub is_cut: bool,
}

impl Attempt {
    /// An attempt of `tokens` tokens.
    #[must_use]
    pub fn new(quality: Quality, tokens: usize) -> Self {
        Self {
            quality,
            tokens,
            is_cut: tokens + 1 >= MAX_TEXT_TOKENS,
        }
    }
}

impl Fallback {
    /// The temperature of the next attempt; none if the last one is good, or no further attempt is
    /// worthwhile. `shorter` is the attempt with a shorter encoding of the window, if there was one.
    #[must_use]
    pub fn next_temperature(&self, shorter: Option<&Attempt>, attempts: &[Attempt]) -> Option<f32> {
        let (last, earlier) = attempts.split_last()?;
        let tokens: usize = shorter
            .into_iter()
            .chain(attempts)
            .map(|attempt| attempt.tokens)
            .sum();
        let is_worse = earlier
            .last()
            .or(shorter)
            .is_some_and(|previous| self.is_worse(last, previous));
        let continues = self.rejects(&last.quality) && !is_worse && tokens < MAX_ATTEMPTED_TOKENS;
        let next = self.temperatures.get(earlier.len()).copied();
        next.filter(|_| continues)
    }

    /// Whether a higher temperature gave a worse text: an improbable text became less probable, or a
    /// repetitive text that ends by itself, as spoken repetitions do, is still as repetitive. A
    /// repetitive text without an end is a decoding loop, which a higher temperature may leave.
    fn is_worse(&self, last: &Attempt, previous: &Attempt) -> bool {
        if !self.is_repetitive(&previous.quality) {
            return last.quality.avg_logprob < previous.quality.avg_logprob;
        }
        !previous.is_cut && last.quality.compression_ratio >= previous.quality.compression_ratio
    }

    /// Whether a text of this quality is rejected.
    #[must_use]
    pub fn rejects(&self, quality: &Quality) -> bool {
        (self.is_repetitive(quality) || self.is_improbable(quality)) && !self.is_silence(quality)
    }

    /// Whether the text is dropped because the window contains no speech: its probability of no speech
    /// is high, and the text is not probable.
    #[must_use]
    pub fn drops(&self, quality: &Quality) -> bool {
        let is_silent = |bound| quality.no_speech_prob > bound;
        let is_probable = |bound| quality.avg_logprob > bound;
        self.no_speech_threshold.is_some_and(is_silent)
            && !self.logprob_threshold.is_some_and(is_probable)
    }

    /// The index of the best attempt if all were rejected: the most probable one that is not
    /// repetitive, or else the most probable one.
    #[must_use]
    pub fn best(&self, attempts: &[Quality]) -> Option<usize> {
        let most_probable = |accepts: &dyn Fn(&Quality) -> bool| {
            let accepted = attempts
                .iter()
                .enumerate()
                .filter(|(_, quality)| accepts(quality));
            // The first of equals, as in the reference; `max_by` would take the last.
            accepted
                .rev()
                .max_by(|(_, a), (_, b)| a.avg_logprob.total_cmp(&b.avg_logprob))
                .map(|(index, _)| index)
        };
        most_probable(&|quality| !self.is_repetitive(quality)).or_else(|| most_probable(&|_| true))
    }

    /// Whether a text is repetitive.
    #[must_use]
    pub fn is_repetitive(&self, quality: &Quality) -> bool {
        self.compression_ratio_threshold
            .is_some_and(|bound| quality.compression_ratio > bound)
    }

    fn is_improbable(&self, quality: &Quality) -> bool {
        self.logprob_threshold
            .is_some_and(|bound| quality.avg_logprob < bound)
    }

    fn is_silence(&self, quality: &Quality) -> bool {
        self.is_improbable(quality)
            && self
                .no_speech_threshold
                .is_some_and(|bound| quality.no_speech_prob > bound)
    }
}

/// Length of the text over its length compressed by zlib, both in bytes; 0 for an empty text.
#[must_use]
pub fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish());
    match compressed {
        Ok(compressed) if !text.is_empty() => text.len() as f32 / compressed.len() as f32,
        // Writing to a vector does not fail.
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(avg_logprob: f32, compression_ratio: f32, tokens: usize) -> Attempt {
        Attempt::new(quality(avg_logprob, compression_ratio, 0.0), tokens)
    }

    /// Checks how many further attempts are made if the attempts have these results.
    #[track_caller]
    fn check_retries(attempts: &[Attempt], expected: usize) {
        let fallback = Fallback::default();
        let retries = (1..=attempts.len())
            .take_while(|&count| {
                fallback
                    .next_temperature(None, &attempts[..count])
                    .is_some()
            })
            .count();
        assert_eq!(retries, expected, "{attempts:?}");
    }

    #[test]
    fn a_rejected_text_is_generated_again_while_attempts_do_not_get_worse() {
        assert_eq!(Fallback::default().next_temperature(None, &[]), None);
        check_retries(&[attempt(-0.3, 1.5, 20)], 0);
        // Improbable texts that become more probable, up to one that is probable.
        let improving = [-1.5, -1.4, -1.2, -0.9].map(|logprob| attempt(logprob, 1.5, 20));
        check_retries(&improving, 3);
        // An improbable text that becomes less probable.
        check_retries(&[attempt(-1.2, 1.5, 20), attempt(-1.3, 1.5, 20)], 1);
        // A phrase that was spoken nine times, in every attempt.
        check_retries(&[attempt(-0.1, 3.5, 90), attempt(-0.2, 3.5, 90)], 1);
        // A phrase that is repeated too often, and less often at a higher temperature.
        let fewer = [3.5, 3.0, 2.0].map(|ratio| attempt(-0.2, ratio, 90));
        check_retries(&fewer, 2);
        // A decoding loop that ends at a higher temperature.
        let ends_loop = [
            attempt(-0.1, 9.0, 224),
            attempt(-0.1, 9.5, 224),
            attempt(-0.4, 1.5, 30),
        ];
        check_retries(&ends_loop, 2);
        // The last temperature.
        let always_rejected: Vec<Attempt> = (0..6)
            .map(|n| attempt(-2.0 + 0.1 * n as f32, 1.5, 20))
            .collect();
        check_retries(&always_rejected, 5);
    }

    #[test]
    fn the_attempts_of_a_window_are_bounded_in_tokens() {
        check_retries(&[attempt(-0.1, 9.0, 224); 6], 3);
        let fallback = Fallback::default();
        let cut = attempt(-0.1, 9.0, 224);
        assert!(fallback.next_temperature(Some(&cut), &[cut; 2]).is_some());
        assert!(fallback.next_temperature(Some(&cut), &[cut; 3]).is_none());
    }

    #[test]
    fn there_is_no_retry_if_a_longer_encoding_does_not_improve_the_text() {
        let fallback = Fallback::default();
        let repetitive = attempt(-0.1, 3.5, 90);
        assert!(fallback.next_temperature(None, &[repetitive]).is_some());
        assert!(
            fallback
                .next_temperature(Some(&repetitive), &[repetitive])
                .is_none()
        );
        let improbable = attempt(-1.2, 1.5, 20);
        assert!(
            fallback
                .next_temperature(Some(&improbable), &[attempt(-1.3, 1.5, 20)])
                .is_none()
        );
        assert!(
            fallback
                .next_temperature(Some(&improbable), &[attempt(-1.1, 1.5, 20)])
                .is_some()
        );
    }

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
            // A probable text is kept at any probability of no speech.
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
    fn selects_the_most_probable_attempt_that_is_not_repetitive() {
        let fallback = Fallback::default();
        let attempts = [
            quality(-0.2, 5.0, 0.0),
            quality(-1.4, 1.2, 0.0),
            quality(-1.2, 1.2, 0.0),
            quality(-1.2, 1.1, 0.0),
        ];
        assert_eq!(fallback.best(&attempts), Some(2));
        assert_eq!(fallback.best(&attempts[..1]), Some(0));
        assert_eq!(fallback.best(&[]), None);
    }

    #[test]
    fn repetitive_text_has_a_high_compression_ratio() {
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
