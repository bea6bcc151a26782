//! Hands the decisions about connections to the tasks that serve them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::table::{Kind, Table};
use crate::caller::Caller;

/// The open connections.
#[derive(Clone)]
pub struct Connections(Arc<Mutex<State>>);

struct State {
    table: Table,
    /// Of each connection, what tells its task that it is displaced.
    displace: HashMap<u64, oneshot::Sender<()>>,
}

/// A connection's entry in the table, taken out when this is dropped.
pub struct Connection {
    connections: Connections,
    number: u64,
    kind: Kind,
}

/// A request that is being answered; dropping it makes its connection idle.
pub struct Busy {
    connections: Connections,
    number: u64,
}

/// The body of an answer, whose connection is busy until it is written.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl Connections {
    /// No connection is open; there may be `ordinary` ones and `reserve` more.
    pub fn new(ordinary: usize, reserve: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            table: Table::new(ordinary, reserve),
            displace: HashMap::new(),
        })))
    }

    /// Lets a connection in, with what completes when it has to be closed for another one; or refuses
    /// it.
    pub fn admit(&self, caller: Caller) -> Option<(Connection, oneshot::Receiver<()>)> {
        let mut state = self.state();
        let admitted = state.table.admit(caller, Instant::now().into_std())?;
        if let Some(number) = admitted.displaced
            && let Some(displace) = state.displace.remove(&number)
        {
            // A receiver that is gone belongs to a connection that is closed already.
            let _ = displace.send(());
        }
        let (displace, displaced) = oneshot::channel();
        state.displace.insert(admitted.number, displace);
        drop(state);
        let connection = Connection {
            connections: self.clone(),
            number: admitted.number,
            kind: admitted.kind,
        };
        Some((connection, displaced))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No statement under the lock leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// What it may be used for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Notes that a request has come, so that the connection is not displaced.
    pub fn begin(&self) -> Busy {
        self.connections.state().table.begin(self.number);
        Busy {
            connections: self.connections.clone(),
            number: self.number,
        }
    }
}

impl Busy {
    /// The answer, which keeps its connection busy until it is written.
    pub fn until_written(self, answer: Response) -> Response {
        answer.map(|body| Body::new(Answer { body, _busy: self }))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connections.state().table.end(self.number);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        state.displace.remove(&self.number);
        state.table.remove(self.number);
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
