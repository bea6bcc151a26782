//! Whisper's rules for time stamps (`ApplyTimestampRules` of OpenAI's `decoding.py` and of CTranslate2).
//!
//! Time stamps come in pairs, except directly before the end of the text, and do not decrease.

use super::options::{ModelTokens, ScoredToken};
use super::rule::Rule;

/// Restricts the token behind `text`, of which the rules consider the tokens from `begin` on; `max_initial` is the
/// maximum index of the first time stamp.
pub(super) fn restrict_timestamps(
    rule: &mut Rule,
    model: &ModelTokens,
    text: &[ScoredToken],
    (begin, max_initial): (usize, u32),
) {
    let first = model.timestamp_begin;
    let end = model.vocabulary_size;
    let is_timestamp = |scored: &ScoredToken| scored.token >= first;
    let written = text.get(begin..).unwrap_or_default();
    rule.banned_tokens.push(model.no_timestamps);
    match written {
        // A text begins with a time stamp, and not with a late one. Behind a forced prefix anything may come.
        [] if begin == 0 => {
            let last = first.saturating_add(max_initial);
            rule.ban(0..first);
            rule.ban(last.saturating_add(1)..end);
        }
        [] => {}
        // The end of a segment: the begin of the next one, no earlier, or the end of the text.
        [.., before, last] if is_timestamp(last) && !is_timestamp(before) => {
            rule.ban(0..model.end_of_text);
            rule.ban(first..last.token);
            rule.timestamp_contest = Some(first);
        }
        // The begin of a segment: text.
        [.., last] if is_timestamp(last) => rule.ban(first..end),
        // Text: more of it, or a later time stamp.
        _ => {
            if let Some(last) = written.iter().rfind(|scored| is_timestamp(scored)) {
                rule.ban(first..last.token + 1);
            }
            rule.timestamp_contest = Some(first);
        }
    }
}
