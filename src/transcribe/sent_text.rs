//! The text of a window that is reported before the window is done.

use super::progress::TextDelta;
use super::transcript_builder::delta_after;
use super::window_transcript::segment_text;
use crate::transcript::TokenLogprob;
use halkspeech_whisper::search::ScoredToken;
use halkspeech_whisper::{Language, Vocabulary, segments};

/// Length of a window for the texts of its segments, which do not depend on it.
const ANY_LENGTH_S: f64 = 30.0;

/// What was reported of the window that is written.
#[derive(Debug, Default)]
pub(super) struct SentText {
    /// As it was appended to the text before it.
    text: String,
    /// Number of tokens whose log probabilities were reported.
    logprobs: usize,
}

impl SentText {
    /// The words of the certain tokens that were not reported, behind the text `before`.
    pub(super) fn advance(
        &mut self,
        vocabulary: &Vocabulary,
        (before, language): (&str, Option<Language>),
        certain: &[ScoredToken],
    ) -> Option<TextDelta> {
        let ids: Vec<u32> = certain.iter().map(|scored| scored.token).collect();
        let whole = delta_after(before, &written_text(vocabulary, &ids), language);
        let text = whole.strip_prefix(&self.text)?.to_owned();
        if text.is_empty() {
            return None;
        }
        self.text = whole;
        let logprobs = logprobs_of(vocabulary, certain).skip(self.logprobs);
        let logprobs: Vec<TokenLogprob> = logprobs.collect();
        self.logprobs += logprobs.len();
        Some(TextDelta { text, logprobs })
    }

    /// The text of the window, which would be `whole` if nothing had been reported, and the rest of it.
    pub(super) fn rest(self, whole: String) -> (String, String) {
        match whole.strip_prefix(&self.text) {
            Some(rest) => {
                let rest = rest.to_owned();
                (whole, rest)
            }
            None => {
                tracing::error!("the text of a window does not begin with what was sent");
                (self.text, String::new())
            }
        }
    }

    /// Those of the window's log probabilities that were not reported.
    pub(super) fn rest_of_logprobs(&self, all: &[TokenLogprob]) -> Vec<TokenLogprob> {
        all.iter().skip(self.logprobs).cloned().collect()
    }
}

/// The text tokens with their log probabilities.
pub(super) fn logprobs_of<'a>(
    vocabulary: &'a Vocabulary,
    tokens: &'a [ScoredToken],
) -> impl Iterator<Item = TokenLogprob> + 'a {
    let text = |scored: &&ScoredToken| scored.token < vocabulary.eot();
    tokens.iter().filter(text).map(|scored| TokenLogprob {
        token: vocabulary.decode(&[scored.token]),
        logprob: scored.log_prob,
        bytes: vocabulary.bytes(scored.token).to_vec(),
    })
}

/// The text of the begin of a window, as its segments will have it.
fn written_text(vocabulary: &Vocabulary, ids: &[u32]) -> String {
    let parsed = segments(vocabulary, ids, ANY_LENGTH_S);
    let timed = parsed.finished.into_iter().chain(parsed.unfinished);
    timed
        .filter_map(|segment| segment_text(vocabulary, &segment.tokens))
        .collect()
}

#[cfg(test)]
mod tests;
