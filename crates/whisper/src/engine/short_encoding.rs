//! Detects texts that are probably wrong because the encoding covers less than 30 s. Pure.
//!
//! Without all of the silence up to 30 s, Whisper sometimes misses the end of the audio: it writes a
//! short utterance twice, or continues until the maximum length. Such a window is generated again with
//! 30 s. The rule uses only the window's own audio and text, so it does not depend on the rest of the
//! batch.

use super::{Attempt, Fallback};

/// Upper bound on the tokens of a second of speech; not measured.
const TOKENS_PER_SECOND: f64 = 16.0;

/// Tokens that any text may have in addition: punctuation, time stamps, the first word.
const BASE_TOKENS: f64 = 12.0;

/// With less audio than this, in seconds, an improbable or empty text also needs a longer encoding: the
/// missing silence has more effect after a single word than after a sentence.
const SHORT_AUDIO_S: f64 = 5.0;

/// Audio shorter than this, in seconds, is one or two words.
const WORD_AUDIO_S: f64 = 2.5;

/// One or two words with a lower mean log probability often change with an encoding of 30 s.
const MIN_WORD_LOGPROB: f32 = -0.5;

/// Whether an encoding of 30 s probably gives a better text than this one, from a shorter encoding of
/// `audio_s` seconds of audio.
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
    let missed_end = *is_cut || is_too_long || is_repeated(text) || fallback.is_repetitive(quality);
    let is_empty = text.trim().is_empty() || fallback.drops(quality);
    let missed_speech = audio_s < SHORT_AUDIO_S && (is_empty || fallback.rejects(quality));
    let is_improbable = audio_s < WORD_AUDIO_S && quality.avg_logprob < MIN_WORD_LOGPROB;
    missed_end || missed_speech || is_improbable
}

/// Whether a text consists of the same word or phrase repeated, or twice with one word between.
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
    fn detects_repeated_words_and_phrases() {
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

    fn check(text: &str, attempt: &Attempt, audio_s: f64) -> bool {
        needs_longer_encoding(text, attempt, &Fallback::default(), audio_s)
    }

    #[test]
    fn accepts_a_good_text() {
        for audio_s in [0.3, 1.0, 2.5, 5.0, 20.0] {
            assert!(!check("Yes.", &attempt(-0.3, 3), audio_s), "{audio_s}");
        }
    }

    #[test]
    fn a_text_without_an_end_needs_a_longer_encoding_at_any_length() {
        assert!(check("Yes. Yes.", &attempt(-0.1, 6), 20.0));
        assert!(check("Yes", &attempt(-0.1, MAX_TEXT_TOKENS), 20.0), "cut");
        let mut repetitive = attempt(-0.1, 20);
        repetitive.quality.compression_ratio = 3.0;
        assert!(check("Yes", &repetitive, 20.0));
    }

    #[test]
    fn a_text_with_too_many_tokens_for_its_audio_needs_a_longer_encoding() {
        assert!(!check("Yes.", &attempt(-0.1, 28), 1.0));
        assert!(check("Yes.", &attempt(-0.1, 29), 1.0));
        assert!(!check("Yes.", &attempt(-0.1, 200), 14.0));
    }

    #[test]
    fn an_empty_or_improbable_text_of_short_audio_needs_a_longer_encoding() {
        let mut silence = attempt(-1.1, 3);
        silence.quality.no_speech_prob = 0.9;
        for (text, attempt) in [
            (" ", attempt(-0.1, 0)),
            ("Yes", attempt(-1.1, 3)),
            ("Yes", silence),
        ] {
            assert!(check(text, &attempt, 4.9), "{text} {attempt:?}");
            assert!(!check(text, &attempt, 5.0), "{text} {attempt:?}");
        }
    }

    #[test]
    fn the_limit_is_stricter_for_a_word_than_for_a_sentence() {
        assert!(check("Yes.", &attempt(-0.6, 3), 1.0));
        assert!(!check("Yes.", &attempt(-0.4, 3), 1.0));
        assert!(!check("Yes.", &attempt(-0.6, 3), 2.5));
    }
}
