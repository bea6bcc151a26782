//! What can go wrong with the stand-in's answers.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};

/// What goes wrong with the contents of a file.
#[derive(Clone)]
pub enum Fault {
    /// The connection breaks after so many bytes of the answer.
    BreakAfter(u64),
    /// Nothing more comes after so many bytes of the answer; the connection stays.
    StallAfter(u64),
    /// The answer waits at the gate after so many bytes.
    HoldAfter(u64, Gate),
    /// The first byte is another one.
    WrongBytes,
    /// A byte too many comes.
    TooLong,
    /// Whatever range is asked for, the whole file comes.
    IgnoreRange,
}

/// Holds an answer until it is opened.
#[derive(Clone)]
pub struct Gate(Arc<Parts>);

struct Parts {
    reached: Notify,
    opened: Semaphore,
}

/// An answer that is none.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    pub status: u16,
    /// The header `X-Error-Code`.
    pub code: Option<&'static str>,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self(Arc::new(Parts {
            reached: Notify::new(),
            opened: Semaphore::new(0),
        }))
    }

    /// Waits until an answer waits there.
    pub async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Lets all through, now and later.
    pub fn open(&self) {
        self.0.opened.close();
    }

    /// Waits there.
    pub async fn pass(&self) {
        self.0.reached.notify_one();
        let _closed = self.0.opened.acquire().await;
    }
}

impl Refusal {
    /// With this status and nothing that says more.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// With an error code.
    pub fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// With a time to wait, in seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}
