//! Reports the progress of a request to its listener.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::TranscriptPart;
use crate::job::CertainText;
use crate::transcript::TokenLogprob;
use halkspeech_whisper::search::ScoredToken;

/// A progress report of a running request.
#[derive(Clone, Debug)]
pub enum TranscriptionProgress {
    /// The audio has been decoded; its length.
    Decoded(Duration),
    /// The next words of the text; the rest of their window follows.
    Words(TextDelta),
    /// The rest of a window.
    Part(TranscriptPart),
}

/// Text to append to what was reported before.
#[derive(Clone, Debug, PartialEq)]
pub struct TextDelta {
    /// The text; not empty.
    pub text: String,
    /// Its tokens' log probabilities, if requested.
    pub logprobs: Vec<TokenLogprob>,
}

/// When the text of a window is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportUnit {
    /// As soon as words are certain, if the engine writes token by token.
    Words,
    /// When the window is done.
    Windows,
}

/// The reports of one request.
pub(super) struct ProgressReport {
    listener: Option<mpsc::Sender<TranscriptionProgress>>,
    unit: ReportUnit,
    /// The texts of the windows that are not done, the earliest first; as many as are in flight.
    open: Mutex<VecDeque<CertainText>>,
    /// Notified when one of them has grown.
    changed: Arc<Notify>,
}

impl ProgressReport {
    /// Without a listener there are no reports.
    pub(super) fn new(
        listener: Option<mpsc::Sender<TranscriptionProgress>>,
        unit: ReportUnit,
    ) -> Self {
        Self {
            listener,
            unit,
            open: Mutex::default(),
            changed: Arc::default(),
        }
    }

    pub(super) fn has_listener(&self) -> bool {
        self.listener.is_some()
    }

    /// Called for each window in order. The text that its engine fills, if words are reported.
    pub(super) fn begin_window(&self) -> Option<CertainText> {
        if self.unit == ReportUnit::Windows || self.listener.is_none() {
            return None;
        }
        let text = CertainText::new(Arc::clone(&self.changed));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(text.clone());
        Some(text)
    }

    /// Waits for the end of the earliest window, and reports its words meanwhile: `delta` returns those of
    /// its certain tokens that were not reported.
    pub(super) async fn words_until<T>(
        &self,
        end: impl Future<Output = T>,
        mut delta: impl FnMut(&[ScoredToken]) -> Option<TextDelta>,
    ) -> T {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                ended = &mut end => return ended,
                () = self.changed.notified() => {
                    let delta = self.earliest().and_then(|tokens| delta(&tokens));
                    if let Some(delta) = delta {
                        self.send(|| TranscriptionProgress::Words(delta)).await;
                    }
                }
            }
        }
    }

    /// Reports the rest of the earliest window.
    pub(super) async fn end_window(&self, part: TranscriptPart) {
        self.close_earliest();
        self.send(|| TranscriptionProgress::Part(part)).await;
    }

    /// Sends a report, if there is a listener. A closed channel is ignored: a caller who leaves drops the
    /// request.
    pub(super) async fn send(&self, progress: impl FnOnce() -> TranscriptionProgress) {
        if let Some(listener) = &self.listener {
            let _gone = listener.send(progress()).await;
        }
    }

    fn close_earliest(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.pop_front();
        if !open.is_empty() {
            // The next window may have words already.
            self.changed.notify_one();
        }
    }

    fn earliest(&self) -> Option<Vec<ScoredToken>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.front().map(CertainText::tokens)
    }
}

#[cfg(test)]
mod tests;
