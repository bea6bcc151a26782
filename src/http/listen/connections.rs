//! Applies the decisions of the connection table to the tasks that serve the connections.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::connection_table::{ConnectionKind, ConnectionTable};
use crate::caller::Caller;
use crate::clock::now;

/// The open connections.
#[derive(Clone)]
pub struct Connections(Arc<Mutex<ConnectionsState>>);

struct ConnectionsState {
    table: ConnectionTable,
    /// Per connection, the sender that makes its task close it.
    evict: HashMap<u64, oneshot::Sender<()>>,
}

/// A connection's entry in the table; dropping it removes the entry.
pub struct Connection {
    connections: Connections,
    id: u64,
    kind: ConnectionKind,
}

/// Marks a connection busy while a request is answered; dropping it marks the connection idle.
pub struct BusyGuard {
    connections: Connections,
    id: u64,
}

/// Request extension: the connection's place, which an upgraded connection keeps.
#[derive(Clone)]
pub struct ConnectionPlace(Weak<Connection>);

/// Keeps an upgraded connection counted and busy until it is dropped.
pub struct HeldConnection {
    // Fields are dropped in this order: the entry is idle before it is removed.
    _busy: BusyGuard,
    _connection: Arc<Connection>,
}

/// A response body that keeps its connection busy until it is written.
struct GuardedBody {
    body: Body,
    _busy: BusyGuard,
}

impl Connections {
    /// No open connections; at most `max_ordinary`, and `max_probes` more for probes.
    pub fn new(max_ordinary: usize, max_probes: usize) -> Self {
        Self(Arc::new(Mutex::new(ConnectionsState {
            table: ConnectionTable::new(max_ordinary, max_probes),
            evict: HashMap::new(),
        })))
    }

    /// Admits a connection, or returns `None` to refuse it. The receiver completes when the connection
    /// must be closed for another one.
    pub fn admit(&self, caller: Caller) -> Option<(Connection, oneshot::Receiver<()>)> {
        let mut state = self.state();
        let admitted = state.table.admit(caller, now())?;
        if let Some(id) = admitted.evicted
            && let Some(evict) = state.evict.remove(&id)
        {
            // A receiver that is gone belongs to a connection that is closed already.
            let _ = evict.send(());
        }
        let (evict, evicted) = oneshot::channel();
        state.evict.insert(admitted.id, evict);
        drop(state);
        let connection = Connection {
            connections: self.clone(),
            id: admitted.id,
            kind: admitted.kind,
        };
        Some((connection, evicted))
    }

    fn state(&self) -> MutexGuard<'_, ConnectionsState> {
        // No statement under the lock leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// The kind of the connection.
    pub fn kind(&self) -> ConnectionKind {
        self.kind
    }

    /// Marks the connection busy while a request is answered, so that it is not evicted.
    pub fn mark_busy(&self) -> BusyGuard {
        self.connections.state().table.mark_busy(self.id);
        BusyGuard {
            connections: self.connections.clone(),
            id: self.id,
        }
    }
}

impl ConnectionPlace {
    /// The place of a connection.
    pub fn new(connection: &Arc<Connection>) -> Self {
        Self(Arc::downgrade(connection))
    }

    /// Keeps the place; none if the connection is gone already.
    pub fn hold(&self) -> Option<HeldConnection> {
        let connection = self.0.upgrade()?;
        Some(HeldConnection {
            _busy: connection.mark_busy(),
            _connection: connection,
        })
    }
}

impl BusyGuard {
    /// Moves the guard into the response, so that the connection is busy until the body is written.
    pub fn hold_until_written(self, response: Response) -> Response {
        response.map(|body| Body::new(GuardedBody { body, _busy: self }))
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.connections.state().table.mark_idle(self.id);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        state.evict.remove(&self.id);
        state.table.remove(self.id);
    }
}

impl hyper::body::Body for GuardedBody {
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
