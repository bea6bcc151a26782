//! The work of a worker, and the state of a window that a worker has taken.

use std::time::Duration;

use super::window::{Outcome, Window, WindowId};

/// A thread that carries out work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Worker {
    /// Encodes and writes in turn: the runner of this number, from 0, of a CPU.
    Runner(usize),
    /// Encodes only: the encoder's thread of a GPU.
    Encoder,
    /// Writes only: the decoder's thread of a GPU.
    Decoder,
}

/// The next action of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Encode these windows in one call. A [`Worker::Runner`] opens the slot of its window as well: on a CPU reading
    /// a prompt takes about the time of a step, so an item of its own gains nothing.
    Encode(Vec<WindowId>),
    /// Open the slots of these encoded windows: language detection if needed, then the prompt in one pass. Only for
    /// a [`Worker::Decoder`].
    Open(Vec<WindowId>),
    /// Compute the next token of these slots. Slots of bulk may be missing: they skip the step.
    Step(Vec<WindowId>),
    /// Align the words of this text, as [`super::Scheduler::align`] demanded.
    Align(WindowId),
    /// Close the slots of these cancelled or expired windows.
    Close(Vec<WindowId>),
    /// Nothing to do before this time, unless a window arrives, is encoded or is cancelled.
    WaitUntil(Duration),
    /// Nothing to do before a window arrives, is encoded or is cancelled.
    Wait,
}

/// A window that has a slot.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub window: Window,
    /// The index of the worker that writes its text.
    pub home: usize,
    pub stage: Stage,
    /// Set when it has to leave as soon as the running work allows.
    pub leaving: Option<Outcome>,
    pub taken_at: Duration,
    /// Whether it is tried again without others.
    pub is_alone: bool,
}

/// How far a window with a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In an encoder call.
    Encoding,
    /// Encoded, waiting to be opened.
    Encoded,
    /// Its prompt is being read.
    Opening,
    /// Its text is being written.
    Open,
    /// Its text is complete, and waits to be aligned.
    Written,
    /// Its words are being aligned.
    Aligning,
    /// Its slot is being closed.
    Closing,
}

impl Work {
    /// The windows that the work is about.
    #[must_use]
    pub fn windows(&self) -> &[WindowId] {
        match self {
            Self::Encode(ids) | Self::Open(ids) | Self::Step(ids) | Self::Close(ids) => ids,
            Self::Align(id) => std::slice::from_ref(id),
            Self::WaitUntil(_) | Self::Wait => &[],
        }
    }
}

impl Slot {
    /// A slot of a window that is being encoded.
    pub fn new(window: Window, home: usize, now: Duration) -> Self {
        Self {
            window,
            home,
            stage: Stage::Encoding,
            leaving: None,
            taken_at: now,
            is_alone: false,
        }
    }
}

impl Stage {
    /// Whether the decoder holds a slot for the window, so that it has to be closed.
    pub fn is_opened(self) -> bool {
        match self {
            Self::Encoding | Self::Encoded => false,
            Self::Opening | Self::Open | Self::Written | Self::Aligning | Self::Closing => true,
        }
    }

    /// Whether a call about the window is running.
    pub fn is_running(self) -> bool {
        match self {
            Self::Encoding | Self::Opening | Self::Aligning | Self::Closing => true,
            Self::Encoded | Self::Open | Self::Written => false,
        }
    }
}
