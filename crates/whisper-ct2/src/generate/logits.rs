//! Tests of `logits.cc`: which tokens may follow.
#![expect(unsafe_code, reason = "the function of logits.cc is foreign")]

use proptest::collection::vec;
use proptest::prelude::*;

// A small vocabulary, in Whisper's order.
const END_OF_TEXT: i32 = 20;
const NO_TIMESTAMPS: i32 = 25;
const FIRST: i32 = 26;
const LAST: i32 = 45;
const LAST_AT_FIRST: i32 = 30;
const WIDTH: usize = 46;
const BANNED: f32 = f32::MIN;

unsafe extern "C" {
    fn halkspeech_allow(
        logits: *mut f32,
        rows: usize,
        tokens: *const i32,
        step: usize,
        end_of_text: i32,
        no_timestamps: i32,
        first_timestamp: i32,
        last_timestamp: i32,
        last_at_first: i32,
    );
}

/// The rules of `ApplyTimestampRules` in <https://github.com/openai/whisper>, `decoding.py`.
fn reference(logits: &mut [f32], tokens: &[i32]) {
    let index = |token: i32| usize::try_from(token).expect("a token");
    let (first, end) = (index(FIRST), index(LAST) + 1);
    let is_timestamp = |token: &i32| *token >= FIRST;
    logits[index(NO_TIMESTAMPS)] = BANNED;
    let last_is = tokens.last().is_some_and(is_timestamp);
    let penultimate_is = tokens.len() < 2 || is_timestamp(&tokens[tokens.len() - 2]);
    if last_is && penultimate_is {
        logits[first..].fill(BANNED);
    } else if last_is {
        logits[..index(END_OF_TEXT)].fill(BANNED);
    }
    if let Some(&last) = tokens.iter().rfind(|token| is_timestamp(token)) {
        let ends_segment = last_is && !penultimate_is;
        let from = index(last) + usize::from(!ends_segment);
        logits[first..from].fill(BANNED);
    }
    if tokens.is_empty() {
        logits[..first].fill(BANNED);
        logits[index(LAST_AT_FIRST) + 1..].fill(BANNED);
    }
    let timestamps: f64 = logits[first..end].iter().map(|&x| f64::from(x).exp()).sum();
    let text = logits[..first].iter().copied().fold(BANNED, f32::max);
    if timestamps > f64::from(text).exp() {
        logits[..first].fill(BANNED);
    }
}

proptest! {
    #[test]
    fn timestamp_rules_match_the_reference(
        step in 0..7_usize,
        tokens in vec(prop_oneof![0..END_OF_TEXT, FIRST..=LAST], 7 * 3),
        logits in vec(-4.0..4.0_f32, WIDTH * 3),
    ) {
        let tokens = &tokens[..3 * step];
        let mut found = logits.clone();
        // SAFETY: `found` has 3 rows of `WIDTH` scores, and `tokens` 3 rows of `step` tokens.
        unsafe {
            halkspeech_allow(
                found.as_mut_ptr(), 3, tokens.as_ptr(), step,
                END_OF_TEXT, NO_TIMESTAMPS, FIRST, LAST, LAST_AT_FIRST,
            );
        }

        let mut expected = logits;
        for (row, logits) in expected.chunks_mut(WIDTH).enumerate() {
            reference(logits, &tokens[row * step..][..step]);
        }
        prop_assert_eq!(found, expected);
    }
}
