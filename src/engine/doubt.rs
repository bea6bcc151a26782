//! Recognises a text that an encoding of less than 30 s has led astray. Pure.
//!
//! Without all of the silence up to 30 s, Whisper at times does not notice that its audio is over: it
//! writes a short answer twice, or goes on until the longest text is reached. Such a text is worth
//! another try from 30 s. The rule looks at the window's own audio and text, so it does not depend on
//! what shares its batch.

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
const MIN_WORD_LOGPROB: f32 = -0.7;

/// Whether audio is so short that a text which was rejected, or none, is worth an encoding from 30 s.
#[must_use]
pub fn is_short(audio_s: f64) -> bool {
    audio_s < SHORT_AUDIO_S
}

/// Whether a text is a word or two of which the model is not sure.
#[must_use]
pub fn is_unsure_word(avg_logprob: f32, audio_s: f64) -> bool {
    audio_s < WORD_AUDIO_S && avg_logprob < MIN_WORD_LOGPROB
}

/// Whether a text of so many tokens is more than `audio_s` seconds of audio can hold, or the same
/// words again and again.
#[must_use]
pub fn is_doubtful(text: &str, tokens: usize, audio_s: f64) -> bool {
    tokens as f64 > BASE_TOKENS + TOKENS_PER_SECOND * audio_s || is_repeated(text)
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

    #[test]
    fn a_word_is_doubted_sooner_than_a_sentence() {
        assert!(is_unsure_word(-0.8, 1.0));
        assert!(!is_unsure_word(-0.6, 1.0));
        assert!(!is_unsure_word(-0.8, 3.0));
        assert!(is_short(4.9) && !is_short(5.0));
    }

    #[test]
    fn a_text_holds_no_more_tokens_than_its_audio() {
        assert!(!is_doubtful("Yes.", 3, 0.1));
        assert!(!is_doubtful("Yes.", 28, 1.0));
        assert!(is_doubtful("Yes.", 29, 1.0));
        assert!(!is_doubtful("Yes.", 224, 14.0));
    }
}
