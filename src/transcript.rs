//! What a request comes back with: plain data.

use std::time::Duration;

use crate::tokens::{Language, Task};

/// The merged text of all windows of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// What was asked for.
    pub task: Task,
    /// The language spoken, given or detected; none for silence of an unknown language.
    pub language: Option<Language>,
    /// Length of the audio.
    pub duration: Duration,
    /// The text, without white space around it.
    pub text: String,
    /// Where the time went.
    pub timings: Timings,
}

/// Where the time of a request went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Decoding and resampling, waiting for a processor included.
    pub decode: Duration,
    /// The longest wait of a window for its batch.
    pub queue: Duration,
    /// The longest batch a window was in.
    pub inference: Duration,
    /// The largest batch a window was in.
    pub batch_size: usize,
}

impl Timings {
    /// Adds what another window went through; windows run side by side, so the longest counts.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            decode: self.decode.max(other.decode),
            queue: self.queue.max(other.queue),
            inference: self.inference.max(other.inference),
            batch_size: self.batch_size.max(other.batch_size),
        }
    }
}
