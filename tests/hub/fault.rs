//! Faults of the fake hub.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};

/// Fault of a response with the contents of a file.
#[derive(Clone)]
pub enum TransferFault {
    /// The connection breaks after this number of bytes.
    BreakAfter(u64),
    /// The response stalls after this number of bytes; the connection stays open.
    StallAfter(u64),
    /// The response waits at the gate after this number of bytes.
    HoldAfter(u64, TransferGate),
    /// The first byte is wrong.
    WrongBytes,
    /// There is an extra byte at the end.
    TooLong,
    /// The whole file is sent, regardless of the requested range.
    IgnoreRange,
}

/// Blocks a response until the gate is opened.
#[derive(Clone)]
pub struct TransferGate(Arc<GateState>);

struct GateState {
    reached: Notify,
    opened: Semaphore,
}

/// An error response of the hub.
#[derive(Clone, Debug, Default)]
pub struct HubRefusal {
    pub status: u16,
    /// The header `X-Error-Code`.
    pub code: Option<&'static str>,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl TransferGate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(GateState {
            reached: Notify::new(),
            opened: Semaphore::new(0),
        }))
    }

    /// Waits until a response has reached the gate.
    pub async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Opens the gate for all responses.
    pub fn open(&self) {
        self.0.opened.close();
    }

    /// Waits at the gate.
    pub async fn pass(&self) {
        self.0.reached.notify_one();
        let _closed = self.0.opened.acquire().await;
    }
}

impl HubRefusal {
    /// A refusal with this status and no further headers.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// Adds an error code.
    pub fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// Adds a retry time, in seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}
