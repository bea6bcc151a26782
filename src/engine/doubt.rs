//! Recognises a text that an encoding of less than 30 s has led astray. Pure.
//!
//! Without all of the silence up to 30 s, Whisper at times does not notice that its audio is over: it
//! writes a short answer twice, or goes on until the longest text is reached. Such a text is worth
//! another try from 30 s. The rule looks at the window's own audio and text, so it does not depend on
//! what shares its batch.

use super::{Attempt, Fallback};

/// More tokens than a second of speech has; a bound, not a measurement.
const TOKENS_PER_SECOND: f64 = 16.0;

/// Tokens that any text may have: punctuation, time stamps, the first word.
const BASE_TOKENS: f64 = 12.0;

/// In less audio than this, in seconds, a text that is improbable, or none at all, is in doubt, too: the
/// silence behind a single word weighs more than behind a sentence.
const SHORT_AUDIO_S: f64 = 5.0;

/// Audio of less than this, in seconds, is a word or two.
const WORD_AUDIO_S: f64 = 2.5;

/// A word or two whose mean log probability is below this is often another one from 30 s.
const MIN_WORD_LOGPROB: f32 = -0.5;

/// Whether an encoding from all of 30 s is likely to give a better text than this one, which a shorter
/// encoding of `audio_s` seconds of audio gave.
#[must_use]
pub fn needs_longer_encoding(
    text: &str,
    attempt: &Attempt,
    fallback: &Fallback,
    audio_s: f64,
) -> bool {
    let Attempt {
        quality,
        tokens,
        is_cut,
    } = attempt;
    let is_too_long = *tokens as f64 > BASE_TOKENS + TOKENS_PER_SECOND * audio_s;
    let goes_on = *is_cut || is_too_long || is_repeated(text) || fallback.is_repetitive(quality);
    let is_nothing = text.trim().is_empty() || fallback.drops(quality);
    let is_missed = audio_s < SHORT_AUDIO_S && (is_nothing || fallback.rejects(quality));
    let is_unsure = audio_s < WORD_AUDIO_S && quality.avg_logprob < MIN_WORD_LOGPROB;
    goes_on || is_missed || is_unsure
}

/// Whether a text is the same word or phrase twice or more, and nothing else but a word between two.
fn is_repeated(text: &str) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let half = words.len() / 2;
    let is_joined = half > 0 && words[..half] == words[words.len() - half..];
    let is_repeated = |unit: usize| {
        words.len().is_multiple_of(unit) && words.chunks(unit).all(|chunk| chunk == &words[..unit])
    };
    is_joined || (1..=half).any(is_repeated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{MAX_TEXT_TOKENS, Quality};

    #[test]
    fn the_same_twice_is_repeated() {
        for text in [
            " Kırmızı. Kırmızı.",
            " Yes, yes!",
            "No no no",
            " Guten Tag. Guten Tag.",
            "はい。はい。",
            "Red - RED",
            "transportation and transportation",
            "sous le consulat et sous le consulat",
        ] {
            assert!(is_repeated(text), "{text}");
        }
        for text in ["", ".", " Kırmızı.", "Yes, yes, no", "Tag, guten", "bonbon"] {
            assert!(!is_repeated(text), "{text}");
        }
    }

    /// A good text of `tokens` tokens.
    fn attempt(avg_logprob: f32, tokens: usize) -> Attempt {
        let quality = Quality {
            avg_logprob,
            compression_ratio: 1.0,
            no_speech_prob: 0.0,
        };
        Attempt::new(quality, tokens)
    }

    fn doubts(text: &str, attempt: &Attempt, audio_s: f64) -> bool {
        needs_longer_encoding(text, attempt, &Fallback::default(), audio_s)
    }

    #[test]
    fn a_good_text_is_not_doubted() {
        for audio_s in [0.3, 1.0, 2.5, 5.0, 20.0] {
            assert!(!doubts("Yes.", &attempt(-0.3, 3), audio_s), "{audio_s}");
        }
    }

    #[test]
    fn a_text_that_goes_on_is_doubted_whatever_its_audio() {
        assert!(doubts("Yes. Yes.", &attempt(-0.1, 6), 20.0));
        assert!(doubts("Yes", &attempt(-0.1, MAX_TEXT_TOKENS), 20.0), "cut");
        let mut repetitive = attempt(-0.1, 20);
        repetitive.quality.compression_ratio = 3.0;
        assert!(doubts("Yes", &repetitive, 20.0));
    }

    #[test]
    fn a_text_holds_no_more_tokens_than_its_audio() {
        assert!(!doubts("Yes.", &attempt(-0.1, 28), 1.0));
        assert!(doubts("Yes.", &attempt(-0.1, 29), 1.0));
        assert!(!doubts("Yes.", &attempt(-0.1, 200), 14.0));
    }

    #[test]
    fn no_text_or_a_guess_is_doubted_in_short_audio() {
        let mut silence = attempt(-1.1, 3);
        silence.quality.no_speech_prob = 0.9;
        for (text, attempt) in [
            (" ", attempt(-0.1, 0)),
            ("Yes", attempt(-1.1, 3)),
            ("Yes", silence),
        ] {
            assert!(doubts(text, &attempt, 4.9), "{text} {attempt:?}");
            assert!(!doubts(text, &attempt, 5.0), "{text} {attempt:?}");
        }
    }

    #[test]
    fn a_word_is_doubted_sooner_than_a_sentence() {
        assert!(doubts("Yes.", &attempt(-0.6, 3), 1.0));
        assert!(!doubts("Yes.", &attempt(-0.4, 3), 1.0));
        assert!(!doubts("Yes.", &attempt(-0.6, 3), 2.5));
    }
}
