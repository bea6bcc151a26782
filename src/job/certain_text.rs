//! The begin of a window's text, on its way from the engine to its request while the rest is written.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use halkspeech_whisper::search::ScoredToken;

/// The tokens of a window that are certain; clones share them. It holds at most one text.
#[derive(Clone, Debug)]
pub struct CertainText {
    tokens: Arc<Mutex<Vec<ScoredToken>>>,
    changed: Arc<Notify>,
}

impl CertainText {
    /// A text without tokens; `changed` is notified when it has more.
    #[must_use]
    pub fn new(changed: Arc<Notify>) -> Self {
        Self {
            tokens: Arc::default(),
            changed,
        }
    }

    /// Replaces the tokens by these, which begin with the same; called on the engine's thread, and never
    /// blocks it for long.
    pub fn publish(&self, tokens: &[ScoredToken]) {
        let mut published = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        published.clear();
        published.extend_from_slice(tokens);
        drop(published);
        self.changed.notify_one();
    }

    /// The tokens so far.
    #[must_use]
    pub fn tokens(&self) -> Vec<ScoredToken> {
        let published = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        published.clone()
    }
}
