//! What a decoder answers to a row.

use thiserror::Error;

use super::options::{ScoredToken, Token};

/// The answer to a row: its candidates with their log probabilities, the most probable one first. The log
/// probability of a drawn token does not depend on the temperature. Empty: no token is allowed.
pub type Candidates = Vec<ScoredToken>;

/// The maximum log probability of a candidate, as devices round; exact ones are at most 0.
const MAX_LOG_PROB: f32 = 1e-3;

/// Candidates that do not answer the rows; the search has not changed.
#[derive(Debug, Error, PartialEq)]
pub enum CandidatesError {
    /// One list per row is needed.
    #[error("{rows} rows got {candidates} lists of candidates")]
    Count {
        /// Number of rows.
        rows: usize,
        /// Number of lists.
        candidates: usize,
    },
    /// A token that the model does not have.
    #[error("candidate {0} is not in the vocabulary")]
    Token(Token),
    /// A value that is no log probability.
    #[error("candidate {token} has the log probability {log_prob}")]
    LogProb {
        /// The token.
        token: Token,
        /// Its log probability.
        log_prob: f32,
    },
    /// The candidates of a row are not in descending order.
    #[error("the candidates of a row are not in descending order")]
    Order,
}

/// Checks that candidates answer this number of rows, with tokens of the vocabulary.
pub(super) fn check(
    candidates: &[Candidates],
    rows: usize,
    vocabulary_size: Token,
) -> Result<(), CandidatesError> {
    if candidates.len() != rows {
        return Err(CandidatesError::Count {
            rows,
            candidates: candidates.len(),
        });
    }
    for row in candidates {
        for &ScoredToken { token, log_prob } in row {
            if token >= vocabulary_size {
                return Err(CandidatesError::Token(token));
            }
            if log_prob.is_nan() || log_prob > MAX_LOG_PROB {
                return Err(CandidatesError::LogProb { token, log_prob });
            }
        }
        if !row.is_sorted_by(|a, b| a.log_prob >= b.log_prob) {
            return Err(CandidatesError::Order);
        }
    }
    Ok(())
}
