//! Decides whether a generation is to be tried again at a higher temperature. Pure.
//!
//! When a text is rejected, and the temperatures, are the reference's (OpenAI's
//! `decode_with_fallback`). The reference goes through all temperatures; here the tries of a window
//! are bounded in tokens, and end where they get worse. Both bounds look at the window alone and at no
//! clock, so a text does not depend on load.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// The longest text: half of Whisper's text context (CTranslate2 and the reference).
pub const MAX_TEXT_TOKENS: usize = 224;

/// What all tries of a window may write together.
const MAX_TRIED_TOKENS: usize = 4 * MAX_TEXT_TOKENS;

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

/// A text that was written for a window, as it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// How good it is.
    pub quality: Quality,
    /// How many tokens were written.
    pub tokens: usize,
    /// Whether the longest text was reached before the end of the text.
    pub is_cut: bool,
}

impl Attempt {
    /// Judges a text of so many tokens.
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
    /// The temperature of the next try after these; none where the last one is good, or another is
    /// not worth its time. `before` is the text from a shorter encoding of the window, if there is one.
    #[must_use]
    pub fn next_temperature(&self, before: Option<&Attempt>, attempts: &[Attempt]) -> Option<f32> {
        let (last, earlier) = attempts.split_last()?;
        let written: usize = before
            .into_iter()
            .chain(attempts)
            .map(|attempt| attempt.tokens)
            .sum();
        let is_worse = earlier
            .last()
            .or(before)
            .is_some_and(|previous| self.is_worse(last, previous));
        let goes_on = self.rejects(&last.quality) && !is_worse && written < MAX_TRIED_TOKENS;
        let next = self.temperatures.get(earlier.len()).copied();
        next.filter(|_| goes_on)
    }

    /// Whether a higher temperature led away from a good text: a guess became less probable, or a
    /// repetition that ends by itself, as one that was really said does, repeats itself as much as
    /// before. A repetition without an end is one the model is caught in, out of which a higher
    /// temperature leads.
    fn is_worse(&self, last: &Attempt, previous: &Attempt) -> bool {
        if !self.is_repetitive(&previous.quality) {
            return last.quality.avg_logprob < previous.quality.avg_logprob;
        }
        !previous.is_cut && last.quality.compression_ratio >= previous.quality.compression_ratio
    }

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

    /// Whether a text repeats itself.
    #[must_use]
    pub fn is_repetitive(&self, quality: &Quality) -> bool {
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

    fn attempt(avg_logprob: f32, compression_ratio: f32, tokens: usize) -> Attempt {
        Attempt::new(quality(avg_logprob, compression_ratio, 0.0), tokens)
    }

    /// How many temperatures are tried after the first text, if the tries come out so.
    #[track_caller]
    fn check_tries(attempts: &[Attempt], expected: usize) {
        let usual = Fallback::default();
        let again = (1..=attempts.len())
            .take_while(|&tries| usual.next_temperature(None, &attempts[..tries]).is_some())
            .count();
        assert_eq!(again, expected, "{attempts:?}");
    }

    #[test]
    fn a_rejected_text_is_tried_again_while_the_tries_do_not_get_worse() {
        assert_eq!(Fallback::default().next_temperature(None, &[]), None);
        check_tries(&[attempt(-0.3, 1.5, 20)], 0);
        // Guesses that become more probable, up to one that is none.
        let guesses = [-1.5, -1.4, -1.2, -0.9].map(|logprob| attempt(logprob, 1.5, 20));
        check_tries(&guesses, 3);
        // A guess that becomes less probable.
        check_tries(&[attempt(-1.2, 1.5, 20), attempt(-1.3, 1.5, 20)], 1);
        // A phrase that was said nine times, and so is every try.
        check_tries(&[attempt(-0.1, 3.5, 90), attempt(-0.2, 3.5, 90)], 1);
        // One that was written too often, and less often at a higher temperature.
        let fewer = [3.5, 3.0, 2.0].map(|ratio| attempt(-0.2, ratio, 90));
        check_tries(&fewer, 2);
        // A loop without an end is left at a higher temperature.
        let out = [
            attempt(-0.1, 9.0, 224),
            attempt(-0.1, 9.5, 224),
            attempt(-0.4, 1.5, 30),
        ];
        check_tries(&out, 2);
        // The last temperature.
        let never: Vec<Attempt> = (0..6)
            .map(|n| attempt(-2.0 + 0.1 * n as f32, 1.5, 20))
            .collect();
        check_tries(&never, 5);
    }

    #[test]
    fn the_tries_of_a_window_are_bounded_in_tokens() {
        check_tries(&[attempt(-0.1, 9.0, 224); 6], 3);
        let usual = Fallback::default();
        let cut = attempt(-0.1, 9.0, 224);
        assert!(usual.next_temperature(Some(&cut), &[cut; 2]).is_some());
        assert!(usual.next_temperature(Some(&cut), &[cut; 3]).is_none());
    }

    #[test]
    fn what_a_longer_encoding_does_not_better_is_not_tried_again() {
        let usual = Fallback::default();
        let said = attempt(-0.1, 3.5, 90);
        assert!(usual.next_temperature(None, &[said]).is_some());
        assert!(usual.next_temperature(Some(&said), &[said]).is_none());
        let guess = attempt(-1.2, 1.5, 20);
        assert!(
            usual
                .next_temperature(Some(&guess), &[attempt(-1.3, 1.5, 20)])
                .is_none()
        );
        assert!(
            usual
                .next_temperature(Some(&guess), &[attempt(-1.1, 1.5, 20)])
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
