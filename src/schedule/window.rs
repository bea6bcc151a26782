//! A window as the scheduler sees it.

use std::time::Duration;

use super::lane::Lane;
use crate::caller::Caller;

/// Identifies a window; each window that enters the scheduler has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowId(pub u64);

/// Identifies the request of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A window that is to be transcribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its identity.
    pub id: WindowId,
    /// Its request; the requests of a caller take turns.
    pub request: RequestId,
    /// Its caller; the callers of a lane take turns.
    pub caller: Caller,
    /// Its urgency.
    pub lane: Lane,
    /// Length of its audio.
    pub audio: Duration,
    /// After this time its text is no longer needed.
    pub deadline: Duration,
    /// Memory of its slot, in bytes: keys and values of its encoding and of its hypotheses, for its own
    /// length, its prompt, the longest text and its number of hypotheses.
    pub bytes: u64,
}

/// A window that has left the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The window.
    pub window: Window,
    /// Why it left.
    pub outcome: Outcome,
}

/// Why an accepted window has left the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The runner has reported its end: its text is complete, or it has failed.
    Ended,
    /// It was cancelled, because its caller has left or the server is shutting down.
    Cancelled,
    /// Its deadline has passed.
    Expired,
}
